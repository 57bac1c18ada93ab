package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"model-proxy/config"
)

// flags are the values of the command line, each of which also has an
// environment variable: a flag wins over the environment, that over .env.
type flags struct {
	config, envFile, data string
	host                  string
	port                  int
	workers, concurrency  int
	pools                 []string
	logLevel, logFormat   string
	natsListen            string
	metricsListen         string
	drain                 time.Duration
	reload, demo          bool
	writes                bool // the command writes the configuration: its .env file may be new
}

func (f *flags) addConfig(fs *pflag.FlagSet) {
	fs.StringVar(&f.config, "config", "", "configuration directory (default: ./config, ~/.model-proxy/config, the embedded one)")
	fs.StringVar(&f.envFile, "env-file", "", "file of NAME=value lines (default: ./.env if there is one)")
}

func (f *flags) addData(fs *pflag.FlagSet) {
	fs.StringVar(&f.data, "data", "./data", "directory of the queue's files, the records and the spool")
}

func (f *flags) addLog(fs *pflag.FlagSet) {
	fs.StringVar(&f.logLevel, "log-level", "info", "debug, info, warn or error")
	fs.StringVar(&f.logFormat, "log-format", "text", "text or json")
}

func (f *flags) addListen(fs *pflag.FlagSet) {
	fs.StringVar(&f.host, "host", "0.0.0.0", "address to listen on")
	fs.IntVar(&f.port, "port", 8000, "port to listen on; 0 picks a free one")
}

func (f *flags) addDrain(fs *pflag.FlagSet) {
	fs.DurationVar(&f.drain, "drain", 30*time.Second, "how long running requests may finish on SIGTERM")
}

func (f *flags) addConcurrency(fs *pflag.FlagSet) {
	fs.IntVar(&f.concurrency, "concurrency", 4096, "requests in flight for each worker")
}

func (f *flags) addPools(fs *pflag.FlagSet) {
	fs.StringSliceVar(&f.pools, "pools", nil, "pools to serve, separated by commas (default: all that models name)")
}

func (f *flags) addMetrics(fs *pflag.FlagSet) {
	fs.StringVar(&f.metricsListen, "metrics-listen", "", "host:port for /metrics and /health; off by default")
}

func (f *flags) addReload(fs *pflag.FlagSet) {
	fs.BoolVar(&f.reload, "reload", false, "watch configuration and .env, and apply every valid change")
}

// namedVars are the flags whose variable is not MODEL_PROXY_<FLAG>.
var namedVars = map[string]string{"config": "MODEL_PROXY_CONFIG", "data": "DATA_DIR"}

// varOf is the environment variable of a flag.
func varOf(flag string) string {
	if v, ok := namedVars[flag]; ok {
		return v
	}
	return "MODEL_PROXY_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// resolve reads the environment and fills every flag that was not given.
func (a *app) resolve(cmd *cobra.Command, f *flags) (*config.Environment, error) {
	envFile := f.envFile
	for _, kv := range a.environ { // the one variable that cannot stand in the file it names
		if v, ok := strings.CutPrefix(kv, varOf("env-file")+"="); ok && !cmd.Flags().Changed("env-file") {
			envFile = v
		}
	}
	f.envFile = envFile
	env, err := a.options(f).Environment()
	if err != nil {
		return nil, usageError{err}
	}
	var fault error
	cmd.Flags().VisitAll(func(flag *pflag.Flag) {
		v, ok := env.Lookup(varOf(flag.Name))
		if flag.Changed || !ok || flag.Name == "help" || flag.Name == "env-file" || serviceLink(flag.Name, v) || fault != nil {
			return
		}
		if err := flag.Value.Set(v); err != nil {
			fault = usageError{fmt.Errorf("%s: %w", varOf(flag.Name), err)}
		}
	})
	if fault == nil {
		fault = f.check(cmd.Flags())
	}
	return env, fault
}

// serviceLink reports whether Kubernetes has set the flag's variable, not the
// operator: beside a Service that is called model-proxy every container has
// MODEL_PROXY_PORT=tcp://10.0.0.1:8000.
func serviceLink(flag, value string) bool {
	return flag == "port" && strings.HasPrefix(value, "tcp://")
}

// check finds values that no command can work with.
func (f *flags) check(fs *pflag.FlagSet) error {
	for _, c := range []struct {
		flag string
		ok   bool
		want string
	}{
		{"port", f.port >= 0 && f.port <= 65535, "must be between 0 and 65535"},
		{"workers", f.workers >= 1, "must be at least 1"},
		{"concurrency", f.concurrency >= 1, "must be at least 1"},
		{"drain", f.drain >= 0, "must not be negative"},
	} {
		if fs.Lookup(c.flag) != nil && !c.ok {
			return usageError{fmt.Errorf("--%s %s", c.flag, c.want)}
		}
	}
	return nil
}
