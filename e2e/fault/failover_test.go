package fault_test

import (
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"model-proxy/e2e/gatewaytest"
	"model-proxy/internal/provider/mock"
)

// More provider keys.
const (
	secondKey = "sk-e2e-second-8c1d7f20b3"
	thirdKey  = "sk-e2e-third-93fa6e41d8"
)

var threeKeys = []string{"OPENAI_API_KEY_1=" + secondKey, "OPENAI_API_KEY_2=" + thirdKey}

// tried is what an attempt's record has to say.
type tried struct {
	outcome, timer, action string
	status                 int
}

// ok is an attempt that answered.
var ok = tried{outcome: "ok", status: 200}

// failovers are faults before the first answer byte: the client sees none of them.
var failovers = []struct {
	name  string
	setup func(t *testing.T, u *gatewaytest.Upstream) gatewaytest.Setup
	first mock.Fault // of the first call
	want  []tried
	both  bool // of both protocols; else OpenAI's alone
}{
	{name: "refused key", both: true, first: mock.Fault{Status: 401},
		want: []tried{{outcome: "error", action: "global_key_failure", status: 401}, ok}},
	{name: "spent quota", first: mock.Fault{Status: 429, ErrorType: "insufficient_quota"},
		want: []tried{{outcome: "error", action: "global_key_failure", status: 429}, ok}},
	{name: "rate limit", both: true, first: mock.Fault{Status: 429, RetryAfter: "7"},
		want: []tried{{outcome: "error", action: "model_key_failure", status: 429}, ok}},
	{name: "error as first event", both: true, first: mock.Fault{FirstEventError: true},
		want: []tried{{outcome: "error", action: "fallback_no_cooldown", status: 200}, ok}, setup: secondRoute},
	{name: "server error", both: true, first: mock.Fault{Status: 500}, setup: secondRoute,
		want: []tried{{outcome: "error", action: "fallback_no_cooldown", status: 500}, ok}},
	{name: "overloaded", both: true, first: mock.Fault{Status: 529}, setup: secondRoute,
		want: []tried{{outcome: "error", action: "fallback_no_cooldown", status: 529}, ok}},
	{name: "cut before the first event", both: true, first: mock.Fault{CutAfter: new(int)}, setup: secondRoute,
		want: []tried{{outcome: "cut", action: "fallback_no_cooldown", status: 200}, ok}},
	{name: "malformed first event", both: true, first: mock.Fault{MalformedAfter: new(int)}, setup: secondRoute,
		want: []tried{{outcome: "cut", action: "fallback_no_cooldown", status: 200}, ok}},
	{name: "silence", both: true, first: mock.Fault{TTFT: time.Minute}, setup: impatient,
		want: []tried{{outcome: "timeout", timer: "first_token", action: "fallback_no_cooldown"}, ok}},
	{name: "silence after the head", both: true, first: mock.Fault{StallAfter: new(int)}, setup: impatient,
		want: []tried{{outcome: "timeout", timer: "first_token", action: "fallback_no_cooldown", status: 200}, ok}},
	{name: "nobody listens", setup: deadRoute, want: []tried{{outcome: "cut", action: "fallback_no_cooldown"}, ok}},
	{name: "fallback model", first: mock.Fault{Status: 500}, setup: fallbackModel,
		want: []tried{{outcome: "error", action: "fallback_no_cooldown", status: 500}, ok}},
}

// secondRoute gives both models a second provider.
func secondRoute(_ *testing.T, u *gatewaytest.Upstream) gatewaytest.Setup {
	return gatewaytest.Setup{
		Env: []string{"SPARE_API_KEY=" + secondKey, "SPARE_ANTHROPIC_API_KEY=" + thirdKey},
		Files: map[string]gatewaytest.JSON{
			"providers/spare.json":           gatewaytest.Provider("spare", "openai", u.URL),
			"providers/spare-anthropic.json": gatewaytest.Provider("spare-anthropic", "anthropic", u.URL),
			"models/gpt.json":                gatewaytest.Model("gpt", "openai", "spare"),
			"models/claude.json":             gatewaytest.Model("claude", "anthropic", "spare-anthropic"),
		}}
}

