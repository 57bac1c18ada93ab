package bus

import (
	"sync"
	"time"
)

// vigil tells a worker whether it may have slept (a signal, a machine that was
// suspended), or the server between it and the ingresses: then others may have
// given up what it has, and what it gets. It is safe for concurrent use.
type vigil struct {
	mu     sync.Mutex // guards the rest
	last   time.Time  // when the worker was awake for certain
	echo   time.Time  // when it last heard its own beat, zero before the first
	doubts time.Time  // until then, what it finds may be old
}

// tick is called every probeEvery while the worker is awake.
func (v *vigil) tick(now time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.sleptLocked(now) {
		v.doubts = now.Add(ackWait) // far longer than it takes to read what has piled up
	}
	v.last = now
}

// heard notes that the worker's own beat has come back from the server.
func (v *vigil) heard(now time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.muteLocked(now) {
		v.doubts = now.Add(ackWait)
	}
	v.echo = now
}

// slept reports whether a job read or held now may have been handed over so long
// ago that another worker has it, or nobody waits for it any more.
func (v *vigil) slept(now time.Time) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.sleptLocked(now) || v.muteLocked(now) || now.Before(v.doubts)
}

// muteLocked reports whether nothing has come from the server for a while.
func (v *vigil) muteLocked(now time.Time) bool {
	return !v.echo.IsZero() && now.Sub(v.echo) > unheardFor
}

func (v *vigil) sleptLocked(now time.Time) bool { return now.Sub(v.last) > ackWait }
