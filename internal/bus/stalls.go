package bus

import (
	"sync/atomic"
	"time"
)

// stallAfter is how long a near client may take for a piece of an answer before
// the answer counts as waiting for it.
const stallAfter = 5 * time.Millisecond

// Stalls are answers that wait for their clients.
type Stalls struct {
	Now   int64 // at this moment
	Total int64 // since the start
}

// Stalls tells how often an upstream had to wait because its client was a whole
// credit window behind, or near and slow to take what it was sent.
func (w *Worker) Stalls() Stalls {
	s := Stalls{w.stalls.now.Load(), w.stalls.total.Load()}
	late := time.Now().Add(-stallAfter).UnixNano()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.runs {
		if since := r.handing.Load(); since != 0 && since < late {
			s.Now++ // in Total once it is over: a counter must not fall
		}
	}
	return s
}

type stalls struct{ now, total atomic.Int64 }

// begin counts a stall; what it returns ends it.
func (s *stalls) begin() (end func()) {
	s.now.Add(1)
	s.total.Add(1)
	return func() { s.now.Add(-1) }
}

// hand gives a near ingress a frame, of which that may write to the client
// meanwhile. The caller holds no lock.
func (r *Run) hand(f *Frame, given bool, now time.Time) {
	if r.to == nil {
		r.at.refuse(r.reply[len(r.at.prefix):], r.id)
		return
	}
	r.handing.Store(now.UnixNano())
	r.to.hand(f, given, now)
	r.handing.Store(0)
	if f.Data != nil && time.Since(now) > stallAfter {
		r.w.stalls.total.Add(1)
	}
}
