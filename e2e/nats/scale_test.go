package nats_test

import (
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"model-proxy/e2e/gatewaytest"
	"model-proxy/internal/provider/mock"
)

// Where the provider is what takes time, throughput grows with the number of
// workers: here each serves 4 requests of 200 ms at a time, 20 a second.
func TestThroughputGrowsWithWorkers(t *testing.T) {
	const slots, took, measured = 4, 200 * time.Millisecond, 3 * time.Second
	u := gatewaytest.NewUpstream(t, mock.Options{Fault: mock.Fault{TTFT: took}})
	c := gatewaytest.NewCluster(t, u, gatewaytest.Setup{Env: []string{"MODEL_PROXY_CONCURRENCY=" + strconv.Itoa(slots)}}, 0)
	p := gatewaytest.Protocols[0]
	rates := map[int]float64{}
	for _, n := range []struct {
		workers int
		times   float64 // the rate of one worker, at least
	}{{1, 0}, {2, 1.5}, {4, 2.5}} {
		workers := n.workers
		for len(c.Workers) < workers {
			c.AddWorker(c.BusURL())
		}
		gatewaytest.Await(t, patience, "the ingress to see the workers", func() bool { return c.Metrics().Sum("model_proxy_workers_seen") == float64(workers) })
		var answers atomic.Int64
		over := make(chan struct{})
		var clients sync.WaitGroup
		for range 2 * slots * workers { // so that every slot has its next request waiting
			clients.Go(func() {
				for {
					select {
					case <-over:
						return
					default:
					}
					if a := c.Do(t, p.Plain("hello")); a.Status != 200 {
						t.Errorf("got %d: %s", a.Status, a.Body)
						return
					}
					answers.Add(1)
				}
			})
		}
		gatewaytest.Await(t, patience, "the first answers", func() bool { return answers.Load() >= int64(slots*workers) })
		for try := 0; try == 0 || try < 3 && rates[workers] < n.times*rates[1]; try++ { // the machine may have had something else to do
			from, start := answers.Load(), time.Now()
			<-time.After(measured)
			rates[workers] = max(rates[workers], float64(answers.Load()-from)/time.Since(start).Seconds())
		}
		close(over)
		clients.Wait()
		t.Logf("%d workers: %.1f answers a second of %.0f possible", workers, rates[workers], float64(slots*workers)/took.Seconds())
		if rates[workers] < n.times*rates[1] {
			t.Errorf("answers a second by workers: %v; want them to grow in proportion", rates)
		}
	}
}
