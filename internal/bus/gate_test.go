package bus_test

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"model-proxy/internal/bus"
	"model-proxy/internal/bus/bustest"
	"model-proxy/internal/llm"
)

// ingress joins another ingress to the gateway's bus.
func (g *gateway) ingress() *bus.Ingress {
	g.t.Helper()
	in := bus.NewIngress(bustest.Connect(g.t, g.cfg, "ingress"), bus.IngressConfig{ID: bus.NewIngressID(), Log: slog.New(slog.DiscardHandler)})
	started := make(chan struct{})
	runUntilEnd(g.t, func(ctx context.Context) error { return in.Run(ctx, started) })
	<-started
	return in
}

// busyWorker is a worker whose jobs end when told to.
func (g *gateway) busyWorker(slots int) (started chan string, end chan struct{}) {
	started, end = make(chan string, 1000), make(chan struct{})
	g.worker(slots, func(r *bus.Run) {
		r.Accept(nil)
		started <- r.Client
		<-end
		answer(r)
	})
	return started, end
}

// queued is how many jobs wait in the stream.
func (g *gateway) queued() int64 {
	q, err := g.conn.Queue(g.t.Context())
	if err != nil {
		g.t.Fatal(err)
	}
	return q.Depth
}

// One tenant's burst waits with its ingress, not in the queue; another's job is
// served next.
func TestBurstLetsOthersPass(t *testing.T) {
	g := newGateway(t, nil)
	const slots, burst = 4, 100
	started, end := g.busyWorker(slots)
	var calls []*bus.Call
	for range slots {
		calls = append(calls, g.submitFor("a", bus.LaneNormal))
		<-started
	}
	bustest.Wait(t, "the pace to be known", func() bool { // when it is, one job of a tenant waits in the queue
		calls = append(calls, g.submitFor("a", bus.LaneNormal))
		return g.in.Held() > 0
	})
	for len(calls) < burst {
		calls = append(calls, g.submitFor("a", bus.LaneNormal))
	}
	before := g.queued()
	if before > 32 || g.in.Held() != burst-slots-before {
		t.Errorf("%d jobs in the queue and %d held, want at most 32 and the rest of %d", before, g.in.Held(), burst-slots)
	}
	calls = append(calls, g.submitFor("b", bus.LaneNormal))
	bustest.Wait(t, "another's job to be in the queue", func() bool { return g.queued() == before+1 })
	for n := int64(1); ; n++ {
		end <- struct{}{}
		if <-started == "b" {
			if n > before+1 {
				t.Errorf("b was served as number %d, want right after the %d in the queue", n, before)
			}
			break
		}
	}
	close(end)
	for _, c := range calls {
		if _, end := collect(t, c); end.Err != nil {
			t.Fatal(end.Err)
		}
	}
	if n := g.in.Held(); n != 0 {
		t.Errorf("%d jobs still held", n)
	}
}

// While workers have free slots nothing is held, however much comes at a time.
func TestNothingIsHeldWhileSlotsAreFree(t *testing.T) {
	for try := 1; ; try++ { // on a slow machine a worker's beat tells of slots that jobs still counted as waiting have
		held := heldOfABurst(t)
		if held == 0 {
			return
		}
		t.Logf("%d jobs held with as many slots as jobs, want none", held)
		if try == 3 {
			t.Fatal("three times jobs were held although slots were free")
		}
	}
}

// heldOfABurst submits as many jobs at once as a worker has slots, sees them all
// answered, and returns how many were held at most.
func heldOfABurst(t *testing.T) (held int64) {
	g := newGateway(t, nil)
	const burst = 400
	started, end := g.busyWorker(burst)
	var calls []*bus.Call
	for range burst {
		calls = append(calls, g.submitFor("a", bus.LaneNormal))
		held = max(held, g.in.Held())
	}
	for range burst {
		<-started
	}
	close(end)
	for _, c := range calls {
		if _, end := collect(t, c); end.Err != nil {
			t.Error(end.Err)
		}
	}
	return held
}