// impatient is secondRoute with little patience: as much as a busy machine needs
// for what is not silent.
func impatient(t *testing.T, u *gatewaytest.Upstream) gatewaytest.Setup {
	s := secondRoute(t, u)
	for _, name := range []string{"models/gpt.json", "models/claude.json"} {
		s.Files[name] = gatewaytest.With(s.Files[name], gatewaytest.JSON{"timeout_seconds": 4})
	}
	return s
}

// deadRoute puts a provider before openai at whose address nobody listens.
func deadRoute(t *testing.T, _ *gatewaytest.Upstream) gatewaytest.Setup {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return gatewaytest.Setup{Env: []string{"DEAD_API_KEY=" + secondKey}, Files: map[string]gatewaytest.JSON{
		"providers/dead.json": gatewaytest.Provider("dead", "openai", "http://"+l.Addr().String()),
		"models/gpt.json":     gatewaytest.Model("gpt", "dead", "openai"),
	}}
}

// fallbackModel gives gpt another model to fall back to.
func fallbackModel(_ *testing.T, u *gatewaytest.Upstream) gatewaytest.Setup {
	return gatewaytest.Setup{Env: []string{"SPARE_API_KEY=" + secondKey}, Files: map[string]gatewaytest.JSON{
		"providers/spare.json": gatewaytest.Provider("spare", "openai", u.URL),
		"models/gpt.json":      gatewaytest.With(gatewaytest.Model("gpt", "openai"), gatewaytest.JSON{"fallback_model_routings": []string{"gpt-spare"}}),
		"models/spare.json":    gatewaytest.Model("gpt-spare", "spare"),
	}}
}

// moreKeys gives both providers a second key.
func moreKeys(*testing.T, *gatewaytest.Upstream) gatewaytest.Setup {
	return gatewaytest.Setup{Env: []string{"OPENAI_API_KEY_1=" + secondKey, "ANTHROPIC_API_KEY_1=" + thirdKey}}
}

// Whatever goes wrong before the first answer byte is tried elsewhere, and the
// client gets one whole answer; the records tell of every attempt.
func TestFailover(t *testing.T) {
	t.Parallel()
	for _, f := range failovers {
		for i, p := range gatewaytest.Protocols {
			if i > 0 && !f.both {
				continue
			}
			t.Run(f.name+"/"+string(p.Protocol), func(t *testing.T) {
				t.Parallel()
				u := gatewaytest.NewUpstream(t, mock.Options{})
				setup := f.setup
				if setup == nil {
					setup = moreKeys
				}
				g := gatewaytest.Run(t, u, setup(t, u))
				for _, kind := range kinds {
					n := int64(len(u.Requests()))
					u.Script(func(r *mock.Request) *mock.Fault {
						if r.Seq == n+1 {
							return &f.first
						}
						return nil
					})
					id := kind.name
					a := g.Do(t, kind.make(p, "hello").With("X-Request-Id", id))
					checkWhole(t, a, u.LastSent())
					if want := strconv.Itoa(len(f.want)); a.Header.Get("X-Model-Proxy-Attempts") != want {
						t.Errorf("%s: X-Model-Proxy-Attempts %s, want %s", id, a.Header.Get("X-Model-Proxy-Attempts"), want)
					}
					checkTried(t, g, id, f.want)
					if f.setup == nil {
						break // the key rests now: there is one left
					}
				}
			})
		}
	}
}

// checkTried compares a request's attempts.
func checkTried(t *testing.T, g *gatewaytest.Gateway, id string, want []tried) {
	t.Helper()
	if row := g.AwaitRow(t, id, soon); row.Outcome != "ok" || row.Attempts != len(want) {
		t.Errorf("request %s: %s with %d attempts, want ok with %d", id, row.Outcome, row.Attempts, len(want))
	}
	for i, a := range g.AwaitAttempts(t, id, len(want), soon) {
		if got := (tried{a.Outcome, a.Timer, a.Action, a.Status}); got != want[i] {
			t.Errorf("request %s, attempt %d: got %+v, want %+v", id, i+1, got, want[i])
		}
	}
}

