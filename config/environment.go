package config

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kelseyhightower/envconfig"
)

// Environment is what the process's environment and the .env file say
// together; the environment wins. It is immutable and safe for concurrent use.
type Environment struct {
	Vars Vars // the variables with a meaning of their own, typed

	values   map[string]string
	problems []Problem

	// open leaves references to variables that are not set as they stand:
	// files are checked before they go to where the variables are.
	open bool
}

// Format keeps the values, keys among them, out of logs, whatever the verb.
func (e *Environment) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "environment of %d variables", len(e.values))
}

// Vars are the environment variables that the gateway itself reads, without
// space around them. A variable that is set but empty counts as not set; one
// below its min is a fault.
type Vars struct {
	// A reload may change these.
	KeyCooldownSeconds int64    `envconfig:"KEY_COOLDOWN_SECONDS" default:"300"`
	MaxKeyRetryCycles  int      `envconfig:"MAX_KEY_RETRY_CYCLES" default:"1"`
	BreakerFailures    int      `envconfig:"BREAKER_FAILURES" default:"5" min:"1"`
	BreakerSeconds     int64    `envconfig:"BREAKER_SECONDS" default:"30" min:"0"`
	KeyAffinity        string   `envconfig:"KEY_AFFINITY" default:"auto"`
	RequestsPerMinute  int64    `envconfig:"RATE_LIMIT_REQUESTS_PER_MINUTE" default:"60"`
	TokensPerMinute    int64    `envconfig:"RATE_LIMIT_TOKENS_PER_MINUTE" default:"100000"`
	CORSOrigins        []string `envconfig:"CORS_ORIGINS" default:"*"`
	LogBodies          string   `envconfig:"LOG_BODIES" default:"none"`
	AdminAPIKey        Secret   `envconfig:"ADMIN_API_KEY"`

	// These are read once, when a process starts.
	RequireClientAPIKey     bool   `envconfig:"REQUIRE_CLIENT_API_KEY" default:"false"`
	FailOnStartupValidation bool   `envconfig:"FAIL_ON_STARTUP_VALIDATION" default:"false"`
	ConfigDir               string `envconfig:"MODEL_PROXY_CONFIG"`
	DataDir                 string `envconfig:"DATA_DIR" default:"./data"`
	NATSURL                 Secret `envconfig:"NATS_URL"` // may hold a password
	NATSCreds               string `envconfig:"NATS_CREDS"`
	NATSToken               Secret `envconfig:"NATS_TOKEN"`
	NATSCA                  string `envconfig:"NATS_CA"`
	NATSCert                string `envconfig:"NATS_CERT"`
	NATSKey                 string `envconfig:"NATS_KEY"`
	NATSReplicas            int    `envconfig:"NATS_REPLICAS" default:"1" min:"1"`
	ClickHouseDSN           Secret `envconfig:"CLICKHOUSE_DSN"` // may hold a password
	MaxRequestBytes         int64  `envconfig:"MAX_REQUEST_BYTES" default:"33554432" min:"1"`
	MaxBodyMemory           int64  `envconfig:"MAX_BODY_MEMORY" min:"0"` // bytes; 0 means a quarter of usable memory
	QueueMaxRequests        int64  `envconfig:"QUEUE_MAX_REQUESTS" default:"20000" min:"1"`
	QueueMaxPerClient       int64  `envconfig:"QUEUE_MAX_PER_CLIENT" default:"2000" min:"1"`
	QueueMaxBytes           int64  `envconfig:"QUEUE_MAX_BYTES" default:"268435456" min:"1"`
	LogMaxBytes             int64  `envconfig:"LOG_MAX_BYTES" default:"10737418240" min:"1"`
	SpoolMaxBytes           int64  `envconfig:"SPOOL_MAX_BYTES" default:"1073741824" min:"0"`
}

// environmentFile stands in Problem.File for a variable.
const environmentFile = "environment"

// ReadEnvironment reads the process's environment, given as by os.Environ, on
// top of the .env file. An empty envFile means ./.env, which need not exist;
// any other must. The process's own environment is never changed.
// Variables with unusable values are told by Problems and take their default.
func ReadEnvironment(envFile string, environ []string) (*Environment, error) {
	values, err := readEnvFile(envFile)
	if err != nil {
		return nil, err
	}
	return newEnvironment(values, environ), nil
}

// newEnvironment puts the process's environment on top of a file's values.
func newEnvironment(file map[string]string, environ []string) *Environment {
	values := maps.Clone(file)
	if values == nil {
		values = map[string]string{}
	}
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		if !blank(value) {
			values[name] = value
		}
	}
	maps.DeleteFunc(values, func(_, value string) bool { return blank(value) })
	env := &Environment{values: values}
	env.readVars()
	return env
}

// blank reports whether a variable's value says nothing.
func blank(value string) bool { return strings.TrimSpace(value) == "" }

