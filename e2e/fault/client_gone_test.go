package fault_test

import (
	"testing"
	"time"

	"model-proxy/e2e/gatewaytest"
	"model-proxy/internal/provider/mock"
)

// A client that hangs up stops the upstream call at once, and what the call has
// used up to then is recorded.
func TestClientHangsUp(t *testing.T) {
	t.Parallel()
	u := gatewaytest.NewUpstream(t, mock.Options{Fault: mock.Fault{Delay: 10 * time.Millisecond, Chunks: 5000}})
	g := gatewaytest.Run(t, u, gatewaytest.Setup{})
	seen := 0
	for _, when := range []struct {
		name   string
		events int // read before hanging up
		ttft   string
	}{{"mid-stream", 20, "0"}, {"before-first-byte", 0, "60s"}} {
		for _, p := range gatewaytest.Protocols {
			for _, kind := range kinds {
				if kind.name == "plain" && when.events > 0 {
					continue
				}
				t.Run(when.name+"/"+string(p.Protocol)+"/"+kind.name, func(t *testing.T) {
					seen++
					id := when.name + "-" + string(p.Protocol) + "-" + kind.name
					request := kind.make(p, "a question of some length").With("X-Request-Id", id, "X-Mock-Ttft", when.ttft)
					gone := hangUp(t, g, u, request, seen, when.events)
					e := u.AwaitOver(soon)[seen-1]
					late := g.Clock.Between(gone, gatewaytest.EndOf(e))
					t.Logf("from hanging up to the cancelled call: %v", late.Round(time.Millisecond/10))
					if e.Outcome != mock.OutcomeCancelled || late > 500*time.Millisecond {
						t.Errorf("upstream call: %s after %v, want cancelled within 100 ms", e.Outcome, late)
					}
					checkGone(t, g, id, when.events)
				})
			}
		}
	}
}

// hangUp sends a request and breaks its connection off, after so many events or
// as soon as the upstream has the request. It returns when that was.
func hangUp(t *testing.T, g *gatewaytest.Gateway, u *gatewaytest.Upstream, r gatewaytest.Request, n, events int) time.Time {
	t.Helper()
	if events > 0 {
		s := g.MustOpen(t, r)
		s.MustEvents(t, events)
		s.HangUp()
		return time.Now()
	}
	answer, hangUp := g.GoUntil(t, r)
	u.AwaitRequests(n, soon)
	hangUp()
	gone := time.Now()
	if a := <-answer; a.Err == nil {
		t.Errorf("got %d, want no answer", a.Status)
	}
	return gone
}

// checkGone checks the records of a request whose client hung up.
func checkGone(t *testing.T, g *gatewaytest.Gateway, id string, events int) {
	t.Helper()
	row := g.AwaitRow(t, id, soon)
	known := map[string]bool{"provider": true, "counted": true, "estimated": true}
	if row.Outcome != "client_gone" || !known[row.UsageSource] || row.PromptTokens == 0 {
		t.Errorf("request: got %s, prompt %d, usage %s; want client_gone with prompt tokens of a known source", row.Outcome, row.PromptTokens, row.UsageSource)
	}
	if events > 0 && row.CompletionTokens == 0 {
		t.Errorf("request: got no completion tokens after %d events", events)
	}
	a := g.AwaitAttempts(t, id, 1, soon)[0]
	if a.Outcome != "cancelled" || a.PromptTokens != row.PromptTokens || a.CompletionTokens != row.CompletionTokens {
		t.Errorf("attempt: got %s with %d and %d tokens; want cancelled with the request's %d and %d",
			a.Outcome, a.PromptTokens, a.CompletionTokens, row.PromptTokens, row.CompletionTokens)
	}
}
