package keysvc

import (
	"context"
	"errors"
	"time"
)

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
			s.board.unhold()
		}
		if err := s.writeAll(ctx); err != nil && ctx.Err() == nil {
			s.log.Debug("cooldown not yet shared", "err", err)
			retry.Reset(retryWrite)
		} else if s.board.holding() {
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
		MS: max(1, d.rest.For.Milliseconds()), Cause: d.rest.Cause, Status: d.rest.Status, By: s.board.self, Event: d.event}
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
