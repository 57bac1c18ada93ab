// Package logsink turns the entries on LOG into rows, exactly one for each
// request and attempt, batches them into a store, and answers usage queries.
// It closes what a worker or an ingress that died left open. What the entries
// hold and how they travel is package usage's; who is alive it is told.
package logsink

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"model-proxy/internal/usage"
)

const (
	fetchLimit = 256                    // messages in one batch, 50 records each at most
	fetchWait  = 250 * time.Millisecond // for a batch to fill
	sweepEvery = time.Second
	lookWait   = 2 * time.Second // for LOG to say how it stands
	firstRetry = 250 * time.Millisecond
	lastRetry  = 10 * time.Second
)

// Config is what a Sink needs.
type Config struct {
	Source   Source
	Store    store // *SQLite
	Liveness Liveness
	Log      *slog.Logger
}

// Sink moves entries from LOG to the store. A batch is what 250 ms bring, at
// most 256 messages, and is acknowledged once the store has committed it. A
// store that fails is tried again with the same batch until it works; LOG
// holds the rest meanwhile. After a crash messages come again, in other batches
// and out of order, and rows that exist are left out: the first entry that
// closes a key makes its row, later ones are only counted.
type Sink struct {
	// Fixed at construction.
	source   Source
	store    store
	liveness Liveness
	log      *slog.Logger

	mu    sync.Mutex // guards the rest
	stats Stats
	since time.Time // when the batch in hand was fetched; zero if none is
}

// Stats are figures of a Sink since it was made.
type Stats struct {
	Requests   int64 // rows written
	Attempts   int64
	Bodies     int64
	Duplicates int64 // entries whose row existed
	Corrupt    int64 // messages that could not be read and were passed over
	Open       int   // jobs that are followed because something of them is open
	Lag        Lag
}

// Lag is how far a Sink is behind.
type Lag struct {
	Messages uint64        // of LOG, not stored; looked up once a second
	Stalled  time.Duration // how long the batch in hand has been waiting for the store
}

// New returns a Sink.
func New(c Config) *Sink {
	return &Sink{source: c.Source, store: c.Store, liveness: c.Liveness, log: c.Log}
}

// Lag says how far the sink is behind. It is safe for concurrent use.
func (s *Sink) Lag() Lag { return s.Stats().Lag }

// Stats returns the sink's figures. It is safe for concurrent use.
func (s *Sink) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	stats := s.stats
	if !s.since.IsZero() {
		stats.Lag.Stalled = time.Since(s.since)
	}
	return stats
}

// run is the state of one Run.
type run struct {
	*Sink
	tracker   *tracker
	reachable time.Time // since when LOG answers without a break; zero if it does not
	looked    time.Time
}

// Run moves entries until ctx ends. What is in hand then stays on LOG. Only
// one Run may be active on a store. It returns an error if the store cannot be
// read at the start, or one that wraps usage.ErrVersion if LOG holds a message
// of a newer program: it is left there for a newer sink.
func (s *Sink) Run(ctx context.Context) error {
	r := &run{Sink: s, tracker: newTracker(), reachable: time.Now()}
	open, err := s.store.load(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return nil // told to stop
		}
		return err
	}
	for _, e := range open {
		if err := r.tracker.restore(e, time.Now()); err != nil {
			r.log.Error("unreadable open entry passed over", "job_id", e.job, "error", err)
		}
	}
	stored := true
	for ctx.Err() == nil {
		messages, err := s.source.Fetch(ctx, fetchLimit, fetchWait)
		if err != nil {
			r.unreachable(err)
			pause(ctx, firstRetry)
			continue
		}
		if stored, err = r.handle(ctx, messages); err != nil {
			return err
		}
	}
	if !stored {
		return nil // the store is away: the next sink will do it
	}
	return r.finish(ctx)
}

// finishWithin bounds what a sink does after it was told to stop.
const finishWithin = 5 * time.Second

