package router

import (
	"slices"
	"testing"
	"time"

	"model-proxy/config"
	"model-proxy/internal/llm"
)

// epoch is when the tests' requests begin.
var epoch = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

// turns is a Pool without a bus: it takes what reports tell it to rest and
// gives keys by turns.
type turns struct {
	rests   map[llm.Rest]time.Time // keyed with For and cause left out
	causes  map[llm.Rest]llm.Rest
	next    int                      // index whose turn it is
	latency map[string]time.Duration // by upstream model
}

func newTurns() *turns {
	return &turns{rests: map[llm.Rest]time.Time{}, causes: map[llm.Rest]llm.Rest{}, latency: map[string]time.Duration{}}
}

func (p *turns) report(now time.Time, r llm.Report) {
	for _, rest := range r.Rests {
		k := llm.Rest{Scope: rest.Scope, Provider: rest.Provider, Fingerprint: rest.Fingerprint, Model: rest.Model}
		if end := now.Add(rest.For); end.After(p.rests[k]) {
			p.rests[k], p.causes[k] = end, rest
		}
	}
}

func (p *turns) left(now time.Time, k llm.Rest) llm.Rest {
	r := p.causes[k]
	r.For = max(0, p.rests[k].Sub(now))
	return r
}

func (p *turns) Resting(now time.Time, provider, fp, model string) llm.Rest {
	var longest llm.Rest
	for _, k := range []llm.Rest{
		{Scope: llm.ScopeProvider, Provider: provider},
		{Scope: llm.ScopeKey, Provider: provider, Fingerprint: fp},
		{Scope: llm.ScopeKeyModel, Provider: provider, Fingerprint: fp, Model: model},
	} {
		if r := p.left(now, k); r.For > longest.For {
			longest = r
		}
	}
	return longest
}

func (p *turns) Admit(now time.Time, provider, model string) llm.Rest {
	r := p.left(now, llm.Rest{Scope: llm.ScopeBreaker, Provider: provider, Model: model})
	if r.For == 0 {
		return llm.Rest{}
	}
	return r
}

func (p *turns) Pick(_ time.Time, _, _ string, _ []config.Key, among []int, affinity uint64) int {
	if affinity != 0 {
		return among[affinity%uint64(len(among))]
	}
	for _, i := range among {
		if i >= p.next {
			p.next = i + 1
			return i
		}
	}
	p.next = among[0] + 1
	return among[0]
}

func (p *turns) Latency(_ time.Time, _, model string) time.Duration { return p.latency[model] }

// secs is a configured length.
func secs(n int64) *int64 { return &n }

// provider makes a provider with keys named by it: p-1, p-2, …
func provider(name string, keys int) *config.Provider {
	p := &config.Provider{Name: name, Enabled: true, Protocols: []llm.Protocol{llm.OpenAI},
		Errors: map[int]config.ErrorRule{}, RetryOnStatus: map[int]bool{500: true, 502: true, 503: true, 504: true}}
	for i := range keys {
		p.Keys = append(p.Keys, config.Key{Secret: config.NewSecret(name + "-" + string(rune('1'+i)))})
	}
	return p
}

// route makes a route of a provider to an upstream model.
func route(p *config.Provider, model string) *config.Route {
	return &config.Route{ID: p.Name + "-" + model, Provider: p, Model: model, Protocols: p.Protocols, Keys: p.Keys, Weight: 1,
		Timers: config.Timers{Connect: 5 * time.Second, FirstToken: time.Minute, Idle: time.Minute, Total: 10 * time.Minute}}
}

// model makes a logical model.
func model(name string, routes ...*config.Route) *config.Model {
	return &config.Model{LogicalName: name, Routes: routes, Strategy: "ordered"}
}

// snapshot holds models, with the settings' defaults.
func snapshot(models ...*config.Model) *config.Snapshot {
	s := &config.Snapshot{Models: map[string]*config.Model{}, Providers: map[string]*config.Provider{},
		Settings: config.Settings{KeyCooldown: 300 * time.Second, MaxKeyCycles: 1, BreakerFailures: 5, BreakerRest: 30 * time.Second, KeyAffinity: true}}
	for _, m := range models {
		s.Models[m.LogicalName] = m
		for _, r := range m.Routes {
			s.Providers[r.Provider.Name] = r.Provider
		}
	}
	return s
}

// chat is a request of an OpenAI client for a model.
func chat(model string) Job {
	return Job{Model: model, Protocol: llm.OpenAI, Endpoint: llm.ChatCompletions, Deadline: epoch.Add(10 * time.Minute)}
}

// trip drives a walk against one pool and clock.
type trip struct {
	t    *testing.T
	now  time.Time
	pool *turns
	walk *Walk
	took []string // provider/model/key of each attempt
}

func begin(t *testing.T, snap *config.Snapshot, job Job) *trip {
	t.Helper()
	w, err := Start(snap, job)
	if err != nil {
		t.Fatalf("Start: %v", err)
	}
	return &trip{t: t, now: epoch, pool: newTurns(), walk: w}
}

// next makes the next step, which has to exist.
func (tr *trip) next() Step {
	tr.t.Helper()
	step, err := tr.walk.Next(tr.now, tr.pool)
	if err != nil {
		tr.t.Fatalf("after %v: Next: %v", tr.took, err)
	}
	tr.now = tr.now.Add(step.Wait)
	tr.took = append(tr.took, step.Route.Provider.Name+"/"+step.Route.Model+"/"+step.Key.Secret.Reveal())
	return step
}

// fail ends the last step's attempt.
func (tr *trip) fail(f Failure) Verdict {
	tr.now = tr.now.Add(time.Millisecond)
	v := tr.walk.Failed(tr.now, f)
	tr.pool.report(tr.now, v.Report)
	return v
}

// run fails the attempts in turn, the last failure again and again, until
// nothing is left, and returns what the client is told.
func (tr *trip) run(failures ...Failure) *llm.Error {
	tr.t.Helper()
	for i := 0; ; i++ {
		if i > 500 {
			tr.t.Fatalf("no end: %v", tr.took[:20])
		}
		step, err := tr.walk.Next(tr.now, tr.pool)
		if err != nil {
			return asError(tr.t, err)
		}
		tr.now = tr.now.Add(step.Wait)
		tr.took = append(tr.took, step.Route.Provider.Name+"/"+step.Route.Model+"/"+step.Key.Secret.Reveal())
		tr.fail(failures[min(i, len(failures)-1)])
	}
}

func (tr *trip) wantTook(want ...string) {
	tr.t.Helper()
	if !slices.Equal(tr.took, want) {
		tr.t.Errorf("attempts:\n got %v\nwant %v", tr.took, want)
	}
}

func asError(t *testing.T, err error) *llm.Error {
	t.Helper()
	e, ok := err.(*llm.Error)
	if !ok {
		t.Fatalf("got %T %v, want *llm.Error", err, err)
	}
	return e
}

// answer is an error status with a body.
func answer(status int, body string) Failure {
	return Failure{Fault: Answered, Status: status, Body: []byte(body)}
}
