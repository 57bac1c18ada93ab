package span

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/trace"

	"model-proxy/internal/bus"
)

func TestParent(t *testing.T) {
	for _, c := range []struct {
		header string
		want   bool
	}{
		{clientsTrace, true},
		{"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00", true},
		{"01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more", true},
		{clientsTrace + "-more", false},
		{"00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", false},
		{"00-00000000000000000000000000000000-00f067aa0ba902b7-01", false},
		{"00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", false},
		{"a-b-c-d", false},
		{"", false},
	} {
		got, ok := Parent(c.header, "")
		if ok != c.want {
			t.Errorf("Parent(%q): %v, want %v", c.header, ok, c.want)
			continue
		}
		if ok && text(got)[2:] != c.header[2:55] {
			t.Errorf("read and written again: got %q, want %q", text(got), c.header)
		}
		if ok && TraceID(c.header) != got.TraceID().String() {
			t.Errorf("TraceID(%q): %q, want %v", c.header, TraceID(c.header), got.TraceID())
		}
	}
}

// A line of the log has a trace_id where there is a trace, else none at all.
func TestLogAttr(t *testing.T) {
	for _, c := range []struct{ parent, want string }{
		{clientsTrace, "trace_id=4bf92f3577b34da6a3ce929d0e0e4736"},
		{"", "msg=m\n"},
	} {
		var out bytes.Buffer
		slog.New(slog.NewTextHandler(&out, nil)).Info("m", LogAttr(c.parent))
		if !strings.Contains(out.String(), c.want) {
			t.Errorf("with %q: got %s, want %q", c.parent, out.String(), c.want)
		}
	}
}

// What other vendors keep in a trace goes with it, through the queue too; what is
// not in their form is left out.
func TestTraceStateGoesOn(t *testing.T) {
	for state, want := range map[string]string{"vendor=1,other=a:b": "vendor=1,other=a:b", "": "", "no state": ""} {
		tracer, spans := keeper(sdk.AlwaysSample())
		r := asked(clientsTrace)
		r.Header.Set("Tracestate", state)
		job := &bus.Job{Trace: clientsTrace}
		tracer.Request(r, time.Now()).Publish(job).End(nil)
		tracer.Process(&bus.Delivery{Job: *job}, "w-1", time.Now()).End()
		if job.State != want {
			t.Errorf("tracestate %q: the job has %q, want %q", state, job.State, want)
		}
		for _, s := range spans() {
			if got := s.SpanContext.TraceState().String(); got != want {
				t.Errorf("tracestate %q: %s has %q, want %q", state, s.Name, got, want)
			}
		}
	}
}
