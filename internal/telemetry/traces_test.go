package telemetry

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/pem"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// receiver is a collector's end of OTLP.
type receiver struct {
	taken chan struct{} // capacity 1; nil where nobody waits; never closed

	mu    sync.Mutex // guards the rest
	busy  int        // how many requests to refuse
	spans []string
	about map[string]string // the resource
	token string            // of the header
}

func (r *receiver) take(req *tracepb.TracesData, token string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.token, r.about = token, map[string]string{}
	select {
	case r.taken <- struct{}{}:
	default:
	}
	for _, group := range req.ResourceSpans {
		for _, a := range group.Resource.Attributes {
			r.about[a.Key] = a.Value.GetStringValue()
		}
		for _, scope := range group.ScopeSpans {
			for _, s := range scope.Spans {
				r.spans = append(r.spans, s.Name)
			}
		}
	}
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	r.busy--
	refuse := r.busy >= 0
	r.mu.Unlock()
	if refuse {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	var body io.Reader = req.Body
	if req.Header.Get("Content-Encoding") == "gzip" {
		var err error
		if body, err = gzip.NewReader(req.Body); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
	}
	data, err := io.ReadAll(body)
	var got tracepb.TracesData
	if err != nil || req.URL.Path != "/v1/traces" || proto.Unmarshal(data, &got) != nil {
		http.Error(w, "not spans", http.StatusBadRequest)
		return
	}
	r.take(&got, req.Header.Get("X-Token"))
}

// listen serves the collector.
func (r *receiver) listen(t *testing.T) (url string) {
	web := httptest.NewServer(r)
	t.Cleanup(web.Close)
	return web.URL
}

// variables is an environment.
type variables map[string]string

func (v variables) lookup(name string) (string, bool) { value, ok := v[name]; return value, ok }

func open(t *testing.T, env variables) *Traces {
	t.Helper()
	traces, err := NewTraces(env.lookup, "1.2.3", slog.New(slog.DiscardHandler))
	if err != nil || traces == nil {
		t.Fatalf("NewTraces: %v, %v", traces, err)
	}
	return traces
}

func TestSpansReachTheCollector(t *testing.T) {
	for _, c := range []struct {
		name string
		env  variables
		busy int // how often the collector wants to be asked again
	}{
		{name: "plain"},
		{name: "gzip", env: variables{"OTEL_EXPORTER_OTLP_COMPRESSION": "gzip"}},
		{name: "protocol named", env: variables{"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf"}},
		{name: "a busy collector", busy: 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := &receiver{busy: c.busy}
			env := variables{"OTEL_EXPORTER_OTLP_ENDPOINT": r.listen(t), "OTEL_EXPORTER_OTLP_HEADERS": "x-token=a%20b",
				"OTEL_SERVICE_NAME": "gateway", "OTEL_RESOURCE_ATTRIBUTES": "service.name=other,deployment.environment.name=test"}
			for name, value := range c.env {
				env[name] = value
			}
			traces := open(t, env)
			traces.Tracer().Request(httptest.NewRequest("POST", "/v1/messages", nil), time.Now()).Refused("rpm", 429)
			ctx, stop := context.WithTimeout(t.Context(), time.Minute)
			defer stop()
			if err := traces.Close(ctx); err != nil {
				t.Fatal(err)
			}
			delete(r.about, "service.instance.id")
			want := map[string]string{"service.name": "gateway", "service.version": "1.2.3", "deployment.environment.name": "test"}
			if d := cmp.Diff(want, r.about); d != "" {
				t.Errorf("resource (-want +got):\n%s", d)
			}
			if d := cmp.Diff([]string{"POST /v1/messages"}, r.spans); d != "" {
				t.Errorf("spans (-want +got):\n%s", d)
			}
			if r.token != "a b" {
				t.Errorf("header x-token: got %q, want %q", r.token, "a b")
			}
			if n := traces.exporter.exported.Load(); n != 1 {
				t.Errorf("%d spans counted, want 1", n)
			}
		})
	}
}

