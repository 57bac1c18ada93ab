package router

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"model-proxy/config"
	"model-proxy/internal/llm"
)

// ErrNoEndpoint is what Start's error wraps if no route of the model has the
// endpoint, as for embeddings on a model of Anthropic's.
var ErrNoEndpoint = errors.New("no route serves the endpoint")

// The pause before an attempt on the route that just failed.
const (
	retryPause  = 250 * time.Millisecond
	retryJitter = 250 * time.Millisecond
)

// Walk is one request's way through routes and keys. It belongs to one
// goroutine.
type Walk struct {
	// Fixed at Start.
	snap     *config.Snapshot
	job      Job
	affinity uint64

	// Where the walk stands.
	plan    plan
	stage   stage
	route   int        // next one of stage to try
	sorted  bool       // stage is in the order of its strategy
	attempt int        // number of the last step
	step    Step       // the last one
	begun   time.Time  // when step's attempt begins
	random  *rand.Rand // made when it is first needed

	// What the request has met so far.
	tried    []use                  // one entry for each attempt, but for those with supplied tool results
	failed   []account              // one entry for each failure that rests a key for its whole provider
	spent    []use                  // keys that a retry must not take: they failed themselves
	resting  map[string]bool        // providers to leave alone
	supplied map[*config.Route]bool // routes that were tried with supplied tool results
	supply   bool                   // the next step is the last one again, with tool results
	again    *config.Route          // where a retry goes; nil if nothing may be retried
	againOf  string                 // its logical model
	retries  int
	evidence []evidence
	final    *llm.Error
}

// use is one key on one upstream model.
type use struct{ provider, baseURL, model, fp string }

// account is one key of a provider.
type account struct{ provider, fp string }

// Start begins the walk of a job. The error is an *llm.Error for the client:
// 404 for a model that is not configured, 503 for one without a usable route,
// naming the cause, 400 wrapping ErrNoEndpoint if none serves the endpoint.
func Start(snap *config.Snapshot, job Job) (*Walk, error) {
	m := snap.Models[job.Model]
	if m == nil {
		return nil, unknownModel(job.Model)
	}
	w := &Walk{snap: snap, job: job, attempt: job.Attempts, plan: plan{snap: snap, job: job}}
	w.plan.enqueue([]string{job.Model})
	if !w.nextStage() {
		if len(m.Routes) > 0 {
			return nil, noEndpoint(job)
		}
		return nil, unusable(m)
	}
	if snap.Settings.KeyAffinity {
		w.affinity = job.Affinity
	}
	return w, nil
}

// nextStage goes on to the next model and reports whether there is one.
func (w *Walk) nextStage() (ok bool) {
	w.stage, ok = w.plan.next()
	w.route, w.sorted = 0, false
	return ok
}

// source is the walk's own randomness, the same for the same Job.Seed.
func (w *Walk) source() *rand.Rand {
	if w.random == nil {
		w.random = rand.New(rand.NewPCG(w.job.Seed, 0))
	}
	return w.random
}

// Next returns the next attempt to make. The error is an *llm.Error, what the
// client is told: nothing is left to try, the deadline has passed, or a
// failure was the request's own.
func (w *Walk) Next(now time.Time, pool Pool) (Step, error) {
	if w.final == nil && !w.inTime(now) {
		w.final = w.outOfTime()
	}
	if w.final != nil {
		return Step{}, w.final
	}
	if w.supply {
		w.supply = false
		return w.repeat(now), nil
	}
	for {
		if !w.sorted {
			w.stage, w.sorted = w.stage.ordered(now, pool, w.source), true
		}
		for ; w.route < len(w.stage.routes); w.route++ {
			if w.take(now, pool, w.stage.routes[w.route]) {
				return w.step, nil
			}
		}
		if !w.nextStage() {
			break
		}
	}
	if w.retry(now, pool) {
		return w.step, nil
	}
	w.prolong(now, pool)
	w.final = w.exhausted(now)
	return Step{}, w.final
}

func (w *Walk) inTime(now time.Time) bool {
	return w.job.Deadline.IsZero() || now.Before(w.job.Deadline)
}

// take makes the step for a key of the route, if one is usable. Keys that were
// tried least come first, so that no key comes twice in a round; there are at
// most MAX_KEY_RETRY_CYCLES rounds.
func (w *Walk) take(now time.Time, pool Pool, r *config.Route) bool {
	least := max(1, w.snap.Settings.MaxKeyCycles)
	among := w.usable(now, pool, r, func(u use) bool {
		n := w.met(u)
		least = min(least, n)
		return n < max(1, w.snap.Settings.MaxKeyCycles)
	})
	among = slices.DeleteFunc(among, func(i int) bool { return w.met(useOf(r, r.Keys[i])) > least })
	return len(among) > 0 && w.choose(now, pool, r, w.stage.model.LogicalName, among, 0)
}

