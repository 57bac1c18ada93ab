// Package keysvc leases API keys and keeps cooldowns in NATS KV, where every
// worker of the cluster sees them at once.
//
// What rests is written to the bucket COOL and watched by every process into a
// board of its own, which the hot path reads without a lock. A rest takes
// effect here at once and travels afterwards, so that nobody waits for the
// bus; while the bus is away it stays here and is sent when it is back.
//
// # Ages
//
// No process compares its clock with another's. A value holds a length, not a
// moment. A rest that arrives live runs its whole length from its arrival. One
// that is replayed, at the start or after a reconnect, runs what is left: the
// server's time of writing and the server's time now (stream info) are the
// same clock.
//
// # One event
//
// Workers that meet the same 429 set the same rest. The one whose write finds
// the key without a rest (compare and set on the revision) counts the event;
// the others lengthen it, if at all, in silence.
package keysvc

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"model-proxy/internal/llm"
)

// Options are what a Service needs. JetStream and Log are required.
type Options struct {
	JetStream jetstream.JetStream
	Replicas  int // of the bucket, if it has to be made; 0 means 1
	Log       *slog.Logger

	// Event is called once in the whole cluster for each cooldown that begins,
	// or that an attempt begun after it lengthens by a second or more. It must
	// not block. May be nil.
	Event func(llm.Rest)
}

// Service is the key service of one process. It is a router.Pool and safe for
// concurrent use. Without Run it works alone: it shares nothing.
type Service struct {
	// Fixed at construction.
	js       jetstream.JetStream
	replicas int
	log      *slog.Logger
	event    func(llm.Rest)

	board     *board
	strikes   strikes
	rotations perModel[atomic.Uint64]
	latencies perModel[latency]
	probes    probes

	made time.Time // owned by watch: when the bucket that it saw last was made

	wake    chan struct{} // never closed; holds one: something waits to be written
	rewatch chan struct{} // never closed; holds one: the connection is new
	ready   chan struct{} // closed by Run after the first replay
	once    sync.Once     // closes ready
}

// New returns a Service that has not yet seen the bucket. Call Run.
func New(o Options) *Service {
	s := &Service{js: o.JetStream, replicas: max(1, o.Replicas), log: o.Log, event: o.Event,
		board: newBoard(nuid.Next()), wake: make(chan struct{}, 1), rewatch: make(chan struct{}, 1), ready: make(chan struct{})}
	if s.event == nil {
		s.event = func(llm.Rest) {}
	}
	return s
}

// Run shares rests with the cluster until ctx ends. While the bus is away it
// goes on trying. It returns when all it started has stopped, always nil.
func (s *Service) Run(ctx context.Context) error {
	var parts sync.WaitGroup
	parts.Go(func() { s.watch(ctx) })
	parts.Go(func() { s.write(ctx) })
	parts.Wait()
	return nil
}

// Ready is closed when the bucket's rests have been read for the first time.
func (s *Service) Ready() <-chan struct{} { return s.ready }

// Rewatch makes the watch anew and sends what could not be sent. Call it from
// the connection's reconnect handler: left alone, a watch needs up to 9 s to
// notice that it is dead. It does not block.
func (s *Service) Rewatch() { signal(s.rewatch) }

func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default: // one is enough
	}
}

// Report takes what an attempt taught: it sets rests, counts for the breaker
// and for the latency. It does not wait for the bus.
func (s *Service) Report(r llm.Report) {
	now := time.Now()
	for _, rest := range r.Rests {
		s.rest(now, rest, r.Begun)
	}
	switch r.Health {
	case llm.HealthServed:
		s.observe(now, r)
		s.recovered(now, r)
	case llm.HealthAlive:
		s.reached(r)
	case llm.HealthFailing:
		s.strike(now, r)
	}
	s.probes.end(s, r) // after the verdict on the breaker: until then nobody else may probe
}

// rest sets one rest, caused by an attempt that began at begun.
func (s *Service) rest(now time.Time, r llm.Rest, begun time.Time) {
	if s.board.set(now, r, begun) {
		signal(s.wake)
	}
}

// count reports one event.
func (s *Service) count(r llm.Rest) {
	s.event(r)
	s.log.Warn("cooldown begins", "scope", r.Scope, "provider", r.Provider, "key", r.Fingerprint,
		"model", r.Model, "for", r.For, "cause", r.Cause, "status", r.Status)
}