// finish stores what stands in LOG already: those who stopped before the sink
// count on it. What comes later, or takes too long, waits for the next sink.
func (r *run) finish(ctx context.Context) error {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), finishWithin)
	defer stop()
	for ctx.Err() == nil {
		messages, err := r.source.Fetch(ctx, fetchLimit, fetchWait)
		if err != nil || len(messages) == 0 {
			return nil // unreachable or empty: either way there is no more to do
		}
		if _, err := r.handle(ctx, messages); err != nil {
			return err
		}
	}
	return nil
}

// handle stores one batch and acknowledges it. It has not stored it if ctx ended
// while the store was away.
func (r *run) handle(ctx context.Context, messages []Message) (stored bool, err error) {
	now := time.Now()
	for _, m := range messages {
		if err := r.read(m.Data, now); err != nil {
			return false, err
		}
	}
	b := r.tracker.cut(now)
	if !r.commit(ctx, b) {
		return false, nil // told to stop
	}
	b.reset()
	for _, m := range messages {
		if err := m.Ack(); err != nil {
			r.log.Warn("records not acknowledged, they will come again", "error", err)
			break
		}
	}
	if now.Sub(r.looked) >= sweepEvery {
		r.looked = now
		r.look(ctx, len(messages), now)
	}
	return true, nil
}

// read applies the entries of one message.
func (r *run) read(data []byte, now time.Time) error {
	entries, err := usage.Decode(data)
	if errors.Is(err, usage.ErrVersion) {
		return fmt.Errorf("read log: %w", err)
	}
	if err != nil {
		r.log.Error("unreadable message on log passed over", "error", err, "bytes", len(data))
		r.count(func(s *Stats) { s.Corrupt++ })
		return nil
	}
	for i := range entries {
		r.tracker.apply(&entries[i], now)
	}
	return nil
}

// look asks how LOG stands and sweeps if the batch just stored was the last;
// what that closes goes with the next batch. A process that was out of touch
// may still have much to tell, so nothing is closed before LOG has been
// reachable for as long as the rule that closes it waits.
func (r *run) look(ctx context.Context, size int, now time.Time) {
	ctx, cancel := context.WithTimeout(ctx, lookWait)
	defer cancel()
	state, err := r.source.State(ctx)
	if err != nil {
		r.unreachable(err)
		return
	}
	if r.reachable.IsZero() {
		r.log.Info("log reachable again")
		r.reachable = now
	}
	r.count(func(s *Stats) {
		s.Lag.Messages = state.Unread + state.Unacked
		s.Open = len(r.tracker.jobs)
	})
	caughtUp := size < fetchLimit && state.Unacked <= uint64(size) // acknowledgements may be on their way
	if !caughtUp || now.Sub(r.reachable) < silence {
		return
	}
	var overdue time.Time // none
	if now.Sub(r.reachable) >= lateness {
		overdue = now.Add(-lateness)
	}
	r.tracker.sweep(now, overdue, r.liveness)
}

func (r *run) unreachable(err error) {
	if !r.reachable.IsZero() {
		r.log.Warn("log unreachable", "error", err)
	}
	r.reachable = time.Time{}
}

// commit writes b, trying until it works. It reports whether it did before ctx
// ended.
func (r *run) commit(ctx context.Context, b *batch) bool {
	if b.empty() {
		return true
	}
	r.holding(time.Now())
	defer r.holding(time.Time{})
	for wait := firstRetry; ; wait = min(2*wait, lastRetry) {
		n, err := r.store.write(ctx, b)
		if err == nil {
			r.count(func(s *Stats) {
				s.Requests += int64(n.requests)
				s.Attempts += int64(n.attempts)
				s.Bodies += int64(n.bodies)
				s.Duplicates += int64(len(b.requests) + len(b.attempts) + len(b.bodies) - n.requests - n.attempts - n.bodies)
			})
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		r.log.Error("records not stored, trying again", "error", err, "wait", wait)
		pause(ctx, wait)
	}
}

func (s *Sink) holding(since time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.since = since
}

func (s *Sink) count(change func(*Stats)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.stats)
}

// pause waits for d or the end of ctx.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
