package router

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"model-proxy/config"
	"model-proxy/internal/llm"
)

// The failures that tests speak of.
var (
	limited   = answer(429, `{"error":{"code":"rate_limit_exceeded"}}`)
	spentFail = answer(429, `{"error":{"code":"insufficient_quota"}}`)
	refusal   = answer(401, ``)
	broken    = answer(500, ``)
	faulty    = answer(400, `{"error":{"type":"invalid_request_error","message":"bad"}}`)
	missing   = answer(404, ``)
	dropped   = Failure{Fault: Cut}
	late      = Failure{Fault: Timeout, Timer: "first_token"}
	unreached = Failure{Fault: Dial}
)

func TestOrderOfAttempts(t *testing.T) {
	for _, tt := range []struct {
		name     string
		build    func() *config.Snapshot
		failures []Failure
		want     []string
	}{
		{"every key of a route, then the next route", func() *config.Snapshot {
			return snapshot(model("m", route(provider("a", 3), "x"), route(provider("b", 1), "y")))
		}, []Failure{limited}, []string{"a/x/a-1", "a/x/a-2", "a/x/a-3", "b/y/b-1"}},

		{"an ill upstream is left at once", func() *config.Snapshot {
			return snapshot(model("m", route(provider("a", 3), "x"), route(provider("b", 1), "y")))
		}, []Failure{broken, missing}, []string{"a/x/a-1", "b/y/b-1"}},

		{"fallback models after all routes, nearest first, cycles cut", func() *config.Snapshot {
			a := model("a", route(provider("p", 1), "a1"), route(provider("p", 1), "a2"))
			b, c, d := model("b", route(provider("p", 1), "b1")), model("c", route(provider("p", 1), "c1")), model("d", route(provider("p", 1), "d1"))
			a.Fallbacks, b.Fallbacks, c.Fallbacks, d.Fallbacks = []string{"b", "a", "c", "nowhere"}, []string{"d", "a"}, []string{"b"}, []string{"d"}
			m := snapshot(a, b, c, d)
			m.Models["m"] = a
			return m
		}, []Failure{missing}, []string{"p/a1/p-1", "p/a2/p-1", "p/b1/p-1", "p/c1/p-1", "p/d1/p-1"}},

		{"a model without routes goes to its fallback", func() *config.Snapshot {
			m := model("m")
			m.Fallbacks, m.Unusable = []string{"n"}, "provider \"a\" has no key"
			return snapshot(m, model("n", route(provider("b", 1), "y")))
		}, []Failure{missing}, []string{"b/y/b-1"}},

		{"a refused key is not taken for another model of the provider", func() *config.Snapshot {
			p := provider("p", 2)
			return snapshot(model("m", route(p, "x"), route(p, "y")))
		}, []Failure{refusal, missing}, []string{"p/x/p-1", "p/x/p-2", "p/y/p-2"}},

		{"a rate limit on one model leaves the other alone", func() *config.Snapshot {
			p := provider("p", 1)
			return snapshot(model("m", route(p, "x"), route(p, "y")))
		}, []Failure{limited}, []string{"p/x/p-1", "p/y/p-1"}},

		{"a spent quota rests the key for all models", func() *config.Snapshot {
			p := provider("p", 1)
			return snapshot(model("m", route(p, "x"), route(p, "y")))
		}, []Failure{spentFail}, []string{"p/x/p-1"}},

		{"one upstream model behind two routes: no key twice", func() *config.Snapshot {
			p := provider("p", 2)
			return snapshot(model("m", route(p, "x"), route(p, "x")))
		}, []Failure{missing}, []string{"p/x/p-1", "p/x/p-2"}},

		{"a provider that rests is left for all its routes", func() *config.Snapshot {
			p := provider("p", 2)
			p.Errors[500] = config.ErrorRule{Action: string(ProviderCooldown)}
			return snapshot(model("m", route(p, "x"), route(p, "y"), route(provider("q", 1), "z")))
		}, []Failure{broken, missing}, []string{"p/x/p-1", "q/z/q-1"}},

		{"a bad request is answered at once", func() *config.Snapshot {
			return snapshot(model("m", route(provider("a", 3), "x"), route(provider("b", 1), "y")))
		}, []Failure{faulty}, []string{"a/x/a-1"}},

		{"rounds over keys that do not rest", func() *config.Snapshot {
			s := snapshot(model("m", route(provider("a", 2), "x")))
			s.Settings.KeyCooldown, s.Settings.MaxKeyCycles = 0, 2
			return s
		}, []Failure{limited}, []string{"a/x/a-1", "a/x/a-2", "a/x/a-1", "a/x/a-2"}},

		{"no second round for keys that rest", func() *config.Snapshot {
			s := snapshot(model("m", route(provider("a", 2), "x")))
			s.Settings.MaxKeyCycles = 1 << 30
			return s
		}, []Failure{limited}, []string{"a/x/a-1", "a/x/a-2"}},

		{"without cooldowns still no key twice", func() *config.Snapshot {
			p := provider("p", 2)
			p.Errors[500] = config.ErrorRule{Action: string(ProviderCooldown)}
			s := snapshot(model("m", route(p, "x"), route(p, "y")))
			s.Settings.KeyCooldown = 0
			return s
		}, []Failure{limited, limited, broken}, []string{"p/x/p-1", "p/x/p-2", "p/y/p-1"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tr := begin(t, tt.build(), chat("m"))
			tr.run(tt.failures...)
			tr.wantTook(tt.want...)
		})
	}
}

