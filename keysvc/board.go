package keysvc

import (
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"model-proxy/internal/llm"
)

const (
	// lengthened is the least gain that makes a longer rest an event.
	lengthened = time.Second
	// noise is a gain not worth a message: what travels from worker to worker
	// is late by as much.
	noise = 20 * time.Millisecond
	// returning is how long after its end a rest is still known: a key then
	// comes back slowly and a breaker by a probe, until one request succeeds.
	returning = 5 * time.Minute
)

// ref names what rests.
type ref struct {
	scope               llm.Scope
	provider, fp, model string
}

func refOf(r llm.Rest) ref { return ref{r.Scope, r.Provider, r.Fingerprint, r.Model} }

// cell is one rest as this process knows it. It does not change; a longer rest
// is another cell.
type cell struct {
	rest  llm.Rest      // For is its length when it was set or last lengthened
	until time.Time     // when it ends
	since time.Time     // when this process learnt of its beginning or of its last event
	trial *atomic.Int64 // Unix ns until which the one request on trial after the rest counts
}

// board is every rest this process knows.
type board struct {
	self  string                        // this process, in the values it writes
	cells atomic.Pointer[map[ref]*cell] // read without a lock, replaced whole under mu

	mu    sync.Mutex // guards the rest
	links map[ref]*link
	byKey map[string]ref // the bucket's key names back into names; markers come without a value
	moved chan struct{}  // closed and replaced at each change, for who waits for one
}

// link is what a rest is to the bucket.
type link struct {
	revision uint64    // last seen on the key; 0: none
	stored   time.Time // end of the rest as the bucket has it; zero: none
	unsent   bool      // the bucket has yet to learn of the cell
	event    bool      // the next write counts as an event
	sending  bool      // so does the write under way
	held     bool      // unsent, but another's write has to come through the watch first
	changes  int       // grows with each change; tells a write whether it is out of date
	counted  uint64    // revision of our own last event that was counted
}

func newBoard(self string) *board {
	b := &board{self: self, links: map[ref]*link{}, byKey: map[string]ref{}, moved: make(chan struct{})}
	b.cells.Store(&map[ref]*cell{})
	return b
}

// get returns the cell of k, nil if nothing rested there of late.
func (b *board) get(k ref) *cell { return (*b.cells.Load())[k] }

// quiet reports whether nothing rests and nothing is returning.
func (b *board) quiet() bool { return len(*b.cells.Load()) == 0 }

// left is what is left of c at now; a nil cell has nothing left.
func (c *cell) left(now time.Time) time.Duration {
	if c == nil {
		return 0
	}
	return max(0, c.until.Sub(now))
}

// set begins or lengthens a rest and reports whether the bucket has to learn
// of it. A rest is never shortened.
func (b *board) set(now time.Time, r llm.Rest, begun time.Time) bool {
	b.mu.Lock()
	defer b.unlock()
	k := refOf(r)
	c, end := b.get(k), now.Add(r.For)
	l := b.linkLocked(k)
	if c.left(now) > 0 {
		gain := end.Sub(c.until)
		if gain <= 0 {
			return false
		}
		since := c.since
		if gain >= lengthened && begun.After(c.since) {
			since, l.event = now, true
		}
		b.putLocked(now, k, &cell{rest: r, until: end, since: since, trial: c.trial})
	} else {
		l.event = true
		b.putLocked(now, k, &cell{rest: r, until: end, since: now, trial: new(atomic.Int64)})
	}
	l.changes++
	l.unsent = end.Sub(l.stored) > noise
	return l.unsent && !l.held
}

// changed returns a channel that is closed at the next change of the board.
func (b *board) changed() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.moved
}

// unlock ends a change.
func (b *board) unlock() {
	close(b.moved)
	b.moved = make(chan struct{})
	b.mu.Unlock()
}

// clear ends a rest here, and reports whether there was one.
func (b *board) clear(now time.Time, k ref) bool {
	b.mu.Lock()
	defer b.unlock()
	if b.get(k) == nil {
		return false
	}
	b.dropLocked(now, k)
	return true
}

func (b *board) linkLocked(k ref) *link {
	l := b.links[k]
	if l == nil {
		l = &link{}
		b.links[k] = l
		b.byKey[keyOf(k)] = k
	}
	return l
}

func (b *board) putLocked(now time.Time, k ref, c *cell) {
	next := b.copyLocked(now)
	next[k] = c
	b.cells.Store(&next)
}

// dropLocked forgets a rest for good.
func (b *board) dropLocked(now time.Time, k ref) {
	next := b.copyLocked(now)
	delete(next, k)
	b.cells.Store(&next)
	if l := b.links[k]; l != nil {
		l.unsent, l.event, l.sending, l.held, l.stored = false, false, false, false, time.Time{}
		l.changes++
	}
}

// copyLocked copies the cells without those that have returned long since.
func (b *board) copyLocked(now time.Time) map[ref]*cell {
	next := maps.Clone(*b.cells.Load())
	for k, c := range next {
		if now.Sub(c.until) > returning {
			delete(next, k)
			delete(b.links, k)
			delete(b.byKey, keyOf(k))
		}
	}
	return next
}

// Resting returns the longest rest that keeps a key from a model at now; its
// For is what is left, 0 if the key is usable.
func (s *Service) Resting(now time.Time, provider, fp, model string) llm.Rest {
	if s.board.quiet() {
		return llm.Rest{}
	}
	var longest llm.Rest
	for _, k := range [...]ref{
		{scope: llm.ScopeProvider, provider: provider},
		{scope: llm.ScopeKey, provider: provider, fp: fp},
		{scope: llm.ScopeKeyModel, provider: provider, fp: fp, model: model},
	} {
		c := s.board.get(k)
		if left := c.left(now); left > longest.For {
			longest = c.rest
			longest.For = left
		}
	}
	return longest
}
