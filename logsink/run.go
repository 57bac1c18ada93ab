package logsink

import (
	"context"
	"errors"
	"fmt"
	"time"

	"model-proxy/internal/bus"
	"model-proxy/internal/phase"
	"model-proxy/internal/usage"
)

const (
	fetchLimit = 64 // messages at a time; under load one holds up to 1,000 records

	finishWithin = 5 * time.Second // bounds what a sink does after it was told to stop
)

// run is the state of one term.
type run struct {
	*Sink
	tracker  *tracker
	contact  contact
	looked   time.Time
	buried   []bus.Orphan // found in the queue; their rows go with the next batch
	delivery *delivery    // the last one; nil before the first
}

func newRun(s *Sink) *run {
	return &run{Sink: s, tracker: newTracker(), contact: contact{log: s.log, since: time.Now()}}
}

// serve moves entries until ctx ends. What it has in hand then, and what stands
// in LOG by then, it still stores: those who stopped before the sink count on it.
func (r *run) serve(ctx context.Context) error {
	work, stop := outliving(ctx)
	defer func() {
		stop()
		_ = r.delivered() // an error was returned before, or is that of stop
	}()
	err := r.move(ctx, work)
	if errors.Is(err, context.Canceled) {
		return nil // told to stop; what is in hand waits for the next sink
	}
	return err
}

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

// move takes up what the last sink left, moves entries until ctx ends, and then
// until LOG is empty. What comes later, or is not done when work ends, waits for
// the next sink.
func (r *run) move(ctx, work context.Context) error {
	if err := r.begin(ctx, work); err != nil {
		return err
	}
	for ctx.Err() == nil {
		if _, err := r.step(ctx, work); err != nil {
			return err
		}
	}
	for {
		moved, err := r.step(work, work)
		if err == nil {
			err = r.delivered()
		}
		if err != nil || moved == 0 && !r.unread(work) {
			return err
		}
	}
}

// begin loads what the store knows.
func (r *run) begin(ctx, work context.Context) error {
	start, err := r.store.load(ctx)
	if err != nil {
		return err
	}
	for _, e := range start.open {
		if err := r.tracker.restore(e, time.Now()); err != nil {
			r.log.Error("unreadable open entry passed over", "job_id", e.job, "error", err)
		}
	}
	return r.acknowledge(work, start.acks)
}

// step gathers a batch, until ctx ends, and gives it on. It returns how many
// messages it came in.
func (r *run) step(ctx, work context.Context) (moved int, err error) {
	messages, full, err := r.gather(ctx)
	if err != nil {
		return 0, err
	}
	return len(messages), r.settle(work, messages, full)
}

// unread reports whether LOG holds what a busy server has not handed out yet.
// It does not if LOG cannot be reached.
func (r *run) unread(ctx context.Context) bool {
	state, err := r.state(ctx)
	return err == nil && state.Unread > 0
}

// gather fetches messages until they are enough for the store or its wait is
// over, and applies them. It reports whether there may be more. The error is that
// of read.
func (r *run) gather(ctx context.Context) (all []Message, full bool, err error) {
	rows, wait := r.store.enough()
	wait = phase.Next(wait) // with what else this process does
	began := time.Now()
	for {
		messages, err := r.source.Fetch(ctx, fetchLimit, max(wait-time.Since(began), time.Millisecond))
		if err != nil {
			r.contact.lost(err)
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

// settle has the batch stored that the messages came to, once the one before
// is. If there is more on LOG it does not wait for the end of that: the next batch
// is gathered and sifted meanwhile. The error is that of delivered, or work's.
func (r *run) settle(work context.Context, messages []Message, full bool) error {
	now := time.Now()
	b := r.tracker.cut(now)
	for _, m := range messages {
		b.acks = append(b.acks, m.Reply)
	}
	r.take(now)
	err := insist(work, r.log, "records not stored, trying again", func() error { return r.store.sift(work, b) })
	if before := r.delivered(); before != nil {
		err = before // and what comes after it must not be stored
	}
	if err != nil {
		r.drop()
		return err
	}
	r.deliver(work, b)
	if !full {
		if err := r.delivered(); err != nil {
			return err
		}
	}
	if now.Sub(r.looked) >= sweepEvery {
		r.looked = now
		r.look(work, len(messages), full, now)
	}
	return nil
}

// look asks how LOG stands and sweeps if the batch just stored was the last;
// what that closes goes with the next batch. A process that was out of touch
// may still have much to tell, so nothing is closed before LOG has been
// reachable for as long as the rule that closes it waits.
func (r *run) look(ctx context.Context, size int, full bool, now time.Time) {
	state, err := r.state(ctx)
	if err != nil {
		r.contact.lost(err)
		return
	}
	since := r.contact.made(now)
	r.count(func(s *Stats) { s.Open = len(r.tracker.jobs) })
	caughtUp := !full && state.Unacked <= uint64(size) // acknowledgements may be on their way
	if !caughtUp || now.Sub(since) < silence {
		return
	}
	var overdue time.Time // none
	if now.Sub(since) >= lateness {
		overdue = now.Add(-lateness)
	}
	r.tracker.sweep(now, overdue, r.liveness)
	r.bury(ctx)
}
