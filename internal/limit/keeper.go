package limit

import (
	"context"
	"time"

	"model-proxy/internal/phase"
)

const (
	tickEvery   = 250 * time.Millisecond
	forgetAfter = 2 * time.Minute // a client of which nothing was heard
)

// Run keeps the clock, renews slots, and gives back what is not needed, until
// ctx ends; then it gives back everything that no running request holds, and
// returns. A bus that is away is no error: Run goes on when it is back.
func (l *Limiter) Run(ctx context.Context) error {
	tick := time.NewTimer(phase.Next(tickEvery))
	defer tick.Stop()
	renew := time.NewTicker(renewEvery)
	defer renew.Stop()
	_, _ = l.store.now(ctx) // sets up the streams; if it cannot, a request or the next renewal will
	for {
		select {
		case <-ctx.Done():
			l.giveBack(context.WithoutCancel(ctx))
			return nil
		case <-l.wake:
			l.settleDirty(ctx)
		case <-tick.C:
			tick.Reset(phase.Next(tickEvery))
			l.store.nap.tick(time.Now())
			l.tick()
		case <-renew.C:
			l.renew(ctx)
		}
	}
}

// tick ends the leases of clients that pause, and forgets those that have gone.
func (l *Limiter) tick() {
	now, ok := l.store.clock.now()
	if !ok {
		return
	}
	var gone []string
	for id, c := range l.all() {
		c.requests.tick(now)
		c.tokens.tick(now)
		busy := c.slots.tick()
		if c.slots.surplus() {
			l.markDirty(c.slots)
		}
		if !busy && now > moment(c.seen.Load()).add(forgetAfter) {
			gone = append(gone, id)
		}
	}
	if len(gone) > 0 {
		l.forget(gone, now)
	}
}

func (l *Limiter) forget(ids []string, now moment) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range ids {
		if c := l.clients[id]; now > moment(c.seen.Load()).add(forgetAfter) {
			delete(l.clients, id)
		}
	}
}

func (l *Limiter) all() map[string]*client {
	l.mu.RLock()
	defer l.mu.RUnlock()
	all := make(map[string]*client, len(l.clients))
	for id, c := range l.clients {
		all[id] = c
	}
	return all
}

// renew asks for the time again and keeps the slots alive. The first failure
// ends the round: with the bus away each would cost its whole time-out.
func (l *Limiter) renew(ctx context.Context) {
	if _, err := l.store.now(ctx); err != nil {
		return
	}
	short, cancel := bounded(ctx)
	defer cancel()
	if err := l.store.clock.learn(short, l.store.js); err != nil {
		l.store.lost(err)
	}
	for _, c := range l.all() {
		if c.slots.leased() == 0 {
			continue
		}
		if err := c.slots.settle(ctx); err != nil {
			return
		}
	}
}

func (l *Limiter) markDirty(s *slots) {
	l.mu.Lock()
	l.dirty[s] = struct{}{}
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default: // Run is told already
	}
}

// settleDirty gives back idle slots. What fails is done by the next renewal.
func (l *Limiter) settleDirty(ctx context.Context) {
	l.mu.Lock()
	dirty := l.dirty
	l.dirty = map[*slots]struct{}{}
	l.mu.Unlock()
	for s := range dirty {
		if !s.surplus() {
			continue
		}
		if err := s.settle(ctx); err != nil {
			return
		}
	}
}

// giveBack ends all leases, so that the other ingresses can have the room.
func (l *Limiter) giveBack(ctx context.Context) {
	var away error // then slots end by themselves, and no more is tried
	for _, c := range l.all() {
		c.requests.giveBack()
		c.tokens.giveBack()
		if away == nil && c.slots.leased() > 0 {
			away = c.slots.giveBack(ctx)
		}
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	_ = l.store.nc.FlushWithContext(ctx) // the connection may be gone; counters then stay for a minute
}
