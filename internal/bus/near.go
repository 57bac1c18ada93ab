package bus

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// near knows the ingresses and workers that share a process with its embedded
// server. A job that a slot is free for has nothing to wait for in the queue: it is
// handed over by a call (docs/decisions/0021). So are frames and credit: the same
// frames, in the same order, without five goroutines on their way (docs/decisions/0007).
// It is safe for concurrent use.
type near struct {
	ingresses members[*Ingress]
	workers   members[*Worker]
}

// members are found by their names on the bus, without waiting for anybody.
type members[T any] struct {
	mu sync.Mutex                   // held by who joins or leaves
	m  atomic.Pointer[map[string]T] // never changed, only replaced; nil at first
}

// join adds a member until leave is called.
func (s *members[T]) join(id string, one T) (leave func()) {
	s.change(func(m map[string]T) { m[id] = one })
	return func() { s.change(func(m map[string]T) { delete(m, id) }) }
}

func (s *members[T]) change(f func(map[string]T)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := maps.Clone(s.all())
	if m == nil {
		m = map[string]T{}
	}
	f(m)
	s.m.Store(&m)
}

func (s *members[T]) all() map[string]T {
	if m := s.m.Load(); m != nil {
		return *m
	}
	return nil
}

// near is nil where the server is another process.
func (c *Conn) near() *near {
	if c.cfg.Server == nil {
		return nil
	}
	return &c.cfg.Server.near
}

// join adds an ingress until leave is called.
func (n *near) join(i *Ingress) (leave func()) {
	if n == nil {
		return func() {}
	}
	return n.ingresses.join(i.id, i)
}

// joinWorker is join for a worker.
func (n *near) joinWorker(w *Worker) (leave func()) {
	if n == nil {
		return func() {}
	}
	return n.workers.join(w.id, w)
}

// ingress is nil for one that is not near.
func (n *near) ingress(id string) *Ingress {
	if n == nil {
		return nil
	}
	return n.ingresses.all()[id]
}

// worker is nil for one that is not near.
func (n *near) worker(id string) *Worker {
	if n == nil {
		return nil
	}
	return n.workers.all()[id]
}

// alone reports whether no workers are alive but these.
func (n *near) alone(alive int) bool { return n != nil && alive <= len(n.workers.all()) }

// give hands a job to a worker that has a slot which no other job waits for.
func (n *near) give(c *Call) (taken bool) {
	if !c.in.alone.Load() || c.in.gate.waits(c.tenant.line) {
		return false
	}
	for _, w := range n.workers.all() {
		if w.take(c) {
			return true
		}
	}
	return false
}

// take begins a run for a job that has not been in the queue. It has the grant
// from the start.
func (w *Worker) take(c *Call) (taken bool) {
	if !w.conn.Connected() || !w.slots.spare(c.job.Pool) || !w.claim() {
		return false
	}
	job := *c.job
	job.Body = slices.Clip(job.Body) // it stays the ingress's
	r := &Run{Delivery: Delivery{Job: job, Number: 1, TimeLeft: time.Until(job.Deadline), reply: c.in.reply(c.token), version: Version}, at: c.in, to: c}
	w.register(r)
	c.mu.Lock()
	c.delivery, c.run, c.worker = 1, r.id, w.id
	c.seatLocked(w.id)
	c.mu.Unlock()
	w.start(r)
	return true
}
