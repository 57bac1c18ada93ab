package bus

import "sync/atomic"

// seats are the free slots of one worker, as an ingress knows them: what its
// last beat said, less the jobs it has taken from this ingress since, plus those
// that have ended. A nil *seats is a worker that has not told of any.
type seats struct {
	lines []*line // of the pools it serves; fixed
	free  atomic.Int64
}

func (s *seats) take() { s.add(-1) }

func (s *seats) give() { s.add(1) }

func (s *seats) add(n int64) {
	if s == nil {
		return
	}
	s.free.Add(n)
	for _, l := range s.lines {
		l.free.Add(n)
	}
}

// set takes over what a beat says.
func (s *seats) set(free int64) {
	n := free - s.free.Swap(free)
	for _, l := range s.lines {
		l.free.Add(n)
	}
}

// newSeats makes the seats of a worker of these pools.
func (g *gate) newSeats(pools []string) *seats {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := &seats{}
	for _, pool := range pools {
		s.lines = append(s.lines, g.lineLocked(pool))
	}
	return s
}
