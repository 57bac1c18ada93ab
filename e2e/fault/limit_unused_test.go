package fault_test

import (
	"strings"
	"testing"

	"model-proxy/e2e/gatewaytest"
	"model-proxy/internal/provider/mock"
)

// A request that leaves the queue untried has used none of its client's tokens,
// however many it had asked for.
func TestUntriedRequestUsesNoTokens(t *testing.T) {
	t.Parallel()
	large := gatewaytest.Protocols[1].Plain("hello") // asks for more than the limit
	for name, leave := range map[string]func(t *testing.T, g *gatewaytest.Gateway){
		"its deadline passes": func(t *testing.T, g *gatewaytest.Gateway) {
			if a := g.Do(t, large.With("X-Model-Proxy-Timeout-Ms", "300")); a.Status != 504 {
				t.Errorf("got %d, want 504: %s", a.Status, a.Body)
			}
		},
		"its client hangs up": func(t *testing.T, g *gatewaytest.Gateway) {
			_, hangUp := g.GoUntil(t, large)
			gatewaytest.Await(t, patience, "the request to be admitted", func() bool { return g.Metrics().Sum("model_proxy_inflight_requests") == 2 })
			hangUp()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := gatewaytest.NewUpstream(t, mock.Options{})
			g := gatewaytest.Run(t, u, gatewaytest.Setup{Env: []string{"RATE_LIMIT_TOKENS_PER_MINUTE=50000"}, Flags: []string{"--concurrency", "1"}})
			running := g.MustOpen(t, gatewaytest.Protocols[0].Stream("on and on").With("X-Mock-Chunks", "100000", "X-Mock-Delay", "20ms"))
			running.MustEvents(t, 2) // the only slot is taken
			leave(t, g)
			running.HangUp()
			gatewaytest.Await(t, patience, "all to have ended", func() bool { return g.Metrics().Sum("model_proxy_inflight_requests") == 0 })
			if a := g.Do(t, gatewaytest.Protocols[0].Plain("hello")); a.Status != 200 {
				t.Errorf("the next one: got %d, want 200: %s", a.Status, a.Body)
			}
		})
	}
}

// Counting tokens uses none.
func TestCountingUsesNoTokens(t *testing.T) {
	t.Parallel()
	u := gatewaytest.NewUpstream(t, mock.Options{})
	g := gatewaytest.Run(t, u, gatewaytest.Setup{Env: []string{"RATE_LIMIT_TOKENS_PER_MINUTE=1000"}})
	count := gatewaytest.Protocols[1].Plain(strings.Repeat("many words ", 2000))
	count.Path += "/count_tokens"
	for i := range 3 {
		if a := g.Do(t, count); a.Status != 200 {
			t.Errorf("count %d: got %d, want 200: %s", i, a.Status, a.Body)
		}
	}
	if a := g.Do(t, gatewaytest.Protocols[0].Plain("hello")); a.Status != 200 {
		t.Errorf("a request: got %d, want 200: %s", a.Status, a.Body)
	}
}
