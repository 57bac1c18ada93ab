package fault_test

import (
	"strconv"
	"testing"
	"time"

	"model-proxy/e2e/gatewaytest"
	"model-proxy/internal/provider/mock"
)

// An ingress that is killed takes its clients with it: their upstream calls are
// cancelled, and what it can no longer record is recorded for it.
func TestIngressKilled(t *testing.T) {
	t.Parallel()
	u := gatewaytest.NewUpstream(t, mock.Options{Fault: mock.Fault{Delay: 50 * time.Millisecond, Chunks: 5000}})
	c := gatewaytest.NewCluster(t, u, gatewaytest.Setup{}, 2)
	other := c.AddIngress()
	const streams = 6
	var open []*gatewaytest.Stream
	for i := range streams {
		p := gatewaytest.Protocols[i%2]
		s := c.MustOpen(t, p.Stream("for nobody").With("X-Request-Id", "orphan-"+strconv.Itoa(i)))
		s.MustEvents(t, 5)
		open = append(open, s)
	}
	killed := time.Now()
	c.Kill()
	for i, s := range open {
		if got, err := s.Rest(); err == nil {
			t.Errorf("stream %d ended properly without its ingress: %q", i, got)
		}
	}
	for _, e := range u.AwaitOver(patience) {
		over := e.Time.Add(time.Duration(e.TotalMS * float64(time.Millisecond))).Sub(killed)
		if e.Outcome != mock.OutcomeCancelled || over > 6*time.Second {
			t.Errorf("upstream call %d: %s %v after the kill, want cancelled within 6 s", e.Seq, e.Outcome, over)
		}
	}
	t.Logf("from the kill to the last cancelled call: %v", time.Since(killed).Round(time.Millisecond))
	checkServes(t, other, gatewaytest.Protocols[0])
	for i := range streams { // the sink waits for 10 s of silence first
		id := "orphan-" + strconv.Itoa(i)
		if row := c.AwaitRow(t, id, 40*time.Second); row.Outcome != "incomplete" || row.ErrorType != "ingress_lost" {
			t.Errorf("request %s: got %s, %s; want incomplete, ingress_lost", id, row.Outcome, row.ErrorType)
		}
		if a := c.AwaitAttempts(t, id, 1, soon); a[0].Outcome != "cancelled" {
			t.Errorf("attempt of %s: got %s, want cancelled", id, a[0].Outcome)
		}
	}
}
