package bus

import (
	"strings"
	"sync"
	"time"
)

// peers keeps when each process on the other side was last heard of, by this
// process's clock alone. Safe for concurrent use.
type peers struct {
	mu    sync.Mutex // guards the rest
	m     map[string]*peer
	since time.Time            // nobody counts as silent from before
	left  map[string]time.Time // by prefix: when the last of those forgotten was heard of
}

type peer struct {
	seen   time.Time // last beat or frame
	absent time.Time // since when nobody answers under its name; zero if somebody does
	seats  *seats    // of a worker; nil until it has told of them
}

// forgetPeer is how long a silent peer is remembered.
const forgetPeer = time.Minute

func newPeers() *peers {
	return &peers{m: map[string]*peer{}, since: time.Now(), left: map[string]time.Time{}}
}

// beat notes a sign of life. It returns the peer's seats, if it has told of any.
func (p *peers) beat(id string) *seats {
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if e := p.m[id]; e != nil {
		e.seen, e.absent = now, time.Time{}
		return e.seats
	}
	p.m[id] = &peer{seen: now}
	return nil
}

// seat gives a worker that has beaten its seats, unless it has some already.
func (p *peers) seat(id string, s *seats) *seats {
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.m[id]
	if e == nil { // forgotten since
		return s
	}
	if e.seats == nil {
		e.seats = s
	}
	return e.seats
}

// vacate counts nothing on the slots of workers that are gone.
func (p *peers) vacate(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range p.m {
		if e.seats != nil && e.gone(now, false) {
			e.seats.set(0)
		}
	}
}

// noResponder notes that nobody listens under id any more.
func (p *peers) noResponder(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if e := p.m[id]; e != nil && e.absent.IsZero() {
		e.absent = time.Now()
	}
}

// excuse leaves a time out of everybody's silence: this process did not run.
func (p *peers) excuse(slept time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	p.since = earlier(p.since.Add(slept), now)
	for _, e := range p.m {
		e.seen = earlier(e.seen.Add(slept), now) // some were heard of since it runs again
	}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// forgive restarts every clock: the silence was ours.
func (p *peers) forgive(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.since = now
	for _, e := range p.m {
		e.seen, e.absent = now, time.Time{}
	}
}

// silence is how long nothing was heard of a peer; of one never heard of, since
// listening began.
func (p *peers) silence(id string, now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if e := p.m[id]; e != nil {
		return now.Sub(e.seen)
	}
	return now.Sub(p.since)
}

// lastLeft is when the last of those whose name begins so, and of which nothing
// was heard for a time, was heard of: zero where there is none. Whoever may have
// left before listening began counts as heard of then.
func (p *peers) lastLeft(now time.Time, prefix string, silent time.Duration) (last time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	note := func(seen time.Time) {
		if now.Sub(seen) >= silent && seen.After(last) {
			last = seen
		}
	}
	note(p.since)
	note(p.left[prefix])
	for id, e := range p.m {
		if strings.HasPrefix(id, prefix) {
			note(e.seen)
		}
	}
	return last
}

// state returns a copy of what is known of id.
func (p *peers) state(id string) peer {
	p.mu.Lock()
	defer p.mu.Unlock()
	if e := p.m[id]; e != nil {
		return *e
	}
	return peer{}
}

// alive counts the peers whose name begins so and that were heard of lately.
func (p *peers) alive(now time.Time, prefix string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for id, e := range p.m {
		if strings.HasPrefix(id, prefix) && now.Sub(e.seen) < hungAfter {
			n++
		}
	}
	return n
}

// forget drops peers that have been silent for long.
func (p *peers) forget(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, e := range p.m {
		if now.Sub(e.seen) <= forgetPeer {
			continue
		}
		delete(p.m, id)
		if role := id[:strings.IndexByte(id, '-')+1]; e.seen.After(p.left[role]) {
			p.left[role] = e.seen
		}
	}
}

// gone reports whether a peer counts as dead: at once when nobody listens under
// its name and nothing is at stake, after a while when an answer has begun.
func (e peer) gone(now time.Time, began bool) bool {
	if began {
		return now.Sub(e.seen) > patience
	}
	return !e.absent.IsZero() || now.Sub(e.seen) > hungAfter
}
