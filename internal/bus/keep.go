package bus

import (
	"context"
	"errors"
	"time"
)

// How long one try to restore the streams may take, and the wait between two.
const (
	restoreWithin = 2 * time.Second
	restorePause  = 100 * time.Millisecond
)

// returns tells of each return of the connection, several at once if nobody
// listened meanwhile.
func (c *Conn) returns() <-chan struct{} {
	back := make(chan struct{}, 1) // never closed
	c.OnReconnect(func() {
		select {
		case back <- struct{}{}:
		default:
		}
	})
	return back
}

// keep makes the streams again when the connection is back, for the server may
// have lost them: an unreplicated one keeps those in memory only as long as it
// runs. Then it calls also, which restores what else its caller needs. Both are
// tried until they succeed. It returns when ctx ends.
func (c *Conn) keep(ctx context.Context, back <-chan struct{}, also func(context.Context) error) {
	pause := time.NewTimer(restorePause)
	defer pause.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-back:
		}
		for ctx.Err() == nil {
			err := c.restore(ctx, also)
			if err == nil {
				break
			}
			if errors.Is(err, ErrVersion) { // to try again does not help
				c.cfg.Log.Error("streams not restored", "error", err)
				break
			}
			c.cfg.Log.Debug("streams not restored yet", "error", err)
			pause.Reset(restorePause)
			select {
			case <-ctx.Done():
			case <-pause.C:
			}
		}
	}
}

func (c *Conn) restore(ctx context.Context, also func(context.Context) error) error {
	ctx, stop := context.WithTimeout(ctx, restoreWithin)
	defer stop()
	if err := c.Ensure(ctx); err != nil {
		return err
	}
	return also(ctx)
}

// queueMade is when the server made the queue. Another time than before means
// that what waited in it is lost.
func (c *Conn) queueMade(ctx context.Context) (time.Time, error) {
	s, err := c.js.Stream(ctx, reqStream)
	if err != nil {
		return time.Time{}, err
	}
	return s.CachedInfo().Created, nil
}

// resubmit publishes every job again that no worker has begun, if the queue was
// lost, but for those that the new one has taken already. A job that a worker has
// nevertheless runs once: the second taker has to ask.
func (i *Ingress) resubmit(ctx context.Context) error {
	made, err := i.conn.queueMade(ctx)
	if err != nil || made.Equal(i.queueMade) {
		return err
	}
	i.queueMade = made
	times := i.conn.times.Load()
	i.calls.each(func(c *Call) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.run == 0 && !c.finished && c.acked && c.ackedOn < times {
			c.publishLocked()
		}
	})
	return nil
}