func TestOffUnlessAsked(t *testing.T) {
	for _, c := range []struct {
		env  variables
		want bool
	}{
		{variables{}, false},
		{variables{"OTEL_SERVICE_NAME": "x", "OTEL_TRACES_SAMPLER": "always_on"}, false},
		{variables{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:1"}, true},
		{variables{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://localhost:1"}, true},
		{variables{"OTEL_TRACES_EXPORTER": "otlp"}, true},
		{variables{"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:1"}, false},
		{variables{"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:1"}, false},
		{variables{"OTEL_SDK_DISABLED": "TRUE", "OTEL_TRACES_EXPORTER": "otlp"}, false},
	} {
		got, err := NewTraces(c.env.lookup, "", slog.New(slog.DiscardHandler))
		if err != nil || (got != nil) != c.want || (got.Tracer() != nil) != c.want {
			t.Errorf("%v: traces %v, error %v, want on: %v", c.env, got != nil, err, c.want)
		}
	}
}

// A collector behind TLS is trusted by the certificate that a variable names.
func TestTLS(t *testing.T) {
	r := &receiver{}
	web := httptest.NewTLSServer(r)
	defer web.Close()
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: web.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	traces := open(t, variables{"OTEL_EXPORTER_OTLP_ENDPOINT": web.URL, "OTEL_EXPORTER_OTLP_CERTIFICATE": file})
	traces.Tracer().Request(httptest.NewRequest("POST", "/v1/messages", nil), time.Now()).Refused("rpm", 429)
	if err := traces.Close(t.Context()); err != nil || len(r.spans) != 1 {
		t.Errorf("%d spans, %v, want one", len(r.spans), err)
	}
}

// Spans leave when the variables say: here with the first one, long before the
// five seconds that are the default.
func TestBatching(t *testing.T) {
	r := &receiver{taken: make(chan struct{}, 1)}
	traces := open(t, variables{"OTEL_EXPORTER_OTLP_ENDPOINT": r.listen(t), "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "1", "OTEL_BSP_SCHEDULE_DELAY": "3600000"})
	traces.Tracer().Request(httptest.NewRequest("POST", "/v1/messages", nil), time.Now()).Refused("rpm", 429)
	select {
	case <-r.taken:
	case <-time.After(time.Minute):
		t.Error("no span after a minute")
	}
	if err := traces.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestEndpoint(t *testing.T) {
	for _, c := range []struct {
		env  variables
		want string
	}{
		{variables{}, "http://localhost:4318/v1/traces"},
		{variables{"OTEL_EXPORTER_OTLP_ENDPOINT": "https://c.example/otlp/"}, "https://c.example/otlp/v1/traces"},
		{variables{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://b/x"}, "http://b/x"},
	} {
		c.env["OTEL_TRACES_EXPORTER"] = "otlp"
		s, err := readSettings(c.env.lookup)
		if err != nil || s.endpoint != c.want {
			t.Errorf("%v: got %q, %v, want %q", c.env, s.endpoint, err, c.want)
		}
	}
}

// What cannot be used is named; keys and passwords are not shown.
func TestUnusableSettings(t *testing.T) {
	for _, c := range []struct{ name, value, want string }{
		{"OTEL_TRACES_EXPORTER", "zipkin", `"zipkin" is not otlp or none`},
		{"OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "is not http/protobuf"},
		{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "user:secret@host", "not an http or https URL"},
		{"OTEL_EXPORTER_OTLP_COMPRESSION", "zstd", "is not gzip or none"},
		{"OTEL_EXPORTER_OTLP_TIMEOUT", "10s", "is not a whole number above 0"},
		{"OTEL_EXPORTER_OTLP_HEADERS", "secret", "not name=value pairs"},
		{"OTEL_BSP_SCHEDULE_DELAY", "1s", "is not a whole number above 0"},
		{"OTEL_RESOURCE_ATTRIBUTES", "x", "is not name=value pairs"},
		{"OTEL_TRACES_SAMPLER", "jaeger_remote", "is not one of always_off, always_on, parentbased_always_off"},
		{"OTEL_TRACES_SAMPLER_ARG", "1.5", "is not a number from 0 to 1"},
		{"OTEL_EXPORTER_OTLP_CERTIFICATE", "/nowhere.pem", "no such file"},
		{"OTEL_EXPORTER_OTLP_CLIENT_KEY", "/nowhere.pem", "CLIENT_CERTIFICATE"},
	} {
		env := variables{"OTEL_TRACES_EXPORTER": "otlp", "OTEL_TRACES_SAMPLER": "traceidratio", c.name: c.value}
		_, err := NewTraces(env.lookup, "", slog.New(slog.DiscardHandler))
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s=%s: error %v, want one with %q", c.name, c.value, err, c.want)
		}
	}
}

func TestSamplers(t *testing.T) {
	for _, c := range []struct{ name, arg, want string }{
		{"", "", "ParentBased{root:AlwaysOnSampler"},
		{"parentbased_always_off", "", "ParentBased{root:AlwaysOffSampler"},
		{"parentbased_traceidratio", "0.01", "ParentBased{root:TraceIDRatioBased{0.01}"},
		{"traceidratio", "", "TraceIDRatioBased{1}"},
		{"traceidratio", "0.5", "TraceIDRatioBased{0.5}"},
		{"always_on", "ignored", "AlwaysOnSampler"},
		{"always_off", "", "AlwaysOffSampler"},
	} {
		s, err := newSampler(c.name, c.arg)
		if err != nil || !strings.HasPrefix(s.Description(), c.want) {
			t.Errorf("%q %q: got %v, %v, want %s", c.name, c.arg, s, err, c.want)
		}
	}
}

// fails is an exporter whose collector is away while err is set.
type fails struct {
	sdk.SpanExporter
	err error
}

func (f *fails) ExportSpans(context.Context, []sdk.ReadOnlySpan) error { return f.err }

// A collector that is away is told of once, and once more when it is back.
func TestCollectorAway(t *testing.T) {
	var log bytes.Buffer
	f := &fails{err: io.ErrUnexpectedEOF}
	c := &counted{SpanExporter: f, log: slog.New(slog.NewTextHandler(&log, nil))}
	spans := make([]sdk.ReadOnlySpan, 3)
	for _, err := range []error{f.err, f.err, nil, nil} {
		f.err = err
		if err := c.ExportSpans(t.Context(), spans); err != nil {
			t.Error(err)
		}
	}
	if c.lost.Load() != 6 || c.exported.Load() != 6 {
		t.Errorf("%d lost, %d exported, want 6 and 6", c.lost.Load(), c.exported.Load())
	}
	if n := strings.Count(log.String(), "\n"); n != 2 {
		t.Errorf("%d lines logged, want 2:\n%s", n, log.String())
	}
}
