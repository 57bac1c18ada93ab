// Package recall keeps the thinking that led to tool calls, for an hour and for
// all workers, so that it can go before those calls again when a client answers
// them without it. It is a cache in NATS: what is not there, too large or too
// late is done without. What is thinking, and under which key, is convert's
// business.
package recall

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

// Stream holds one message for each key, in memory. Its subjects are
// think.<client>.<key>, the client as a bus.Token: nobody reads another's.
const Stream = "THINK"

// Bounds of what is kept, and of how long a request waits for it.
const (
	keptFor = time.Hour
	most    = 64 << 20  // bytes of all clients; the oldest goes first
	mostOne = 256 << 10 // bytes under one key
	within  = 250 * time.Millisecond
)

// ErrTooLarge is returned for what is larger than one key may hold.
var ErrTooLarge = errors.New("too large to be kept")

// Store is the cache. It is safe for concurrent use.
type Store struct {
	js       jetstream.JetStream
	replicas int
	within   time.Duration // how long one call may take

	mu     sync.Mutex
	stream jetstream.Stream // nil until it is first needed
}

// New returns the cache on nc. It does no I/O: the stream is made by who needs
// it first. 0 replicas mean 1.
func New(nc *nats.Conn, replicas int) (*Store, error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, fmt.Errorf("recall: %w", err)
	}
	return &Store{js: js, replicas: replicas, within: within}, nil
}

// Put keeps data under a client's key and waits until the server has it, so that
// whoever is told the answer next finds it: at most 250 ms.
func (s *Store) Put(ctx context.Context, client, key string, data []byte) error {
	if len(data) > mostOne {
		return fmt.Errorf("keep %d bytes: %w", len(data), ErrTooLarge)
	}
	ctx, cancel := context.WithTimeout(ctx, s.within)
	defer cancel()
	if _, err := s.open(ctx); err != nil {
		return err
	}
	if _, err := s.js.Publish(ctx, subject(client, key), data); err != nil {
		return s.failed("keep thinking", err)
	}
	return nil
}

// Get returns what is kept of a client's keys; the map is never nil. It asks for
// all of them at once and waits 250 ms at most. The error is of one that could
// not be asked for, and what was found of the others is there beside it.
func (s *Store) Get(ctx context.Context, client string, keys []string) (map[string][]byte, error) {
	found := map[string][]byte{}
	ctx, cancel := context.WithTimeout(ctx, s.within)
	defer cancel()
	stream, err := s.open(ctx)
	if err != nil {
		return found, err
	}
	var mu sync.Mutex // guards found and err
	var all sync.WaitGroup
	for _, key := range keys {
		all.Go(func() {
			m, one := stream.GetLastMsgForSubject(ctx, subject(client, key))
			mu.Lock()
			defer mu.Unlock()
			switch {
			case one == nil:
				found[key] = m.Data
			case !errors.Is(one, jetstream.ErrMsgNotFound):
				err = s.failed("recall thinking", one)
			}
		})
	}
	all.Wait()
	return found, err
}

func subject(client, key string) string { return "think." + bus.Token(client) + "." + bus.Token(key) }

// open returns the stream, made if there is none.
func (s *Store) open(ctx context.Context) (jetstream.Stream, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stream != nil {
		return s.stream, nil
	}
	if have, err := s.js.Stream(ctx, Stream); err == nil {
		if err := bus.CheckMark(have.CachedInfo().Config.Metadata); err != nil {
			return nil, fmt.Errorf("stream %s: %w", Stream, err)
		}
	}
	stream, err := s.js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name: Stream, Description: "thinking that clients do not send back", Subjects: []string{"think.*.*"}, Storage: jetstream.MemoryStorage,
		MaxMsgsPerSubject: 1, MaxAge: keptFor, MaxBytes: most, MaxMsgSize: mostOne, Discard: jetstream.DiscardOld, AllowDirect: true,
		Replicas: max(1, s.replicas), Metadata: bus.Mark(),
	})
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", Stream, err)
	}
	s.stream = stream
	return stream, nil
}

// failed wraps err, and has the stream looked for again: an unreplicated server
// forgets it when it is restarted.
func (s *Store) failed(doing string, err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stream = nil
	return fmt.Errorf("%s: %w", doing, err)
}
