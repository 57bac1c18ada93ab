package router

import (
	"time"

	"model-proxy/config"
	"model-proxy/internal/llm"
)

// Served ends the walk: the last step's attempt answered the request, or gave a
// part of an answer that Continue goes on with. The first content came firstToken after the attempt began.
func (w *Walk) Served(firstToken time.Duration) llm.Report {
	r := w.report(llm.HealthServed)
	r.FirstToken = firstToken
	return r
}

// Cancelled ends the walk: we stopped the last step's attempt ourselves.
func (w *Walk) Cancelled() llm.Report { return w.report(llm.HealthUnknown) }

// Failed takes how the last step's attempt failed and says what it means. Next
// goes on from there.
func (w *Walk) Failed(now time.Time, f Failure) Verdict {
	v, status, said := w.judge(now, f)
	switch {
	case f.Fault == Unfit || f.Unasked:
		v.Report.Health = llm.HealthUnknown // nobody asked the upstream
	case w.deadlineCut(f):
		v.Report.Health = llm.HealthUnknown // the client's haste, not the upstream's fault
	case w.failing(f, v.Class):
		v.Report.Health = llm.HealthFailing
	}
	rest := w.restFor(v.Action, v.Class, status, said)
	if rest.For > 0 {
		v.Report.Rests = []llm.Rest{rest}
	}
	told := tell(f, status)
	if said.set && told.RetryAfter == 0 && carriesRetryAfter(told.HTTPStatus(w.job.Protocol)) {
		told.RetryAfter = said.wait
	}
	w.noteFailure(now, v.Class, f, status, told, rest)
	w.move(f, v, status)
	if f.Sent || v.Action == ReturnToClient {
		w.final = w.returned(v.Class, told)
	}
	v.Final = w.final
	return v
}

// judge gives class and action, the status they stand for and the wait that
// the upstream asks for.
func (w *Walk) judge(now time.Time, f Failure) (v Verdict, status int, said asked) {
	v.Report = w.report(llm.HealthAlive)
	if f.Fault != Answered {
		v.Class, v.Action = byFault[f.Fault], FallbackNoCooldown
		return v, 0, asked{}
	}
	e := readError(f.Body)
	v.Class, status = classify(f.Status, e)
	v.Action = decide(w.step.Route.Provider, status, v.Class)
	if v.Action == FixToolResponses && w.supplied[w.step.Route] {
		v.Action = byClass[v.Class]
	}
	said.wait, said.set = retryAfter(now, status, f.Header, e)
	return v, status, said
}

var byFault = map[Fault]Class{Dial: Unreachable, Timeout: TimedOut, Cut: Broken, Malformed: Broken, Unfit: BadRequest}

// report is the last step's, with what every report holds.
func (w *Walk) report(h llm.Health) llm.Report {
	s := w.snap.Settings
	r := llm.Report{Provider: w.step.Route.Provider.Name, Fingerprint: w.step.Key.Secret.Fingerprint(),
		Model: w.step.Route.Model, Begun: w.begun, Health: h}
	if s.KeyCooldown > 0 && s.BreakerRest > 0 {
		r.BreakerFailures, r.BreakerRest = s.BreakerFailures, s.BreakerRest
	}
	return r
}

// failing reports whether a failure counts towards the breaker: 5xx, time-outs
// and broken connections.
func (w *Walk) failing(f Failure, c Class) bool {
	return f.Fault != Answered || c == ServerError || c == Overloaded && f.Status != 429
}

// deadlineCut reports whether the timer that ran out was shortened by the
// request's deadline.
func (w *Walk) deadlineCut(f Failure) bool {
	if f.Fault != Timeout {
		return false
	}
	had, full := timerNamed(w.step.Timers, f.Timer), timerNamed(w.step.Route.Timers, f.Timer)
	return had < full || full == 0
}

func timerNamed(t config.Timers, name string) time.Duration {
	switch name {
	case "connect":
		return t.Connect
	case "first_token":
		return t.FirstToken
	case "idle":
		return t.Idle
	}
	return t.Total
}

// move puts the walk where the next step is to be looked for.
func (w *Walk) move(f Failure, v Verdict, status int) {
	r := w.step.Route
	u := useOf(r, w.step.Key)
	if v.Class.refused() || v.Class == RateLimit || v.Action.keyScoped() {
		w.spent = append(w.spent, u)
	}
	if v.Action == GlobalKeyFailure {
		w.failed = append(w.failed, account{u.provider, u.fp})
	}
	switch {
	case v.Action == FixToolResponses:
		put(&w.supplied, r, true)
		w.supply = true
		return
	case v.Action == ProviderCooldown:
		put(&w.resting, r.Provider.Name, true)
	}
	if repeatable(r, f, status) && v.Action == FallbackNoCooldown {
		w.again, w.againOf = r, w.step.LogicalModel
	}
	if !v.Action.keyScoped() {
		w.route++ // a retry comes after the last one, where that does no harm
	}
}

// repeatable reports whether a failure may be repeated on the same route: a
// status the provider's file lists, a time-out before the first byte, a
// broken connection; never a 429.
func repeatable(r *config.Route, f Failure, status int) bool {
	switch f.Fault {
	case Answered:
		return status != 429 && r.Provider.RetryOnStatus[status]
	case Timeout:
		return f.Timer != "total"
	}
	return f.Fault != Unfit
}

// put sets a value in a map that is made when it is first needed: most
// requests meet no failure.
func put[K comparable, V any](m *map[K]V, k K, v V) {
	if *m == nil {
		*m = map[K]V{}
	}
	(*m)[k] = v
}