func TestRetries(t *testing.T) {
	for _, tt := range []struct {
		name     string
		keys     int
		retries  int
		second   bool // another route stands behind
		failures []Failure
		want     []string
	}{
		{"a listed status, up to max_retries", 1, 2, false, []Failure{broken}, []string{"a/x/a-1", "a/x/a-1", "a/x/a-1"}},
		{"none asked for", 1, 0, false, []Failure{broken}, []string{"a/x/a-1"}},
		{"a status that is not listed", 1, 3, false, []Failure{answer(501, ``)}, []string{"a/x/a-1"}},
		{"a broken connection", 1, 1, false, []Failure{dropped}, []string{"a/x/a-1", "a/x/a-1"}},
		{"no connection", 1, 1, false, []Failure{unreached}, []string{"a/x/a-1", "a/x/a-1"}},
		{"a time-out before the first byte", 1, 1, false, []Failure{late}, []string{"a/x/a-1", "a/x/a-1"}},
		{"a request that does not fit", 1, 1, false, []Failure{{Fault: Unfit}}, []string{"a/x/a-1"}},
		{"the whole time used up", 1, 1, false, []Failure{{Fault: Timeout, Timer: "total"}}, []string{"a/x/a-1"}},
		{"only where no other route is usable", 1, 1, true, []Failure{broken, missing}, []string{"a/x/a-1", "b/y/b-1", "a/x/a-1"}},
		{"a rate limit never on the same key", 1, 3, false, []Failure{limited}, []string{"a/x/a-1"}},
		{"a refusal never on the same key", 1, 3, false, []Failure{refusal}, []string{"a/x/a-1"}},
		{"keys by turns, without one that was limited", 2, 3, false, []Failure{broken, limited, broken}, []string{"a/x/a-1", "a/x/a-2", "a/x/a-1", "a/x/a-1"}},
		{"a bad request ends it", 1, 3, false, []Failure{broken, faulty}, []string{"a/x/a-1", "a/x/a-1"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := provider("a", tt.keys)
			a.MaxRetries = tt.retries
			a.RetryOnStatus[429] = true
			m := model("m", route(a, "x"))
			if tt.second {
				m.Routes = append(m.Routes, route(provider("b", 1), "y"))
			}
			tr := begin(t, snapshot(m), chat("m"))
			tr.run(tt.failures...)
			tr.wantTook(tt.want...)
		})
	}
}

func TestRetryPause(t *testing.T) {
	a := provider("a", 1)
	a.MaxRetries = 50
	differ := map[time.Duration]bool{}
	for seed := range uint64(20) {
		job := chat("m")
		job.Seed = seed
		tr := begin(t, snapshot(model("m", route(a, "x"))), job)
		if step := tr.next(); step.Wait != 0 {
			t.Fatalf("first attempt waits %v, want 0", step.Wait)
		}
		tr.fail(broken)
		wait := tr.next().Wait
		if wait < 250*time.Millisecond || wait > 500*time.Millisecond {
			t.Errorf("seed %d: wait %v, want 250–500 ms", seed, wait)
		}
		differ[wait] = true
	}
	if len(differ) < 10 {
		t.Errorf("got %d different pauses of 20, want jitter", len(differ))
	}
}

