package logsink

import (
	"context"

	"model-proxy/internal/bus"
	tracing "model-proxy/internal/span"
	"model-proxy/internal/usage"
)

// Queue is the request queue, where jobs may wait of which nobody else will write
// a row: their ingress is gone, and no worker has taken them. *bus.Orphans is one.
type Queue interface {
	// Find returns such jobs. What it has found comes also with an error.
	Find(ctx context.Context) ([]bus.Orphan, error)
	// Remove takes them out of the queue once their rows are stored.
	Remove([]bus.Orphan)
}

// bury makes rows of jobs whose ingress died before a worker took them; they go
// with the next batch.
func (r *run) bury(ctx context.Context) {
	if r.queue == nil {
		return
	}
	found, err := r.queue.Find(ctx)
	if err != nil {
		r.log.Warn("queue not searched to its end for jobs without an ingress, trying again", "error", err)
	}
	for i := range found {
		r.tracker.orphan(&found[i])
	}
	r.buried = append(r.buried, found...)
}

// orphan makes the row of a request, unless it has one, or an attempt of it is
// known: then the sweep will.
func (t *tracker) orphan(o *bus.Orphan) {
	if t.jobs[o.ID] != nil || t.recent.has(o.ID) {
		return
	}
	r := &usage.Request{JobID: o.ID, Time: usage.At(o.Published), RequestID: o.RequestID, TraceID: tracing.TraceID(o.Trace), ClientID: o.Client,
		Endpoint: o.Endpoint, ClientProtocol: o.Endpoint.Protocol(), Stream: o.Stream, Priority: o.Lane, Model: o.Model, BytesIn: int64(o.Size()),
		Attempts: o.Attempts, Deliveries: o.Number, IngressID: o.Ingress()}
	r.LoseIngress()
	t.batch.requests = append(t.batch.requests, r)
	t.recent.add(o.ID)
}
