package telemetry

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Lookup returns a variable of the environment, and whether it is set.
type Lookup func(name string) (string, bool)

// protocol is how spans travel to a collector.
type protocol string

const (
	overHTTP protocol = "http/protobuf"
	overGRPC protocol = "grpc"
)

// settings are what OpenTelemetry's own variables say of traces.
type settings struct {
	on          bool
	protocol    protocol
	endpoint    string // a URL; with HTTP the whole of it
	headers     map[string]string
	gzip        bool
	timeout     time.Duration
	ca          string // file of certificates, "" for the system's
	cert, key   string // files of the client's own
	sampler     string
	samplerArg  string
	serviceName string
	attributes  map[string]string // of the resource
}

const otlp = "OTEL_EXPORTER_OTLP_"

// readSettings reads the variables. The error names each that cannot be used.
// Traces are off unless an exporter or an endpoint is named.
func readSettings(env Lookup) (settings, error) {
	get := func(name string) string { v, _ := env(name); return strings.TrimSpace(v) }
	traces := func(name string) string { // what is said of traces alone wins
		if v := get(otlp + "TRACES_" + name); v != "" {
			return v
		}
		return get(otlp + name)
	}
	s := settings{protocol: protocol(traces("PROTOCOL")), timeout: 10 * time.Second, sampler: strings.ToLower(get("OTEL_TRACES_SAMPLER")),
		samplerArg: get("OTEL_TRACES_SAMPLER_ARG"), serviceName: get("OTEL_SERVICE_NAME"), ca: traces("CERTIFICATE"),
		cert: traces("CLIENT_CERTIFICATE"), key: traces("CLIENT_KEY")}
	exporter := strings.ToLower(get("OTEL_TRACES_EXPORTER"))
	s.on = !strings.EqualFold(get("OTEL_SDK_DISABLED"), "true") && exporter != "none" && (exporter != "" || traces("ENDPOINT") != "")
	if !s.on {
		return s, nil
	}
	var faults []error
	fault := func(name, value, want string) {
		faults = append(faults, fmt.Errorf("%s: %q is not %s", name, value, want))
	}
	if exporter != "" && exporter != "otlp" {
		fault("OTEL_TRACES_EXPORTER", exporter, "otlp or none")
	}
	switch s.protocol {
	case "":
		s.protocol = overHTTP
	case overHTTP, overGRPC:
	default:
		fault(otlp+"PROTOCOL", string(s.protocol), "http/protobuf or grpc")
	}
	s.endpoint = endpoint(get(otlp+"TRACES_ENDPOINT"), get(otlp+"ENDPOINT"), s.protocol)
	if u, err := url.Parse(s.endpoint); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		faults = append(faults, errors.New(otlp+"ENDPOINT: not an http or https URL")) // it may hold a password
	}
	switch v := traces("COMPRESSION"); v {
	case "", "none":
	case "gzip":
		s.gzip = true
	default:
		fault(otlp+"COMPRESSION", v, "gzip or none")
	}
	if v := traces("TIMEOUT"); v != "" {
		ms, err := strconv.Atoi(v)
		if err != nil || ms < 1 {
			fault(otlp+"TIMEOUT", v, "a number of milliseconds above 0")
		}
		s.timeout = time.Duration(ms) * time.Millisecond
	}
	var ok bool
	if s.headers, ok = pairs(traces("HEADERS")); !ok {
		faults = append(faults, errors.New(otlp+"HEADERS: not name=value pairs separated by commas")) // it holds a key
	}
	if s.attributes, ok = pairs(get("OTEL_RESOURCE_ATTRIBUTES")); !ok {
		fault("OTEL_RESOURCE_ATTRIBUTES", get("OTEL_RESOURCE_ATTRIBUTES"), "name=value pairs separated by commas")
	}
	return s, errors.Join(faults...)
}

// endpoint is where spans go. The endpoint of all signals is a base that HTTP
// adds the signal's path to; that of traces is taken as it stands.
func endpoint(traces, all string, p protocol) string {
	switch {
	case traces != "":
		return traces
	case p == overGRPC && all == "":
		return "http://localhost:4317"
	case p == overGRPC:
		return all
	case all == "":
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
