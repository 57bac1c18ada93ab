package worker

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"runtime/debug"
	"time"

	"model-proxy/config"
	"model-proxy/convert"
	"model-proxy/internal/bus"
	"model-proxy/internal/llm"
	"model-proxy/internal/span"
	"model-proxy/internal/usage"
	"model-proxy/router"
)

// job is one run of one request. It belongs to one goroutine.
type job struct {
	w     *Worker
	run   *bus.Run
	snap  *config.Snapshot // the one it was taken with routes it to its end
	began time.Time
	walk  *router.Walk
	span  *span.Process

	attempts int        // number of the newest call to an upstream; 0 if this run has made none
	told     bool       // the attempt to come was announced with the acceptance
	sent     bool       // an answer byte is on its way to the client
	last     llm.Usage  // of the newest attempt
	bill     usage.Bill // of the attempts that have finished
	open     *attempt   // announced as started and not yet finished
	cause    string     // error type of the newest attempt that failed, over all deliveries

	x      *convert.Exchange // of the newest attempt that got as far as one
	warned int               // how many of its warnings the head has told

	elsewhere bool // the newest attempt is in another protocol than the client's
	files     map[string]convert.File
}

// serve makes attempts until the job is over.
func (j *job) serve() {
	r := j.run
	large := len(r.Body) == 0
	if large { // its prompt decides which key it keeps to, so it has to be here first
		r.Accept(nil)
		if err := r.Fetch(); err != nil {
			j.stop(err)
			return
		}
	}
	walk, err := router.Start(j.snap, j.routing())
	if err != nil {
		if !large {
			r.Accept(nil)
		}
		j.unroutable(err)
		return
	}
	j.walk = walk
	step, err := walk.Next(time.Now(), j.w.cfg.Keys)
	if !large {
		r.Accept(j.announce(step, err))
		j.told = err == nil
	}
	for err == nil {
		if !j.told {
			if cause := r.Attempt(j.announce(step, nil)); cause != nil {
				j.leave(cause)
				return
			}
		}
		j.told = false
		if over := j.try(step); over {
			return
		}
		step, err = walk.Next(time.Now(), j.w.cfg.Keys)
	}
	j.fail(asError(err))
}

// routing is what the router needs to know.
func (j *job) routing() router.Job {
	r := j.run
	out := router.Job{Model: r.Model, Protocol: r.Endpoint.Protocol(), Endpoint: r.Endpoint, Deadline: j.began.Add(r.TimeLeft),
		Attempts: r.Attempts, Seed: rand.Uint64()}
	if j.snap.Settings.KeyAffinity {
		out.Affinity = router.Affinity(r.Client, r.Body)
	}
	return out
}

// announce describes a planned attempt to the ingress; nil if there is none.
func (j *job) announce(s router.Step, err error) *bus.Attempt {
	if err != nil {
		return nil
	}
	return &bus.Attempt{Number: s.Attempt, ServedModel: s.LogicalModel, Provider: s.Route.Provider.Name, UpstreamModel: s.Route.Model,
		UpstreamProtocol: s.Protocol, RouteID: s.Route.ID, KeyFP: s.Key.Secret.Fingerprint(), ConfigRevision: j.snap.Revision}
}

// try waits as long as the step asks, makes its attempt and learns from it. It
// reports true when the job is over.
func (j *job) try(s router.Step) (over bool) {
	if s.Wait > 0 {
		pause := time.NewTimer(s.Wait)
		defer pause.Stop()
		select {
		case <-pause.C:
		case <-j.run.Context().Done():
			j.leave(context.Cause(j.run.Context()))
			return true
		}
	}
	a := &attempt{job: j, step: s, began: time.Now()}
	j.elsewhere = s.Protocol.Wire() != j.run.Endpoint.Protocol()
	failure := j.attempt(a)
	for j.goesOn(a, failure) {
		a = a.next(j.walk.Continue(time.Now()))
		if cause := j.run.Attempt(j.announce(a.step, nil)); cause != nil {
			j.leave(cause)
			return true
		}
		failure = j.attempt(a)
	}
	if failure == nil {
		return true
	}
	if !a.called {
		j.walk.TakeBack()
	}
	if cause := context.Cause(j.run.Context()); cause != nil && errors.Is(failure.err, cause) {
		a.finish(stoppedOutcome(cause), failure, "")
		j.w.cfg.Keys.Report(j.walk.Cancelled())
		j.stop(cause)
		return true
	}
	verdict := j.walk.Failed(time.Now(), failure.Failure)
	a.finish(failure.outcome, failure, verdict.Action)
	j.w.cfg.Keys.Report(verdict.Report)
	if verdict.Final == nil && !j.sent {
		return false
	}
	final := verdict.Final
	if final == nil || j.sent {
		final = failure.told()
	}
	j.fail(final)
	return true
}

