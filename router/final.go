package router

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"model-proxy/config"
	"model-proxy/internal/llm"
)

// evidence is one thing the walk met: a failed attempt, or a rest that kept a
// key or a route from being tried.
type evidence struct {
	class   Class
	breaker bool       // the rest of a breaker
	told    *llm.Error // of a failed attempt; nil for a rest that was met
	where   string     // provider/model
	what    string     // status, or what happened
	free    time.Time  // when the rest ends; zero if nothing rests
	use     use        // what rests after a failed attempt
}

// telling ranks what a client learns most from when everything failed in its
// own way: first what no other try can mend, then what the upstreams suffer
// from, then what waiting helps against, last what only the operator can mend.
var telling = map[Class]int{
	ContentFilter: 10, ContextLength: 10, TooLarge: 10,
	Overloaded: 9, ServerError: 8, TimedOut: 7, Broken: 6, Unreachable: 6,
	RateLimit: 4, TooLargeHere: 4,
	BadRequest: 3, ToolUse: 3, // the operator had it tried elsewhere: one route's word is not the last
	ModelMissing: 2, Other: 2,
	Quota: 1, Auth: 1, Denied: 1, ModelDenied: 1,
}

// restingIll ranks the rest of something that failed for other reasons than
// limits.
const restingIll = 5

func (w *Walk) noteFailure(now time.Time, c Class, f Failure, status int, told *llm.Error, rest llm.Rest) {
	e := evidence{class: c, told: told, where: place(w.step.Route), what: happened(f, status)}
	if rest.For > 0 {
		e.free, e.use = now.Add(rest.For), useOf(w.step.Route, w.step.Key)
	}
	w.evidence = append(w.evidence, e)
}

// prolong takes in that what rests since a failed attempt may rest longer by now,
// for what other requests have met.
func (w *Walk) prolong(now time.Time, pool Pool) {
	for i := range w.evidence {
		e := &w.evidence[i]
		if e.told == nil || e.free.IsZero() {
			continue
		}
		rest := pool.Resting(now, e.use.provider, e.use.fp, e.use.model)
		if free := now.Add(rest.For); free.After(e.free) {
			e.free = free
		}
	}
}

func (w *Walk) noteRest(now time.Time, r *config.Route, rest llm.Rest) {
	w.evidence = append(w.evidence, evidence{class: Class(rest.Cause), breaker: rest.Scope == llm.ScopeBreaker,
		where: place(r), what: resting, free: now.Add(rest.For)})
}

// resting is what summary says of keys and routes that were not tried.
const resting = "resting"

func place(r *config.Route) string { return r.Provider.Name + "/" + r.Model }

func happened(f Failure, status int) string {
	switch f.Fault {
	case Answered:
		return strconv.Itoa(status)
	case Dial:
		return "unreachable"
	case Timeout:
		return "timeout"
	case Malformed:
		return "answer not understood"
	case Unfit:
		return "cannot serve this request"
	}
	return "connection broken"
}

// exhausted is the answer when nothing is left to try.
func (w *Walk) exhausted(now time.Time) *llm.Error {
	best, rank := evidence{}, -1
	for _, e := range w.evidence {
		if n := e.rank(); n > rank {
			best, rank = e, n
		}
	}
	switch {
	case best.class.refused():
		return refused(w.summary())
	case best.told == nil || best.class == RateLimit:
		return w.allRest(now, best)
	case best.class.aboutRequest():
		return best.told
	}
	e := *best.told
	e.Body = nil // which does not say what was tried
	e.Message = strings.TrimRight(e.Message, ". ") + ". " + w.summary()
	return w.withRetryAfter(now, &e)
}

func (e evidence) rank() int {
	if e.told == nil && (e.breaker || telling[e.class] > restingIll) {
		return restingIll
	}
	return telling[e.class]
}

// allRest is the answer when the walk ends at rests: 429 for rate limits, else
// 503, both with the time until the first of them ends.
func (w *Walk) allRest(now time.Time, best evidence) *llm.Error {
	if best.class != RateLimit || best.breaker {
		e := llm.NewError(llm.Unavailable, fmt.Sprintf("Every route of model %q is resting after failures. %s", w.job.Model, w.summary()))
		return w.withRetryAfter(now, e)
	}
	e := llm.NewError(llm.RateLimited, fmt.Sprintf("Every key for model %q is at its rate limit. %s", w.job.Model, w.summary()))
	e.Code = "rate_limit_exceeded"
	return w.withRetryAfter(now, e)
}

// leastRetryAfter is what a client is told to wait when nothing is known.
const leastRetryAfter = time.Second

// carriesRetryAfter reports whether answers of a status always say when to try
// again.
func carriesRetryAfter(status int) bool {
	return status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable || status == 529
}

