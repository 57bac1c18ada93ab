package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	askWithin  = 3 * time.Second // for the streams of a healthy cluster
	askLongest = 24 * time.Second
	askAgainIn = 200 * time.Millisecond
)

// Ensure creates or updates the streams that every role needs. Whoever comes
// first does it; a stream made by a newer version is refused. A JetStream that
// is not there yet is waited for until ctx ends.
func (c *Conn) Ensure(ctx context.Context) error { return c.insist(ctx, c.ensure) }

// insist asks JetStream for something until it answers, or ctx ends: servers that
// start together take connections before they have a leader, and lose what they
// are asked. Each try waits longer than the one before, for a server may just be
// slow: then short ones would never come to an end, and keep it busy.
func (c *Conn) insist(ctx context.Context, ask func(context.Context) error) error {
	within := askWithin
	for told := false; ; told = true {
		try, stop := context.WithTimeout(ctx, within)
		within = min(2*within, askLongest)
		err := ask(try)
		stop()
		if err == nil || !notYet(err) {
			return err
		}
		if !told {
			c.cfg.Log.Warn("waiting for JetStream", "error", err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for JetStream: %w", err)
		case <-time.After(askAgainIn):
		}
	}
}

// Codes of a cluster that has no leader yet, or not enough servers: errors.json
// of nats-server, JSClusterNoPeersErrF, JSClusterNotAvailErr,
// JSClusterNotLeaderErr.
const (
	codeNoPeers      = 10005
	codeNotAvailable = 10008
	codeNotLeader    = 10009
)

// notYet reports an error that passes by itself while a cluster starts.
func notYet(err error) bool {
	var api *jetstream.APIError
	if errors.As(err, &api) {
		switch api.ErrorCode {
		case codeNoPeers, codeNotAvailable, codeNotLeader:
			return true
		}
		return false
	}
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrTimeout) || errors.Is(err, nats.ErrNoResponders)
}
