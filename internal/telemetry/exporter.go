package telemetry

import (
	"context"
	"log/slog"
	"sync/atomic"

	"go.opentelemetry.io/otel/sdk/trace"
)

// counted passes spans on and counts them. It logs when a collector cannot be
// reached and when it can again, once each, and nothing in between.
type counted struct {
	trace.SpanExporter
	log *slog.Logger

	exported, lost atomic.Int64
	away           atomic.Bool
}

func (c *counted) ExportSpans(ctx context.Context, spans []trace.ReadOnlySpan) error {
	err := c.SpanExporter.ExportSpans(ctx, spans)
	if err != nil {
		c.lost.Add(int64(len(spans)))
		if c.away.CompareAndSwap(false, true) {
			c.log.Warn("spans lost: the collector does not take them", "error", err)
		}
		return nil // it is told: the library would print it too
	}
	c.exported.Add(int64(len(spans)))
	if c.away.CompareAndSwap(true, false) {
		c.log.Info("the collector takes spans again")
	}
	return nil
}
