package bus

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"model-proxy/internal/phase"
)

// Liveness listens to the beats of all workers and ingresses, for whoever is
// neither. Safe for concurrent use.
type Liveness struct {
	conn  *Conn
	peers *peers
}

// NewLiveness returns a Liveness that hears nothing until Run.
func NewLiveness(c *Conn) *Liveness {
	return &Liveness{conn: c, peers: newPeers()}
}

// Run listens until ctx ends.
func (l *Liveness) Run(ctx context.Context) error {
	sub, err := l.conn.nc.Subscribe("hb.*", func(m *nats.Msg) { l.peers.beat(m.Subject[len("hb."):]) })
	if err != nil {
		return fmt.Errorf("listen to beats: %w", err)
	}
	defer func() { _ = sub.Unsubscribe() }() // the connection may be closed by now
	tick := time.NewTimer(phase.Next(beatEvery))
	defer tick.Stop()
	for last := time.Now(); ; {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		tick.Reset(phase.Next(beatEvery))
		now := time.Now()
		if slept := now.Sub(last); slept > 2*beatEvery {
			l.peers.excuse(slept)
		}
		last = now
		if !l.conn.Connected() {
			l.peers.forgive(now)
		}
		l.peers.forget(now)
	}
}

// Workers is the number of workers heard of in the last two seconds.
func (l *Liveness) Workers() int { return l.peers.alive(time.Now(), workerPrefix) }

// Silence is how long nothing was heard of a process; one never heard of is
// silent since listening began. While the bus was away nobody counts as silent.
func (l *Liveness) Silence(process string) time.Duration {
	return l.peers.silence(process, time.Now())
}
