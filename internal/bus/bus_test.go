package bus_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"model-proxy/e2e/clock"
	"model-proxy/internal/bus"
	"model-proxy/internal/bus/bustest"
	"model-proxy/internal/llm"
)

// gateway is one ingress on a server of its own.
type gateway struct {
	cfg  bus.Config // of the ingress
	far  bus.Config // of the workers
	conn *bus.Conn  // the ingress's
	in   *bus.Ingress
	t    testing.TB
	n    atomic.Int64
	mu   sync.Mutex
	lost []string // workers whose attempts were lost
}

func newGateway(t testing.TB, change func(*bus.Config)) *gateway {
	t.Helper()
	g := &gateway{cfg: bustest.Config(t), t: t}
	if change != nil {
		change(&g.cfg)
	}
	g.far = g.cfg
	g.conn = bustest.Connect(t, g.cfg, "ingress")
	if err := g.conn.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	g.in = bus.NewIngress(g.conn, bus.IngressConfig{ID: bus.NewIngressID(), Log: slog.New(slog.DiscardHandler),
		Lost: func(l bus.Loss) {
			g.mu.Lock()
			g.lost = append(g.lost, l.Worker)
			g.mu.Unlock()
		}})
	started := make(chan struct{})
	runUntilEnd(t, func(ctx context.Context) error { return g.in.Run(ctx, started) })
	<-started
	return g
}

// nearAndApart runs a test with workers that share the ingress's process, and
// with workers that reach it by the server alone.
func nearAndApart(t *testing.T, test func(t *testing.T, g *gateway)) {
	t.Run("near", func(t *testing.T) { test(t, newGateway(t, nil)) })
	t.Run("apart", func(t *testing.T) {
		g := newGateway(t, nil)
		g.far = bustest.Apart(g.cfg)
		test(t, g)
	})
}

