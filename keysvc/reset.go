package keysvc

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"model-proxy/internal/bus"
)

// Reset ends every rest of a provider, its keys and its breakers on all
// workers, and returns how many keys of the bucket it deleted. It works without Run
// too, as the command line does.
func (s *Service) Reset(ctx context.Context, provider string) (int, error) {
	for k := range *s.board.cells.Load() {
		if k.provider == provider {
			s.board.clear(time.Now(), k)
		}
	}
	keys, err := s.keysInBucket(ctx, provider)
	if err != nil {
		return 0, fmt.Errorf("reset %s: %w", provider, err)
	}
	for i, key := range keys {
		if err := s.remove(ctx, key); err != nil {
			return i, fmt.Errorf("reset %s: %w", provider, err)
		}
	}
	return len(keys), nil
}

// keysInBucket lists what stands in the bucket about a provider.
func (s *Service) keysInBucket(ctx context.Context, provider string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	kv, err := s.js.KeyValue(ctx, Bucket)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		return nil, nil // nothing has ever rested
	}
	if err != nil {
		return nil, err
	}
	t := bus.Token(provider)
	list, err := kv.ListKeysFiltered(ctx, "p."+t, "k."+t+".*", "m."+t+".*.*", "b."+t+".*", "probe.b."+t+".*")
	if err != nil {
		return nil, err
	}
	var keys []string
	for key := range list.Keys() {
		keys = append(keys, key)
	}
	return keys, nil
}
