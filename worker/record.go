package worker

import (
	"time"

	"model-proxy/convert"
	"model-proxy/internal/bus"
	"model-proxy/internal/llm"
	"model-proxy/internal/span"
	"model-proxy/internal/usage"
	"model-proxy/router"
)

// start reports that the upstream is about to be called at an address.
func (a *attempt) start(url string) {
	j, rec := a.job, a.newRecord()
	j.open, j.attempts, a.called = a, a.step.Attempt, true
	a.span = j.span.Attempt(span.Call{Record: rec, Endpoint: j.run.Endpoint, Vendor: a.step.Route.Provider.Vendor, ServedModel: a.step.LogicalModel,
		URL: url, Stream: j.run.Stream, Body: a.x.Body(), RetryCause: j.cause, Began: a.began})
	rec.Spend = a.spend(a.prompt(), true) // should the worker die before it can tell more
	j.w.cfg.Records.Add(a.entry(usage.KindStarted))
}

// finish reports how the attempt ended. An attempt that convert refused was
// never made and leaves no row.
func (a *attempt) finish(outcome usage.Outcome, f *failure, action router.Action) {
	j := a.job
	if j.open != a {
		return
	}
	j.open = nil
	rec := a.rec
	rec.Outcome, rec.Action, rec.Status = outcome, string(action), a.status
	rec.TTFTMS, rec.TotalMS = usage.MS(a.ttft), usage.MS(time.Since(a.began))
	used, ok := a.used(outcome)
	if ok {
		j.last = a.x.Whole(used)
	}
	rec.Spend = a.spend(used, ok)
	a.countUnpriced(&rec.Spend)
	j.bill.Add(&rec.Spend)
	if f != nil {
		rec.ErrorType, rec.ErrorMessage, rec.Timer = f.kind, f.message, f.Timer
		if outcome == usage.Cancelled || outcome == usage.Fenced {
			rec.ErrorType, rec.ErrorMessage, rec.Timer = string(outcome), f.err.Error(), ""
		}
	}
	a.span.End(rec, span.Answer{ID: a.x.ResponseID(), Model: a.x.ResponseModel(), Finish: a.x.FinishReason()})
	j.w.cfg.Records.Add(a.entry(usage.KindFinished))
	if outcome != usage.OK {
		j.cause = rec.ErrorType
		j.w.cfg.Log.Info("attempt failed", "request_id", j.run.RequestID, span.LogAttr(j.run.Trace), "attempt", rec.Attempt, "provider", rec.Provider,
			"model", rec.UpstreamModel, "key", rec.KeyFP, "outcome", outcome, "status", rec.Status, "action", rec.Action, "error", rec.ErrorMessage)
	}
}

// entry is a line of LOG about the attempt as it stands.
func (a *attempt) entry(kind usage.Kind) usage.Entry {
	r := a.job.run
	return usage.Entry{Kind: kind, Ingress: r.Ingress(), Left: time.Until(a.job.began.Add(r.TimeLeft)), Attempt: a.rec, Request: a.request}
}

// requestOf is what a job's envelope says of its request.
func requestOf(d *bus.Delivery) *usage.Request {
	return &usage.Request{JobID: d.ID, RequestID: d.RequestID, TraceID: span.TraceID(d.Trace), ClientID: d.Client, Endpoint: d.Endpoint,
		ClientProtocol: d.Endpoint.Protocol(), Stream: d.Stream, Priority: d.Lane, Model: d.Model, BytesIn: int64(d.Size()),
		Attempts: d.Attempts, Deliveries: d.Number, IngressID: d.Ingress()}
}

// orphaned records a request whose ingress died before any worker began it.
func (w *Worker) orphaned(o *bus.Orphan) {
	req := requestOf(&o.Delivery)
	req.Time = usage.At(o.Published)
	req.LoseIngress()
	w.cfg.Records.Add(usage.Entry{Kind: usage.KindRequest, Ingress: req.IngressID, Request: req})
	w.cfg.Log.Warn("job without its ingress", "request_id", o.RequestID, span.LogAttr(o.Trace), "ingress", req.IngressID)
}

// used is what the attempt has used; ok is false where it was refused or never
// got that far. A call that was stopped before its answer began has cost its
// prompt all the same.
func (a *attempt) used(outcome usage.Outcome) (u llm.Usage, ok bool) {
	switch {
	case a.x == nil:
		return u, false
	case outcome == usage.OK || a.status >= 200 && a.status < 300:
		u = a.x.Usage()
	case outcome != usage.Cancelled || a.status != 0:
		return u, false
	}
	if outcome == usage.Cancelled && (u.Source == "" || u.Source == llm.UsageNone) {
		u = a.prompt()
	}
	return u, true
}

// prompt is what a call costs of which nothing but the request is known.
func (a *attempt) prompt() llm.Usage {
	if !a.job.run.Endpoint.UsesTokens() {
		return llm.Usage{Source: llm.UsageNone}
	}
	return llm.Usage{Prompt: convert.EstimateTokens(len(a.x.Body())), Source: llm.UsageEstimated}
}

// newRecord begins the attempt's record with what is known at its start, and with
// what is needed to write the request's row, should the ingress die before it does.
func (a *attempt) newRecord() *usage.Attempt {
	j, r, route := a.job, a.job.run, a.step.Route
	rec := &usage.Attempt{JobID: r.ID, Attempt: a.step.Attempt, Time: usage.At(a.began), RequestID: r.RequestID, Delivery: r.Number,
		Provider: route.Provider.Name, UpstreamModel: route.Model, RouteID: route.ID, KeyFP: a.step.Key.Secret.Fingerprint(),
		UpstreamProtocol: a.step.Protocol, WorkerID: j.w.ID()}
	rec.UsageSource = llm.UsageNone
	req := requestOf(&r.Delivery)
	req.Time, req.ServedModel, req.ConfigRevision, req.PriceVersion = rec.Time, a.step.LogicalModel, j.snap.Revision, j.snap.Prices.Version
	req.Provider, req.UpstreamModel, req.RouteID, req.KeyFP = rec.Provider, rec.UpstreamModel, rec.RouteID, rec.KeyFP
	req.Attempts, req.WorkerID = rec.Attempt, rec.WorkerID
	a.rec, a.request = rec, req
	return rec
}
