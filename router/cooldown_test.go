package router

import (
	"net/http"
	"testing"
	"time"

	"model-proxy/config"
	"model-proxy/internal/llm"
)

// The length of a rest is the first of its sources that is set.
func TestRestLength(t *testing.T) {
	type sources struct {
		header                                  http.Header
		status, route, override, model, general *int64
		global                                  time.Duration
	}
	all := sources{header("Retry-After", "1"), secs(2), secs(3), secs(4), secs(5), secs(6), 7 * time.Second}
	without := func(drop func(*sources)) sources { s := all; drop(&s); return s }
	for _, tt := range []struct {
		name string
		s    sources
		f    Failure // 429: key and model; 401: key
		want time.Duration
	}{
		{"the upstream's word", all, limited, time.Second},
		{"the file's for the status", without(func(s *sources) { s.header = nil }), limited, 2 * time.Second},
		{"the route's", without(func(s *sources) { s.header, s.status = nil, nil }), limited, 3 * time.Second},
		{"the provider's for the model", without(func(s *sources) { s.header, s.status, s.route = nil, nil, nil }), limited, 4 * time.Second},
		{"the model's", without(func(s *sources) { s.header, s.status, s.route, s.override = nil, nil, nil, nil }), limited, 5 * time.Second},
		{"not the provider's, but the global one", without(func(s *sources) { s.header, s.status, s.route, s.override, s.model = nil, nil, nil, nil, nil }), limited, 7 * time.Second},
		{"a key: the upstream's word", all, refusal, time.Second},
		{"a key: the file's for the status", without(func(s *sources) { s.header = nil }), refusal, 2 * time.Second},
		{"a key: the provider's", without(func(s *sources) { s.header, s.status = nil, nil }), refusal, 6 * time.Second},
		{"a key: the global one", without(func(s *sources) { s.header, s.status, s.general = nil, nil, nil }), refusal, 7 * time.Second},
		{"a length of 0 is a length", without(func(s *sources) { s.header, s.status = nil, secs(0) }), limited, 0},
		{"a negative length is none", without(func(s *sources) { s.header, s.status = nil, secs(-1) }), limited, 3 * time.Second},
		{"at most a day for a rate limit", without(func(s *sources) { s.header = header("Retry-After", "9999999") }), limited, 24 * time.Hour},
		{"at most a month for a spent quota", without(func(s *sources) { s.header = header("Retry-After", "9999999") }), spentFail, 31 * 24 * time.Hour},
		{"an absurd configuration", without(func(s *sources) { s.header, s.status = nil, secs(1<<62) }), limited, 31 * 24 * time.Hour},
		{"switched off", without(func(s *sources) { s.global = 0 }), limited, 0},
		{"switched off by a negative", without(func(s *sources) { s.global = -time.Second }), refusal, 0},
	} {
		p := provider("p", 1)
		p.CooldownSeconds = tt.s.general
		p.Errors[tt.f.Status] = config.ErrorRule{CooldownSeconds: tt.s.status}
		p.ModelOverrides = map[string]config.ModelOverride{"x": {CooldownSeconds: tt.s.override}}
		r := route(p, "x")
		r.CooldownSeconds = tt.s.route
		m := model("m", r)
		m.CooldownSeconds = tt.s.model
		snap := snapshot(m)
		snap.Settings.KeyCooldown = tt.s.global

		tr := begin(t, snap, chat("m"))
		tr.next()
		tt.f.Header = tt.s.header
		got := tr.fail(tt.f).Report.Rests
		if tt.want == 0 {
			if len(got) != 0 {
				t.Errorf("%s: got %+v, want no rest", tt.name, got)
			}
			continue
		}
		if len(got) != 1 || got[0].For != tt.want {
			t.Errorf("%s: got %+v, want one rest of %v", tt.name, got, tt.want)
		}
	}
}

