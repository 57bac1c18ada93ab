package fault_test

import (
	"strconv"
	"sync"
	"testing"
	"time"

	"model-proxy/e2e/gatewaytest"
	"model-proxy/internal/provider/mock"
)

// Two thousand clients that break off leave nothing behind but their records.
func TestAbortedStreams(t *testing.T) {
	t.Parallel()
	const (
		aborted = 2000
		atOnce  = 50
	)
	u := gatewaytest.NewUpstream(t, mock.Options{Fault: mock.Fault{Delay: 20 * time.Millisecond, Chunks: 2000}})
	g := gatewaytest.Run(t, u, gatewaytest.Setup{Env: []string{"RATE_LIMIT_REQUESTS_PER_MINUTE=1000000000", "RATE_LIMIT_TOKENS_PER_MINUTE=1000000000000"}})
	abort := func(from, n int) {
		var all sync.WaitGroup
		for k := range atOnce {
			all.Go(func() {
				for i := from + k; i < from+n; i += atOnce {
					p := gatewaytest.Protocols[i%2]
					s, err := g.Open(t, p.Stream("never mind").With("X-Request-Id", "aborted-"+strconv.Itoa(i)))
					if err == nil {
						err = s.Events(3)
						s.HangUp()
					}
					if err != nil {
						t.Errorf("stream %d: %v", i, err)
					}
				}
			})
		}
		all.Wait()
	}
	abort(0, aborted/10) // buffers and pools get their size
	settle(t, g)
	goroutines, rss := g.Metrics().Sum("go_goroutines"), g.RSS(t)
	abort(aborted/10, aborted-aborted/10)
	settle(t, g)
	gatewaytest.Await(t, soon, "as few goroutines as at the start", func() bool { return g.Metrics().Sum("go_goroutines") <= goroutines+20 })
	t.Logf("goroutines %.0f, then %.0f; memory %d MiB, then %d MiB", goroutines, g.Metrics().Sum("go_goroutines"), rss>>20, g.RSS(t)>>20)
	if now := g.RSS(t); now > rss+64<<20 {
		t.Errorf("memory grew from %d to %d MiB", rss>>20, now>>20)
	}
	for _, e := range u.AwaitOver(soon) {
		if e.Outcome != mock.OutcomeCancelled {
			t.Errorf("upstream call %d: %s, want cancelled", e.Seq, e.Outcome)
		}
	}
	checkRows(t, g, aborted)
}

// settle waits until every gauge of what is under way is back at 0.
func settle(t *testing.T, g *gatewaytest.Gateway) {
	t.Helper()
	for _, name := range []string{"model_proxy_inflight_requests", "model_proxy_worker_slots_used", "model_proxy_limit_reserved",
		"model_proxy_records_pending", "model_proxy_queue_depth", "model_proxy_body_bytes"} {
		gatewaytest.Await(t, patience, name+" to be 0", func() bool { return g.Metrics().Sum(name) == 0 })
	}
}

// checkRows checks that there are n requests, each with one row and one attempt.
func checkRows(t *testing.T, g *gatewaytest.Gateway, n int) {
	t.Helper()
	gatewaytest.Await(t, soon, "the last record", func() bool { return len(g.Requests(t, "")) >= n && len(g.Attempts(t, "")) >= n })
	rows := map[string]int{}
	for _, row := range g.Requests(t, "") {
		rows[row.JobID]++
		if row.Outcome != "client_gone" {
			t.Errorf("request %s: got %s, want client_gone", row.RequestID, row.Outcome)
		}
	}
	attempts := g.Attempts(t, "")
	for _, a := range attempts {
		if rows[a.JobID] != 1 || a.Outcome != "cancelled" {
			t.Errorf("attempt of %s: %s, and its request has %d rows; want cancelled and 1", a.RequestID, a.Outcome, rows[a.JobID])
		}
	}
	if len(rows) != n || len(attempts) != n {
		t.Errorf("got %d requests and %d attempts, want %d each", len(rows), len(attempts), n)
	}
}
