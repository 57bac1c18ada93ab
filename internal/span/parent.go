package span

import (
	"context"
	"encoding/hex"
	"log/slog"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// Parent reads a traceparent and the tracestate that came with it (W3C Trace
// Context); ok is false if the first is not one. A tracestate that is not one, or
// "", is left out.
func Parent(header, state string) (c trace.SpanContext, ok bool) {
	if header == "" {
		return c, false
	}
	carrier := propagation.MapCarrier{"traceparent": header}
	if state != "" {
		carrier["tracestate"] = state
	}
	ctx := propagation.TraceContext{}.Extract(context.Background(), carrier)
	c = trace.SpanContextFromContext(ctx)
	return c, c.IsValid()
}

// TraceID is the trace that a traceparent belongs to, which Parent has taken; ""
// if there is none.
func TraceID(parent string) string {
	const before, id = 3, 32 // of 00-<trace>-<span>-<flags>
	if len(parent) < before+id {
		return ""
	}
	return parent[before : before+id]
}

// LogAttr is the trace of a traceparent for a line of the log. Where there is
// none the attribute is empty, and handlers leave it out.
func LogAttr(parent string) slog.Attr {
	if id := TraceID(parent); id != "" {
		return slog.String("trace_id", id)
	}
	return slog.Attr{}
}

// text writes a context as a traceparent.
func text(c trace.SpanContext) string {
	id, parent := c.TraceID(), c.SpanID()
	b := make([]byte, 0, 64)
	b = append(b, "00-"...)
	b = hex.AppendEncode(b, id[:])
	b = append(b, '-')
	b = hex.AppendEncode(b, parent[:])
	if c.IsSampled() {
		return string(append(b, "-01"...))
	}
	return string(append(b, "-00"...))
}