func TestRetryNeedsTime(t *testing.T) {
	a := provider("a", 1)
	a.MaxRetries = 50
	job := chat("m")
	job.Deadline = epoch.Add(200 * time.Millisecond)
	tr := begin(t, snapshot(model("m", route(a, "x"))), job)
	if e := tr.run(broken); e.Status != 500 {
		t.Errorf("got %v, want the upstream's 500", e)
	}
	tr.wantTook("a/x/a-1")
}

func TestToolResponses(t *testing.T) {
	fixing := func() *config.Snapshot {
		p, q := provider("p", 2), provider("q", 1)
		p.Errors[422] = config.ErrorRule{Action: string(FixToolResponses)}
		q.Errors[422] = config.ErrorRule{Action: string(FixToolResponses)}
		return snapshot(model("m", route(p, "x"), route(q, "y")))
	}
	unfit := answer(422, `{"detail":"tool result missing"}`)

	tr := begin(t, fixing(), chat("m"))
	tr.next()
	if v := tr.fail(unfit); v.Action != FixToolResponses || v.Final != nil {
		t.Errorf("got %+v, want the tool results to be supplied", v)
	}
	if step := tr.next(); !step.SupplyToolResults || step.Attempt != 2 || step.Wait != 0 {
		t.Errorf("got %+v, want attempt 2 with tool results, at once", step)
	}
	if v := tr.fail(unfit); v.Action != ReturnToClient || v.Final == nil {
		t.Errorf("second time: got %+v, want it returned", v)
	}
	tr.wantTook("p/x/p-1", "p/x/p-1")

	tr = begin(t, fixing(), chat("m"))
	tr.run(unfit, broken, unfit, faulty)
	tr.wantTook("p/x/p-1", "p/x/p-1", "q/y/q-1", "q/y/q-1")
}

func TestStart(t *testing.T) {
	lost := model("lost")
	lost.Unusable = `provider "a" has no key`
	anthropic := route(provider("p", 1), "claude")
	anthropic.Protocols = []llm.Protocol{llm.Anthropic}
	snap := snapshot(lost, model("claude", anthropic))
	embed := Job{Model: "claude", Protocol: llm.OpenAI, Endpoint: llm.Embeddings}
	count := Job{Model: "claude", Protocol: llm.Anthropic, Endpoint: llm.CountTokens}

	for _, tt := range []struct {
		name   string
		job    Job
		status int
		words  string
	}{
		{"unknown", chat("nope"), 404, "nope"},
		{"unusable", chat("lost"), 503, `provider "a" has no key`},
		{"endpoint", embed, 400, "/v1/embeddings"},
	} {
		_, err := Start(snap, tt.job)
		if err == nil {
			t.Errorf("%s: got no error", tt.name)
			continue
		}
		e := asError(t, err)
		if e.HTTPStatus(llm.OpenAI) != tt.status || !strings.Contains(e.Message, tt.words) {
			t.Errorf("%s: got %d %q, want %d with %q", tt.name, e.HTTPStatus(llm.OpenAI), e.Message, tt.status, tt.words)
		}
		if tt.status == 503 && e.RetryAfter == 0 {
			t.Errorf("%s: got no Retry-After", tt.name)
		}
		if got := errors.Is(err, ErrNoEndpoint); got != (tt.name == "endpoint") {
			t.Errorf("%s: errors.Is(err, ErrNoEndpoint) = %v", tt.name, got)
		}
	}
	if _, err := Start(snap, count); err != nil {
		t.Errorf("count tokens of an Anthropic route: %v", err)
	}

	both := provider("o", 1)
	both.Protocols = []llm.Protocol{llm.OpenAI, llm.Responses}
	snap = snapshot(model("claude", route(both, "gpt")))
	if _, err := Start(snap, count); !errors.Is(err, ErrNoEndpoint) {
		t.Errorf("count tokens of a route that cannot: got %v, want ErrNoEndpoint", err)
	}
	both.Paths = map[llm.Endpoint]string{llm.ResponsesTokens: "/responses/input_tokens"}
	walk, err := Start(snap, count)
	if err != nil {
		t.Fatalf("count tokens of a route that can: %v", err)
	}
	if step, err := walk.Next(epoch, newTurns()); err != nil || step.Protocol != llm.Responses {
		t.Errorf("count tokens of a route that can: got %s, %v; want %s", step.Protocol, err, llm.Responses)
	}
}

