package fault_test

import (
	"strconv"
	"syscall"
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
		over := other.Clock.Between(killed, gatewaytest.EndOf(e))
		if e.Outcome != mock.OutcomeCancelled || over > 6*time.Second {
			t.Errorf("upstream call %d: %s %v after the kill, want cancelled within 6 s", e.Seq, e.Outcome, over)
		}
	}
	t.Logf("from the kill to the last cancelled call: %v", time.Since(killed).Round(time.Millisecond))
	checkServes(t, other, gatewaytest.Protocols[0])
	for i := range streams { // the sink waits for 10 s of silence first
		id := "orphan-" + strconv.Itoa(i)
		if row := c.AwaitRow(t, id, patience); row.Outcome != "incomplete" || row.ErrorType != "ingress_lost" {
			t.Errorf("request %s: got %s, %s; want incomplete, ingress_lost", id, row.Outcome, row.ErrorType)
		}
		if a := c.AwaitAttempts(t, id, 1, soon); a[0].Outcome != "cancelled" {
			t.Errorf("attempt of %s: got %s, want cancelled", id, a[0].Outcome)
		}
	}
}

// An ingress that is stopped for so long that its workers give its requests up finds
// streams that have ended without an end: their clients are told so. A request
// whose client has nothing yet is made again.
func TestIngressStoppedForAWhile(t *testing.T) {
	t.Parallel()
	u := gatewaytest.NewUpstream(t, mock.Options{Fault: mock.Fault{Delay: 50 * time.Millisecond, Chunks: 5000}})
	c := gatewaytest.NewCluster(t, u, gatewaytest.Setup{}, 2)
	var open []*gatewaytest.Stream
	for i, p := range gatewaytest.Protocols {
		s := c.MustOpen(t, p.Stream("on and on").With("X-Request-Id", "stopped-"+strconv.Itoa(i)))
		s.MustEvents(t, 5)
		open = append(open, s)
	}
	u.Script(func(r *mock.Request) *mock.Fault {
		if r.Seq == int64(len(open))+1 {
			return &mock.Fault{TTFT: time.Minute}
		}
		return &mock.Fault{}
	})
	plain := c.Go(t, gatewaytest.Protocols[0].Plain("hello").With("X-Request-Id", "stopped-plain"))
	u.AwaitRequests(len(open)+1, soon)
	stopped := time.Now()
	c.Signal(syscall.SIGSTOP)
	u.AwaitOver(patience)
	c.Signal(syscall.SIGCONT)
	long := time.Since(stopped) > 9*time.Second // the machine is slow: the sink may have closed the records
	for i, s := range open {
		got, err := s.Rest()
		if err != nil {
			t.Errorf("stream %d ended with %v, want a proper end of the body", i, err)
		}
		if err := gatewaytest.Protocols[i].CheckCut(got, u.Sent()[i]); err != nil {
			t.Errorf("stream %d: %v", i, err)
		}
		checkBroken(t, c.Gateway, "stopped-"+strconv.Itoa(i), "cancelled")
	}
	checkWhole(t, <-plain, u.LastSent())
	row, a := c.AwaitRow(t, "stopped-plain", soon), c.AwaitAttempts(t, "stopped-plain", 2, soon)
	if !long && (row.Outcome != "ok" || row.Attempts != 2) {
		t.Errorf("request: got %s with %d attempts, want ok with 2", row.Outcome, row.Attempts)
	}
	if a[0].Outcome != "cancelled" || a[1].Outcome != "ok" {
		t.Errorf("attempts: got %s and %s, want cancelled and ok", a[0].Outcome, a[1].Outcome)
	}
}

// What waited in the queue of an ingress that is killed is served to nobody, and
// recorded once for each request: by the sink where no worker is there, else by
// the worker that gets it.
func TestIngressKilledWithJobsInTheQueue(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		workers int
		running int // requests that the workers' slots hold
	}{{"no worker", 0, 0}, {"busy workers", 2, 4}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			u := gatewaytest.NewUpstream(t, mock.Options{Fault: mock.Fault{TTFT: time.Minute}})
			cluster := gatewaytest.NewCluster(t, u, gatewaytest.Setup{Env: []string{"MODEL_PROXY_CONCURRENCY=2", "CLIENT_API_KEY_2=" + gatewaytest.SecondClient}}, c.workers)
			other := cluster.AddIngress()
			lost := map[string]bool{} // by request: whether it runs
			ask := func(name string, running bool, header ...string) {
				id := name + "-" + strconv.Itoa(len(lost))
				lost[id] = running
				cluster.Go(t, gatewaytest.Protocols[len(lost)%2].Stream("for nobody").With(append(header, "X-Request-Id", id)...))
			}
			for range c.running {
				ask("running", true)
			}
			u.AwaitRequests(c.running, soon)
			for _, lane := range []string{"high", "normal", "low"} { // one of each in the queue, whatever the pace
				for _, key := range []string{gatewaytest.ClientKey, gatewaytest.SecondClient} {
					ask(lane, false, "Authorization", key, "X-Model-Proxy-Priority", lane, "X-Model-Proxy-Timeout-Ms", "20000")
				}
			}
			gatewaytest.Await(t, soon, "the requests to be in the queue", func() bool {
				return other.Metrics().Sum("model_proxy_queue_depth") == 6
			})
			cluster.Kill()
			gatewaytest.Await(t, patience, "a row for each request", func() bool { return len(cluster.Requests(t, "")) >= len(lost) })
			gatewaytest.Await(t, patience, "the queue to be empty", func() bool { return other.Metrics().Sum("model_proxy_queue_depth") == 0 })
			u.AwaitOver(patience)
			checkLost(t, cluster, lost)
			if n := len(u.Requests()); n != c.running {
				t.Errorf("the provider saw %d calls, want %d: nobody waits for the others' answers", n, c.running)
			}
		})
	}
}

// checkLost checks the records of requests whose ingress was killed; running says
// of each whether a worker had it.
func checkLost(t *testing.T, c *gatewaytest.Cluster, running map[string]bool) {
	t.Helper()
	for id, ran := range running {
		row := c.AwaitRow(t, id, patience)
		want := 0
		if ran {
			want = 1
		}
		if row.Outcome != "incomplete" || row.ErrorType != "ingress_lost" || row.Attempts != want || row.ClientID == "" || row.Priority == "" {
			t.Errorf("request %s: got %+v; want incomplete, ingress_lost, %d attempts, a client and a priority", id, row, want)
		}
		if a := c.AwaitAttempts(t, id, want, soon); ran && a[0].Outcome != "cancelled" {
			t.Errorf("attempt of %s: got %s, want cancelled", id, a[0].Outcome)
		}
	}
}
