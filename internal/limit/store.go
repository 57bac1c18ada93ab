package limit

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"model-proxy/internal/bus"
)

// Names on the bus.
const (
	countStream = "RL"
	slotBucket  = "PAR"
)

const (
	busTimeout = time.Second            // for one exchange with the bus
	retryPause = 250 * time.Millisecond // between two attempts to reach it
	keepCount  = 2 * time.Minute        // of a counter, after its last change
	keepSlots  = 30 * time.Second       // of a client's key in PAR, likewise
)

// store is the bus as this package uses it: the counters, the slots and the
// server's clock. It is safe for concurrent use.
type store struct {
	// Fixed at construction.
	nc       *nats.Conn
	js       jetstream.JetStream
	replicas int
	clock    *clock
	inbox    *inbox
	nap      nap

	mu     sync.Mutex // guards the rest; held while the streams are set up
	slots  jetstream.KeyValue
	failed time.Time // when setting up failed last
	err    error     // and why
}

// EnsureStreams creates or updates the stream RL and the bucket PAR. Everybody
// may call it at any time. The Limiter calls it by itself.
func EnsureStreams(ctx context.Context, js jetstream.JetStream, replicas int) error {
	_, err := ensure(ctx, js, replicas)
	return err
}

func ensure(ctx context.Context, js jetstream.JetStream, replicas int) (jetstream.KeyValue, error) {
	for _, name := range []string{countStream, "KV_" + slotBucket} {
		if have, err := js.Stream(ctx, name); err == nil { // else it is made, or the error comes again
			if err := bus.CheckMark(have.CachedInfo().Config.Metadata); err != nil {
				return nil, fmt.Errorf("stream %s: %w", name, err)
			}
		}
	}
	_, err := js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name: countStream, Subjects: []string{"rl.*.*.*"}, AllowMsgCounter: true,
		Storage: jetstream.MemoryStorage, MaxMsgsPerSubject: 1, MaxAge: keepCount,
		Replicas: max(1, replicas), Metadata: bus.Mark(),
	})
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", countStream, err)
	}
	kv, err := js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{
		Bucket: slotBucket, History: 1, TTL: keepSlots, Storage: jetstream.MemoryStorage, Replicas: max(1, replicas), Metadata: bus.Mark(),
	})
	if err != nil {
		return nil, fmt.Errorf("bucket %s: %w", slotBucket, err)
	}
	return kv, nil
}

// now is the server's time; the first call sets up the streams and learns it.
func (s *store) now(ctx context.Context) (moment, error) {
	if m, ok := s.clock.now(); ok {
		return m, nil
	}
	if _, err := s.kv(ctx); err != nil {
		return 0, err
	}
	m, _ := s.clock.now()
	return m, nil
}

// kv is PAR. It sets up the streams if that was not done, or if they were lost.
func (s *store) kv(ctx context.Context) (jetstream.KeyValue, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.slots != nil {
		return s.slots, nil
	}
	// Those who waited for a failed attempt share its outcome.
	if s.err != nil && time.Since(s.failed) < retryPause {
		return nil, s.err
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	kv, err := ensure(ctx, s.js, s.replicas)
	if err == nil {
		err = s.clock.learn(ctx, s.js)
	}
	if err != nil {
		s.failed, s.err = time.Now(), err
		return nil, err
	}
	s.slots, s.err = kv, nil
	return kv, nil
}

// lost notes that the streams have to be set up anew, if err says so.
func (s *store) lost(err error) bool {
	gone := errors.Is(err, nats.ErrNoResponders) || errors.Is(err, jetstream.ErrNoStreamResponse) ||
		errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, jetstream.ErrBucketNotFound)
	if gone {
		s.mu.Lock()
		s.slots = nil
		s.mu.Unlock()
	}
	return gone
}

// bounded gives one exchange its time. It does not end with the request that
// began it: others wait for the same answer.
func bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), busTimeout)
}

// book adds to a counter without waiting. If it is lost with the connection,
// the count stays as it was until its bucket leaves the window.
func (s *store) book(subject string, n int64) {
	if n != 0 {
		_ = s.nc.PublishMsg(delta{subject, n}.message("")) // fails only on a closed connection
	}
}