func TestProtocol(t *testing.T) {
	reasons := llm.Capabilities{ReasoningEffortLevels: []string{"low", "high"}}
	for _, tt := range []struct {
		client llm.Protocol
		listed []llm.Protocol
		want   llm.Protocol
		model  llm.Capabilities
	}{
		{client: llm.OpenAI, listed: []llm.Protocol{llm.Responses, llm.OpenAI}, want: llm.OpenAI},
		{client: llm.Responses, listed: []llm.Protocol{llm.OpenAI, llm.Responses}, want: llm.Responses},
		{client: llm.Anthropic, listed: []llm.Protocol{llm.OpenAI}, want: llm.OpenAI},
		{client: llm.Anthropic, listed: []llm.Protocol{llm.OpenAI, llm.Anthropic}, want: llm.Anthropic},
		{client: llm.OpenAI, listed: []llm.Protocol{llm.Anthropic, llm.Gemini}, want: llm.Gemini},
		{client: llm.OpenAI, listed: []llm.Protocol{llm.Azure}, want: llm.Azure},
		{client: llm.OpenAI, listed: []llm.Protocol{llm.Anthropic}, want: llm.Anthropic},
		{client: llm.Responses, listed: []llm.Protocol{llm.Azure, llm.Anthropic}, want: llm.Azure},
		{client: llm.Responses, listed: []llm.Protocol{llm.Anthropic}, want: llm.Anthropic},
		{client: llm.Anthropic, listed: []llm.Protocol{llm.Responses}, want: llm.Responses},
		{client: llm.Anthropic, listed: []llm.Protocol{llm.OpenAI, llm.Responses}, want: llm.OpenAI},
		{client: llm.Anthropic, listed: []llm.Protocol{llm.OpenAI, llm.Responses}, want: llm.Responses, model: reasons},
		{client: llm.Anthropic, listed: []llm.Protocol{llm.OpenAI}, want: llm.OpenAI, model: reasons},
		{client: llm.OpenAI, listed: []llm.Protocol{llm.OpenAI, llm.Responses}, want: llm.OpenAI, model: reasons},
	} {
		r := route(provider("p", 1), "x")
		r.Protocols, r.Capabilities = tt.listed, tt.model
		job := chat("m")
		job.Protocol = tt.client
		if got := begin(t, snapshot(model("m", r)), job).next().Protocol; got != tt.want {
			t.Errorf("%s client, route lists %v: got %s, want %s", tt.client, tt.listed, got, tt.want)
		}
	}
}

func TestTimersEndAtTheDeadline(t *testing.T) {
	job := chat("m")
	job.Deadline = epoch.Add(3 * time.Second)
	tr := begin(t, snapshot(model("m", route(provider("p", 1), "x"))), job)
	got := tr.next().Timers
	if want := (config.Timers{Connect: 3 * time.Second, FirstToken: 3 * time.Second, Idle: 3 * time.Second, Total: 3 * time.Second}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}

	job.Deadline = time.Time{}
	r := route(provider("p", 1), "x")
	if got := begin(t, snapshot(model("m", r)), job).next().Timers; got != r.Timers {
		t.Errorf("without a deadline: got %+v, want %+v", got, r.Timers)
	}
}

func TestDeadlinePassed(t *testing.T) {
	job := chat("m")
	job.Deadline = epoch.Add(time.Second)
	tr := begin(t, snapshot(model("m", route(provider("p", 1), "x"), route(provider("q", 1), "y"))), job)
	tr.next()
	tr.now = job.Deadline
	tr.fail(late)
	_, err := tr.walk.Next(tr.now, tr.pool)
	e := asError(t, err)
	if e.HTTPStatus(llm.OpenAI) != http.StatusGatewayTimeout || !strings.Contains(e.Message, "p/x: timeout") {
		t.Errorf("got %d %q, want 504 naming p/x", e.HTTPStatus(llm.OpenAI), e.Message)
	}
}

