package keysvc

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"model-proxy/internal/llm"
)

const (
	// probeFor is how long a probe holds its claim if its worker dies.
	probeFor = 30 * time.Second
	// probeTaken is how long a worker leaves a breaker alone when another has
	// the probe.
	probeTaken = time.Second
)

// probes are the claims this process holds and the keys it has yet to delete
// from the bucket.
type probes struct {
	holding atomic.Int64 // length of held: most reports need no lock

	mu     sync.Mutex
	held   map[upstream]time.Time // by when they were claimed
	delete []string
}

// Admit asks to send one request to a provider's model: the zero Rest if its
// breaker is closed, what is left while it is open. After that one request in
// the cluster goes as the probe, and the others are told to wait.
func (s *Service) Admit(now time.Time, provider, model string) llm.Rest {
	if s.board.quiet() {
		return llm.Rest{}
	}
	k := ref{scope: llm.ScopeBreaker, provider: provider, model: model}
	c := s.board.get(k)
	if c == nil {
		return llm.Rest{}
	}
	r := c.rest
	if r.For = c.left(now); r.For > 0 {
		return r
	}
	r.For = probeTaken
	trial := c.trial.Load()
	if trial > now.UnixNano() || !c.trial.CompareAndSwap(trial, now.Add(probeFor).UnixNano()) {
		return r // this process has the probe, or knows who has
	}
	if !s.claim(k) {
		c.trial.Store(now.Add(probeTaken).UnixNano())
		return r
	}
	s.probes.hold(upstream{provider, model}, now)
	return llm.Rest{}
}

// claim takes the cluster's one probe. While the bus is away each process
// probes for itself.
func (s *Service) claim(k ref) bool {
	ctx, cancel := context.WithTimeout(context.Background(), callWithin)
	defer cancel()
	key := probeKey(keyOf(k))
	put := func(revision uint64) error {
		_, err := s.publish(ctx, &nats.Msg{Subject: subjectOf(key), Data: []byte(s.board.self)}, jetstream.WithMsgTTL(probeFor),
			jetstream.WithExpectLastSequencePerSubject(revision))
		return err
	}
	err := put(0)
	if !errors.Is(err, errStale) {
		return true
	}
	revision, live, err := s.revision(ctx, key)
	if err != nil || live {
		return false
	}
	return put(revision) == nil // over the sign of the last probe's end
}

func probeKey(key string) string { return "probe." + key }

func (p *probes) hold(u upstream, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held == nil {
		p.held = map[upstream]time.Time{}
	}
	p.held[u] = now
	p.holding.Store(int64(len(p.held)))
}

// end gives back the claim if r is the report of its attempt, whatever it
// says.
func (p *probes) end(s *Service, r llm.Report) {
	if p.holding.Load() == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	u := upstream{r.Provider, r.Model}
	at, ok := p.held[u]
	if !ok || r.Begun.Before(at) {
		return
	}
	delete(p.held, u)
	p.holding.Store(int64(len(p.held)))
	k := breakerOf(r)
	if c := s.board.get(k); c != nil {
		c.trial.Store(0)
	}
	p.delete = append(p.delete, probeKey(keyOf(k)))
	signal(s.wake)
}

// closed has the bucket forget a breaker.
func (p *probes) closed(s *Service, key string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delete = append(p.delete, key)
	signal(s.wake)
}

// release deletes from the bucket what is to be deleted.
func (p *probes) release(ctx context.Context, s *Service) error {
	for {
		p.mu.Lock()
		if len(p.delete) == 0 {
			p.mu.Unlock()
			return nil
		}
		key := p.delete[0]
		p.mu.Unlock()
		if err := s.remove(ctx, key); err != nil {
			return err
		}
		p.mu.Lock()
		p.delete = p.delete[1:]
		p.mu.Unlock()
	}
}
