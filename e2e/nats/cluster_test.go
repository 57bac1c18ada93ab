package nats_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"model-proxy/e2e/gatewaytest"
	"model-proxy/internal/provider/mock"
)

// replicated starts two ingresses, two workers and a sink on three NATS servers.
func replicated(t *testing.T, u *gatewaytest.Upstream) (*gatewaytest.NATSCluster, *gatewaytest.Cluster, *gatewaytest.Gateway) {
	t.Helper()
	n := gatewaytest.StartNATSCluster(t)
	c := gatewaytest.NewClusterOn(t, n, u, onThree, 2)
	return n, c, c.AddIngress()
}

// onThree is a setup for three NATS servers.
var onThree = gatewaytest.Setup{Env: []string{"NATS_REPLICAS=3", "BREAKER_FAILURES=1000000", "RATE_LIMIT_REQUESTS_PER_MINUTE=1000000"}}

// asked is one request of the load and what came of it.
type asked struct {
	id     string
	stream bool
	gatewaytest.Answer
}

// load sends requests over both ingresses until over is closed.
func load(t *testing.T, both []*gatewaytest.Gateway, clients int, over <-chan struct{}) [][]asked {
	t.Helper()
	all := make([][]asked, clients)
	var done sync.WaitGroup
	for k := range all {
		done.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-over:
					return
				default:
				}
				p := gatewaytest.Protocols[i%2]
				q := asked{id: fmt.Sprintf("load-%d-%d", k, i), stream: i%2 == 0}
				r := p.Plain("hello")
				if q.stream {
					r = p.Stream("hello")
				}
				q.Answer = both[k%2].Do(t, r.With("X-Request-Id", q.id))
				all[k] = append(all[k], q)
			}
		})
	}
	done.Wait()
	return all
}

// The server that leads the queue is shut down under load. Streams under way lose
// nothing; requests wait, or are told to come back; what was admitted has one
// record, and every call one attempt's.
func TestLeaderStops(t *testing.T) {
	t.Parallel()
	u := gatewaytest.NewUpstream(t, mock.Options{Fault: mock.Fault{TTFT: 20 * time.Millisecond, Delay: 20 * time.Millisecond, Chunks: 20}})
	n, c, other := replicated(t, u)
	both := []*gatewaytest.Gateway{c.Gateway, other}
	awaitServed(t, "the cluster to serve", both...)
	long := openLong(t, both, 6, 600)
	over := make(chan struct{})
	all := make(chan [][]asked, 1)
	go func() { all <- load(t, both, 8, over) }()
	gatewaytest.Await(t, patience, "the load to run", func() bool { return len(u.Requests()) > 60 })

	leader := n.Leader("REQ")
	stopped := time.Now()
	leader.Stop()
	awaitServed(t, "a request to be served without the old leader", both[0])
	t.Logf("served again after %v", time.Since(stopped).Round(time.Millisecond))
	for i, s := range long {
		if got, err := s.Rest(); err != nil || !gatewaytest.Protocols[i%2].Ended(got) {
			t.Errorf("stream %d: %v, properly ended %t", i, err, gatewaytest.Protocols[i%2].Ended(got))
		}
	}
	leader.Start()
	n.Await(patience)
	close(over)
	check(t, c, u, <-all)
}

// check compares answers, records and the provider's ledger.
func check(t *testing.T, c *gatewaytest.Cluster, u *gatewaytest.Upstream, all [][]asked) {
	t.Helper()
	statuses, refused := map[int]int{}, 0
	want := map[string]bool{}
	for _, list := range all {
		for _, q := range list {
			statuses[q.Status]++
			switch {
			case q.Err != nil:
				t.Errorf("%s: %v", q.id, q.Err)
			case q.Status == 503 && q.Header.Get("Retry-After") != "":
				refused++ // recorded if it had been admitted
			case q.Status != 200:
				t.Errorf("%s: got %d: %s", q.id, q.Status, q.Body)
			default:
				want[q.id] = true
			}
		}
	}
	t.Logf("answers: %v", statuses)
	rows := map[string]int{}
	gatewaytest.Await(t, patience, "a row for each answer", func() bool {
		clear(rows)
		for _, r := range c.Requests(t, "") {
			rows[r.RequestID]++
		}
		for id := range want {
			if rows[id] == 0 {
				return false
			}
		}
		return true
	})
	for id, n := range rows {
		if n != 1 && id != "probe" {
			t.Errorf("%d rows of %s, want 1", n, id)
		}
	}
	u.AwaitOver(patience)
	gatewaytest.Await(t, patience, "an attempt's row for each call", func() bool { return len(c.Attempts(t, "")) >= len(u.Requests()) })
	if got, calls := len(c.Attempts(t, "")), len(u.Requests()); got != calls {
		t.Errorf("%d rows of attempts for %d calls", got, calls)
	}
}
