package keysvc

import (
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"model-proxy/internal/llm"
)

// rewatchPause is the wait between two tries to make a watch.
const rewatchPause = 100 * time.Millisecond

// watch keeps the board like the bucket until ctx ends.
func (s *Service) watch(ctx context.Context) {
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-pause.C:
		case <-s.rewatch:
		}
		if err := s.watchOnce(ctx); err != nil && ctx.Err() == nil {
			s.log.Debug("cooldowns not watched", "err", err)
		}
		pause.Reset(rewatchPause)
	}
}

// watchOnce replays the bucket and follows it until the connection is new, the
// watch ends, or ctx does.
func (s *Service) watchOnce(ctx context.Context) error {
	kv, err := s.openBucket(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// The watch lives as long as its context, so that only its making is timed.
	late := time.AfterFunc(callWithin, cancel)
	w, err := kv.WatchFiltered(ctx, []string{"p.>", "k.>", "m.>", "b.>"})
	late.Stop()
	if err != nil {
		return fmt.Errorf("watch bucket %s: %w", Bucket, err)
	}
	defer func() {
		_ = w.Stop() // it may have ended with the connection
		for range w.Updates() {
		} // its sender blocks on the channel and closes it at the end
	}()
	entries, err := s.replay(ctx, w)
	if err != nil {
		return err
	}
	if err := s.resync(ctx, kv, entries); err != nil {
		return err
	}
	s.once.Do(func() { close(s.ready) })
	return s.follow(ctx, w)
}

// replay reads the entries that stand in the bucket.
func (s *Service) replay(ctx context.Context, w jetstream.KeyWatcher) ([]jetstream.KeyValueEntry, error) {
	within := time.NewTimer(callWithin)
	defer within.Stop()
	var entries []jetstream.KeyValueEntry
	for {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-within.C:
			return nil, fmt.Errorf("replay bucket %s: %w", Bucket, context.DeadlineExceeded)
		case e, ok := <-w.Updates():
			if !ok {
				return nil, errWatchEnded
			}
			if e == nil {
				return entries, nil
			}
			entries = append(entries, e)
		}
	}
}

var errWatchEnded = fmt.Errorf("watch of bucket %s ended", Bucket)

// follow applies updates as they come. It returns nil if a new watch is due.
func (s *Service) follow(ctx context.Context, w jetstream.KeyWatcher) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.rewatch:
			signal(s.rewatch) // for the loop in watch, which need not pause then
			return nil
		case e, ok := <-w.Updates():
			if !ok {
				return errWatchEnded
			}
			if e != nil {
				s.apply(time.Now(), e)
			}
		}
	}
}

// apply takes one live update: a rest then has its whole length before it.
func (s *Service) apply(now time.Time, e jetstream.KeyValueEntry) {
	switch e.Operation() {
	case jetstream.KeyValueDelete:
		s.board.reset(now, e.Key(), e.Revision())
	case jetstream.KeyValuePurge: // the server's marker: its time is over
		s.board.expired(e.Key(), e.Revision())
	default:
		v, err := readValue(e)
		if err != nil {
			s.log.Warn("unreadable cooldown", "key", e.Key(), "err", err)
			return
		}
		s.adopt(now, v, v.rest().For, e.Revision())
	}
}

func (s *Service) adopt(now time.Time, v value, left time.Duration, revision uint64) {
	if s.board.adopt(now, v, left, revision, v.By == s.id) {
		s.count(v.rest())
	}
	signal(s.wake) // a longer rest of ours may have waited for this revision
}

func readValue(e jetstream.KeyValueEntry) (value, error) {
	var v value
	err := json.Unmarshal(e.Value(), &v)
	if err == nil && keyOf(refOf(v.rest())) != e.Key() {
		err = fmt.Errorf("it speaks of %s", keyOf(refOf(v.rest())))
	}
	return v, err
}

// resync makes the board like a replayed bucket. Ages are differences of the
// server's own times. What the board has beyond it was reset meanwhile, or is
// written again if the bucket is another one than before, for then the old
// one was lost.
func (s *Service) resync(ctx context.Context, kv jetstream.KeyValue, entries []jetstream.KeyValueEntry) error {
	ctx, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	status, err := kv.Status(ctx)
	if err != nil {
		return fmt.Errorf("ask for the server's time: %w", err)
	}
	info := status.(*jetstream.KeyValueBucketStatus).StreamInfo()
	now := time.Now()
	same := s.made.Equal(info.Created)
	if s.made = info.Created; !same {
		s.board.forgetBucket()
	}

	live, gone := map[string]bool{}, map[string]uint64{}
	for _, e := range entries {
		if e.Operation() != jetstream.KeyValuePut {
			gone[e.Key()] = e.Revision()
			continue
		}
		live[e.Key()] = true
		v, err := readValue(e)
		if err != nil {
			s.log.Warn("unreadable cooldown", "key", e.Key(), "err", err)
			continue
		}
		s.adopt(now, v, v.rest().For-info.TimeStamp.Sub(e.Created()), e.Revision())
	}
	s.board.reconcile(now, live, gone, same)
	signal(s.wake)
	return nil
}

// adopt takes a rest from the bucket, left being what is left of it. A longer
// one of ours stays and remains to be written. It reports whether the entry is
// an event of our own that has not been counted yet.
func (b *board) adopt(now time.Time, v value, left time.Duration, revision uint64, ours bool) bool {
	b.mu.Lock()
	defer b.unlock()
	r := v.rest()
	k := refOf(r)
	l := b.linkLocked(k)
	if revision < l.revision {
		return false // an echo of what has been replaced since
	}
	news := revision > l.revision
	if news {
		l.revision, l.stored = revision, now.Add(left)
	}
	l.held = false
	c := b.adoptLocked(now, k, r, l.stored)
	if ours && v.Event {
		l.sending = false
	}
	if !ours && news {
		l.sending, l.event = false, false // the other was first: ours lengthens in silence, if at all
	}
	if l.unsent && c.left(now)-l.stored.Sub(now) <= noise {
		l.unsent = false
		l.changes++
	}
	return ours && l.countLocked(v.Event, revision)
}

// adoptLocked makes the cell of k last until end at least, and returns it; nil
// if that is over and there was none.
func (b *board) adoptLocked(now time.Time, k ref, r llm.Rest, end time.Time) *cell {
	c := b.get(k)
	if !end.After(now) || c != nil && !c.until.Before(end) {
		return c
	}
	next := &cell{rest: r, until: end, since: now, trial: new(atomic.Int64)}
	if c.left(now) > 0 {
		next.trial = c.trial
		if end.Sub(c.until) < lengthened {
			next.since = c.since
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

// reconcile ends what the bucket no longer has (same bucket), or has it
// written again (another bucket). Live are the keys it has, gone the revisions
// of the signs of deleted ones.
func (b *board) reconcile(now time.Time, live map[string]bool, gone map[string]uint64, same bool) {
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
		case same && !l.unsent:
			b.dropLocked(now, k)
		default:
			l.unsent = true
			l.changes++
		}
	}
}
