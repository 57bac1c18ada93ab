package limit

import (
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// What a request says of its answer is any number. A huge one takes the limit
// and no more: the counters still add up, and all comes back.
func TestHugeMaxTokens(t *testing.T) {
	for _, row := range []struct {
		name      string
		maxTokens int64
	}{
		{"the largest there is", math.MaxInt64},
		{"half of it", math.MaxInt64 / 2},
	} {
		t.Run(row.name, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T, s *server.Server) {
				a, b := startIngress(t, s, "a"), startIngress(t, s, "b")
				c := Client{ID: "c", TokensPerMinute: 1000}
				g := mustAdmit(t, a, c, Estimate{Prompt: 10, MaxTokens: row.maxTokens})
				for _, in := range []*ingress{a, b, a} {
					mustRefuse(t, in, c, Estimate{Prompt: 10, MaxTokens: row.maxTokens}, TPM)
					time.Sleep(time.Second)
				}
				g.Settle(10, 10)
				g.Release()
				synctest.Wait()
				time.Sleep(time.Second)
				last := mustAdmit(t, b, c, Estimate{Prompt: 9, MaxTokens: 1})
				if got := last.Levels().Tokens.Remaining; got != 970 {
					t.Errorf("got %d remaining, want 970", got)
				}
			})
		})
	}
}