// Held jobs count against the bounds of the queue, over all ingresses, and a
// refusal says when to come again.
func TestHeldJobsCountAgainstTheBounds(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*bus.Config)
		client string // who comes last
		want   llm.Kind
	}{
		"a client's share": {func(c *bus.Config) { c.QueueMaxPerClient = 50 }, "a", llm.RateLimited},
		"the whole":        {func(c *bus.Config) { c.QueueMaxRequests = 50 }, "a", llm.Unavailable},
		"bytes":            {func(c *bus.Config) { c.QueueMaxBytes = 64 << 10 }, "a", llm.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGateway(t, c.change)
			started, end := g.busyWorker(1)
			defer close(end)
			g.submitFor("a", bus.LaneNormal)
			<-started
			refused := func(c *bus.Call) *llm.Error {
				for range 50 { // the queue's own answer takes its time
					f, ok := c.Next()
					if ok && f.End != nil {
						return f.End.Err
					}
				}
				return nil
			}
			var err *llm.Error
			n := 0
			for ; err == nil && n < 5000; n++ {
				err = refused(g.submitFor(c.client, bus.LaneNormal))
			}
			if err == nil || err.Kind != c.want || err.RetryAfter < time.Second {
				t.Fatalf("after %d jobs: %v; want %s with a time to wait", n, err, c.want)
			}
			if n > 1000 || name != "bytes" && (n < 50 || n > 52) {
				t.Errorf("refused at the %d-th job, want the bound to be 50", n)
			}
		})
	}
}

// A held job that nobody wants any more is forgotten.
func TestHeldJobCancelled(t *testing.T) {
	g := newGateway(t, nil)
	started, end := g.busyWorker(1)
	var calls []*bus.Call
	calls = append(calls, g.submitFor("a", bus.LaneNormal))
	<-started
	bustest.Wait(t, "jobs to be held", func() bool {
		calls = append(calls, g.submitFor("a", bus.LaneNormal))
		return g.in.Held() >= 10
	})
	for _, c := range calls[len(calls)-10:] {
		c.Cancel()
		if s := c.State(); s.Deliveries != 0 {
			t.Errorf("a held job has %d deliveries, want 0", s.Deliveries)
		}
		c.Close()
	}
	if n := g.in.Held(); n != 0 {
		t.Errorf("%d jobs held, want 0", n)
	}
	close(end)
	for _, c := range calls[:len(calls)-10] {
		if _, end := collect(t, c); end.Err != nil {
			t.Error(end.Err)
		}
	}
	if n := len(started); n != len(calls)-11 {
		t.Errorf("%d jobs ran, want %d", n+1, len(calls)-10)
	}
}

// A burst of many times what the workers can take, from one tenant over all
// ingresses, costs another tenant's trickle little: about the time until the
// next slot is free.
func TestTrickleBesideABurst(t *testing.T) {
	for name, ingresses := range map[string]int{"one ingress": 1, "three ingresses": 3} {
		t.Run(name, func(t *testing.T) {
			const slots, burst, mean = 8, 160, 80 * time.Millisecond
			g := newGateway(t, nil)
			g.worker(slots, func(r *bus.Run) {
				r.Accept(nil)
				work := time.NewTimer(mean/2 + rand.N(mean))
				defer work.Stop()
				select {
				case <-work.C:
				case <-r.Context().Done():
				}
				answer(r)
			})
			fleet := []*bus.Ingress{g.in}
			for len(fleet) < ingresses {
				fleet = append(fleet, g.ingress())
			}
			for _, in := range fleet {
				bustest.Wait(t, "every ingress to hear of the worker", func() bool { return in.Workers() == 1 })
			}
			collect(t, submitTo(t, fleet[0], "b", bus.LaneNormal, 0))

			var all sync.WaitGroup
			inBurst := make([]time.Duration, burst)
			for n := range burst {
				c := submitTo(t, fleet[n%ingresses], "a", bus.LaneNormal, int64(n))
				all.Go(func() {
					collect(t, c)
					inBurst[n] = c.State().QueueTime
				})
			}
			over := make(chan struct{})
			go func() { all.Wait(); close(over) }()
			var waits []time.Duration
			for n := int64(1); ; n++ {
				c := submitTo(t, fleet[int(n)%ingresses], "b", bus.LaneNormal, n)
				collect(t, c)
				select {
				case <-over:
				default:
					waits = append(waits, c.State().QueueTime)
					continue
				}
				break
			}
			slices.Sort(waits)
			slices.Sort(inBurst)
			p95 := waits[len(waits)*95/100]
			t.Logf("%d of b's jobs waited: median %v, p95 %v; a's: median %v; a slot becomes free every %v", len(waits), waits[len(waits)/2], p95, inBurst[burst/2], mean/slots)
			// One job may find the machine busy; a burst makes every one wait.
			if most := waits[len(waits)*3/4]; most > inBurst[burst/2]/2 {
				t.Errorf("three of four of b's jobs waited up to %v, half of a's up to %v; want much less than that", most, inBurst[burst/2])
			}
		})
	}
}
