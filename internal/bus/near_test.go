package bus_test

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"strconv"
	"testing"
	"time"

	"model-proxy/internal/bus"
	"model-proxy/internal/bus/bustest"
)

// everQueued is how many jobs the queue has seen.
func (g *gateway) everQueued() uint64 {
	g.t.Helper()
	queue, err := g.conn.JetStream().Stream(g.t.Context(), "REQ")
	if err != nil {
		g.t.Fatal(err)
	}
	return queue.CachedInfo().State.LastSeq
}

// pulls is how many pulls for jobs wait at the server.
func (g *gateway) pulls() int {
	g.t.Helper()
	c, err := g.conn.JetStream().Consumer(g.t.Context(), "REQ", "default-normal")
	if err != nil {
		g.t.Fatal(err)
	}
	return c.CachedInfo().NumWaiting
}

func TestJobForAFreeNeighbourIsNotQueued(t *testing.T) {
	for name, want := range map[string]uint64{"near": 0, "apart": 1} {
		t.Run(name, func(t *testing.T) {
			g := newGateway(t, nil)
			if name == "apart" {
				g.far = bustest.Apart(g.cfg)
			}
			g.worker(1, echo)
			body := bytes.Repeat([]byte("large "), 100_000) // from afar it is pulled in pieces
			call := g.submit(body)
			data, end := collect(t, call)
			if end.Err != nil || !bytes.Equal(data, body) {
				t.Fatalf("got %d bytes and %+v, want the %d sent", len(data), end.Err, len(body))
			}
			if s := call.State(); s.Deliveries != 1 || s.Attempts != 1 || s.WorkerID == "" || s.QueueTime <= 0 {
				t.Fatalf("state %+v, want 1 delivery and 1 attempt by a worker, some time after it came", s)
			}
			if n := g.everQueued(); n != want {
				t.Errorf("%d jobs were in the queue, want %d", n, want)
			}
		})
	}
}

// The queue spreads jobs over the workers of all processes as soon as there are several.
func TestJobsAreSharedWithWorkersElsewhere(t *testing.T) {
	g := newGateway(t, nil)
	near, _ := g.worker(100, echo)
	g.far = bustest.Apart(g.cfg)
	far, _ := g.worker(100, echo)
	served := map[string]int{}
	bustest.Wait(t, "the worker elsewhere to get jobs", func() bool {
		c := g.submit([]byte("{}"))
		collect(t, c)
		served[c.State().WorkerID]++
		return served[far.ID()] > 10
	})
	before := g.everQueued()
	for range 10 {
		collect(t, g.submit([]byte("{}")))
	}
	if n := g.everQueued() - before; n != 10 {
		t.Errorf("%d of 10 jobs were in the queue; %v served so far, near %s", n, served, near.ID())
	}
}

// While jobs wait, those that come later go behind them, also where a slot has
// just become free in the same process, and whoever's they are.
func TestNoJobOvertakesThoseThatWait(t *testing.T) {
	for _, theirs := range []string{"its own", "another's"} {
		t.Run("jobs of "+theirs, func(t *testing.T) {
			const waiting, later = 20, 200
			g := newGateway(t, nil)
			goOn := make(chan struct{})
			var started order
			g.worker(1, func(r *bus.Run) {
				r.Accept(nil)
				started.add(r.Client)
				<-goOn
				answer(r)
			})
			in := g.in
			if theirs == "another's" {
				in = g.ingress()
			}
			var want []string
			var calls []*bus.Call
			submit := func(in *bus.Ingress) { // each of another client, so that all wait in the queue itself
				n := len(want)
				want = append(want, strconv.Itoa(n))
				calls = append(calls, submitTo(t, in, want[n], bus.LaneNormal, int64(n)))
			}
			for range waiting {
				submit(in)
			}
			bustest.Wait(t, "all to be in the queue, and one given back by the worker", func() bool { return g.queued() == waiting-1 && g.pulls() == 0 })
			close(goOn)
			for range later { // while slots become free
				submit(g.in)
			}
			for _, c := range calls {
				collect(t, c)
			}
			if !slices.Equal(started.seen, want) {
				t.Errorf("jobs ran in the order %v", started.seen)
			}
		})
	}
}

// A worker that is stopping takes no more jobs by the short way either.
func TestStoppingNeighbourTakesNoJob(t *testing.T) {
	g := newGateway(t, nil)
	busy, goOn := make(chan struct{}), make(chan struct{})
	stopping := bus.NewWorker(bustest.Connect(t, g.cfg, "worker"), bus.WorkerConfig{ID: bus.NewWorkerID(), Pools: []string{bus.DefaultPool},
		Concurrency: 8, Drain: time.Minute, Log: slog.New(slog.DiscardHandler), Handle: func(r *bus.Run) {
			r.Accept(nil)
			close(busy)
			<-goOn
			answer(r)
		}})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	over := make(chan error, 1)
	go func() { over <- stopping.Run(ctx) }()
	bustest.Wait(t, "the ingress to hear of the worker", func() bool { return g.in.Workers() == 1 })
	first := g.submit([]byte("1"))
	<-busy
	stop()
	bustest.Wait(t, "the worker to ask for no more jobs", func() bool { return g.pulls() == 0 })
	other, _ := g.worker(8, echo)
	second := g.submit([]byte("2"))
	if data, end := collect(t, second); string(data) != "2" || second.State().WorkerID != other.ID() {
		t.Errorf("got %q, %+v by %s, want 2 by %s", data, end.Err, second.State().WorkerID, other.ID())
	}
	close(goOn)
	if data, end := collect(t, first); string(data) != "1" {
		t.Errorf("got %q and %+v of the job in flight", data, end.Err)
	}
	if err := <-over; err != nil {
		t.Error(err)
	}
}