// A key at its rate limit is left alone until the time its upstream named, by
// every worker, and that is one event, not one a request.
func TestRateLimitedKeyRests(t *testing.T) {
	t.Parallel()
	u := gatewaytest.NewUpstream(t, mock.Options{})
	u.FailKey(gatewaytest.OpenAIKey, mock.Fault{Status: 429, RetryAfter: "15"})
	g := gatewaytest.Run(t, u, gatewaytest.Setup{Env: threeKeys, Flags: []string{"--workers", "3"}})
	p := gatewaytest.Protocols[0]
	rested, limited := time.Time{}, 0
	for n := 0; limited == 0 || n < 30 && time.Since(rested) < 5*time.Second; n++ { // well before the rest is over, on a machine that stands still too
		if a := g.Do(t, p.Plain("hello")); a.Status != 200 {
			t.Fatalf("got %d: %s", a.Status, a.Body)
		}
		limited = 0
		for _, e := range u.Requests() {
			if e.Status == 429 {
				limited++
				rested = e.Time
			}
		}
	}
	if limited != 1 {
		t.Errorf("the resting key was used %d times, want once", limited)
	}
	if n := g.Metrics().Sum("model_proxy_cooldown_events_total"); n != 1 {
		t.Errorf("%v cooldown events, want 1", n)
	}
	gatewaytest.Await(t, soon, "the key to be used again", func() bool {
		g.Do(t, p.Plain("again"))
		e := u.Requests()
		return e[len(e)-1].Status == 429 || e[max(0, len(e)-2)].Status == 429
	})
	for _, e := range u.Requests() {
		if e.Status == 429 && e.Time.After(rested) && e.Time.Sub(rested) < 14900*time.Millisecond {
			t.Errorf("the key was used again after %v, want after 15 s", e.Time.Sub(rested))
		}
	}
}

// When nothing is left to try, the client gets the most telling answer, in its
// own protocol, and never a word about the gateway's own account.
func TestNothingLeft(t *testing.T) {
	t.Parallel()
	for _, last := range []struct {
		name       string
		fault      mock.Fault
		status     int
		retryAfter bool
		final      bool // told not to try again
		attempts   int
	}{
		{"every key at its limit", mock.Fault{Status: 429, RetryAfter: "7"}, 429, true, false, 2},
		{"every key refused", mock.Fault{Status: 401}, 502, false, true, 2},
		{"account forbidden", mock.Fault{Status: 403}, 502, false, true, 2},
		{"the request's own fault", mock.Fault{Status: 400, ErrorMessage: "max_tokens is too large"}, 400, false, false, 1},
		{"unprocessable", mock.Fault{Status: 422}, 422, false, false, 1},
	} {
		for _, p := range gatewaytest.Protocols {
			t.Run(last.name+"/"+string(p.Protocol), func(t *testing.T) {
				t.Parallel()
				u := gatewaytest.NewUpstream(t, mock.Options{Fault: last.fault})
				g := gatewaytest.Run(t, u, moreKeys(t, u))
				a := g.Do(t, p.Stream("hello").With("X-Request-Id", "last"))
				if a.Err != nil || a.Status != last.status {
					t.Errorf("got %d, %v: %s; want %d", a.Status, a.Err, a.Body, last.status)
				}
				if err := p.CheckError(a.Body); err != nil {
					t.Error(err)
				}
				checkHints(t, a, last.retryAfter, last.final)
				if n := len(u.Requests()); n != last.attempts {
					t.Errorf("the upstream was called %d times, want %d", n, last.attempts)
				}
				if row := g.AwaitRow(t, "last", soon); row.Outcome != "error" || row.Status != last.status || row.Attempts != last.attempts {
					t.Errorf("request: %s, %d, %d attempts; want error, %d, %d", row.Outcome, row.Status, row.Attempts, last.status, last.attempts)
				}
			})
		}
	}
}

// checkHints checks what an answer says about another try.
func checkHints(t *testing.T, a gatewaytest.Answer, retryAfter, final bool) {
	t.Helper()
	seconds, _ := strconv.Atoi(a.Header.Get("Retry-After"))
	if retryAfter && (seconds < 1 || seconds > 7) || !retryAfter && seconds != 0 {
		t.Errorf("Retry-After %q, want a time up to 7 s: %t", a.Header.Get("Retry-After"), retryAfter)
	}
	if got := a.Header.Get("X-Should-Retry"); final != (got == "false") {
		t.Errorf("X-Should-Retry %q, want false: %t", got, final)
	}
	if final && strings.Contains(a.Body, "simulated") {
		t.Errorf("the answer repeats what the upstream said of the gateway's account: %s", a.Body)
	}
}
