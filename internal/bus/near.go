package bus

import "sync"

// near knows the ingresses and workers that share a process with its embedded
// server. Between them frames and credit are handed over by a call instead of a
// message: the same frames, in the same order, without five goroutines on their
// way (docs/decisions/0007). It is safe for concurrent use.
type near struct {
	mu        sync.RWMutex // guards the rest
	ingresses map[string]*Ingress
	workers   map[string]*Worker
}

func newNear() *near {
	return &near{ingresses: map[string]*Ingress{}, workers: map[string]*Worker{}}
}

// near is nil where the server is another process.
func (c *Conn) near() *near {
	if c.cfg.Server == nil {
		return nil
	}
	return c.cfg.Server.near
}

// join adds an ingress until leave is called.
func (n *near) join(i *Ingress) (leave func()) {
	if n == nil {
		return func() {}
	}
	return joinAs(n, n.ingresses, i.id, i)
}

// joinWorker is join for a worker.
func (n *near) joinWorker(w *Worker) (leave func()) {
	if n == nil {
		return func() {}
	}
	return joinAs(n, n.workers, w.id, w)
}

// joinAs adds one of n's processes to those of its kind.
func joinAs[T any](n *near, kind map[string]T, id string, one T) (leave func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	kind[id] = one
	return func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		delete(kind, id)
	}
}

// ingress is nil for one that is not near.
func (n *near) ingress(id string) *Ingress {
	if n == nil {
		return nil
	}
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.ingresses[id]
}

// worker is nil for one that is not near.
func (n *near) worker(id string) *Worker {
	if n == nil {
		return nil
	}
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.workers[id]
}
