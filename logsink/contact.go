package logsink

import (
	"log/slog"
	"sync"
	"time"
)

// contact knows since when LOG answers without a break, and tells of changes.
type contact struct {
	log *slog.Logger

	mu    sync.Mutex // guards the rest
	since time.Time  // zero if LOG does not answer
}

// lost notes that LOG does not answer.
func (c *contact) lost(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.since.IsZero() {
		c.log.Warn("log unreachable", "error", err)
	}
	c.since = time.Time{}
}

// made notes that LOG answers, and returns since when it does.
func (c *contact) made(now time.Time) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.since.IsZero() {
		c.log.Info("log reachable again")
		c.since = now
	}
	return c.since
}
