package bus

import (
	"sync"
	"time"
)

// vigil tells a worker whether it may have slept (a signal, a machine that was
// suspended) over a job that was handed to it: then the queue has handed the job
// to another worker too. It is safe for concurrent use.
type vigil struct {
	mu     sync.Mutex // guards the rest
	last   time.Time  // when the worker was awake for certain
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

// slept reports whether a job read now may have been handed over so long ago
// that another worker has it.
func (v *vigil) slept(now time.Time) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.sleptLocked(now) || now.Before(v.doubts)
}

func (v *vigil) sleptLocked(now time.Time) bool { return now.Sub(v.last) > ackWait }
