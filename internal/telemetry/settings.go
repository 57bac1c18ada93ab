package telemetry

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/sdk/trace"
)

// Lookup returns a variable of the environment, and whether it is set.
type Lookup func(name string) (string, bool)

// settings are what OpenTelemetry's own variables say of traces.
type settings struct {
	on          bool
	endpoint    string // the whole URL
	headers     map[string]string
	gzip        bool
	timeout     time.Duration // of one export
	ca          string        // file of certificates, "" for the system's
	cert, key   string        // files of the client's own
	sampler     string
	samplerArg  string
	serviceName string
	attributes  map[string]string // of the resource
	batch       []trace.BatchSpanProcessorOption
}

const otlp = "OTEL_EXPORTER_OTLP_"

// reading is an environment as it is read, with what cannot be used of it.
type reading struct {
	env    Lookup
	faults []error
}

func (r *reading) get(name string) string {
	v, _ := r.env(name)
	return strings.TrimSpace(v)
}

// traces returns what is said of all signals, or of traces alone, which wins.
func (r *reading) traces(name string) string {
	if v := r.get(otlp + "TRACES_" + name); v != "" {
		return v
	}
	return r.get(otlp + name)
}

func (r *reading) fault(name, value, want string) {
	r.faults = append(r.faults, fmt.Errorf("%s: %q is not %s", name, value, want))
}

// secretFault is fault for what may hold a password or a key.
func (r *reading) secretFault(name, want string) {
	r.faults = append(r.faults, errors.New(name+": not "+want))
}

// number reads a whole number above 0; ok is false where there is none.
func (r *reading) number(name, value string) (n int, ok bool) {
	if value == "" {
		return 0, false
	}
	n, err := strconv.Atoi(value)
	if err != nil || n < 1 {
		r.fault(name, value, "a whole number above 0")
		return 0, false
	}
	return n, true
}

// readSettings reads the variables. The error names each that cannot be used.
// Traces are off unless an exporter or an endpoint is named.
func readSettings(env Lookup) (settings, error) {
	r := &reading{env: env}
	exporter := strings.ToLower(r.get("OTEL_TRACES_EXPORTER"))
	disabled := strings.EqualFold(r.get("OTEL_SDK_DISABLED"), "true") || exporter == "none"
	if disabled || exporter == "" && r.traces("ENDPOINT") == "" {
		return settings{}, nil
	}
	if exporter != "" && exporter != "otlp" {
		r.fault("OTEL_TRACES_EXPORTER", exporter, "otlp or none")
	}
	s := settings{on: true, sampler: strings.ToLower(r.get("OTEL_TRACES_SAMPLER")), samplerArg: r.get("OTEL_TRACES_SAMPLER_ARG"),
		serviceName: r.get("OTEL_SERVICE_NAME")}
	s.readWire(r)
	var ok bool
	if s.attributes, ok = pairs(r.get("OTEL_RESOURCE_ATTRIBUTES")); !ok {
		r.fault("OTEL_RESOURCE_ATTRIBUTES", r.get("OTEL_RESOURCE_ATTRIBUTES"), "name=value pairs separated by commas")
	}
	for _, b := range batching {
		if n, ok := r.number(b.name, r.get(b.name)); ok {
			s.batch = append(s.batch, b.option(n))
		}
	}
	return s, errors.Join(r.faults...)
}

// readWire reads how spans travel and where.
func (s *settings) readWire(r *reading) {
	if v := r.traces("PROTOCOL"); v != "" && v != "http/protobuf" {
		r.fault(otlp+"PROTOCOL", v, "http/protobuf, the only one that this program speaks")
	}
	s.endpoint = endpoint(r.get(otlp+"TRACES_ENDPOINT"), r.get(otlp+"ENDPOINT"))
	if u, err := url.Parse(s.endpoint); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		r.secretFault(otlp+"ENDPOINT", "an http or https URL")
	}
	switch v := r.traces("COMPRESSION"); v {
	case "", "none":
	case "gzip":
		s.gzip = true
	default:
		r.fault(otlp+"COMPRESSION", v, "gzip or none")
	}
	s.timeout = 10 * time.Second
	if ms, ok := r.number(otlp+"TIMEOUT", r.traces("TIMEOUT")); ok {
		s.timeout = time.Duration(ms) * time.Millisecond
	}
	var ok bool
	if s.headers, ok = pairs(r.traces("HEADERS")); !ok {
		r.secretFault(otlp+"HEADERS", "name=value pairs separated by commas")
	}
	s.ca, s.cert, s.key = r.traces("CERTIFICATE"), r.traces("CLIENT_CERTIFICATE"), r.traces("CLIENT_KEY")
}

// batching are the variables of how spans are gathered; times are milliseconds.
var batching = []struct {
	name   string
	option func(int) trace.BatchSpanProcessorOption
}{
	{"OTEL_BSP_SCHEDULE_DELAY", func(n int) trace.BatchSpanProcessorOption {
		return trace.WithBatchTimeout(time.Duration(n) * time.Millisecond)
	}},
	{"OTEL_BSP_EXPORT_TIMEOUT", func(n int) trace.BatchSpanProcessorOption {
		return trace.WithExportTimeout(time.Duration(n) * time.Millisecond)
	}},
	{"OTEL_BSP_MAX_QUEUE_SIZE", trace.WithMaxQueueSize},
	{"OTEL_BSP_MAX_EXPORT_BATCH_SIZE", trace.WithMaxExportBatchSize},
}

// endpoint is where spans go. That of all signals is a base which the signal's
// path is added to; that of traces is taken as it stands.
func endpoint(traces, all string) string {
	if traces != "" {
		return traces
	}
	if all == "" {
		all = "http://localhost:4318"
	}
	return strings.TrimSuffix(all, "/") + "/v1/traces"
}

// address is host and port of the endpoint.
func (s settings) address() string {
	u, err := url.Parse(s.endpoint)
	if err != nil {
		return ""
	}
	port := u.Port()
	switch {
	case port != "":
	case u.Scheme == "https":
		port = "443"
	default:
		port = "80"
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// pairs reads a=b,c=d, whose values may be escaped as in a URL.
func pairs(s string) (map[string]string, bool) {
	out := map[string]string{}
	for p := range strings.SplitSeq(s, ",") {
		if strings.TrimSpace(p) == "" {
			continue
		}
		name, value, ok := strings.Cut(p, "=")
		name = strings.TrimSpace(name)
		value, err := url.PathUnescape(strings.TrimSpace(value))
		if !ok || name == "" || err != nil {
			return nil, false
		}
		out[name] = value
	}
	return out, true
}
