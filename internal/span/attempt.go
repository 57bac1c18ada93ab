package span

import (
	"net/url"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/trace"

	"model-proxy/internal/bus"
	"model-proxy/internal/llm"
	"model-proxy/internal/usage"
)

// Process is the span of a worker's time with one job.
type Process struct {
	t    *Tracer
	span trace.Span
}

// Process begins the span of a job that a worker has taken, if the ingress has
// decided to keep its trace.
func (t *Tracer) Process(d *bus.Delivery, worker string, taken time.Time) *Process {
	if t == nil {
		return nil
	}
	parent, _ := Parent(d.Trace, d.State)
	if !parent.IsSampled() {
		return nil
	}
	p := &Process{t, t.start(parent, "process "+destination(&d.Job), trace.SpanKindConsumer, taken)}
	if p.span.IsRecording() {
		var l list = queue(&d.Job, "process", "process")
		l.text(ownRequestID, d.RequestID)
		l.text(ownModel, d.Model)
		l.text(ownIngress, d.Ingress())
		l.text(ownWorker, worker)
		l.count(ownDelivery, int64(d.Number))
		l.count(ownLeftMS, d.TimeLeft.Milliseconds())
		p.span.SetAttributes(l...)
	}
	return p
}

// Failed notes why the job got no whole answer here.
func (p *Process) Failed(cause string) {
	if p != nil {
		failed(p.span, cause)
	}
}

// End ends the span.
func (p *Process) End() {
	if p != nil {
		p.span.End()
	}
}

// Call is what is known of an attempt before it is made.
type Call struct {
	Record      *usage.Attempt // as at its start
	Endpoint    llm.Endpoint   // the client's
	Vendor      string         // whose API it is
	ServedModel string         // logical
	URL         string
	Stream      bool
	Body        []byte // for the upstream; only numbers are read of it
	RetryCause  string // error type of the attempt before, "" for the first
	Began       time.Time
}

// Answer is what an upstream says of its own answer; each may be "".
type Answer struct{ ID, Model, Finish string }

// Attempt is the span of one call to an upstream.
type Attempt struct{ span trace.Span }

// Attempt begins the span of a call.
func (p *Process) Attempt(c Call) *Attempt {
	if p == nil {
		return nil
	}
	rec, operation := c.Record, Operation(c.Endpoint)
	s := p.t.start(p.span.SpanContext(), operation+" "+rec.UpstreamModel, trace.SpanKindClient, c.Began)
	if !s.IsRecording() {
		return nil
	}
	var l list
	l.text(operationName, operation)
	l.text(providerName, Provider(c.Vendor, rec.UpstreamProtocol))
	l.text(requestModel, rec.UpstreamModel)
	l = append(l, requestStream.Bool(c.Stream))
	l.text(ownServedModel, c.ServedModel)
	l.text(ownProvider, rec.Provider)
	l.text(ownRoute, rec.RouteID)
	l.text(ownKey, rec.KeyFP)
	l.text(ownRetryCause, c.RetryCause)
	l.text(ownWorker, rec.WorkerID)
	l.count(ownAttempt, int64(rec.Attempt))
	l.count(ownDelivery, int64(rec.Delivery))
	switch rec.UpstreamProtocol {
	case llm.OpenAI, llm.Azure:
		if operation == operationChat {
			l.text(openaiAPI, openaiAPIChat)
		}
	case llm.Responses:
		l.text(openaiAPI, openaiAPIResponses)
	}
	l.address(c.URL)
	l.parameters(c.Body)
	s.SetAttributes(l...)
	return &Attempt{s}
}

// address notes where a call goes, without path and query.
func (l *list) address(raw string) {
	u, err := url.Parse(raw)
	if err != nil {
		return
	}
	port, _ := strconv.ParseInt(u.Port(), 10, 64)
	if port == 0 {
		port = map[string]int64{"http": 80, "https": 443}[u.Scheme]
	}
	l.text(serverAddress, u.Hostname())
	l.count(serverPort, port)
}

// End ends the span with what the attempt's record says.
func (a *Attempt) End(rec *usage.Attempt, said Answer) {
	if a == nil {
		return
	}
	var l list
	l.text(ownOutcome, string(rec.Outcome))
	l.text(ownAction, rec.Action)
	l.text(ownTimer, rec.Timer)
	l.count(ownAttemptStatus, int64(rec.Status))
	l.text(responseID, said.ID)
	l.text(responseModel, said.Model)
	if said.Finish != "" {
		l = append(l, responseFinish.StringSlice([]string{said.Finish}))
	}
	l.number(responseFirstChunk, rec.TTFTMS/1000)
	if rec.UsageSource != llm.UsageNone {
		l = append(l, usageInput.Int64(rec.PromptTokens), usageOutput.Int64(rec.CompletionTokens))
		l.count(usageCacheRead, rec.CachedReadTokens)
		l.count(usageCacheCreation, rec.CachedWriteTokens)
		l.count(usageReasoning, rec.ReasoningTokens)
		l.text(ownUsageSource, string(rec.UsageSource))
	}
	if rec.CostNanoUSD != nil {
		l = append(l, ownCost.Int64(*rec.CostNanoUSD))
	}
	a.span.SetAttributes(l...)
	if rec.Outcome != usage.OK {
		cause := rec.ErrorType
		if cause == "" {
			cause = string(rec.Outcome)
		}
		failed(a.span, cause)
	}
	a.span.End()
}
