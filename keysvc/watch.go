package keysvc

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
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
	if s.board.adopt(now, v, left, revision) {
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
	beyond := resetMeanwhile
	if !s.made.Equal(info.Created) {
		s.made, beyond = info.Created, lostWithBucket
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
	s.board.reconcile(now, live, gone, beyond)
	signal(s.wake)
	return nil
}
