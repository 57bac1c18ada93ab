package keysvc

import (
	"context"
	"errors"
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

// retryWrite is the pause after a write that the bus did not take.
const retryWrite = 200 * time.Millisecond

// write brings to the bucket what the board holds for it, until ctx ends.
func (s *Service) write(ctx context.Context) {
	retry := time.NewTimer(0)
	defer retry.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		case <-retry.C:
		}
		if err := s.writeAll(ctx); err != nil && ctx.Err() == nil {
			s.log.Debug("cooldown not yet shared", "err", err)
			retry.Reset(retryWrite)
		}
	}
}

// writeAll writes until nothing is left, or returns the first error. What
// could not be written stays for the next time.
func (s *Service) writeAll(ctx context.Context) error {
	for {
		d, ok, over := s.board.draft(time.Now())
		for _, r := range over {
			s.count(r)
		}
		if !ok {
			break
		}
		if err := s.writeOne(ctx, d); err != nil {
			return err
		}
	}
	return s.probes.release(ctx, s)
}

func (s *Service) writeOne(ctx context.Context, d draft) error {
	key := keyOf(d.ref)
	v := value{Scope: d.ref.scope, Provider: d.ref.provider, Key: d.ref.fp, Model: d.ref.model,
		MS: max(1, d.rest.For.Milliseconds()), Cause: d.rest.Cause, Status: d.rest.Status, By: s.id, Event: d.event}
	revision, err := s.store(ctx, key, v, d.revision)
	if err != nil {
		s.board.unwritten(d)
		if errors.Is(err, errStale) {
			return s.refresh(ctx, d)
		}
		return err
	}
	if s.board.written(d, revision) {
		s.count(d.rest)
	}
	return nil
}

// refresh learns the revision of a key that had another one than expected. A
// rest that somebody else has set comes through the watch, and ours waits for
// it; the sign of an expired one, or nothing at all, the watch may not show.
func (s *Service) refresh(ctx context.Context, d draft) error {
	revision, live, err := s.revision(ctx, keyOf(d.ref))
	if err != nil {
		return err
	}
	if live {
		s.board.hold(d, revision)
	} else {
		s.board.seen(d, revision)
	}
	return nil
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
	return l.countLocked(d.event, revision)
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
func (l *link) countLocked(event bool, revision uint64) bool {
	if !event || revision <= l.counted {
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
// another process wrote.
func (b *board) hold(d draft, revision uint64) {
	b.mu.Lock()
	defer b.unlock()
	if l := b.linkLocked(d.ref); l.revision != revision {
		l.held = true
	}
}
