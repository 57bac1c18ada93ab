package limit

import (
	"context"
	"sync/atomic"
)

// Grant is one admitted request's share of its client's limits. It is safe for
// concurrent use; every method counts the first time only.
type Grant struct {
	limiter *Limiter // nil for a client without limits
	client  *client

	levels    Levels
	requested bool  // one of the requests was taken, in requestIn
	requestIn int64 // bucket
	reserved  int64 // tokens taken, in tokensIn
	tokensIn  int64 // bucket
	slot      bool  // a slot was taken

	settled  atomic.Bool
	released atomic.Bool
}

// take asks the limits in turn and tells which one refused. Each looks at the
// clock again, for the one before it may have waited for the bus.
func (g *Grant) take(ctx context.Context, c Client, e Estimate) *Denied {
	if c.RequestsPerMinute > 0 {
		v := g.client.requests.take(ctx, 1, c.RequestsPerMinute)
		g.levels.Requests = v.level
		if !v.admitted {
			g.levels.Tokens = g.client.tokens.level(c.TokensPerMinute)
			return g.denied(RPM, v)
		}
		g.requested, g.requestIn = true, v.bucket
	}
	if c.TokensPerMinute > 0 {
		n := max(1, e.Prompt+g.client.answer.expect(e.MaxTokens))
		v := g.client.tokens.take(ctx, n, c.TokensPerMinute)
		g.levels.Tokens = v.level
		if !v.admitted {
			return g.denied(TPM, v)
		}
		g.reserved, g.tokensIn = n, v.bucket
	}
	if c.MaxParallel > 0 {
		if v := g.client.slots.take(ctx, c.MaxParallel); !v.admitted {
			return g.denied(Parallel, v)
		}
		g.slot = true
	}
	return nil
}

func (g *Grant) denied(r Reason, v verdict) *Denied {
	if v.err != nil {
		return busAway(v.err)
	}
	return &Denied{Reason: r, RetryAfter: v.retry, Levels: g.levels}
}

// undo gives everything back.
func (g *Grant) undo() {
	now, _ := g.limiter.store.clock.now() // known: something was taken
	if g.slot {
		g.client.slots.release()
	}
	if g.reserved > 0 {
		g.client.tokens.adjust(now, g.tokensIn, -g.reserved)
	}
	if g.requested {
		g.client.requests.adjust(now, g.requestIn, -1)
	}
}

// Levels are the client's limits behind this admission.
func (g *Grant) Levels() Levels { return g.levels }

// Settle replaces the reserved tokens by those that were really used.
func (g *Grant) Settle(prompt, completion int64) {
	if g.limiter == nil || g.settled.Swap(true) {
		return
	}
	g.client.answer.note(completion)
	g.limiter.tokens.Add(-g.reserved)
	used := min(prompt, mostTokens) + min(completion, mostTokens)
	if more := used - g.reserved; g.reserved > 0 && more != 0 {
		now, _ := g.limiter.store.clock.now() // known: something was taken
		g.client.tokens.adjust(now, g.tokensIn, more)
	}
}

// Release ends the request: its slot is free. Tokens that were not settled
// count as estimated.
func (g *Grant) Release() {
	if g.limiter == nil || g.released.Swap(true) {
		return
	}
	if !g.settled.Swap(true) {
		g.limiter.tokens.Add(-g.reserved)
	}
	if g.slot {
		g.client.slots.release()
	}
}

// Cancel takes the admission back as if it had never been: for a request that
// was refused for another reason. It does nothing once settled or released.
func (g *Grant) Cancel() {
	if g.limiter == nil || g.settled.Swap(true) {
		return
	}
	g.limiter.tokens.Add(-g.reserved)
	if g.released.Swap(true) {
		return
	}
	g.undo()
}
