package fault_test

import (
	"testing"
	"time"

	"model-proxy/e2e/gatewaytest"
	"model-proxy/internal/llm"
	"model-proxy/internal/provider/mock"
)

// A stream that waits for 15 s gets its status line and a keep-alive; failover
// goes on all the same, and the answer is whole.
func TestKeepAlive(t *testing.T) {
	t.Parallel()
	for _, p := range gatewaytest.Protocols {
		for _, first := range []struct {
			name   string
			fault  mock.Fault
			failed bool
		}{
			{"slow", mock.Fault{TTFT: 17 * time.Second}, false},
			{"failing late", mock.Fault{TTFT: 16 * time.Second, Status: 429}, true},
		} {
			t.Run(string(p.Protocol)+"/"+first.name, func(t *testing.T) {
				t.Parallel()
				u := gatewaytest.NewUpstream(t, mock.Options{})
				u.Script(func(r *mock.Request) *mock.Fault {
					if r.Seq == 1 {
						return &first.fault
					}
					return nil
				})
				g := gatewaytest.Run(t, u, moreKeys(t, u))
				began := time.Now()
				s := g.MustOpen(t, p.Stream("hello").With("X-Request-Id", "patient"))
				if waited, active := time.Since(began), g.Clock.Since(began); waited < 14*time.Second || active > 16*time.Second {
					t.Errorf("status line after %v (%v of the machine), want after 15 s", waited, active)
				}
				got, err := s.Rest()
				if want := keepAlive(p) + u.LastSent(); err != nil || got != want {
					t.Errorf("got %q, %v; want %q", got, err, want)
				}
				want := []tried{ok}
				if first.failed {
					want = []tried{{outcome: "error", action: "model_key_failure", status: 429}, ok}
				}
				checkTried(t, g, "patient", want)
			})
		}
	}
}

// keepAlive is what a silent stream gets.
func keepAlive(p gatewaytest.Protocol) string {
	if p.Protocol == llm.Anthropic {
		return "event: ping\ndata: {\"type\": \"ping\"}\n\n"
	}
	return ": keep-alive\n\n"
}

// A stream that had its status line already ends with an error event when
// nothing is left to try.
func TestFailureAfterKeepAlive(t *testing.T) {
	t.Parallel()
	for _, p := range gatewaytest.Protocols {
		t.Run(string(p.Protocol), func(t *testing.T) {
			t.Parallel()
			u := gatewaytest.NewUpstream(t, mock.Options{Fault: mock.Fault{TTFT: 16 * time.Second, Status: 400}})
			g := gatewaytest.Run(t, u, gatewaytest.Setup{})
			a := g.Do(t, p.Stream("hello").With("X-Request-Id", "late"))
			if a.Status != 200 || a.Err != nil {
				t.Errorf("got %d, %v; want 200 and a proper end of the body", a.Status, a.Err)
			}
			if err := p.CheckCut(a.Body, keepAlive(p)); err != nil {
				t.Error(err)
			}
			if row := g.AwaitRow(t, "late", soon); row.Outcome != "error" {
				t.Errorf("request: %s, want error: no answer byte was sent", row.Outcome)
			}
		})
	}
}
