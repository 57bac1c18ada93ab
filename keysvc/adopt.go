package keysvc

import (
	"sync/atomic"
	"time"
)

// adopt takes a rest from the bucket, left being what is left of it. A longer
// one of ours stays and remains to be written. It reports whether the entry is
// an event of our own that has not been counted yet.
func (b *board) adopt(now time.Time, v value, left time.Duration, revision uint64) bool {
	b.mu.Lock()
	defer b.unlock()
	k, ours := refOf(v.rest()), v.By == b.self
	l := b.linkLocked(k)
	if revision < l.revision {
		return false // an echo of what has been replaced since
	}
	news := revision > l.revision
	if news {
		l.revision, l.stored = revision, now.Add(left)
	}
	l.held = false
	c := b.adoptLocked(now, k, v, l.stored)
	if ours && v.Event {
		l.sending = false
	}
	if !ours && news {
		l.sending, l.event = false, false // the other was first: ours lengthens in silence, if at all
	}
	if l.unsent && (c == nil || !c.until.After(l.stored.Add(noise))) {
		l.unsent = false
		l.changes++
	}
	return ours && v.Event && l.countLocked(revision)
}

// adoptLocked makes the cell of k last until end at least, and returns it; nil
// if that is over and there was none.
func (b *board) adoptLocked(now time.Time, k ref, v value, end time.Time) *cell {
	c := b.get(k)
	if !end.After(now) || c != nil && !c.until.Before(end) {
		return c
	}
	next := &cell{rest: v.rest(), until: end, since: now, trial: new(atomic.Int64)}
	if c.left(now) > 0 {
		next.trial = c.trial
		if !v.Event {
			next.since = c.since // lengthened in silence
		}
	}
	b.putLocked(now, k, next)
	return next
}

// expired notes the server's marker for a rest that is over.
func (b *board) expired(key string, revision uint64) {
	b.mu.Lock()
	defer b.unlock()
	if l := b.links[b.byKey[key]]; l != nil && revision > l.revision {
		l.revision, l.stored, l.held = revision, time.Time{}, false
	}
}

// reset forgets a rest that was deleted.
func (b *board) reset(now time.Time, key string, revision uint64) {
	b.mu.Lock()
	defer b.unlock()
	k, ok := b.byKey[key]
	l := b.links[k]
	if !ok || revision <= l.revision {
		return
	}
	l.revision = revision
	b.dropLocked(now, k)
}

// forgetBucket forgets all revisions: another bucket counts from 1 again.
func (b *board) forgetBucket() {
	b.mu.Lock()
	defer b.unlock()
	for _, l := range b.links {
		l.revision, l.counted, l.stored, l.held = 0, 0, time.Time{}, false
	}
}

// beyond says what became of rests that the board has and the bucket has not.
type beyond int

const (
	resetMeanwhile beyond = iota // the bucket is the same: somebody deleted them
	lostWithBucket               // the bucket is another one
)

// reconcile deals with what the board has beyond the bucket: what was reset
// ends, what was lost is written again. Live are the keys that the bucket has,
// gone the revisions of the signs of deleted ones.
func (b *board) reconcile(now time.Time, live map[string]bool, gone map[string]uint64, why beyond) {
	b.mu.Lock()
	defer b.unlock()
	for k, c := range *b.cells.Load() {
		key := keyOf(k)
		if live[key] {
			continue // adopt has dealt with it
		}
		l := b.linkLocked(k)
		l.revision, l.stored, l.held = gone[key], time.Time{}, false
		switch {
		case c.left(now) == 0:
		case why == resetMeanwhile && !l.unsent:
			b.dropLocked(now, k)
		default:
			l.unsent = true
			l.changes++
		}
	}
}
