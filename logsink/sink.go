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

	"model-proxy/internal/bus"
	"model-proxy/internal/usage"
)

const (
	fetchLimit = 64 // messages at a time; under load one holds up to 1,000 records
	sweepEvery = time.Second
	lookWait   = 2 * time.Second // for LOG to say how it stands
	firstRetry = 250 * time.Millisecond
	lastRetry  = 10 * time.Second
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
// once the store has committed it. A store that fails is tried again with the
// same batch until it works; LOG holds the rest meanwhile. After a crash messages
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
	Writes     bool  // this Sink leads; others on the same store stand by
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
	return &Sink{source: c.Source, store: c.Store, liveness: c.Liveness, queue: c.Queue, log: c.Log}
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
	r := &run{Sink: s, tracker: newTracker(), reachable: time.Now()}
	err := r.serve(working)
	if cause := context.Cause(working); err == nil && errors.Is(cause, errSuperseded) {
		return cause
	}
	return err
}

// measure looks how far behind the sink is, also while the store is away.
func (s *Sink) measure(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		asking, cancel := context.WithTimeout(ctx, lookWait)
		if state, err := s.source.State(asking); err == nil { // else the last figure stands
			s.count(func(s *Stats) { s.Lag.Messages = state.Unread + state.Unacked })
		}
		cancel()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// run is the state of one term.
type run struct {
	*Sink
	tracker   *tracker
	reachable time.Time // since when LOG answers without a break; zero if it does not
	looked    time.Time
	buried    []bus.Orphan // found in the queue; their rows are in the batch in hand
}

// serve moves entries until ctx ends. What it has in hand then, and what stands
// in LOG by then, it still stores: those who stopped before the sink count on it.
func (r *run) serve(ctx context.Context) error {
	work, stop := outliving(ctx)
	defer stop()
	start, err := r.store.load(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return nil // told to stop
		}
		return err
	}
	for _, e := range start.open {
		if err := r.tracker.restore(e, time.Now()); err != nil {
			r.log.Error("unreadable open entry passed over", "job_id", e.job, "error", err)
		}
	}
	r.acknowledge(work, start.acks)
	for ctx.Err() == nil {
		messages, full, err := r.gather(ctx)
		if err != nil {
			return err
		}
		if err := r.settle(work, messages, full); err != nil {
			return err
		}
	}
	return r.finish(work)
}

// finishWithin bounds what a sink does after it was told to stop.
const finishWithin = 5 * time.Second

// outliving is a context that ends finishWithin after ctx does, and with it if
// another sink has taken over: then that one does the rest.
func outliving(ctx context.Context) (work context.Context, stop func()) {
	work, end := context.WithCancel(context.WithoutCancel(ctx))
	last := time.AfterFunc(finishWithin, end)
	last.Stop()
	forget := context.AfterFunc(ctx, func() {
		if errors.Is(context.Cause(ctx), errSuperseded) {
			end()
			return
		}
		last.Reset(finishWithin)
	})
	return work, func() {
		forget()
		last.Stop()
		end()
	}
}

// finish stores what LOG holds. What comes later, or takes too long, waits for
// the next sink.
func (r *run) finish(ctx context.Context) error {
	for ctx.Err() == nil {
		messages, _, err := r.gather(ctx)
		if err != nil {
			return err
		}
		if len(messages) == 0 && !r.unread(ctx) {
			return nil
		}
		if err := r.settle(ctx, messages, true); err != nil {
			return err
		}
	}
	return nil
}

// unread reports whether LOG holds what a busy server has not handed out yet.
// It does not if LOG cannot be reached.
func (r *run) unread(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, lookWait)
	defer cancel()
	state, err := r.source.State(ctx)
	return err == nil && state.Unread > 0
}

// gather fetches messages until they are enough for the store or its wait is
// over, and applies them. It reports whether there may be more. The error is that
// of read.
func (r *run) gather(ctx context.Context) (all []Message, full bool, err error) {
	rows, wait := r.store.enough()
	began := time.Now()
	for {
		messages, err := r.source.Fetch(ctx, fetchLimit, max(wait-time.Since(began), time.Millisecond))
		if err != nil {
			r.unreachable(err)
			pause(ctx, firstRetry)
			return all, false, nil
		}
		now := time.Now()
		for _, m := range messages {
			if err := r.read(m.Data, now); err != nil {
				return nil, false, err
			}
		}
		all = append(all, messages...)
		full = len(messages) == fetchLimit
		if !full || r.tracker.batch.rows() >= rows || time.Since(began) >= wait || ctx.Err() != nil {
			return all, full, nil
		}
	}
}

// settle stores what the messages came to and acknowledges them, unless ctx
// ends while the store or LOG is away: then they come again.
func (r *run) settle(ctx context.Context, messages []Message, full bool) error {
	now := time.Now()
	b := r.tracker.cut(now)
	for _, m := range messages {
		b.acks = append(b.acks, m.Reply)
	}
	if stored, err := r.commit(ctx, b); !stored {
		return err
	}
	acks := b.acks
	b.reset()
	if len(r.buried) > 0 {
		r.queue.Remove(r.buried)
		r.buried = nil
	}
	if !r.acknowledge(ctx, acks) {
		return nil
	}
	if now.Sub(r.looked) >= sweepEvery {
		r.looked = now
		r.look(ctx, len(messages), full, now)
	}
	return nil
}

// acknowledge tells LOG that messages are stored, until LOG has heard it: what
// comes after may count on it. It reports whether it did before ctx ended.
func (r *run) acknowledge(ctx context.Context, replies []string) bool {
	for {
		err := r.source.Ack(ctx, replies)
		if err == nil {
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		r.unreachable(err)
		pause(ctx, firstRetry)
	}
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
func (r *run) look(ctx context.Context, size int, full bool, now time.Time) {
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
	r.count(func(s *Stats) { s.Open = len(r.tracker.jobs) })
	caughtUp := !full && state.Unacked <= uint64(size) // acknowledgements may be on their way
	if !caughtUp || now.Sub(r.reachable) < silence {
		return
	}
	var overdue time.Time // none
	if now.Sub(r.reachable) >= lateness {
		overdue = now.Add(-lateness)
	}
	r.tracker.sweep(now, overdue, r.liveness)
	r.bury(ctx)
}

func (r *run) unreachable(err error) {
	if !r.reachable.IsZero() {
		r.log.Warn("log unreachable", "error", err)
	}
	r.reachable = time.Time{}
}

// commit writes b, trying until it works. It reports whether it did before ctx
// ended. The error is errSuperseded.
func (r *run) commit(ctx context.Context, b *batch) (stored bool, err error) {
	if b.empty() {
		return true, nil
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
				s.Duplicates += int64(b.rows() - n.requests - n.attempts - n.bodies)
			})
			return true, nil
		}
		if errors.Is(err, errSuperseded) {
			return false, err
		}
		if ctx.Err() != nil {
			return false, nil
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
