package span

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"model-proxy/internal/bus"
	"model-proxy/internal/llm"
	"model-proxy/internal/usage"
)

// Request is the span of one request at its ingress, from its first byte to the
// last of its answer.
type Request struct {
	t    *Tracer
	span trace.Span
}

// Request begins the span of a request that came at a known moment. It goes on
// with the client's trace, if there is one.
func (t *Tracer) Request(r *http.Request, came time.Time) *Request {
	if t == nil {
		return nil
	}
	parent, _ := Parent(r.Header.Get("Traceparent"), strings.Join(r.Header["Tracestate"], ","))
	q := &Request{t, t.start(parent, r.Method+" "+r.URL.Path, trace.SpanKindServer, came)}
	if q.span.IsRecording() {
		scheme := "http"
		if r.TLS != nil {
			scheme = "https"
		}
		q.span.SetAttributes(httpMethod.String(r.Method), httpRoute.String(r.URL.Path), urlPath.String(r.URL.Path),
			urlScheme.String(scheme))
	}
	return q
}

// Refused ends the span of a request that was turned away before the queue.
func (q *Request) Refused(reason string, status int) {
	if q == nil {
		return
	}
	q.span.SetAttributes(ownReason.String(reason))
	q.answered(status)
	q.span.End()
}

// answered notes the status; one that is our fault makes the span a failure.
func (q *Request) answered(status int) {
	q.span.SetAttributes(httpStatus.Int(status))
	if status >= http.StatusInternalServerError {
		q.span.SetAttributes(errorType.String(strconv.Itoa(status)))
		q.span.SetStatus(codes.Error, "")
	}
}

// End ends the span with what the request's record says.
func (q *Request) End(rec *usage.Request) {
	if q == nil || !q.span.IsRecording() {
		return
	}
	var l list
	l.text(ownRequestID, rec.RequestID)
	l.text(ownJobID, rec.JobID)
	l.text(ownClient, rec.ClientID)
	l.text(ownModel, rec.Model)
	l.text(ownServedModel, rec.ServedModel)
	l.text(ownLane, rec.Priority)
	l.text(ownOutcome, string(rec.Outcome))
	l.text(ownPriceVersion, rec.PriceVersion)
	l.text(ownRevision, rec.ConfigRevision)
	l.text(ownIngress, rec.IngressID)
	l.text(ownWorker, rec.WorkerID)
	l.count(ownAttempts, int64(rec.Attempts))
	l.count(ownDeliveries, int64(rec.Deliveries))
	l.count(httpBodySize, rec.BytesIn)
	l.number(ownQueueMS, rec.QueueMS)
	l.number(ownFirstMS, rec.TTFTMS)
	if rec.CostNanoUSD != nil {
		l = append(l, ownCost.Int64(*rec.CostNanoUSD))
	}
	l.text(errorType, rec.ErrorType) // says more than the status that answered takes for it
	q.answered(rec.Status)
	q.span.SetAttributes(l...)
	if rec.Outcome == usage.Incomplete { // the 200 went out before it failed
		q.span.SetStatus(codes.Error, "")
	}
	q.span.End()
}

// Publication is the span of putting a job into the queue.
type Publication struct{ span trace.Span }

// Publish begins it and gives the job the context that its worker goes on with.
// Whether a trace is kept is decided once, with the request's own span; of one
// that is not, only a job whose client named a trace has a context.
func (q *Request) Publish(j *bus.Job) *Publication {
	if q == nil {
		return nil
	}
	own := q.span.SpanContext()
	if !own.IsSampled() {
		if j.Trace != "" {
			j.Trace = text(own)
		}
		return nil
	}
	s := q.t.start(own, "publish "+destination(j), trace.SpanKindProducer, time.Now())
	j.Trace, j.State = text(s.SpanContext()), s.SpanContext().TraceState().String()
	s.SetAttributes(append(queue(j, "publish", "send"), ownLane.String(j.Lane))...)
	return &Publication{s}
}

// End ends it; err says that the job did not leave.
func (p *Publication) End(err error) {
	if p == nil {
		return
	}
	if err != nil {
		failed(p.span, string(llm.Unavailable))
	}
	p.span.End()
}

// destination is the part of a job's subject that all jobs of a pool share.
func destination(j *bus.Job) string { return "req." + j.Pool }

// queue are the attributes of both ends of the queue.
func queue(j *bus.Job, operation, kind string) []attribute.KeyValue {
	return []attribute.KeyValue{messagingSystem.String("nats"), messagingDestination.String(destination(j)), messagingOperation.String(operation),
		messagingOperationType.String(kind), messagingMessageID.String(j.ID), messagingBodySize.Int(len(j.Body))}
}

// Lost tells of an attempt whose worker died, which cannot do it any more. vendor
// is whose API it called, "" if that is not known.
func (t *Tracer) Lost(l bus.Loss, vendor string) {
	if t == nil {
		return
	}
	parent, _ := Parent(l.Job.Trace, l.Job.State)
	if !parent.IsSampled() {
		return
	}
	operation := Operation(l.Job.Endpoint)
	model := l.Job.Model
	if l.Attempt != nil {
		model = l.Attempt.UpstreamModel
	}
	s := t.start(parent, operation+" "+model, trace.SpanKindClient, l.Begun)
	if s.IsRecording() {
		var a list
		a.text(operationName, operation)
		a.text(ownModel, l.Job.Model)
		a.text(ownWorker, l.Worker)
		a.text(ownOutcome, string(usage.WorkerLost))
		a.count(ownAttempt, int64(l.Number))
		a.count(ownDelivery, int64(l.Delivery))
		if k := l.Attempt; k != nil {
			a.text(providerName, Provider(vendor, k.UpstreamProtocol))
			a.text(requestModel, k.UpstreamModel)
			a.text(ownServedModel, k.ServedModel)
			a.text(ownProvider, k.Provider)
			a.text(ownRoute, k.RouteID)
			a.text(ownKey, k.KeyFP)
		}
		s.SetAttributes(a...)
		failed(s, string(usage.WorkerLost))
	}
	s.End()
}
