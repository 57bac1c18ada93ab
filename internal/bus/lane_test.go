package bus_test

import (
	"bytes"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"model-proxy/internal/bus"
	"model-proxy/internal/bus/bustest"
	"model-proxy/internal/llm"
)

func TestLaneOf(t *testing.T) {
	for _, c := range []struct{ wanted, own, limit, want string }{
		{"", "normal", "", "normal"},
		{"", "low", "low", "low"},
		{"high", "normal", "", "high"},
		{"high", "normal", "normal", "normal"},
		{"high", "low", "low", "low"},
		{"normal", "low", "low", "low"},
		{"low", "normal", "normal", "low"},
		{"low", "high", "", "low"},
		{"urgent", "normal", "", ""},
		{"High", "normal", "", ""},
	} {
		got, ok := bus.LaneOf(c.wanted, c.own, c.limit)
		if got != c.want || ok != (c.want != "") {
			t.Errorf("asked for %q, client's own %q, limit %q: got %q, %t; want %q", c.wanted, c.own, c.limit, got, ok, c.want)
		}
	}
}

// submitFor submits a job of a client in a lane.
func (g *gateway) submitFor(client, lane string) *bus.Call {
	g.t.Helper()
	return submitTo(g.t, g.in, client, lane, g.n.Add(1))
}

// order keeps the lanes, or clients, of jobs in the order of their start.
type order struct {
	mu   sync.Mutex
	seen []string
}

func (o *order) add(s string) {
	o.mu.Lock()
	o.seen = append(o.seen, s)
	o.mu.Unlock()
}

func (o *order) first(n int) map[string]int {
	o.mu.Lock()
	defer o.mu.Unlock()
	count := map[string]int{}
	for _, s := range o.seen[:n] {
		count[s]++
	}
	return count
}

func (o *order) len() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.seen)
}

// While every lane has jobs waiting, a worker spends its slots on them as
// 8 : 4 : 1, whatever the number of its slots.
func TestLanesShareTheSlots(t *testing.T) {
	for name, slots := range map[string]int{"one slot": 1, "a few slots": 5, "many slots": 26} {
		t.Run(name, func(t *testing.T) {
			g := newGateway(t, nil)
			const each = 160
			calls := fill(g, each)
			var started order
			g.worker(slots, func(r *bus.Run) {
				started.add(r.Client[:1])
				echo(r)
			})
			for _, c := range calls {
				if _, end := collect(t, c); end.Err != nil {
					t.Fatal(end.Err)
				}
			}
			// Half of the heaviest lane: to its end all have work.
			got, want := started.first(130), map[string]int{"h": 80, "n": 40, "l": 10}
			for lane, n := range want {
				if got[lane] < n-n/4-2 || got[lane] > n+n/4+2 {
					t.Errorf("first 130 jobs: got %v, want about %v", got, want)
					break
				}
			}
			if n := started.len(); n != 3*each {
				t.Errorf("%d jobs ran, want each of %d once", n, 3*each)
			}
		})
	}
}

// fill puts jobs into every lane, each of another client, so that all of them
// wait in the queue itself.
func fill(g *gateway, each int) []*bus.Call {
	var calls []*bus.Call
	for n := range each {
		for _, lane := range []string{bus.LaneHigh, bus.LaneNormal, bus.LaneLow} {
			calls = append(calls, g.submitFor(lane[:1]+strconv.Itoa(n), lane))
		}
	}
	return calls
}

// A lane that has all the jobs has all the slots.
func TestOneLaneTakesEverySlot(t *testing.T) {
	for _, lane := range []string{bus.LaneHigh, bus.LaneNormal, bus.LaneLow} {
		t.Run(lane, func(t *testing.T) {
			g := newGateway(t, nil)
			const slots = 8
			var running atomic.Int64
			goOn := make(chan struct{})
			w, _ := g.worker(slots, func(r *bus.Run) {
				r.Accept(nil)
				running.Add(1)
				<-goOn
				answer(r)
			})
			var calls []*bus.Call
			for range 3 * slots {
				calls = append(calls, g.submitFor("c", lane))
			}
			bustest.Wait(t, "every slot to be used", func() bool { return running.Load() == slots })
			if w.Busy() != slots {
				t.Errorf("%d slots used, want %d", w.Busy(), slots)
			}
			close(goOn)
			for _, c := range calls {
				if _, end := collect(t, c); end.Err != nil {
					t.Error(end.Err)
				}
			}
		})
	}
}

// A job of another lane that comes while every worker is full goes to the first
// slot that becomes free, wherever that is, and runs once.
func TestJobIsGivenBackByBusyWorkers(t *testing.T) {
	for try := 1; ; try++ { // a machine that stands still leaves the job in somebody's hands for a second
		client, same := nextAfterBusyWorkers(t)
		if client == "b" && same {
			return
		}
		t.Logf("the next job is %s's, on the worker with a free slot: %t; want b's there", client, same)
		if try == 3 {
			t.Fatal("three times the job that was given back was not the next")
		}
	}
}

// nextAfterBusyWorkers fills every slot, has a more urgent job given back by all
// workers, frees one of them, and returns whose job runs next, and whether it is
// on that worker.
func nextAfterBusyWorkers(t *testing.T) (client string, same bool) {
	g := newGateway(t, nil)
	type run struct {
		worker int
		r      *bus.Run
		goOn   chan struct{}
	}
	runs := make(chan run, 100)
	const workers = 16 // more than a job may be moved
	for n := range workers {
		g.worker(1, func(r *bus.Run) {
			r.Accept(nil)
			me := run{n, r, make(chan struct{})}
			runs <- me
			<-me.goOn
			answer(r)
		})
	}
	var calls []*bus.Call
	var busy []run
	for range workers {
		calls = append(calls, g.submitFor("a", bus.LaneNormal))
		busy = append(busy, <-runs)
	}
	calls = append(calls, g.submitFor("b", bus.LaneHigh))
	js := bustest.Connect(t, g.cfg, "test").JetStream()
	bustest.Wait(t, "every worker to have given the job back", func() bool {
		c, err := js.Consumer(t.Context(), "REQ", "default-high")
		return err == nil && c.CachedInfo().NumWaiting == 0
	})
	calls = append(calls, g.submitFor("a", bus.LaneNormal))
	close(busy[7].goOn)
	next := <-runs
	close(next.goOn)
	last := <-runs
	close(last.goOn)
	for n, b := range busy {
		if n != 7 {
			close(b.goOn)
		}
	}
	for _, c := range calls {
		if _, end := collect(t, c); end.Err != nil {
			t.Error(end.Err)
		}
	}
	if len(runs) > 0 {
		t.Errorf("%d jobs ran twice", len(runs))
	}
	return next.r.Client, next.worker == busy[7].worker
}

// submitTo submits a job to one of several ingresses.
func submitTo(t testing.TB, in *bus.Ingress, client, lane string, n int64) *bus.Call {
	t.Helper()
	id := client + "-" + lane + "-" + strconv.FormatInt(n, 10)
	c, err := in.Submit(&bus.Job{ID: id, RequestID: id, Client: client, Endpoint: llm.ChatCompletions, Model: "m",
		Pool: bus.DefaultPool, Lane: lane, Deadline: time.Now().Add(2 * time.Minute), Body: bytes.Repeat([]byte("x"), 200)})
	if err != nil {
		t.Fatal(err)
	}
	return c
}
