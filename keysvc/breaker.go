package keysvc

import (
	"sync"
	"sync/atomic"
	"time"

	"model-proxy/internal/llm"
)

// strikesWithin is how long a failure counts towards the breaker.
const strikesWithin = 30 * time.Second

// strikes are this process's own failures of late. A success empties the
// count: a busy upstream that fails now and then is not broken.
type strikes struct {
	some atomic.Int64 // upstream models with a failure: most requests need no lock
	mu   sync.Mutex
	at   map[upstream][]time.Time // oldest first
}

// add counts a failure and reports whether that makes limit of them. The
// count then begins anew.
func (s *strikes) add(now time.Time, u upstream, limit int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.at == nil {
		s.at = map[upstream][]time.Time{}
	}
	at := s.at[u]
	for len(at) > 0 && now.Sub(at[0]) > strikesWithin {
		at = at[1:]
	}
	at = append(at, now)
	full := len(at) >= limit
	if full {
		delete(s.at, u)
	} else {
		s.at[u] = at
	}
	s.some.Store(int64(len(s.at)))
	return full
}

func (s *strikes) forget(u upstream) {
	if s.some.Load() == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.at, u)
	s.some.Store(int64(len(s.at)))
}

func breakerOf(r llm.Report) ref {
	return ref{scope: llm.ScopeBreaker, provider: r.Provider, model: r.Model}
}

// breakerCause is what a breaker's rest gives as its cause.
const breakerCause = "repeated_failures"

// strike counts a failing upstream. The breaker opens when the count is full,
// and at once when its probe fails. Failures of attempts begun before it
// opened say nothing new.
func (s *Service) strike(now time.Time, r llm.Report) {
	if r.BreakerFailures <= 0 {
		return
	}
	c := s.board.get(breakerOf(r))
	open := c.left(now) > 0
	probe := c != nil && !open && r.Begun.After(c.since)
	switch {
	case open:
		return
	case !probe && !s.strikes.add(now, upstream{r.Provider, r.Model}, r.BreakerFailures):
		return
	}
	s.rest(now, llm.Rest{Scope: llm.ScopeBreaker, Provider: r.Provider, Model: r.Model, For: r.BreakerRest, Cause: breakerCause}, r.Begun)
}

// recovered notes that an attempt was served: what came back from a rest is
// proven now.
func (s *Service) recovered(now time.Time, r llm.Report) {
	s.reached(r)
	if s.board.quiet() {
		return
	}
	for _, k := range [...]ref{
		{scope: llm.ScopeProvider, provider: r.Provider},
		{scope: llm.ScopeKey, provider: r.Provider, fp: r.Fingerprint},
		{scope: llm.ScopeKeyModel, provider: r.Provider, fp: r.Fingerprint, model: r.Model},
	} {
		if c := s.board.get(k); c != nil && c.left(now) == 0 && r.Begun.After(c.since) {
			s.board.clear(now, k)
		}
	}
}

// reached notes that the upstream works: the count is empty and the breaker
// closed.
func (s *Service) reached(r llm.Report) {
	s.strikes.forget(upstream{r.Provider, r.Model})
	if s.board.quiet() {
		return
	}
	k := breakerOf(r)
	if c := s.board.get(k); c != nil && r.Begun.After(c.since) && s.board.clear(time.Now(), k) {
		s.probes.closed(s, keyOf(k))
	}
}