// met is how often the key was tried on the upstream model, or failed for its
// whole provider.
func (w *Walk) met(u use) int {
	return max(count(w.tried, u), count(w.failed, account{u.provider, u.fp}))
}

// count is how often v stands in a list. The lists are as short as the walk.
func count[T comparable](list []T, v T) int {
	n := 0
	for _, x := range list {
		if x == v {
			n++
		}
	}
	return n
}

// retry makes a step on the route that failed last, if the failure may be
// repeated and there is budget and time for it.
func (w *Walk) retry(now time.Time, pool Pool) bool {
	r := w.again
	if r == nil || w.retries >= r.Provider.MaxRetries {
		return false
	}
	pause := retryPause + time.Duration(w.source().Int64N(int64(retryJitter)+1))
	if !w.inTime(now.Add(pause)) {
		return false
	}
	among := w.usable(now, pool, r, func(u use) bool {
		return !slices.Contains(w.spent, u) && !slices.Contains(w.failed, account{u.provider, u.fp})
	})
	if len(among) == 0 || !w.choose(now, pool, r, w.againOf, among, pause) {
		return false
	}
	w.retries++
	return true
}

// usable lists the keys of a route that pass the filter and do not rest, and
// notes the rests for the final error.
func (w *Walk) usable(now time.Time, pool Pool, r *config.Route, pass func(use) bool) []int {
	if w.resting[r.Provider.Name] {
		return nil
	}
	var among []int
	for i, k := range r.Keys {
		u := useOf(r, k)
		if !pass(u) {
			continue
		}
		rest := pool.Resting(now, u.provider, u.fp, u.model)
		if rest.For > 0 {
			w.noteRest(now, r, rest)
			continue
		}
		among = append(among, i)
	}
	return among
}

func useOf(r *config.Route, k config.Key) use {
	return use{r.Provider.Name, r.BaseURL, r.Model, k.Secret.Fingerprint()}
}

// choose makes the step, unless the breaker is open.
func (w *Walk) choose(now time.Time, pool Pool, r *config.Route, model string, among []int, wait time.Duration) bool {
	if rest := pool.Admit(now, r.Provider.Name, r.Model); rest.For > 0 {
		w.noteRest(now, r, rest)
		return false
	}
	i := pool.Pick(now, r.Provider.Name, r.Model, r.Keys, among, w.affinity)
	if !slices.Contains(among, i) {
		panic(fmt.Sprintf("router: key %d picked out of %v", i, among))
	}
	protocol, _ := protocolFor(r, w.job)
	w.attempt++
	w.tried = append(w.tried, useOf(r, r.Keys[i]))
	w.begun = now.Add(wait)
	w.step = Step{Route: r, LogicalModel: model, Protocol: protocol, Key: r.Keys[i], KeyIndex: i,
		Attempt: w.attempt, Timers: w.timers(r, w.begun), Wait: wait}
	return true
}

// repeat makes the last step again, with the tool results supplied.
func (w *Walk) repeat(now time.Time) Step {
	w.step.SupplyToolResults = true
	return w.Continue(now)
}

// Continue makes the last step again, for the rest of an answer that its
// upstream has paused: only there it can go on.
func (w *Walk) Continue(now time.Time) Step {
	w.attempt++
	w.begun = now
	w.step.Attempt, w.step.Wait = w.attempt, 0
	w.step.Timers = w.timers(w.step.Route, now)
	return w.step
}

// TakeBack frees the last step's number for the next one: its upstream was
// never called, so it leaves no record.
func (w *Walk) TakeBack() { w.attempt-- }

// timers are the route's, cut to what is left at begin.
func (w *Walk) timers(r *config.Route, begin time.Time) config.Timers {
	t := r.Timers
	if w.job.Deadline.IsZero() {
		return t
	}
	left := w.job.Deadline.Sub(begin)
	return config.Timers{Connect: cut(t.Connect, left), FirstToken: cut(t.FirstToken, left),
		Idle: cut(t.Idle, left), Total: cut(t.Total, left)}
}

// cut returns the shorter of a timer and what is left; a timer of 0 is none.
func cut(timer, left time.Duration) time.Duration {
	if timer <= 0 {
		return left
	}
	return min(timer, left)
}
