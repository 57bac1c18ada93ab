package worker

import (
	"context"
	"errors"

	"model-proxy/convert"
	"model-proxy/internal/llm"
	"model-proxy/internal/provider"
	"model-proxy/internal/usage"
	"model-proxy/router"
)

// failure is how an attempt ended that did not answer.
type failure struct {
	router.Failure
	outcome usage.Outcome
	err     error  // what happened, for the log and the router's benefit
	kind    string // for the record
	message string // for the record, free of secrets
}

// told is what the client is told once the answer has begun.
func (f *failure) told() *llm.Error {
	if f.Told != nil {
		return f.Told
	}
	if f.outcome == usage.TimedOut {
		message := "the upstream stopped sending"
		if f.Timer == string(provider.TimerTotal) {
			message = "the answer took longer than it may"
		}
		e := llm.NewError(llm.TimedOut, message)
		e.Code = "upstream_timeout"
		return e
	}
	e := llm.NewError(llm.BadGateway, "the upstream's answer ended before its time")
	e.Code = "upstream_stream_truncated"
	return e
}

// refusedHere is a request that cannot be made of this target.
func refusedHere(e *llm.Error) *failure {
	return &failure{Failure: router.Failure{Fault: router.Unfit, Told: e},
		outcome: usage.Error, err: e, kind: string(e.Kind), message: e.Message}
}

// refusedThere reads an upstream's error answer.
func (a *attempt) refusedThere(answer *provider.Answer) *failure {
	body, err := answer.ReadAll(maxErrorBody)
	if err != nil && !errors.Is(err, provider.ErrBodyTooLarge) && context.Cause(a.job.run.Context()) != nil {
		return brokenOff(err)
	}
	body = a.conceal(body)
	told := a.x.Error(answer.Status, answer.Header, body)
	meant := convert.Upstream(told)
	return &failure{Failure: router.Failure{Fault: router.Answered, Status: answer.Status, Header: answer.Header, Body: body, Told: told},
		outcome: usage.Error, err: told, kind: string(meant.Kind), message: meant.Message}
}

// conceal takes what we have identified ourselves by out of an upstream's words.
func (a *attempt) conceal(text []byte) []byte {
	return a.step.Route.Provider.Headers.Conceal(a.step.Key.Secret.Conceal(text))
}

// misanswered is a successful status with an error in it, or an answer that
// cannot be understood.
func (a *attempt) misanswered(err error, data []byte) *failure {
	e := asError(err)
	e.Message, e.Body, data = string(a.conceal([]byte(e.Message))), a.conceal(e.Body), a.conceal(data)
	f := &failure{err: e, kind: string(e.Kind), message: e.Message, outcome: usage.Error}
	f.Failure = router.Failure{Fault: router.Answered, Status: a.status, Body: data, Told: e}
	if errors.Is(err, convert.ErrCut) {
		f.outcome, f.Fault = usage.Cut, router.Cut
		if len(data) > 0 {
			f.Fault = router.Malformed
		}
	}
	return f
}

// brokenOff is a call that ended without an answer, or within one.
func brokenOff(err error) *failure {
	f := &failure{err: err, outcome: usage.Cut, kind: "cut", message: "the connection to the upstream broke"}
	f.Fault = router.Cut
	var timeout *provider.TimeoutError
	var dial *provider.DialError
	switch {
	case errors.As(err, &timeout):
		f.Fault, f.Timer = router.Timeout, string(timeout.Timer)
		f.outcome, f.kind, f.message = usage.TimedOut, "timeout", "timer "+f.Timer+" ran out"
	case errors.As(err, &dial):
		f.Fault, f.kind, f.message = router.Dial, "unreachable", "no connection to the upstream"
	case errors.Is(err, provider.ErrEventTooLarge), errors.Is(err, provider.ErrBodyTooLarge):
		f.Fault, f.message = router.Malformed, err.Error()
	}
	return f
}