func runUntilEnd(t testing.TB, run func(context.Context) error) {
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func (g *gateway) worker(concurrency int, handle func(*bus.Run)) (*bus.Worker, *bus.Conn) {
	conn := bustest.Connect(g.t, g.far, "worker")
	w := bus.NewWorker(conn, bus.WorkerConfig{ID: bus.NewWorkerID(), Pools: []string{bus.DefaultPool}, Concurrency: concurrency, Drain: time.Second,
		Log: slog.New(slog.DiscardHandler), Handle: handle})
	runUntilEnd(g.t, w.Run)
	bustest.Wait(g.t, "the ingress to hear of a worker", func() bool { return g.in.Workers() > 0 })
	bustest.Wait(g.t, "the worker to have slots for whatever comes", func() bool { return g.pulls() > 0 })
	return w, conn
}

func (g *gateway) submit(body []byte) *bus.Call {
	g.t.Helper()
	n := g.n.Add(1)
	c, err := g.in.Submit(&bus.Job{ID: fmt.Sprintf("job-%d", n), RequestID: fmt.Sprintf("r-%d", n), Client: "default",
		Endpoint: llm.ChatCompletions, Model: "a model; with=signs", Pool: bus.DefaultPool, Lane: bus.DefaultLane,
		Deadline: time.Now().Add(2 * time.Minute), Body: body})
	if err != nil {
		g.t.Fatal(err)
	}
	return c
}

// next waits for one frame.
func next(t testing.TB, c *bus.Call) bus.Frame {
	t.Helper()
	limit := time.After(time.Minute)
	for {
		if f, ok := c.Next(); ok {
			return f
		}
		select {
		case <-c.Ready():
		case <-limit:
			t.Fatal("no frame within a minute")
		}
	}
}

// collect reads a whole answer.
func collect(t testing.TB, c *bus.Call) (data []byte, end *bus.End) {
	t.Helper()
	defer c.Close()
	for {
		f := next(t, c)
		if f.Data != nil && !c.Commit(f) {
			continue
		}
		data = append(data, f.Data...)
		if f.End != nil {
			return data, f.End
		}
	}
}

// echo answers with the request's body.
func echo(r *bus.Run) {
	r.Accept(&bus.Attempt{Number: r.Attempts + 1, Provider: "p", UpstreamModel: r.Model})
	if err := r.Fetch(); err != nil {
		return
	}
	answer(r)
}

// answer ends a job that was accepted.
func answer(r *bus.Run) {
	_ = r.Send(bus.Part{Head: &bus.Head{Status: 200}, Data: r.Body, End: &bus.End{Attempts: r.Attempts + 1, Usage: llm.Usage{Prompt: 7}}})
}

func TestPlainAnswer(t *testing.T) { nearAndApart(t, plainAnswer) }

func plainAnswer(t *testing.T, g *gateway) {
	g.worker(8, echo)
	for _, size := range []int{2, 2000, 200 << 10, 256<<10 + 1, 5 << 20} {
		body := bytes.Repeat([]byte("x"), size)
		c := g.submit(body)
		data, end := collect(t, c)
		if !bytes.Equal(data, body) || end.Err != nil || end.Usage.Prompt != 7 {
			t.Errorf("body of %d: got %d bytes, end %+v", size, len(data), end)
		}
		s := c.State()
		if s.Attempts != 1 || s.Deliveries != 1 || s.Attempt == nil || s.Attempt.UpstreamModel != "a model; with=signs" {
			t.Errorf("body of %d: state %+v", size, s)
		}
	}
	bustest.Wait(t, "no call left", func() bool { return g.in.Active() == 0 })
}

func TestSlowReaderHoldsTheWorkerBack(t *testing.T) { nearAndApart(t, slowReaderHoldsTheWorkerBack) }

func slowReaderHoldsTheWorkerBack(t *testing.T, g *gateway) {
	var sent atomic.Int64
	const chunks = 1000
	g.worker(8, func(r *bus.Run) {
		r.Accept(nil)
		for i := range chunks {
			p := bus.Part{Data: fmt.Appendf(nil, "%d,", i), Events: 1}
			if i == 0 {
				p.Head = &bus.Head{Status: 200}
			}
			if err := r.Send(p); err != nil {
				return
			}
			sent.Add(1)
		}
		_ = r.Send(bus.Part{End: &bus.End{}})
	})
	c := g.submit([]byte("{}"))
	first := next(t, c)
	bustest.Wait(t, "the window to fill", func() bool { return sent.Load() >= 60 })
	if n := sent.Load(); n > 70 {
		t.Errorf("sent %d frames to a reader that took one, want about 64", n)
	}
	data, end := collect(t, c)
	data = append(first.Data, data...)
	var want []byte
	for i := range chunks {
		want = fmt.Appendf(want, "%d,", i)
	}
	if !bytes.Equal(data, want) || end.Err != nil {
		t.Errorf("got %d bytes, want %d; end %+v", len(data), len(want), end)
	}
}

func TestCancelReachesTheWorker(t *testing.T) { nearAndApart(t, cancelReachesTheWorker) }

func cancelReachesTheWorker(t *testing.T, g *gateway) {
	cause := make(chan error, 1)
	g.worker(8, func(r *bus.Run) {
		r.Accept(nil)
		_ = r.Send(bus.Part{Head: &bus.Head{Status: 200}, Data: []byte("a"), Events: 1})
		<-r.Context().Done()
		cause <- context.Cause(r.Context())
		_ = r.Send(bus.Part{End: &bus.End{Cancelled: true, Usage: llm.Usage{Completion: 3}}})
	})
	c := g.submit([]byte("{}"))
	next(t, c)
	c.Cancel()
	if err := <-cause; !errors.Is(err, bus.ErrCancelled) {
		t.Errorf("got %v, want ErrCancelled", err)
	}
	if _, end := collect(t, c); !end.Cancelled || end.Usage.Completion != 3 {
		t.Errorf("end after cancel: %+v", end)
	}
}

func TestQueueBoundsRefuse(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*bus.Config)
		want   llm.Kind
	}{
		"a client's share": {func(c *bus.Config) { c.QueueMaxPerClient = 2 }, llm.RateLimited},
		"the whole":        {func(c *bus.Config) { c.QueueMaxRequests = 2 }, llm.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGateway(t, c.change)
			g.submit([]byte("{}"))
			g.submit([]byte("{}"))
			_, end := collect(t, g.submit([]byte("{}")))
			if end.Err == nil || end.Err.Kind != c.want || end.Err.RetryAfter == 0 {
				t.Errorf("got %+v, want %s with a time to wait", end.Err, c.want)
			}
		})
	}
}

func TestLostWorkerBeforeTheFirstByte(t *testing.T) { nearAndApart(t, lostWorkerBeforeTheFirstByte) }

func lostWorkerBeforeTheFirstByte(t *testing.T, g *gateway) {
	taken := make(chan struct{}, 1)
	dead, conn := g.worker(8, func(r *bus.Run) {
		r.Accept(&bus.Attempt{Number: r.Attempts + 1})
		taken <- struct{}{}
		<-r.Context().Done()
	})
	c := g.submit([]byte(`"hello"`))
	<-taken
	g.worker(8, echo)
	had := clock.New(t)
	conn.NATS().Close() // what SIGKILL does to a connection
	start := time.Now()
	data, end := collect(t, c)
	if string(data) != `"hello"` || end.Err != nil {
		t.Fatalf("got %q, end %+v", data, end)
	}
	if took := had.Since(start); took > 2*time.Second {
		t.Errorf("answered elsewhere after %v", took)
	}
	if s := c.State(); s.Deliveries != 2 || s.Attempts != 2 {
		t.Errorf("state %+v, want 2 deliveries and 2 attempts", s)
	}
	if len(g.lost) != 1 || g.lost[0] != dead.ID() {
		t.Errorf("lost attempts of %v, want of %s", g.lost, dead.ID())
	}
}

func TestLostWorkerInMidStreamIsAnError(t *testing.T) {
	nearAndApart(t, lostWorkerInMidStreamIsAnError)
}

