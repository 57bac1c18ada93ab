package ingress

import (
	"strings"
	"time"

	"model-proxy/config"
	"model-proxy/convert"
	"model-proxy/internal/bus"
	"model-proxy/internal/llm"
	"model-proxy/internal/span"
	"model-proxy/internal/usage"
)

// maxLoggedBody is how much of an answer LOG_BODIES keeps, in bytes.
const maxLoggedBody = 1 << 20

// finish writes the request's record and lets go of everything it held.
func (q *request) finish(outcome usage.Outcome, e *llm.Error) {
	switch {
	case q.end != nil:
		q.grant.Settle(q.end.Usage.Prompt, q.end.Usage.Completion)
	case q.call.State().Attempts == 0: // it left the queue untried
		q.grant.Settle(0, 0)
	}
	rec := q.record(outcome, e)
	q.span.End(rec)
	q.s.records.Add(usage.Entry{Kind: usage.KindRequest, Ingress: q.s.ID(), Request: rec})
	if q.keepsBody && (q.snap.Settings.LogBodies == "all" || outcome != usage.OK) {
		q.s.records.Add(usage.Entry{Kind: usage.KindBody, Ingress: q.s.ID(),
			Body: &usage.Body{JobID: q.job.ID, Request: q.job.Body, Response: q.kept}})
	}
	if outcome != usage.OK && outcome != usage.ClientGone {
		q.s.cfg.Log.Info("request failed", "request_id", q.job.RequestID, span.LogAttr(q.job.Trace), "client", q.client.ID, "model", q.model,
			"outcome", outcome, "status", q.status, "attempts", rec.Attempts, "error", e)
	}
	q.call.Close()
	q.release()
}

func (q *request) record(outcome usage.Outcome, e *llm.Error) *usage.Request {
	state := q.call.State()
	rec := &usage.Request{
		JobID: q.job.ID, Time: usage.At(q.read), RequestID: q.job.RequestID, TraceID: span.TraceID(q.job.Trace),
		ClientID: q.client.ID, Endpoint: q.endpoint, ClientProtocol: q.protocol, Stream: q.stream, Priority: q.job.Lane,
		Model: q.model, ConfigRevision: q.snap.Revision, Attempts: state.Attempts, Deliveries: state.Deliveries,
		Outcome: outcome, Status: q.status, QueueMS: usage.MS(state.QueueTime), TTFTMS: usage.MS(q.ttft),
		TotalMS: usage.MS(time.Since(q.read)), BytesIn: int64(len(q.body)), BytesOut: q.bytes, Chunks: q.chunks,
		IngressID: q.s.ID(), WorkerID: state.WorkerID, Params: q.params,
	}
	rec.UsageSource = llm.UsageNone
	if a := state.Attempt; a != nil {
		rec.ServedModel, rec.Provider, rec.UpstreamModel = a.ServedModel, a.Provider, a.UpstreamModel
		rec.RouteID, rec.KeyFP, rec.ConfigRevision = a.RouteID, a.KeyFP, a.ConfigRevision
	}
	if end := q.end; end != nil {
		rec.Spend = usage.SpendOf(end.Usage)
		rec.PriceVersion = end.PriceVersion
		if end.Priced {
			cost := end.CostNanoUSD
			rec.CostNanoUSD = &cost
		}
	}
	if q.warnings != "" {
		rec.Warnings = strings.Split(q.warnings, ", ")
	}
	if outcome == usage.OK && q.ttft == 0 {
		rec.TTFTMS = rec.TotalMS
	}
	if e != nil {
		rec.ErrorType, rec.ErrorMessage = string(e.Kind), e.Message
	}
	return rec
}

// recordLoss reports an attempt whose worker is gone, and those before it: the
// worker may have died before it had told of their ends. What it has told counts.
func (s *Server) recordLoss(l bus.Loss) {
	for _, k := range l.Earlier {
		s.recordLost(l, k.Number, k)
	}
	a := s.recordLost(l, l.Number, l.Attempt)
	s.cfg.Tracer.Lost(l, vendorOf(s.cfg.Snapshot(), a.Provider))
	s.cfg.Log.Warn("worker lost", "worker", l.Worker, "request_id", l.Job.RequestID, span.LogAttr(l.Job.Trace), "attempt", l.Number)
}

// recordLost records one of a loss's attempts, of which k is known.
func (s *Server) recordLost(l bus.Loss, number int, k *bus.Attempt) *usage.Attempt {
	a := &usage.Attempt{JobID: l.Job.ID, Attempt: number, Time: usage.At(l.Begun), RequestID: l.Job.RequestID,
		Delivery: l.Delivery, Outcome: usage.WorkerLost, ErrorType: string(usage.WorkerLost),
		ErrorMessage: "no sign of the worker that had taken the job", TotalMS: usage.MS(time.Since(l.Begun)), WorkerID: l.Worker}
	a.UsageSource = llm.UsageNone
	if k != nil {
		a.Provider, a.UpstreamModel, a.RouteID, a.KeyFP, a.UpstreamProtocol = k.Provider, k.UpstreamModel, k.RouteID, k.KeyFP, k.UpstreamProtocol
		a.Spend = promptOf(l.Job, k, s.cfg.Snapshot())
	}
	s.records.Add(usage.Entry{Kind: usage.KindLost, Ingress: s.ID(), Left: time.Until(l.Job.Deadline), Attempt: a})
	return a
}

// promptOf is what a call has used of which only the request is known. The
// worker's own estimate goes before it, if that has arrived.
func promptOf(j *bus.Job, k *bus.Attempt, snap *config.Snapshot) usage.Spend {
	used := llm.Usage{Source: llm.UsageNone}
	if j.Endpoint.UsesTokens() {
		used = llm.Usage{Prompt: convert.EstimateTokens(len(j.Body)), Source: llm.UsageEstimated}
	}
	s := usage.SpendOf(used)
	p := snap.Prices.Find(k.Provider, vendorOf(snap, k.Provider), k.UpstreamModel)
	if p == nil {
		return s
	}
	if cost, ok := usage.Cost(&p.Price, j.Endpoint, s.Usage()); ok {
		s.CostNanoUSD = &cost
	}
	return s
}

// vendorOf is "" for a provider that is not configured.
func vendorOf(snap *config.Snapshot, provider string) string {
	if p := snap.Providers[provider]; p != nil {
		return p.Vendor
	}
	return ""
}