// attempt makes an attempt within the limits of its key.
func (j *job) attempt(a *attempt) *failure {
	grant, failure := j.reserve(a.step)
	if failure != nil {
		return failure
	}
	failure = a.make()
	j.settle(grant)
	return failure
}

// withoutParameter is the action where a request is made again without a
// parameter that its upstream refused.
const withoutParameter router.Action = "auto_fix_parameters"

// goesOn reports whether the same upstream is to be called again at once: it has
// paused its answer, or refuses what the client has not asked for. The attempt
// is then closed.
func (j *job) goesOn(a *attempt, f *failure) bool {
	switch {
	case f == nil && a.x.Paused():
		a.finish(usage.OK, nil, "")
		j.w.cfg.Keys.Report(j.walk.Served(a.ttft))
		a.x.Continue()
		return true
	case f != nil && f.Fault == router.Answered && !j.sent && a.x != nil && a.x.WithoutRefused(f.Status, f.Body):
		a.finish(f.outcome, f, withoutParameter)
		j.w.cfg.Keys.Report(j.walk.Cancelled())
		return true
	}
	return false
}

// unroutable ends a job that no route can be found for. A model that this
// worker does not know may be news to it only: the ingress tries once more.
func (j *job) unroutable(err error) {
	if j.run.Endpoint == llm.CountTokens && errors.Is(err, router.ErrNoEndpoint) {
		j.estimate()
		return
	}
	e := asError(err)
	again := e.Kind == llm.NotFound
	if again {
		e = llm.NewError(llm.Unavailable, "the worker does not know the model "+fmt.Sprintf("%q", j.run.Model)+" yet")
	}
	j.span.Failed(string(e.Kind))
	_ = j.run.Send(bus.Part{End: &bus.End{Err: e, Attempts: j.run.Attempts, Again: again}}) // an end is sent in any case
}

// estimate answers a count of tokens that no provider can give.
func (j *job) estimate() {
	data := convert.AppendTokenCount(nil, convert.CountTokens(j.run.Endpoint.Protocol(), j.run.Body))
	head := &bus.Head{Status: http.StatusOK, ContentType: "application/json", ContentLength: int64(len(data)), TokenCount: "estimated"}
	_ = j.run.Send(bus.Part{Head: head, Data: data, Content: true, End: j.end(nil)}) // an end is sent in any case
}

// fail ends the job with what the client is told. A count of tokens that had to
// be asked in another protocol can be had without the provider too.
func (j *job) fail(e *llm.Error) {
	if j.run.Endpoint == llm.CountTokens && j.elsewhere {
		j.estimate()
		return
	}
	j.span.Failed(string(e.Kind))
	_ = j.run.Send(bus.Part{End: j.end(e)}) // an end is sent in any case
}

// leave is stop before the next call was made.
func (j *job) leave(cause error) {
	j.w.cfg.Keys.Report(j.walk.Cancelled()) // the step may have held a breaker's one probe
	j.stop(cause)
}

// stop ends a job that nobody wants any more, or that may not go on here.
func (j *job) stop(cause error) {
	j.span.Failed(string(stoppedOutcome(cause)))
	end := j.end(nil)
	end.Cancelled = true
	if errors.Is(cause, bus.ErrStopped) {
		end = j.end(llm.NewError(llm.Unavailable, "the gateway was stopped while the answer was under way"))
	}
	_ = j.run.Send(bus.Part{End: end}) // an end is sent in any case
}

func (j *job) end(e *llm.Error) *bus.End {
	end := &bus.End{Err: e, Attempts: max(j.attempts, j.run.Attempts), Usage: j.last}
	if j.x != nil && len(j.x.Warnings()) > j.warned {
		end.Warnings = string(convert.AppendWarnings(nil, j.x.Warnings()))
	}
	j.charge(end, &j.bill)
	return end
}

// panicked ends a job whose serving has a bug: it costs that job only.
func (j *job) panicked(p any) {
	j.w.cfg.Log.Error("panic while serving a job", "request_id", j.run.RequestID, span.LogAttr(j.run.Trace), "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
	if a := j.open; a != nil {
		a.finish(usage.Error, &failure{message: "internal error"}, "")
	}
	j.fail(llm.NewError(llm.ServerError, "internal error"))
}

func stoppedOutcome(cause error) usage.Outcome {
	if errors.Is(cause, bus.ErrFenced) {
		return usage.Fenced
	}
	return usage.Cancelled
}

// asError is err as the client is told of it.
func asError(err error) *llm.Error {
	var e *llm.Error
	if errors.As(err, &e) {
		return e
	}
	return llm.NewError(llm.ServerError, "internal error").Because(err)
}

// input is the request as convert takes it.
func (j *job) input() convert.Input {
	r := j.run
	return convert.Input{Client: r.Endpoint.Protocol(), Endpoint: r.Endpoint, Stream: r.Stream, Body: r.Body, Model: r.Model,
		Mode: convert.ParseMode(r.Mode), RequestID: r.RequestID, Created: j.began.Unix(),
		ContentBlocks: r.Blocks}
}
