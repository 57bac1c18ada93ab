package gatewaytest

import (
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	otlpcommon "go.opentelemetry.io/proto/otlp/common/v1"
	otlptrace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// Collector takes spans by OTLP over HTTP.
type Collector struct {
	t   testing.TB
	url string

	mu    sync.Mutex // guards the rest
	spans []Span
	raw   strings.Builder // all that came, as bytes
}

// Span is one span as the collector got it.
type Span struct {
	Trace, ID, Parent string // hex
	Name              string
	Kind              string // SERVER, PRODUCER, CONSUMER, CLIENT
	Service           string // service.name
	Began, Ended      time.Time
	Failed            bool
	Attributes        map[string]string
}

// NewCollector starts a collector that ends with the test.
func NewCollector(t testing.TB) *Collector {
	t.Helper()
	c := &Collector{t: t}
	srv := httptest.NewServer(http.HandlerFunc(c.serve))
	t.Cleanup(srv.Close)
	c.url = srv.URL
	return c
}

// Environ makes a process send its spans here, soon.
func (c *Collector) Environ() []string {
	return []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + c.url, "OTEL_BSP_SCHEDULE_DELAY=50"}
}

func (c *Collector) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var got otlptrace.TracesData
	if err == nil {
		err = proto.Unmarshal(body, &got)
	}
	if err != nil || r.URL.Path != "/v1/traces" {
		c.t.Errorf("the collector got no spans at %s: %v", r.URL.Path, err)
		http.Error(w, "not spans", http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.raw.Write(body)
	for _, group := range got.ResourceSpans {
		about := textOf(group.Resource.Attributes)
		for _, scope := range group.ScopeSpans {
			for _, s := range scope.Spans {
				c.spans = append(c.spans, spanOf(s, about["service.name"]))
			}
		}
	}
}

func spanOf(s *otlptrace.Span, service string) Span {
	return Span{Trace: hex.EncodeToString(s.TraceId), ID: hex.EncodeToString(s.SpanId), Parent: hex.EncodeToString(s.ParentSpanId),
		Name: s.Name, Kind: strings.TrimPrefix(s.Kind.String(), "SPAN_KIND_"), Service: service,
		Began: time.Unix(0, int64(s.StartTimeUnixNano)), Ended: time.Unix(0, int64(s.EndTimeUnixNano)),
		Failed: s.Status.GetCode() == otlptrace.Status_STATUS_CODE_ERROR, Attributes: textOf(s.Attributes)}
}

// textOf writes attributes as text: strings as they are, the rest as numbers
// and lists are printed.
func textOf(list []*otlpcommon.KeyValue) map[string]string {
	out := map[string]string{}
	for _, a := range list {
		switch v := a.Value.GetValue().(type) {
		case *otlpcommon.AnyValue_StringValue:
			out[a.Key] = v.StringValue
		case *otlpcommon.AnyValue_IntValue:
			out[a.Key] = fmt.Sprint(v.IntValue)
		case *otlpcommon.AnyValue_BoolValue:
			out[a.Key] = fmt.Sprint(v.BoolValue)
		case *otlpcommon.AnyValue_DoubleValue:
			out[a.Key] = fmt.Sprint(v.DoubleValue)
		case *otlpcommon.AnyValue_ArrayValue:
			var items []string
			for _, item := range v.ArrayValue.Values {
				items = append(items, item.GetStringValue())
			}
			out[a.Key] = strings.Join(items, ",")
		}
	}
	return out
}

// AwaitTrace waits until n spans of a trace have come and returns them in the
// order of their beginnings.
func (c *Collector) AwaitTrace(trace string, n int, within time.Duration) []Span {
	c.t.Helper()
	var spans []Span
	Await(c.t, within, fmt.Sprintf("%d spans of trace %s", n, trace), func() bool {
		spans = c.Trace(trace)
		return len(spans) >= n
	})
	return spans
}

// Trace returns the spans of a trace so far, in the order of their beginnings.
func (c *Collector) Trace(trace string) []Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	var spans []Span
	for _, s := range c.spans {
		if s.Trace == trace {
			spans = append(spans, s)
		}
	}
	slices.SortStableFunc(spans, func(a, b Span) int { return a.Began.Compare(b.Began) })
	return spans
}

// Raw is everything that came, to look for what must not be there.
func (c *Collector) Raw() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.raw.String()
}
