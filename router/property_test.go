package router

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"model-proxy/config"
	"model-proxy/internal/llm"
)

// Over random configurations and outcomes a walk keeps its promises: no key
// twice in a round, none that rests, nothing past the deadline, an end.
func TestWalkKeepsItsPromises(t *testing.T) {
	for seed := range uint64(3000) {
		checkWalk(t, seed)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func FuzzWalk(f *testing.F) {
	f.Add(uint64(1))
	f.Fuzz(checkWalk)
}

func checkWalk(t *testing.T, seed uint64) {
	random := rand.New(rand.NewPCG(seed, 1))
	snap, uses := randomSnapshot(random)
	job := chat("m0")
	job.Seed = seed
	job.Deadline = epoch.Add(time.Duration(random.IntN(120_000)) * time.Millisecond)
	w, err := Start(snap, job)
	if err != nil {
		asError(t, err)
		return
	}
	pool := newTurns()
	now := epoch
	for range random.IntN(4) { // some rest already
		r := randomRest(random, snap)
		pool.report(now, llm.Report{Rests: []llm.Rest{r}})
	}

	cycles := max(1, snap.Settings.MaxKeyCycles)
	retries := 0
	for _, p := range snap.Providers {
		retries = max(retries, p.MaxRetries)
	}
	tries := map[use]int{}
	waits, supplied, failed := 0, map[*config.Route]bool{}, map[use]bool{}
	for n := 0; ; n++ {
		if most := uses*cycles + retries + len(supplied); n > most {
			t.Fatalf("attempt %d, at most %d are possible", n, most)
		}
		step, err := w.Next(now, pool)
		if err != nil {
			e := asError(t, err)
			if s := e.HTTPStatus(llm.OpenAI); s < 400 || carriesRetryAfter(s) && e.RetryAfter <= 0 {
				t.Errorf("final error %+v has status %d, Retry-After %v", e, s, e.RetryAfter)
			}
			return
		}
		now = now.Add(step.Wait)
		u := useOf(step.Route, step.Key)
		fp := step.Key.Secret.Fingerprint()
		if !now.Before(job.Deadline) {
			t.Errorf("attempt %d at or past the deadline", n)
		}
		for _, timer := range []time.Duration{step.Timers.Connect, step.Timers.FirstToken, step.Timers.Idle, step.Timers.Total} {
			if now.Add(timer).After(job.Deadline) {
				t.Errorf("attempt %d: timer %v runs past the deadline", n, timer)
			}
		}
		switch {
		case step.SupplyToolResults:
			if supplied[step.Route] {
				t.Errorf("tool results supplied twice on %s", place(step.Route))
			}
			supplied[step.Route] = true
		case step.Wait > 0:
			if waits++; waits > step.Route.Provider.MaxRetries {
				t.Errorf("%d retries, at most %d", waits, step.Route.Provider.MaxRetries)
			}
			if failed[u] {
				t.Errorf("retry with a key that failed itself on %s", place(step.Route))
			}
		default:
			if tries[u]++; tries[u] > cycles {
				t.Errorf("key tried %d times in %d rounds on %s", tries[u], cycles, place(step.Route))
			}
		}
		if r := pool.Resting(now.Add(-step.Wait), u.provider, fp, u.model); r.For > 0 && !step.SupplyToolResults {
			t.Errorf("attempt %d with a key that rests for %v", n, r.For)
		}
		now = now.Add(time.Duration(random.IntN(3000)) * time.Millisecond)
		v := w.Failed(now, randomFailure(random))
		if v.Action.keyScoped() || v.Class == RateLimit {
			failed[u] = true
		}
		if snap.Settings.KeyCooldown <= 0 && len(v.Report.Rests) > 0 {
			t.Errorf("rests %v with cooldowns switched off", v.Report.Rests)
		}
		pool.report(now, v.Report)
	}
}

// randomSnapshot also returns how many keys on upstream models there are.
func randomSnapshot(random *rand.Rand) (*config.Snapshot, int) {
	actions := []Action{GlobalKeyFailure, ModelKeyFailure, ProviderCooldown, FallbackNoCooldown, FixToolResponses, ReturnToClient}
	var providers []*config.Provider
	for i := range 1 + random.IntN(3) {
		p := provider(fmt.Sprint("p", i), random.IntN(4))
		p.MaxRetries = random.IntN(4)
		for _, status := range []int{400, 401, 422, 429, 500} {
			if random.IntN(3) == 0 {
				p.Errors[status] = config.ErrorRule{Action: string(actions[random.IntN(len(actions))]), CooldownSeconds: secs(int64(random.IntN(60)) - 2)}
			}
		}
		providers = append(providers, p)
	}
	uses := map[use]bool{}
	var models []*config.Model
	strategies := []string{"ordered", "weighted", "least_latency"}
	for i := range 4 {
		m := model(fmt.Sprint("m", i))
		m.Strategy = strategies[random.IntN(3)]
		for range random.IntN(4) {
			r := route(providers[random.IntN(len(providers))], fmt.Sprint("u", random.IntN(3)))
			r.Weight = random.IntN(5)
			for _, k := range r.Keys {
				uses[useOf(r, k)] = true
			}
			m.Routes = append(m.Routes, r)
		}
		for range random.IntN(3) {
			m.Fallbacks = append(m.Fallbacks, fmt.Sprint("m", random.IntN(5)))
		}
		models = append(models, m)
	}
	s := snapshot(models...)
	s.Settings.MaxKeyCycles = random.IntN(4)
	if random.IntN(4) == 0 {
		s.Settings.KeyCooldown = 0
	}
	return s, len(uses)
}

func randomRest(random *rand.Rand, snap *config.Snapshot) llm.Rest {
	scopes := []llm.Scope{llm.ScopeKey, llm.ScopeKeyModel, llm.ScopeProvider, llm.ScopeBreaker}
	causes := []Class{RateLimit, Quota, Auth, ServerError}
	r := llm.Rest{Scope: scopes[random.IntN(4)], Provider: fmt.Sprint("p", random.IntN(3)),
		For: time.Duration(random.IntN(100)) * time.Second, Cause: string(causes[random.IntN(4)])}
	if r.Scope == llm.ScopeKey || r.Scope == llm.ScopeKeyModel {
		if p := snap.Providers[r.Provider]; p != nil && len(p.Keys) > 0 {
			r.Fingerprint = p.Keys[0].Secret.Fingerprint()
		}
	}
	if r.Scope == llm.ScopeKeyModel || r.Scope == llm.ScopeBreaker {
		r.Model = fmt.Sprint("u", random.IntN(3))
	}
	return r
}

func randomFailure(random *rand.Rand) Failure {
	all := []Failure{limited, limited, spentFail, refusal, broken, broken, missing, dropped, late, unreached,
		answer(422, ``), answer(529, ``), answer(200, `{"type":"error","error":{"type":"overloaded_error"}}`)}
	if random.IntN(10) == 0 {
		return faulty
	}
	return all[random.IntN(len(all))]
}