func TestAttemptsCountOnOverDeliveries(t *testing.T) {
	job := chat("m")
	job.Attempts = 2
	tr := begin(t, snapshot(model("m", route(provider("p", 1), "x"))), job)
	if got := tr.next().Attempt; got != 3 {
		t.Errorf("got attempt %d, want 3", got)
	}
}

func TestAffinityIsAskedFor(t *testing.T) {
	job := chat("m")
	job.Affinity = 5
	snap := snapshot(model("m", route(provider("p", 3), "x")))
	if got := begin(t, snap, job).next().KeyIndex; got != 2 {
		t.Errorf("got key %d, want 2", got)
	}
	snap.Settings.KeyAffinity = false
	if got := begin(t, snap, job).next().KeyIndex; got != 0 {
		t.Errorf("with KEY_AFFINITY=off: got key %d, want 0", got)
	}
}

func TestAffinity(t *testing.T) {
	long := []byte(strings.Repeat("a", 5000))
	other := append([]byte("b"), long...)
	if got := Affinity("c", long[:4096]); got != 0 {
		t.Errorf("4096 bytes: got %d, want 0", got)
	}
	one := Affinity("c", long)
	if one == 0 || one != Affinity("c", append(long[:5000:5000], "more"...)) {
		t.Errorf("got %d and %d, want the same for one head", one, Affinity("c", append(long[:5000:5000], "more"...)))
	}
	if one == Affinity("d", long) || one == Affinity("c", other) {
		t.Error("another client or head has the same affinity")
	}
}

func TestOpenBreakerIsPassedBy(t *testing.T) {
	tr := begin(t, snapshot(model("m", route(provider("a", 2), "x"), route(provider("b", 1), "y"))), chat("m"))
	tr.pool.report(epoch, llm.Report{Rests: []llm.Rest{{Scope: llm.ScopeBreaker, Provider: "a", Model: "x", For: time.Minute}}})
	tr.run(missing)
	tr.wantTook("b/y/b-1")
}

func TestStrategies(t *testing.T) {
	routes := func() []*config.Route {
		p := provider("p", 1)
		a, b, c := route(p, "a"), route(p, "b"), route(p, "c")
		a.Weight, b.Weight, c.Weight = 1, 2, 7
		return []*config.Route{a, b, c}
	}

	t.Run("weighted", func(t *testing.T) {
		m := model("m", routes()...)
		m.Strategy = "weighted"
		first := map[string]int{}
		for seed := range uint64(2000) {
			job := chat("m")
			job.Seed = seed
			tr := begin(t, snapshot(m), job)
			tr.run(missing)
			if len(tr.took) != 3 {
				t.Fatalf("got %v, want every route once", tr.took)
			}
			first[tr.took[0]]++
		}
		for name, want := range map[string]int{"p/a/p-1": 200, "p/b/p-1": 400, "p/c/p-1": 1400} {
			if got := first[name]; got < want*3/4 || got > want*5/4 {
				t.Errorf("%s came first %d times of 2000, want about %d", name, got, want)
			}
		}
		if m.Routes[0].Model != "a" || m.Routes[2].Model != "c" {
			t.Error("the snapshot's routes were put into another order")
		}
	})

	t.Run("a weight of 0", func(t *testing.T) {
		m := model("m", routes()...)
		m.Strategy = "weighted"
		m.Routes[0].Weight, m.Routes[1].Weight = 0, 0
		for seed := range uint64(50) {
			job := chat("m")
			job.Seed = seed
			tr := begin(t, snapshot(m), job)
			tr.run(missing)
			tr.wantTook("p/c/p-1", "p/a/p-1", "p/b/p-1")
		}
	})

	t.Run("least_latency", func(t *testing.T) {
		m := model("m", routes()...)
		m.Strategy = "least_latency"
		tr := begin(t, snapshot(m), chat("m"))
		tr.pool.latency = map[string]time.Duration{"a": 300 * time.Millisecond, "c": 100 * time.Millisecond}
		tr.run(missing)
		tr.wantTook("p/b/p-1", "p/c/p-1", "p/a/p-1") // b is not known yet
	})
}
