package fault_test

import (
	"testing"
	"time"

	"model-proxy/e2e/gatewaytest"
	"model-proxy/internal/provider/mock"
)

// The gateway answers its first request within 300 ms of its start, and idle it
// costs next to nothing. Not parallel: what it measures is the process alone.
func TestStartAndIdle(t *testing.T) {
	u := gatewaytest.NewUpstream(t, mock.Options{})
	g := gatewaytest.Run(t, u, gatewaytest.Setup{})
	checkServes(t, g, gatewaytest.Protocols[0])
	ready := time.Since(g.Began)
	const idle = 5 * time.Second
	cpu := g.CPU(t)
	<-time.After(idle)
	share := 100 * float64(g.CPU(t)-cpu) / float64(idle)
	rss := g.RSS(t)
	t.Logf("start to first answer %v; idle: %.2f %% of a core, %.1f MiB", ready.Round(time.Millisecond), share, float64(rss)/(1<<20))
	if ready > time.Second {
		t.Errorf("first answer after %v, want 300 ms (1 s on a busy machine)", ready)
	}
	if rss > 2*40<<20 {
		t.Errorf("idle memory %d MiB, want under 40", rss>>20)
	}
	if share > 2 {
		t.Errorf("idle processor time %.2f %%, want under 1", share)
	}
}