// withRetryAfter gives a 429 or 503 the time until the first rest ends that
// waiting can help with, or else what the upstream said.
func (w *Walk) withRetryAfter(now time.Time, e *llm.Error) *llm.Error {
	if !carriesRetryAfter(e.HTTPStatus(w.job.Protocol)) {
		return e
	}
	var first time.Duration
	for _, ev := range w.evidence {
		left := ev.free.Sub(now)
		if ev.free.IsZero() && ev.told != nil {
			left = ev.told.RetryAfter
		}
		if left > 0 && !ev.class.refused() && (first == 0 || left < first) {
			first = left
		}
	}
	e.RetryAfter = max(first, leastRetryAfter)
	return e
}

// returned is the answer to a failure that is the request's own.
func (w *Walk) returned(c Class, told *llm.Error) *llm.Error {
	if c.refused() {
		return refused(w.summary())
	}
	if carriesRetryAfter(told.HTTPStatus(w.job.Protocol)) && told.RetryAfter == 0 {
		e := *told
		e.RetryAfter = leastRetryAfter
		return &e
	}
	return told
}

// refused is the answer when every key is refused: the account is the
// operator's, so the client must not take it for a refusal of its own key.
func refused(tried string) *llm.Error {
	e := llm.NewError(llm.BadGateway, "The upstream refuses the gateway's own account. "+tried)
	e.Code, e.Final = "upstream_auth_failed", true
	return e
}

func (w *Walk) outOfTime() *llm.Error {
	return llm.NewError(llm.TimedOut, strings.TrimRight("The request's deadline has passed. "+w.summary(), " "))
}

// summary names each provider and model that the walk met and what came of it,
// such as "Tried: groq/llama: 429 (3 times); openai/gpt: resting."
func (w *Walk) summary() string {
	type item struct{ where, what string }
	var order []item
	count := map[item]int{}
	for _, e := range w.evidence {
		it := item{e.where, e.what}
		if count[it] == 0 {
			order = append(order, it)
		}
		count[it]++
	}
	if len(order) == 0 {
		return ""
	}
	parts := make([]string, len(order))
	for i, it := range order {
		parts[i] = it.where + ": " + it.what
		if n := count[it]; n > 1 && it.what != resting {
			parts[i] += fmt.Sprintf(" (%d times)", n)
		}
	}
	return "Tried: " + strings.Join(parts, "; ") + "."
}

// tell is what the client is told of a failure on its own.
func tell(f Failure, status int) *llm.Error {
	if f.Told != nil {
		e := *f.Told
		return &e
	}
	if e, ok := faults[f.Fault]; ok {
		return &e
	}
	e := llm.NewError(kindOf(status), fmt.Sprintf("The upstream answered with status %d.", status))
	e.Status = status
	return e
}

// faults is what the client is told of a failure without an answer.
var faults = map[Fault]llm.Error{
	Dial:      {Kind: llm.BadGateway, Code: "upstream_unreachable", Message: "The upstream cannot be reached."},
	Timeout:   {Kind: llm.TimedOut, Code: "upstream_timeout", Message: "The upstream did not answer in time."},
	Cut:       {Kind: llm.BadGateway, Code: "upstream_stream_truncated", Message: "The upstream broke off its answer."},
	Malformed: {Kind: llm.BadGateway, Code: "upstream_malformed", Message: "The upstream's answer could not be understood."},
	Unfit:     {Kind: llm.BadRequest, Message: "The request cannot be put into the upstream's protocol."},
}

// kinds translates statuses that have a kind of their own.
var kinds = map[int]llm.Kind{
	401: llm.Unauthorized, 403: llm.Forbidden, 404: llm.NotFound, 408: llm.TimedOut, 409: llm.Conflict, 413: llm.TooLarge,
	429: llm.RateLimited, 502: llm.BadGateway, 503: llm.Overloaded, 504: llm.TimedOut, 529: llm.Overloaded,
}

func kindOf(status int) llm.Kind {
	if k, ok := kinds[status]; ok {
		return k
	}
	if status >= 500 {
		return llm.ServerError
	}
	return llm.BadRequest
}

func unknownModel(name string) *llm.Error {
	e := llm.NewError(llm.NotFound, fmt.Sprintf("Model %q is not configured here.", name))
	e.Code, e.Param = "model_not_found", "model"
	return e
}

func unusable(m *config.Model) *llm.Error {
	why := m.Unusable
	if why == "" {
		why = "it has no route"
	}
	e := llm.NewError(llm.Unavailable, fmt.Sprintf("Model %q cannot be served: %s.", m.LogicalName, strings.TrimRight(why, ".")))
	e.RetryAfter = unusableRetryAfter
	return e
}

// unusableRetryAfter is when a client may ask again for a model that needs the
// operator's hand.
const unusableRetryAfter = 30 * time.Second

func noEndpoint(job Job) *llm.Error {
	e := llm.NewError(llm.BadRequest, fmt.Sprintf("No provider of model %q serves %s.", job.Model, job.Endpoint))
	e.Param = "model"
	return e.Because(ErrNoEndpoint)
}
