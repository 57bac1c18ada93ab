package bus

import "sync"

// hands are goroutines that serve one job after the other. A new goroutine's
// stack grows several times on its first job; one that stays has grown.
// It is safe for concurrent use.
type hands struct {
	jobs chan func() // to a hand that is free; never closed
	over chan struct{}
	idle chan struct{} // a token for each that may stay
	all  sync.WaitGroup
}

// idleHands bounds how many stay free.
const idleHands = 64

func newHands() *hands {
	return &hands{jobs: make(chan func()), over: make(chan struct{}), idle: make(chan struct{}, idleHands)}
}

// do calls f on a hand that is free, or on a new one.
func (h *hands) do(f func()) {
	select {
	case h.jobs <- f:
	default:
		h.all.Go(func() { h.work(f) })
	}
}

func (h *hands) work(f func()) {
	for {
		f()
		select {
		case h.idle <- struct{}{}:
		default:
			return
		}
		select {
		case f = <-h.jobs:
			<-h.idle
		case <-h.over:
			return
		}
	}
}

// close lets the free ones go and waits for all.
func (h *hands) close() {
	close(h.over)
	h.all.Wait()
}