func readEnvFile(name string) (map[string]string, error) {
	optional := name == ""
	if optional {
		name = ".env"
	}
	text, err := os.ReadFile(name)
	if optional && errors.Is(err, fs.ErrNotExist) {
		return map[string]string{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read environment file: %w", err)
	}
	values, err := parseEnv(text)
	if err != nil {
		// The parser quotes the line it stumbled over, which may hold a key.
		return nil, fmt.Errorf("%s: not a list of NAME=value lines; check quotes and line ends", name)
	}
	return values, nil
}

// Lookup returns a variable's value as it stands, and whether it is set and not
// blank.
func (e *Environment) Lookup(name string) (string, bool) {
	v, ok := e.values[name]
	return v, ok
}

// Names returns the names of all variables that are set, sorted.
func (e *Environment) Names() []string { return slices.Sorted(maps.Keys(e.values)) }

// Problems returns the faults among the variables of Vars.
func (e *Environment) Problems() []Problem { return slices.Clone(e.problems) }

// unset is a prefix that no variable has, so that envconfig finds none and
// takes the defaults.
const unset = "\x00"

// readVars fills Vars. envconfig itself knows only the process's environment;
// to give it the .env file too, each field's default is replaced by what the
// two say together.
func (e *Environment) readVars() {
	t := reflect.TypeFor[Vars]()
	fields := make([]reflect.StructField, t.NumField())
	for i := range fields {
		fields[i] = t.Field(i)
		tag := fields[i].Tag
		value, ok := e.values[tag.Get("envconfig")]
		if !ok {
			value = tag.Get("default")
		}
		value = strings.TrimSpace(value) // a secret read from a file often brings its line's end along
		fields[i].Tag = defaultTag(value)
	}
	for {
		v := reflect.New(reflect.StructOf(fields))
		i, ok := e.unfit(t, v.Elem(), envconfig.Process(unset, v.Interface()))
		if ok {
			e.Vars = v.Elem().Convert(t).Interface().(Vars)
			break
		}
		fields[i].Tag = defaultTag(t.Field(i).Tag.Get("default"))
	}
	e.checkVars()
}

func defaultTag(value string) reflect.StructTag {
	return reflect.StructTag("default:" + strconv.Quote(value))
}

// unfit notes the first variable whose value cannot be used and returns the
// index of its field in t; ok means that there is none.
func (e *Environment) unfit(t reflect.Type, v reflect.Value, err error) (index int, ok bool) {
	var parse *envconfig.ParseError
	switch {
	case errors.As(err, &parse):
		f, _ := t.FieldByName(parse.FieldName)
		e.fault(f.Tag.Get("envconfig"), "%q is not %s", parse.Value, kindWords[f.Type.Kind()])
		return f.Index[0], false
	case err != nil:
		panic("config: Vars cannot be processed: " + err.Error())
	}
	for i := range t.NumField() {
		tag := t.Field(i).Tag
		least, err := strconv.ParseInt(tag.Get("min"), 10, 64)
		if err == nil && v.Field(i).Int() < least {
			e.fault(tag.Get("envconfig"), "must be %d or more, is %d", least, v.Field(i).Int())
			return i, false
		}
	}
	return 0, true
}

var kindWords = map[reflect.Kind]string{
	reflect.Int: "a whole number", reflect.Int64: "a whole number", reflect.Bool: "true or false",
}

func (e *Environment) fault(name, format string, args ...any) {
	e.problems = append(e.problems, Problem{File: environmentFile, Field: name, Message: fmt.Sprintf(format, args...)})
}

func (e *Environment) checkVars() {
	v := &e.Vars
	for _, c := range []struct {
		name    string
		value   *string
		allowed []string // the first is the default
	}{
		{"KEY_AFFINITY", &v.KeyAffinity, []string{"auto", "off"}},
		{"LOG_BODIES", &v.LogBodies, []string{"none", "errors", "all"}},
	} {
		if !slices.Contains(c.allowed, *c.value) {
			e.fault(c.name, "%q is not one of %s%s", *c.value, strings.Join(c.allowed, ", "), didYouMean(*c.value, c.allowed))
			*c.value = c.allowed[0]
		}
	}
	for i, o := range v.CORSOrigins {
		v.CORSOrigins[i] = strings.TrimSpace(o)
	}
	v.CORSOrigins = slices.DeleteFunc(v.CORSOrigins, func(o string) bool { return o == "" })
}

// longestRest bounds what rests where no upstream has said for how long.
const longestRest = 31 * 24 * time.Hour

// restOf turns seconds into a length that no number makes overflow; below 0 stays
// below 0.
func restOf(seconds int64) time.Duration {
	return time.Duration(min(max(seconds, -1), int64(longestRest/time.Second))) * time.Second
}

// settings are the values that a snapshot carries.
func (e *Environment) settings() Settings {
	v := e.Vars
	return Settings{
		KeyCooldown:       restOf(v.KeyCooldownSeconds),
		MaxKeyCycles:      max(v.MaxKeyRetryCycles, 1),
		BreakerFailures:   v.BreakerFailures,
		BreakerRest:       restOf(v.BreakerSeconds),
		KeyAffinity:       v.KeyAffinity == "auto",
		RequestsPerMinute: max(v.RequestsPerMinute, 0),
		TokensPerMinute:   max(v.TokensPerMinute, 0),
		CORSOrigins:       v.CORSOrigins,
		LogBodies:         v.LogBodies,
		AdminKeySHA256:    adminHash(v.AdminAPIKey),
	}
}
