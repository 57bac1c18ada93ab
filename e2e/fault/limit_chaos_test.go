package fault_test

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
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

	over := make(chan struct{})
	var clients sync.WaitGroup
	var mu sync.Mutex
	answers := map[string]map[int]int{counted: {}, bounded: {}}
	for k := range 40 {
		clients.Go(func() {
			key, p := []string{counted, bounded}[k%2], gatewaytest.Protocols[k%2] // each client by its own protocol
			for i := k; ; i++ {
				select {
				case <-over:
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
	close(over)
	clients.Wait()
	t.Logf("answers by status: %v", answers)

	ingresses = ingresses[:3]
	for _, g := range ingresses {
		settle(t, g)
	}
	u.AwaitOver(patience)
	if n := answers[counted][200]; n == 0 || n > perMinute {
		t.Errorf("%d answers to the client with %d requests a minute, want some and no more than that", n, perMinute)
	}
	if n := atOnce(u.Requests(), gatewaytest.Protocols[1].Path); n == 0 || n > parallel {
		t.Errorf("%d calls at one time for the client that may have %d, want some and no more than that", n, parallel)
	}
	all := 0
	gatewaytest.Await(t, patience, "the killed ingress's slots to be free", func() bool {
		all = 0
		for _, status := range burst(t, ingresses, parallel+5, gatewaytest.Protocols[1].Plain("again").With("Authorization", bounded, "X-Mock-Ttft", "1s")) {
			if status == 200 {
				all++
			}
		}
		return all >= parallel
	})
	if all != parallel {
		t.Errorf("afterwards %d requests at one time, want %d", all, parallel)
	}
}

// burst sends a request so many times at one time.
func burst(t *testing.T, over []*gatewaytest.Gateway, n int, r gatewaytest.Request) []int {
	t.Helper()
	statuses := make([]int, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { statuses[i] = over[i%len(over)].Do(t, r.With("X-Request-Id", "burst-"+strconv.Itoa(i))).Status })
	}
	all.Wait()
	return statuses
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
