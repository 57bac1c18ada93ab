package main

import (
	"bytes"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"model-proxy/logsink"
)

// result is what a command printed and how it ended.
type result struct {
	code      int
	out, errs string
}

// command runs the program once, in an environment of nothing but environ.
func command(t *testing.T, environ []string, args ...string) result {
	t.Helper()
	var out, errs bytes.Buffer
	code := run(t.Context(), args, append([]string{"HOME=" + t.TempDir()}, environ...), &out, &errs)
	return result{code, out.String(), errs.String()}
}

// want checks a command's end and parts of what it printed, on either stream.
func (r result) want(t *testing.T, code int, parts ...string) result {
	t.Helper()
	if r.code != code {
		t.Errorf("exit code: got %d, want %d; %s%s", r.code, code, r.out, r.errs)
	}
	for _, p := range parts {
		if !strings.Contains(r.out+r.errs, p) {
			t.Errorf("got %q and %q, want %q in it", r.out, r.errs, p)
		}
	}
	return r
}

// commands lists the whole tree by path, without cobra's own.
func commands() map[string]*cobra.Command {
	all := map[string]*cobra.Command{}
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		all[c.CommandPath()] = c
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk((&app{stdin: os.Stdin, stdout: io.Discard, stderr: io.Discard}).root())
	return all
}

// Each command explains itself with an example, and a wrong flag or argument is
// wrong usage: exit code 2, with the way to the help.
func TestEveryCommandExplainsItself(t *testing.T) {
	all := commands()
	if len(all) < 25 {
		t.Errorf("got %d commands, want the whole tree", len(all))
	}
	for path, c := range all {
		t.Run(path, func(t *testing.T) {
			args := strings.Fields(path)[1:]
			help := command(t, nil, append(args, "--help")...).want(t, exitOK, "Usage:", "Examples:")
			if c.Short == "" || !strings.Contains(c.Example, path) {
				t.Errorf("short %q, example %q: want both, the example calling %s", c.Short, c.Example, path)
			}
			if help.errs != "" {
				t.Errorf("help on standard error: %q", help.errs)
			}
			command(t, nil, append(args, "--no-such-flag")...).want(t, exitUsage, "unknown flag: --no-such-flag", "--help'")
			command(t, nil, append(args, "surplus", "surplus", "surplus")...).want(t, exitUsage, "--help'")
		})
	}
}

// Every flag has an environment variable, and a value that it cannot take is
// wrong usage that names the variable.
func TestFlagsFromTheEnvironment(t *testing.T) {
	command(t, []string{"MODEL_PROXY_WORKERS=0"}, "run", "--data", t.TempDir()).want(t, exitUsage, "--workers must be at least 1")
	command(t, []string{"MODEL_PROXY_SINCE=often"}, "usage").want(t, exitUsage, "MODEL_PROXY_SINCE: want a length such as 90m, 24h or 7d")
	command(t, []string{"MODEL_PROXY_TTFT=soon"}, "mock").want(t, exitUsage, "MODEL_PROXY_TTFT")
	command(t, []string{"MODEL_PROXY_FORMAT=xml"}, "config", "list").want(t, exitUsage, `MODEL_PROXY_FORMAT: "xml" is not table or json`)
	command(t, []string{"MODEL_PROXY_FORMAT=json"}, "config", "list").want(t, exitOK, `{"kind":"provider","name":"anthropic"`)
	if r := command(t, []string{"MODEL_PROXY_FORMAT=json"}, "config", "list", "--format", "table"); strings.Contains(r.out, "{") {
		t.Errorf("got %q, want that the flag wins over the environment", r.out)
	}
	command(t, []string{"MODEL_PROXY_PORT=tcp://10.0.0.1:8000"}, "doctor", "--data", t.TempDir(), "--host", "127.0.0.1").want(t, exitFailure, "127.0.0.1:8000", "set CLIENT_API_KEY")
	command(t, []string{"MODEL_PROXY_FORMAT=tcp://10.0.0.1:8000"}, "config", "list").want(t, exitUsage, `MODEL_PROXY_FORMAT: "tcp://10.0.0.1:8000"`)
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/env", []byte("MODEL_PROXY_FORMAT=json\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	command(t, nil, "config", "list", "--env-file", dir+"/env").want(t, exitOK, `{"kind":`)
	if r := command(t, []string{"MODEL_PROXY_FORMAT=table"}, "config", "list", "--env-file", dir+"/env"); strings.Contains(r.out, "{") {
		t.Errorf("got %q, want that the environment wins over .env", r.out)
	}
	command(t, nil, "config", "list", "--env-file", dir+"/none").want(t, exitUsage, "none")
}

// Values that no gateway can work with are wrong usage before anything starts.
func TestWrongValuesAreWrongUsage(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"run --port 70000", "--port must be between 0 and 65535"},
		{"run --port -1", "--port must be between 0 and 65535"},
		{"run --concurrency 0", "--concurrency must be at least 1"},
		{"run --drain -1s", "--drain must not be negative"},
		{"run --port 0 --nats-listen 0.0.0.0:0", "needs NATS_TOKEN"},
		{"run --port 0 --nats-listen here", "want host:port"},
		{"doctor --port 65536", "--port must be between 0 and 65535"},
		{"records --limit 0", "--limit must be at least 1"},
		{"records --since -1h", "want a length"},
	} {
		data := t.TempDir()
		if strings.HasPrefix(c.args, "records") {
			store, err := logsink.OpenSQLite(data)
			if err != nil {
				t.Fatal(err)
			}
			store.Close()
			command(t, []string{"MODEL_PROXY_FORMAT=csv"}, "records", "--data", data).want(t, exitOK, "job_id,time,")
		}
		command(t, nil, append(strings.Fields(c.args), "--data", data)...).want(t, exitUsage, c.want, "--help'")
	}
	if got := command(t, nil, "--version").want(t, exitOK).out; got != command(t, nil, "version").out {
		t.Errorf("--version prints %q", got)
	}
}
