package usage

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

const (
	ackWait     = 2 * time.Second // for LOG to confirm a message
	inFlight    = 256             // messages sent and not confirmed
	replayBatch = 64              // messages read from the spool at a time
	firstPause  = 250 * time.Millisecond
	longPause   = 5 * time.Second // between tries to empty the spool
)

// Publisher puts messages on LOG.
type Publisher interface {
	// Publish hands a message over without waiting for LOG and returns how to
	// wait. An error means that it was not sent, for example because there is
	// no connection. data is not changed before LOG has confirmed that it has
	// it. LOG drops a message whose id it has seen.
	Publish(id string, data []byte) (Ack, error)
}

// Ack waits until LOG has stored a message. It returns the reason if LOG
// refused it and ctx.Err() if ctx ended first. It is called once.
type Ack func(ctx context.Context) error

// flight is a message on its way.
type flight struct {
	message
	ack      Ack
	deadline time.Time
}

// Run sends what Add takes until ctx ends, then sends the rest, waits for it
// to be confirmed, and leaves what was not in the spool. It returns once every
// goroutine it started has; the error is that of a spool that could not be
// written, and says how many records were lost with it.
func (p *Packer) Run(ctx context.Context) error {
	flights := make(chan flight, inFlight) // closed by this function
	var acks, replay sync.WaitGroup
	acks.Go(func() { p.confirm(flights) })
	replay.Go(func() { p.replay(ctx) })

	retry := time.NewTimer(time.Hour)
	retry.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-p.age.C:
			p.ripe()
		case <-p.wake:
		case <-retry.C:
		}
		p.sealDue()
		if err := p.ship(flights); err != nil {
			retry.Reset(time.Second)
		}
	}

	replay.Wait()
	p.seal()
	_ = p.ship(flights) // what it could not spool is tried again below
	close(flights)
	acks.Wait()
	if err := p.store(p.take()); err != nil {
		return fmt.Errorf("%d records lost: %w", p.pending.Load(), err)
	}
	return nil
}

// ship sends what is ready, or spools it if something is waiting there.
func (p *Packer) ship(flights chan<- flight) error {
	failed, ready := p.take()
	for len(failed) == 0 && len(ready) > 0 && p.spool.empty() {
		m := ready[0]
		ack, err := p.publisher.Publish(m.id, m.data)
		if err != nil {
			p.lost(err)
			break
		}
		p.flying.Add(1)
		flights <- flight{m, ack, time.Now().Add(ackWait)}
		p.backlog.Add(-int64(len(m.data)))
		ready = ready[1:]
	}
	return p.store(failed, ready)
}

// store appends messages to the spool, or puts them back if it cannot.
func (p *Packer) store(failed, ready []message) error {
	all := slices.Concat(failed, ready)
	if len(all) == 0 {
		return nil
	}
	err := p.spool.append(all)
	if err != nil {
		if !p.broken.Swap(true) {
			p.log.Error("spool cannot be written", "error", err)
		}
		p.putBack(failed, ready)
		return err
	}
	if p.broken.Swap(false) {
		p.log.Info("spool can be written again")
	}
	for _, m := range all {
		p.backlog.Add(-int64(len(m.data)))
		p.pending.Add(-int64(m.records)) // the spool counts them now
	}
	return nil
}

// lost says once for each time LOG goes away that it has.
func (p *Packer) lost(err error) {
	if !p.away.Swap(true) {
		p.log.Warn("log unreachable, records go to the spool", "error", err)
	}
}

// confirm waits for the messages in flight, in order.
func (p *Packer) confirm(flights <-chan flight) {
	for f := range flights {
		err := f.wait()
		if err == nil {
			p.pending.Add(-int64(f.records))
			p.reuse(f.data)
		} else {
			p.lost(err)
			p.mu.Lock()
			p.failed = append(p.failed, f.message)
			p.mu.Unlock()
			p.backlog.Add(int64(len(f.data)))
		}
		left := p.flying.Add(-1)
		if err != nil || left == 0 || left == flyingMost-1 {
			p.signal() // to spool it, or since what has grown meanwhile may go
		}
	}
}

// wait is not bound to Run's context: at the end Run waits for what it sent.
func (f flight) wait() error {
	ctx, cancel := context.WithDeadline(context.Background(), f.deadline)
	defer cancel()
	return f.ack(ctx)
}

// replay sends on what the spool holds until ctx ends.
func (p *Packer) replay(ctx context.Context) {
	pause := firstPause
	for ctx.Err() == nil {
		batch, err := p.spool.peek(replayBatch)
		if err != nil {
			p.log.Error("spool unreadable", "error", err)
		}
		sent := p.resend(batch)
		p.spool.drop(batch[:sent])
		switch {
		case err != nil || sent < len(batch):
			select {
			case <-ctx.Done():
			case <-time.After(pause):
			}
			pause = min(2*pause, longPause)
		case sent > 0:
			pause = firstPause
		default:
			if p.away.Swap(false) {
				p.log.Info("log takes records again")
			}
			select {
			case <-ctx.Done():
			case <-p.spool.filled:
			}
		}
	}
}

// resend publishes the batch and returns how many from its beginning LOG has.
// The first is confirmed before the rest is sent, so that a LOG that is away
// is not sent the same messages over and over.
func (p *Packer) resend(batch []spooled) (sent int) {
	if len(batch) == 0 || p.publish(batch[:1]) == 0 {
		return 0
	}
	return 1 + p.publish(batch[1:])
}

func (p *Packer) publish(batch []spooled) (sent int) {
	flights := make([]flight, 0, len(batch))
	for _, m := range batch {
		ack, err := p.publisher.Publish(m.id, m.data)
		if err != nil {
			break
		}
		flights = append(flights, flight{m.message, ack, time.Now().Add(ackWait)})
	}
	for i, f := range flights {
		if f.wait() != nil {
			return i
		}
	}
	return len(flights)
}
