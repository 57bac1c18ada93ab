package limit

import (
	"sync"
	"time"
)

// nap tells how long this process did not run lately: a signal stopped it, or a
// machine that did something else. Others on that machine did not run either, so
// that slots they hold may look abandoned until they have renewed them. It is
// safe for concurrent use.
type nap struct {
	mu    sync.Mutex    // guards the rest
	last  time.Time     // when the process ran for certain; zero before the first tick
	slept time.Duration // before that
	until time.Time     // until then it counts
}

const (
	napAfter  = time.Second              // without a tick, of which there are four a second
	napCounts = renewEvery + time.Second // until then every holder that lives has renewed its slots
)

// tick is called every tickEvery.
func (n *nap) tick(now time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if now.After(n.until) {
		n.slept = 0
	}
	if gap := n.gapLocked(now); gap > 0 {
		n.slept += gap
		n.until = now.Add(napCounts)
	}
	n.last = now
}

// lately is what was slept and still counts, 0 mostly.
func (n *nap) lately(now time.Time) time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	slept := n.gapLocked(now) // it has not ticked yet
	if now.Before(n.until) {
		slept += n.slept
	}
	return slept
}

func (n *nap) gapLocked(now time.Time) time.Duration {
	if gap := now.Sub(n.last); !n.last.IsZero() && gap > napAfter {
		return gap
	}
	return 0
}
