package bus

import "time"

// absence tells a process that hears nobody whether the silence is its own. It
// is looked at every probeEvery, by one goroutine.
type absence struct {
	last  time.Time     // when it was looked at last
	since time.Time     // since when the connection is gone, zero while it is there
	slept time.Duration // before the last look: how long the process itself did not run; 0 if it did
}

// A process that is looked at so late was stopped: by a signal, or by a machine
// that did something else. Until then nobody can have been heard of, so that the
// time counts against nobody.
const sleptAfter = 2 * probeEvery

// standing is what a process can conclude from others' silence.
type standing int

const (
	present standing = iota // who is silent is gone
	away                    // the silence is ours: every clock starts anew
	cutOff                  // we are the ones who count as gone, and nobody waits for us
)

func (a *absence) look(now time.Time, connected bool) standing {
	a.slept = now.Sub(a.last)
	if a.slept <= sleptAfter {
		a.slept = 0
	}
	a.last = now
	if !a.since.IsZero() {
		a.since = a.since.Add(a.slept)
	}
	switch {
	case connected && a.since.IsZero():
		return present
	case connected:
		a.since = time.Time{}
		return away
	case a.since.IsZero():
		a.since = now
	}
	if now.Sub(a.since) >= cutOffAfter {
		return cutOff
	}
	return away
}
