package bus

import (
	"container/list"
	"sync"
	"sync/atomic"
	"time"
)

// How many jobs of one tenant an ingress lets wait in the queue while slots are
// scarce: what the workers take in shareFor, so that none of them waits for the
// next job, and one at least; maxShare at most.
const (
	maxShare = 32
	shareFor = 10 * time.Millisecond
)

// gate lets jobs into the queue. The queue is first in, first out: what one
// tenant has put there stands before all that others bring. So each ingress
// keeps few jobs of a tenant in it, holds the others back, and lets the next
// one in when a worker has taken one, the tenants in turn. While workers have
// free slots, as far as this ingress knows, nothing is held.
//
// A tenant is a client in one lane of one pool. Safe for concurrent use.
type gate struct {
	// Fixed at construction.
	bounds bounds
	wake   chan struct{} // capacity 1: something held may go; never closed

	fleet atomic.Int64 // ingresses alive, this one included
	held  atomic.Int64 // jobs held, over all lines
	bytes atomic.Int64 // of their bodies, as far as they would be in the queue
	crowd atomic.Bool  // other ingresses hold jobs

	mu      sync.RWMutex // guards the maps
	lines   map[string]*line
	tenants map[string]*tenant // by subject
	others  map[string]crowd   // by ingress: what the others hold, if anything
}

// bounds are those of the queue, over all ingresses.
type bounds struct{ perClient, jobs, bytes int64 }

// line is the jobs of one pool.
type line struct {
	free   atomic.Int64 // slots of its workers, as far as known
	queued atomic.Int64 // jobs in the queue
	held   atomic.Int64
	taken  atomic.Int64 // since the last tick
	share  atomic.Int64 // jobs of a tenant that may wait in the queue

	mu   sync.Mutex // guards the rest, and the tenants' lists
	ring []*tenant  // those with held jobs; whose turn it is first
	pace pace
}

// tenant is the jobs of one client in one lane of a pool.
type tenant struct {
	subject string
	line    *line
	queued  atomic.Int64
	held    atomic.Int64
	taken   atomic.Int64
	jobs    list.List // of *Call, held; guarded by line.mu
	pace    pace
}

func newGate(b bounds) *gate {
	g := &gate{bounds: b, wake: make(chan struct{}, 1), lines: map[string]*line{}, tenants: map[string]*tenant{}, others: map[string]crowd{}}
	g.fleet.Store(1)
	return g
}

// tenant finds or makes the tenant of a job.
func (g *gate) tenant(job *Job) *tenant {
	subject := job.subject()
	g.mu.RLock()
	t := g.tenants[subject]
	g.mu.RUnlock()
	if t != nil {
		return t
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if t := g.tenants[subject]; t != nil {
		return t
	}
	t = &tenant{subject: subject, line: g.lineLocked(Token(job.Pool))}
	g.tenants[subject] = t
	return t
}

func (g *gate) lineLocked(pool string) *line {
	l := g.lines[pool]
	if l == nil {
		l = &line{}
		l.share.Store(1)
		g.lines[pool] = l
	}
	return l
}

// open reports whether a new job of a tenant may go into the queue at once.
func (g *gate) open(t *tenant) bool { return t.held.Load() == 0 && g.room(t) }

// room reports whether one more job of a tenant may be in the queue: while it
// has fewer there than its share, or while there are slots for all that wait.
// Every ingress sees the same free slots, so each counts on its part of them.
func (g *gate) room(t *tenant) bool {
	return t.queued.Load() < t.line.share.Load() || t.line.queued.Load() < t.line.free.Load()/g.fleet.Load()
}

// waits reports whether a job waits in the queue or behind a gate, as far as this
// ingress knows, that may be of this line.
func (g *gate) waits(l *line) bool {
	return l.queued.Load()+l.held.Load() > 0 || g.crowd.Load()
}

// ring says that something held may go.
func (g *gate) ring() {
	if g.held.Load() == 0 {
		return
	}
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

// full says whose bound one more job would break, "" if none. While nothing is
// held anywhere the queue itself keeps its bounds.
func (g *gate) full(c *Call) Refusal {
	t := c.tenant
	others := g.elsewhere(t.subject)
	if g.held.Load()+others.jobs == 0 {
		return ""
	}
	switch {
	case t.queued.Load()+t.held.Load()+others.tenant >= g.bounds.perClient:
		return RefusedClient
	case g.inQueue()+g.held.Load()+others.jobs >= g.bounds.jobs, g.bytes.Load()+c.job.queueBytes() > g.bounds.bytes:
		return RefusedFull
	}
	return ""
}

// hold keeps a job back.
func (g *gate) hold(c *Call) {
	t, l := c.tenant, c.tenant.line
	l.mu.Lock()
	if t.jobs.Len() == 0 {
		l.ring = append(l.ring, t)
	}
	c.waits = t.jobs.PushBack(c)
	g.count(t, 1, c.job.queueBytes())
	l.mu.Unlock()
	g.ring() // room may have been made meanwhile
}

func (g *gate) count(t *tenant, n, size int64) {
	t.held.Add(n)
	t.line.held.Add(n)
	g.held.Add(n)
	g.bytes.Add(n * size)
}

// inQueue is how many jobs of this ingress wait in the queue.
func (g *gate) inQueue() (n int64) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	for _, l := range g.lines {
		n += l.queued.Load()
	}
	return n
}

// next takes the next job that may go, nil if none may.
func (g *gate) next() *Call {
	g.mu.RLock()
	defer g.mu.RUnlock()
	for _, l := range g.lines {
		if l.held.Load() == 0 {
			continue
		}
		if c := g.nextOf(l); c != nil {
			return c
		}
	}
	return nil
}

func (g *gate) nextOf(l *line) *Call {
	l.mu.Lock()
	defer l.mu.Unlock()
	for n, t := range l.ring {
		if !g.room(t) {
			continue
		}
		c := t.jobs.Front().Value.(*Call)
		l.ring = append(append(append([]*tenant{}, l.ring[n+1:]...), l.ring[:n]...), t) // behind the others
		g.removeLocked(c)
		return c
	}
	return nil
}

// drop takes a job out that is not wanted any more.
func (g *gate) drop(c *Call) {
	c.tenant.line.mu.Lock()
	defer c.tenant.line.mu.Unlock()
	if c.waits != nil {
		g.removeLocked(c)
	}
}

func (g *gate) removeLocked(c *Call) {
	t := c.tenant
	t.jobs.Remove(c.waits)
	c.waits = nil
	g.count(t, -1, c.job.queueBytes())
	if t.jobs.Len() > 0 {
		return
	}
	for n, other := range t.line.ring {
		if other == t {
			t.line.ring = append(t.line.ring[:n:n], t.line.ring[n+1:]...)
			return
		}
	}
}