func lostWorkerInMidStreamIsAnError(t *testing.T, g *gateway) {
	_, conn := g.worker(8, func(r *bus.Run) {
		r.Accept(nil)
		_ = r.Send(bus.Part{Head: &bus.Head{Status: 200}, Data: []byte("a"), Events: 1})
		<-r.Context().Done()
	})
	c := g.submit([]byte("{}"))
	if f := next(t, c); !c.Commit(f) {
		t.Fatal("first frame refused")
	}
	conn.NATS().Close()
	if _, end := collect(t, c); end.Err == nil || end.Err.Kind != llm.BadGateway {
		t.Errorf("got end %+v, want bad_gateway", end)
	}
}

// A job whose client has gone is not given to another worker when its own is lost.
func TestLostWorkerOfACancelledJob(t *testing.T) { nearAndApart(t, lostWorkerOfACancelledJob) }

func lostWorkerOfACancelledJob(t *testing.T, g *gateway) {
	taken := make(chan struct{}, 1)
	_, conn := g.worker(8, func(r *bus.Run) {
		r.Accept(nil)
		taken <- struct{}{}
		<-r.Context().Done()
	})
	c := g.submit([]byte("{}"))
	<-taken
	conn.NATS().Close()
	c.Cancel()
	bustest.Wait(t, "the loss to be noticed", func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		return len(g.lost) == 1
	})
	if s := c.State(); s.Deliveries != 1 {
		t.Errorf("got %d deliveries, want 1", s.Deliveries)
	}
	c.Close()
}

// A worker that stops by itself, because it has taken the ingress for gone, has not
// answered. While the client has nothing the job is run again.
func TestWorkerGivesUpBeforeTheFirstByte(t *testing.T) {
	nearAndApart(t, workerGivesUpBeforeTheFirstByte)
}

func workerGivesUpBeforeTheFirstByte(t *testing.T, g *gateway) {
	g.worker(8, func(r *bus.Run) {
		r.Accept(&bus.Attempt{Number: r.Attempts + 1})
		if r.Number > 1 {
			answer(r)
			return
		}
		_ = r.Send(bus.Part{Head: &bus.Head{Status: 200}, Data: []byte("a"), Events: 1})
		_ = r.Send(bus.Part{End: &bus.End{Cancelled: true, Attempts: r.Attempts + 1}})
	})
	c := g.submit([]byte("hello"))
	bustest.Wait(t, "the job to be given up", func() bool { s := c.State(); return s.WorkerID != "" && !c.Running() })
	if data, end := collect(t, c); string(data) != "hello" || end.Err != nil {
		t.Errorf("got %q, end %+v; want hello", data, end)
	}
	if s := c.State(); s.Deliveries != 2 || s.Attempts != 2 {
		t.Errorf("state %+v, want 2 deliveries and 2 attempts", s)
	}
}

// Once the client has something, it ends in an error.
func TestWorkerGivesUpInMidStream(t *testing.T) { nearAndApart(t, workerGivesUpInMidStream) }

func workerGivesUpInMidStream(t *testing.T, g *gateway) {
	begun := make(chan struct{})
	g.worker(8, func(r *bus.Run) {
		r.Accept(nil)
		_ = r.Send(bus.Part{Head: &bus.Head{Status: 200}, Data: []byte("a"), Events: 1})
		<-begun
		_ = r.Send(bus.Part{End: &bus.End{Cancelled: true, Attempts: 1, Usage: llm.Usage{Completion: 3}}})
	})
	c := g.submit([]byte("{}"))
	if f := next(t, c); !c.Commit(f) {
		t.Fatal("first frame refused")
	}
	close(begun)
	if _, end := collect(t, c); end.Err == nil || end.Err.Kind != llm.BadGateway || end.Usage.Completion != 3 {
		t.Errorf("got end %+v, want bad_gateway and what was used", end)
	}
}

func TestConcurrentJobsStayApart(t *testing.T) { nearAndApart(t, concurrentJobsStayApart) }

func concurrentJobsStayApart(t *testing.T, g *gateway) {
	g.worker(64, echo)
	g.worker(64, echo)
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			for range 20 {
				body := fmt.Appendf(nil, "%d", g.n.Add(1))
				if data, end := collect(t, g.submit(body)); !bytes.Equal(data, body) || end.Err != nil {
					t.Errorf("got %q, want %q; %+v", data, body, end)
				}
			}
		})
	}
	wg.Wait()
}

func BenchmarkPlainAnswer(b *testing.B) {
	g := newGateway(b, nil)
	g.worker(4096, echo)
	body := bytes.Repeat([]byte("x"), 2000)
	b.ReportAllocs()
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			collect(b, g.submit(body))
		}
	})
}

func BenchmarkStream50(b *testing.B) {
	g := newGateway(b, nil)
	chunk := bytes.Repeat([]byte("x"), 200)
	g.worker(4096, func(r *bus.Run) {
		r.Accept(nil)
		for i := range 50 {
			p := bus.Part{Data: chunk, Events: 1}
			if i == 0 {
				p.Head = &bus.Head{Status: 200}
			}
			_ = r.Send(p)
		}
		_ = r.Send(bus.Part{End: &bus.End{}})
	})
	body := bytes.Repeat([]byte("x"), 2000)
	b.ReportAllocs()
	b.SetParallelism(16)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			collect(b, g.submit(body))
		}
	})
}
