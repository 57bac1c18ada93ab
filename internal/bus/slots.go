package bus

import (
	"sync"
	"time"
)

// quietFor is how long a lane that had nothing is not asked again while slots
// are scarce.
const quietFor = 25 * time.Millisecond

// slots spends the worker's free slots on the pools and lanes it serves.
//
// While no lane has more jobs than there are slots, every lane has credit at the
// server for all free slots: jobs come as soon as they are published, and the
// first to come takes the slot. A job that finds none is given back, and what
// is left of its lane's credit withdrawn.
//
// Once jobs wait somewhere, slots are scarce. Then a slot that becomes free is
// offered to one lane, chosen by weighted round robin, which takes it only if
// something waits there; the next lane is asked otherwise. All slots that are
// free at the same time are spent together and the answers awaited before the
// next round, so that the weights hold also where slots turn over faster than
// the server answers.
type slots struct {
	w       *Worker
	pullers []*puller // fixed at construction

	mu    sync.Mutex // guards the rest, and the pullers' state
	next  uint64     // id of the last pull
	asked int        // pullers whose ask is not answered
	fresh bool       // slots were not scarce until now: nobody is owed a turn
}

func newSlots(w *Worker) *slots {
	s := &slots{w: w}
	for _, pool := range w.cfg.Pools {
		for _, l := range lanes {
			s.pullers = append(s.pullers, newPuller(s, pool, l.name, l.weight, len(s.pullers)))
		}
	}
	return s
}

// offer spends what is free.
func (s *slots) offer() {
	if s.w.draining.Load() {
		return
	}
	free := s.w.cfg.Concurrency - int(s.w.busy.Load())
	if free <= 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.scarceLocked() {
		s.spendLocked(free)
		return
	}
	s.openLocked(free)
}

// scarceLocked reports whether jobs wait that no slot is offered to.
func (s *slots) scarceLocked() bool {
	for _, p := range s.pullers {
		if p.hungry && p.outstanding == 0 {
			return true
		}
	}
	return s.asked > 0
}

// spare reports whether a pool is served here and, as far as is known, no job waits
// for a slot.
func (s *slots) spare(pool string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	serves := false
	for _, p := range s.pullers {
		if p.hungry {
			return false
		}
		serves = serves || p.pool == pool
	}
	return serves && s.asked == 0
}

// openLocked gives every lane credit for all free slots. With many free it
// waits until half of the credit is used, so that a busy worker does not send a
// pull for every job.
func (s *slots) openLocked(free int) {
	s.fresh = true
	for _, p := range s.pullers {
		if p.outstanding > free/2 {
			continue
		}
		if now := time.Now(); !now.Before(p.notBefore) {
			p.pullLocked(free-p.outstanding, untilWork, now)
		}
	}
}

// spendLocked shares the free slots out to the lanes by their weights.
func (s *slots) spendLocked(free int) {
	if s.asked > 0 {
		return // the round is not over
	}
	now := time.Now()
	for _, p := range s.pullers {
		p.share = 0
		if s.fresh {
			p.turn = 0
		}
	}
	s.fresh = false
	for ; free > 0; free-- {
		p := s.chooseLocked(now)
		if p == nil {
			break
		}
		p.share++
	}
	for _, p := range s.pullers {
		if p.share > 0 {
			p.pullLocked(p.share, noWait, now)
		}
	}
}

// chooseLocked is the next lane to offer a slot to, nil if none may have work:
// smooth weighted round robin, in which each gains its weight a round, and who
// has most is chosen and pays for all.
func (s *slots) chooseLocked(now time.Time) *puller {
	var chosen *puller
	sum := 0
	for _, p := range s.pullers {
		if !p.mayHaveWork(now) {
			p.turn = 0
			continue
		}
		sum += p.weight
		p.turn += p.weight
		if chosen == nil || p.turn > chosen.turn {
			chosen = p
		}
	}
	if chosen != nil {
		chosen.turn -= sum
	}
	return chosen
}

// mayHaveWork is whether a lane is worth asking. One that has open credit tells
// by itself.
func (p *puller) mayHaveWork(now time.Time) bool {
	return p.outstanding == 0 && !now.Before(p.notBefore) && (p.hungry || now.After(p.quietUntil))
}

// taken notes that a job has come with so many behind it.
func (s *slots) taken(p *puller, pending int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p.outstanding = max(0, p.outstanding-1)
	p.hungry = pending > p.outstanding
	if p.outstanding == 0 {
		p.answeredLocked()
	}
}

// overrun notes that a job came that no slot is free for.
func (s *slots) overrun(p *puller) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p.outstanding = max(0, p.outstanding-1)
	p.hungry = true
	p.withdrawLocked()
}

// close takes back all credit.
func (s *slots) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.pullers {
		p.withdrawLocked()
	}
}

// expire looks after pulls that were lost.
func (s *slots) expire(now time.Time) {
	s.mu.Lock()
	for _, p := range s.pullers {
		p.expireLocked(now)
	}
	s.mu.Unlock()
	s.offer()
}

// reset forgets all credit, for the server that held it is gone, or was never
// asked. What waits there is shared out by weight.
func (s *slots) reset() {
	s.mu.Lock()
	for _, p := range s.pullers {
		p.forgetLocked()
		p.hungry, p.quietUntil, p.notBefore = true, time.Time{}, time.Time{}
	}
	s.mu.Unlock()
	s.offer()
}
