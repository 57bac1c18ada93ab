package keysvc

import (
	"time"

	"model-proxy/internal/llm"
)

// draft is one write to make.
type draft struct {
	ref      ref
	rest     llm.Rest // For is what is left
	until    time.Time
	revision uint64
	event    bool
	changes  int
}

// draft returns a rest to write. Those that ended before they could be written
// are returned as over, if they count as events.
func (b *board) draft(now time.Time) (d draft, ok bool, over []llm.Rest) {
	b.mu.Lock()
	defer b.unlock()
	for k, l := range b.links {
		if !l.unsent || l.held {
			continue
		}
		c := b.get(k)
		left := c.left(now)
		if left == 0 {
			if c != nil && l.event {
				over = append(over, c.rest)
			}
			l.unsent, l.event = false, false
			continue
		}
		r := c.rest
		r.For = left
		event := l.event
		l.sending, l.event = event, false
		return draft{ref: k, rest: r, until: c.until, revision: l.revision, event: event, changes: l.changes}, true, over
	}
	return draft{}, false, over
}

// written notes that the bucket took a draft, and reports whether that is an
// event which has not been counted yet.
func (b *board) written(d draft, revision uint64) bool {
	b.mu.Lock()
	defer b.unlock()
	l := b.linkLocked(d.ref)
	if revision > l.revision {
		l.revision, l.stored = revision, d.until
	}
	l.sending = false
	if l.changes == d.changes {
		l.unsent = false
	}
	return d.event && l.countLocked(revision)
}

// unwritten takes back a draft that the bucket did not acknowledge. Its event
// is still due, unless the watch has shown that it was written after all, or
// that another worker was first.
func (b *board) unwritten(d draft) {
	b.mu.Lock()
	defer b.unlock()
	if l := b.linkLocked(d.ref); l.sending {
		l.sending, l.event = false, true
	}
}

// countLocked reports whether our own write counts as an event now: both its
// acknowledgement and the watch tell of it.
func (l *link) countLocked(revision uint64) bool {
	if revision <= l.counted {
		return false
	}
	l.counted = revision
	return true
}

// seen notes a key's revision, found without a rest.
func (b *board) seen(d draft, revision uint64) {
	b.mu.Lock()
	defer b.unlock()
	if l := b.linkLocked(d.ref); l.revision == d.revision {
		l.revision, l.stored = revision, time.Time{}
	}
}

// hold keeps a draft back until the watch has shown the given revision, which
// another process wrote, unless it has shown something meanwhile.
func (b *board) hold(d draft, revision uint64) {
	b.mu.Lock()
	defer b.unlock()
	if l := b.linkLocked(d.ref); l.revision == d.revision && l.revision != revision {
		l.held = true
	}
}

// holding reports whether a draft is held back.
func (b *board) holding() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, l := range b.links {
		if l.held {
			return true
		}
	}
	return false
}

// unhold lets held drafts be tried again: the watch should have spoken by now.
func (b *board) unhold() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, l := range b.links {
		l.held = false
	}
}
