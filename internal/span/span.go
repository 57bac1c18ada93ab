// Package span makes the OpenTelemetry spans of a request: the server's at the
// ingress, publish and process across the queue, and one client span for each
// attempt at an upstream. It knows every name that traces and metrics use. What
// clients and models say never enters a span, and of a key only its fingerprint.
// Where spans go is telemetry's work.
//
//	POST /v1/chat/completions            server, ingress
//	  publish req.default         producer, ingress
//	    process req.default       consumer, worker; the gap before it is the wait in the queue
//	      chat gpt-5.2                   client, worker: an attempt
//	      chat gpt-5.2                   the next one
//	    chat gpt-5.2                     an attempt that died with its worker, told by the ingress
package span

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// scope names this instrumentation.
const scope = "model-proxy"

// Tracer makes the spans of requests. The nil Tracer makes none, and neither
// does any span that comes of it: a request that is not traced pays for
// comparisons with nil. It is safe for concurrent use; a span belongs to the
// goroutine that has it.
type Tracer struct{ t trace.Tracer }

// New returns a Tracer whose spans go to p.
func New(p trace.TracerProvider) *Tracer { return &Tracer{p.Tracer(scope)} }

// start begins a span below parent; without a valid one it is the first of a trace.
func (t *Tracer) start(parent trace.SpanContext, name string, kind trace.SpanKind, at time.Time) trace.Span {
	ctx := context.Background()
	if parent.IsValid() {
		ctx = trace.ContextWithSpanContext(ctx, parent)
	}
	_, s := t.t.Start(ctx, name, trace.WithSpanKind(kind), trace.WithTimestamp(at))
	return s
}

// list gathers attributes; what is not known is left out.
type list []attribute.KeyValue

func (l *list) text(k attribute.Key, v string) {
	if v != "" {
		*l = append(*l, k.String(v))
	}
}

func (l *list) count(k attribute.Key, v int64) {
	if v != 0 {
		*l = append(*l, k.Int64(v))
	}
}

func (l *list) number(k attribute.Key, v float64) {
	if v != 0 {
		*l = append(*l, k.Float64(v))
	}
}

// failed marks a span as failed by a cause of few values. The message stays out
// of it: an upstream may quote the prompt.
func failed(s trace.Span, cause string) {
	s.SetAttributes(errorType.String(cause))
	s.SetStatus(codes.Error, "")
}
