// Package logsink turns the entries on LOG into rows, exactly one for each
// request and attempt, batches them into a store, and answers usage queries.
// It closes what a worker or an ingress that died left open. What the entries
// hold and how they travel is package usage's; who is alive it is told.
package logsink

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"
)

const (
	sweepEvery = time.Second
	lookWait   = 2 * time.Second // for LOG to say how it stands
)

// Config is what a Sink needs.
type Config struct {
	Source   Source
	Store    store // *SQLite or *ClickHouse
	Liveness Liveness
	Queue    Queue // nil where nobody looks for jobs whose ingress died
	Log      *slog.Logger
}

// Sink moves entries from LOG to the store. A batch is what the store finds
// enough for one write, or what comes until its wait is over, and is acknowledged
// once the store has committed it. While one is stored the next is gathered. A
// store that fails is tried again with the same batch until it works; LOG holds
// the rest meanwhile. After a crash messages
// come again, in other batches and out of order, and rows that exist are left
// out: the first entry that closes a key makes its row, later ones are only
// counted. Of several Sinks on one ClickHouse one writes, the others stand by.
type Sink struct {
	// Fixed at construction.
	source   Source
	store    store
	liveness Liveness
	queue    Queue
	log      *slog.Logger

	mu     sync.Mutex // guards the rest
	stats  Stats
	asked  time.Time   // when LOG last said how it stands
	inHand []time.Time // since when each batch is that is not stored, oldest first
}

// Stats are figures of a Sink since it was made.
type Stats struct {
	Requests   int64 // rows written
	Attempts   int64
	Bodies     int64
	Duplicates int64 // entries whose row existed
	Writes     bool  // this Sink leads; others on the same store stand by
	Corrupt    int64 // messages that could not be read and were passed over
	Open       int   // jobs that are followed because something of them is open
	Lag        Lag
}

// Lag is how far a Sink is behind.
type Lag struct {
	Messages uint64        // of LOG, not stored; looked up every second or two
	Stalled  time.Duration // how long the oldest batch in hand has been waiting for the store
}

// New returns a Sink.
func New(c Config) *Sink {
	return &Sink{source: c.Source, store: c.Store, liveness: c.Liveness, queue: c.Queue, log: c.Log}
}

// Lag says how far the sink is behind. It is safe for concurrent use.
func (s *Sink) Lag() Lag { return s.Stats().Lag }

// Stats returns the sink's figures. It is safe for concurrent use.
func (s *Sink) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	stats := s.stats
	if len(s.inHand) > 0 {
		stats.Lag.Stalled = time.Since(s.inHand[0])
	}
	return stats
}

// Run moves entries until ctx ends. What is in hand then stays on LOG, or with
// the store until the next Run. Only one Run may be active on a SQLite file. It
// returns an error if the store cannot be read at the start, one that wraps
// ErrSchema if it is a newer program's, or one that wraps usage.ErrVersion if LOG
// holds a message of a newer program: it is left there for a newer sink.
func (s *Sink) Run(ctx context.Context) error {
	for {
		err := s.term(ctx)
		if ctx.Err() != nil || !errors.Is(err, errSuperseded) {
			return err
		}
		s.log.Warn("another log sink has taken over")
	}
}

// term is the time for which this Sink writes. It returns errSuperseded if
// another one ends it.
func (s *Sink) term(ctx context.Context) error {
	if err := s.store.lead(ctx); err != nil {
		if ctx.Err() != nil {
			return nil // told to stop
		}
		return err
	}
	working, superseded := context.WithCancelCause(ctx)
	holding, release := context.WithCancel(context.WithoutCancel(ctx))
	var held sync.WaitGroup
	held.Go(func() { superseded(s.store.hold(holding)) })
	held.Go(func() { s.measure(holding) })
	defer held.Wait()
	defer release()
	s.count(func(s *Stats) { s.Writes = true })
	defer s.count(func(s *Stats) { s.Writes, s.Lag = false, Lag{} })
	err := newRun(s).serve(working)
	if cause := context.Cause(working); err == nil && errors.Is(cause, errSuperseded) {
		return cause
	}
	return err
}

// state asks LOG how it stands.
func (s *Sink) state(ctx context.Context) (State, error) {
	ctx, cancel := context.WithTimeout(ctx, lookWait)
	defer cancel()
	state, err := s.source.State(ctx)
	if err != nil {
		return state, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = time.Now()
	s.stats.Lag.Messages = state.Unread + state.Unacked
	return state, nil
}

// measure looks how far behind the sink is while nobody else asks: the store may
// be away.
func (s *Sink) measure(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		s.mu.Lock()
		asked := s.asked
		s.mu.Unlock()
		if time.Since(asked) > sweepEvery+sweepEvery/2 {
			_, _ = s.state(ctx) // else the last figure stands
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (s *Sink) count(change func(*Stats)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.stats)
}

// take notes that a batch is in hand, and drop that the oldest is not any more.
func (s *Sink) take(since time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inHand = append(s.inHand, since)
}

func (s *Sink) drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inHand = s.inHand[1:]
}
