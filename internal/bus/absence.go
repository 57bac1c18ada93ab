package bus

import "time"

// absence tells a process that hears nobody whether the silence is its own. It
// is looked at every probeEvery, by one goroutine.
type absence struct {
	last  time.Time // when it was looked at last
	since time.Time // since when the connection is gone, zero while it is there
}

// standing is what a process can conclude from others' silence.
type standing int

const (
	present standing = iota // who is silent is gone
	away                    // the silence is ours: every clock starts anew
	cutOff                  // we are the ones who count as gone, and nobody waits for us
)

func (a *absence) look(now time.Time, connected bool) standing {
	stopped := now.Sub(a.last) > time.Second // the process itself was, by a signal or a busy machine
	a.last = now
	switch {
	case connected && a.since.IsZero():
		if stopped {
			return away
		}
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
