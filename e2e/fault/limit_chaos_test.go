package fault_test

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"model-proxy/e2e/gatewaytest"
	"model-proxy/internal/provider/mock"
)

// Limits hold while workers, and at last an ingress, are killed at random: never
// more requests in a minute, never more at one time than a client may have. When
// it is over all of it is free again.
func TestLimitsHoldInChaos(t *testing.T) {
	t.Parallel()
	const perMinute, parallel = 150, 10
	const counted, bounded = "ck-e2e-counted-5f31aa09", "ck-e2e-bounded-c7720be4"
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	u := gatewaytest.NewUpstream(t, mock.Options{Fault: mock.Fault{TTFT: 100 * time.Millisecond}})
	c := gatewaytest.NewCluster(t, u, gatewaytest.Setup{Env: []string{"BREAKER_FAILURES=1000000", "COUNTED_KEY=" + counted, "BOUNDED_KEY=" + bounded},
		Clients: []gatewaytest.JSON{{"id": "counted", "key_env": "COUNTED_KEY", "requests_per_minute": perMinute},
			{"id": "bounded", "key_env": "BOUNDED_KEY", "max_parallel_requests": parallel}}}, 8)
	ingresses := []*gatewaytest.Gateway{c.Gateway, c.AddIngress(), c.AddIngress(), c.AddIngress()}

	began, stop := time.Now(), make(chan struct{})
	var clients sync.WaitGroup
	var mu sync.Mutex
	answers := map[string]map[int]int{counted: {}, bounded: {}}
	for k := range 40 {
		clients.Go(func() {
			key, p := []string{counted, bounded}[k%2], gatewaytest.Protocols[k%2] // each client by its own protocol
			for i := k; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				a := ingresses[i%len(ingresses)].Do(t, p.Stream("hello").With("Authorization", key))
				mu.Lock()
				answers[key][a.Status]++
				mu.Unlock()
			}
		})
	}
	gatewaytest.Await(t, soon, "the load to run", func() bool { return len(u.Requests()) > 50 })
	tick := time.NewTicker(700 * time.Millisecond)
	defer tick.Stop()
	for range 8 {
		<-tick.C
		c.Workers[len(c.Workers)-8+random.IntN(8)].Kill()
		c.AddWorker(c.BusURL())
	}
	ingresses[3].Kill()
	<-tick.C
	close(stop)
	clients.Wait()
	over := time.Now()
	t.Logf("answers by status: %v", answers)

	ingresses = ingresses[:3]
	for _, g := range ingresses {
		settle(t, g)
	}
	u.AwaitOver(patience)
	most := perMinute * (1 + int(over.Sub(began)/time.Minute)) // a machine may be slow enough for room to come back
	if n := answers[counted][200]; n == 0 || n > most {
		t.Errorf("%d answers to the client with %d requests a minute, want some and no more than %d", n, perMinute, most)
	}
	if n := atOnce(u.Requests(), gatewaytest.Protocols[1].Path); n == 0 || n > parallel {
		t.Errorf("%d calls at one time for the client that may have %d, want some and no more than that", n, parallel)
	}
	all := 0
	gatewaytest.Await(t, patience, "the killed ingress's slots to be free", func() bool {
		all = atOneTime(t, u, ingresses, parallel+5, gatewaytest.Protocols[1].Plain("again").With("Authorization", bounded))
		return all >= parallel
	})
	if all != parallel {
		t.Errorf("afterwards %d requests at one time, want %d", all, parallel)
	}
}

// atOneTime sends a request n times and returns how many were not refused: none
// is answered before all have come as far as they may.
func atOneTime(t *testing.T, u *gatewaytest.Upstream, over []*gatewaytest.Gateway, n int, r gatewaytest.Request) int {
	t.Helper()
	come := make(chan struct{})
	answer := sync.OnceFunc(func() { close(come) })
	t.Cleanup(answer)
	u.Script(func(*mock.Request) *mock.Fault { <-come; return nil })
	before := len(u.Requests())
	var refused atomic.Int64
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			if over[i%len(over)].Do(t, r.With("X-Request-Id", "at-one-time-"+strconv.Itoa(i))).Status != 200 {
				refused.Add(1)
			}
		})
	}
	gatewaytest.Await(t, patience, "each request to be refused or called", func() bool { return int(refused.Load())+len(u.Requests())-before >= n })
	answer()
	all.Wait()
	return n - int(refused.Load())
}

// atOnce is how many calls of a path there were at one time, at most.
func atOnce(calls []mock.Entry, path string) (most int) {
	type edge struct {
		at time.Time
		by int
	}
	var edges []edge
	for _, e := range calls {
		if e.Path != path {
			continue
		}
		edges = append(edges, edge{e.Time, 1}, edge{gatewaytest.EndOf(e), -1})
	}
	slices.SortFunc(edges, func(a, b edge) int {
		if c := a.at.Compare(b.at); c != 0 {
			return c
		}
		return a.by - b.by
	})
	n := 0
	for _, e := range edges {
		n += e.by
		most = max(most, n)
	}
	return most
}
