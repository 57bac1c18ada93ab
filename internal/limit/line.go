package limit

import (
	"context"
	"sync"
	"time"
)

// verdict is the answer to one who asked for room.
type verdict struct {
	admitted bool
	err      error         // the bus could not be asked
	bucket   int64         // where an admission was counted
	retry    time.Duration // when room may be back, for a refusal
	level    Level
}

// waiter is one who asks for room.
type waiter struct {
	n, limit int64
	verdict  verdict   // written by the leader before it wakes the waiter
	wake     chan bool // holds one; true: lead now, false: see verdict. Never closed
}

// source is where room comes from: window or slots.
type source interface {
	// localLocked decides without the bus, if it can. The line's lock is held.
	localLocked(now moment, n, limit int64) (verdict, bool)

	// fill decides for all of batch, with the bus. One call runs at a time.
	fill(ctx context.Context, batch []*waiter) error
}

// line is the queue before one limit of one client. Whoever finds too little
// room here leads: it asks the bus for all who wait, then hands the lead to the
// first of those who came meanwhile. So a burst costs a few exchanges, is
// served in order, and needs no goroutine.
type line struct {
	mu      sync.Mutex // guards the rest, and the source's fields where it says so
	leading bool
	waiting []*waiter
}

// take asks for n of a limit. It waits for the bus if it must, at most about
// busTimeout.
func (l *line) take(ctx context.Context, src source, now moment, n, limit int64) verdict {
	l.mu.Lock()
	if !l.leading {
		if v, ok := src.localLocked(now, n, limit); ok {
			l.mu.Unlock()
			return v
		}
	}
	me := &waiter{n: n, limit: limit, wake: make(chan bool, 1)}
	l.waiting = append(l.waiting, me)
	lead := !l.leading
	l.leading = true
	l.mu.Unlock()
	if !lead {
		lead = <-me.wake
	}
	if lead {
		l.lead(ctx, src, me)
	}
	return me.verdict
}

// lead answers all who wait, me among them.
func (l *line) lead(ctx context.Context, src source, me *waiter) {
	l.mu.Lock()
	batch := l.waiting
	l.waiting = nil
	l.mu.Unlock()

	ctx, cancel := bounded(ctx)
	defer cancel()
	err := src.fill(ctx, batch)

	l.mu.Lock()
	if err != nil { // those who came meanwhile would only wait for the same
		batch, l.waiting = append(batch, l.waiting...), nil
		for _, w := range batch {
			w.verdict = verdict{err: err}
		}
	}
	l.leading = len(l.waiting) > 0
	if l.leading {
		l.waiting[0].wake <- true
	}
	l.mu.Unlock()
	for _, w := range batch {
		if w != me {
			w.wake <- false
		}
	}
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