func TestWhatRests(t *testing.T) {
	fp := config.NewSecret("p-1").Fingerprint()
	for _, tt := range []struct {
		name   string
		f      Failure
		action Action // the file's; "" for none
		want   llm.Rest
		health llm.Health
	}{
		{"rate limit", limited, "", llm.Rest{Scope: llm.ScopeKeyModel, Provider: "p", Fingerprint: fp, Model: "x", Cause: "rate_limit", Status: 429}, llm.HealthAlive},
		{"a limit of our own for the key", Failure{Fault: Answered, Status: 429, Unasked: true}, "", llm.Rest{Scope: llm.ScopeKeyModel, Provider: "p", Fingerprint: fp, Model: "x", Cause: "rate_limit", Status: 429}, llm.HealthUnknown},
		{"refused", refusal, "", llm.Rest{Scope: llm.ScopeKey, Provider: "p", Fingerprint: fp, Cause: "auth", Status: 401}, llm.HealthAlive},
		{"quota", spentFail, "", llm.Rest{Scope: llm.ScopeKey, Provider: "p", Fingerprint: fp, Cause: "quota", Status: 429}, llm.HealthAlive},
		{"provider", broken, ProviderCooldown, llm.Rest{Scope: llm.ScopeProvider, Provider: "p", Cause: "server_error", Status: 500}, llm.HealthFailing},
		{"ill upstream", broken, "", llm.Rest{}, llm.HealthFailing},
		{"overloaded", answer(529, ``), "", llm.Rest{}, llm.HealthFailing},
		{"overloaded behind a 429", answer(429, `{"error":{"type":"engine_overloaded_error"}}`), "", llm.Rest{}, llm.HealthAlive},
		{"time-out", late, "", llm.Rest{}, llm.HealthFailing},
		{"cut", dropped, "", llm.Rest{}, llm.HealthFailing},
		{"malformed", Failure{Fault: Malformed}, "", llm.Rest{}, llm.HealthFailing},
		{"no connection", unreached, "", llm.Rest{}, llm.HealthFailing},
		{"unfit", Failure{Fault: Unfit}, "", llm.Rest{}, llm.HealthUnknown},
		{"bad request", faulty, "", llm.Rest{}, llm.HealthAlive},
		{"content filter against the file", answer(403, `{"error":{"code":"content_filter"}}`), GlobalKeyFailure, llm.Rest{}, llm.HealthAlive},
		{"missing", missing, "", llm.Rest{}, llm.HealthAlive},
		{"first event overloaded", answer(200, `{"type":"error","error":{"type":"overloaded_error"}}`), "", llm.Rest{}, llm.HealthFailing},
		{"first event rate limited", answer(200, `{"error":{"code":429}}`), "", llm.Rest{Scope: llm.ScopeKeyModel, Provider: "p", Fingerprint: fp, Model: "x", Cause: "rate_limit", Status: 429}, llm.HealthAlive},
	} {
		p := provider("p", 1)
		if tt.action != "" {
			p.Errors[tt.f.Status] = config.ErrorRule{Action: string(tt.action)}
		}
		tr := begin(t, snapshot(model("m", route(p, "x"))), chat("m"))
		tr.next()
		r := tr.fail(tt.f).Report
		if tt.want.Scope != "" {
			tt.want.For = 300 * time.Second
		}
		var got llm.Rest
		if len(r.Rests) > 0 {
			got = r.Rests[0]
		}
		if got != tt.want || r.Health != tt.health {
			t.Errorf("%s:\n got %+v, %s\nwant %+v, %s", tt.name, got, r.Health, tt.want, tt.health)
		}
		if r.Provider != "p" || r.Model != "x" || r.Fingerprint != fp || r.BreakerFailures != 5 || r.BreakerRest != 30*time.Second || !r.Begun.Equal(epoch) {
			t.Errorf("%s: got report %+v", tt.name, r)
		}
	}
}

// A time-out that the client's own short deadline brought about says nothing
// about the upstream.
func TestHasteIsNoFailure(t *testing.T) {
	job := chat("m")
	job.Deadline = epoch.Add(50 * time.Millisecond)
	tr := begin(t, snapshot(model("m", route(provider("p", 1), "x"))), job)
	tr.next()
	tr.now = job.Deadline
	if got := tr.fail(late).Report.Health; got != llm.HealthUnknown {
		t.Errorf("got health %q, want unknown", got)
	}
}

func TestBreakerSwitchedOff(t *testing.T) {
	snap := snapshot(model("m", route(provider("p", 1), "x")))
	snap.Settings.KeyCooldown = 0
	tr := begin(t, snap, chat("m"))
	tr.next()
	if r := tr.fail(broken).Report; r.BreakerFailures != 0 {
		t.Errorf("got %d failures to open the breaker, want 0: off", r.BreakerFailures)
	}
}

func TestServedAndCancelled(t *testing.T) {
	tr := begin(t, snapshot(model("m", route(provider("p", 1), "x"))), chat("m"))
	tr.next()
	if r := tr.walk.Served(time.Second); r.Health != llm.HealthServed || r.FirstToken != time.Second || r.Model != "x" {
		t.Errorf("served: got %+v", r)
	}
	if r := tr.walk.Cancelled(); r.Health != llm.HealthUnknown || len(r.Rests) != 0 {
		t.Errorf("cancelled: got %+v", r)
	}
}
