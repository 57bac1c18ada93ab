// Package clock measures for tests how long something takes on a machine that
// may be busy with something else.
package clock

import (
	"sync"
	"testing"
	"time"
)

// Clock tells how much time the processes of a test have had. A machine that
// stands still for seconds, or gives its processors to others, makes everything
// take longer that is measured from outside; what a Clock measures leaves out the
// time in which this process wanted to run and could not. It is for bounds from
// above: a program that has waited long enough by any clock has waited.
type Clock struct {
	mu     sync.Mutex // guards the rest
	last   time.Time  // when it ran last
	lapses []lapse    // in order
}

// lapse is a time in which the machine did not do what was asked of it.
type lapse struct{ from, to time.Time }

// askEvery is how often a Clock asks to run.
const askEvery = 10 * time.Millisecond

// New starts a Clock that ends with the test.
func New(t testing.TB) *Clock {
	t.Helper()
	c := &Clock{last: time.Now()}
	over, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		c.run(over)
	}()
	t.Cleanup(func() {
		close(over)
		<-ended
	})
	return c
}

func (c *Clock) run(over <-chan struct{}) {
	timer := time.NewTimer(askEvery)
	defer timer.Stop()
	for {
		select {
		case <-over:
			return
		case <-timer.C:
		}
		c.mu.Lock()
		now := time.Now()
		if l, late := c.lateLocked(now); late {
			c.lapses = append(c.lapses, l)
		}
		c.last = now
		c.mu.Unlock()
		timer.Reset(askEvery)
	}
}

// lateLocked is what the Clock lacks at a moment, if that is more than a busy
// process's own scheduler makes of it: bounds have room for that.
func (c *Clock) lateLocked(now time.Time) (lapse, bool) {
	l := lapse{c.last.Add(askEvery), now}
	return l, l.to.Sub(l.from) > askEvery
}

// Since is Between that moment and now.
func (c *Clock) Since(from time.Time) time.Duration { return c.Between(from, time.Now()) }

// Between is the time that processes had between two moments, from the Clock's
// own start on. Without a Clock, nil, it is all the time.
func (c *Clock) Between(from, to time.Time) time.Duration {
	had := to.Sub(from)
	if c == nil {
		return had
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, l := range c.lapses {
		had -= l.within(from, to)
	}
	if l, late := c.lateLocked(to); late { // it has not run again yet
		had -= l.within(from, to)
	}
	return had
}

// within is how much of the lapse lies between two moments.
func (l lapse) within(from, to time.Time) time.Duration {
	if l.from.After(from) {
		from = l.from
	}
	if l.to.Before(to) {
		to = l.to
	}
	return max(0, to.Sub(from))
}
