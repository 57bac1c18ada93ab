package bus

import (
	"math"
	"time"
)

// pace is how fast jobs are taken, in jobs a second, averaged over the last
// seconds. The zero value has seen none.
type pace struct{ perSecond float64 }

// How much of a new observation counts: an average over about 1 s for the queue
// as a whole, over 12 s for a tenant, whose jobs are fewer.
const (
	quickPace = 0.2
	slowPace  = 0.02
)

// see notes that n jobs were taken within probeEvery.
func (p *pace) see(n int64, weight float64) {
	p.perSecond += (float64(n)/probeEvery.Seconds() - p.perSecond) * weight
}

// share is how many jobs are taken in shareFor: from 1 to maxShare.
func (p *pace) share() int64 {
	return int64(min(max(p.perSecond*shareFor.Seconds(), 1), maxShare))
}

// wait is how long so many jobs take, from 1 s to 1 min; 10 s where none was
// taken lately.
func (p *pace) wait(jobs int64) time.Duration {
	const shortest, unknown, longest = 1, 10, 60 // seconds
	seconds := float64(unknown)
	if p.perSecond > 0.01 {
		seconds = min(max(math.Ceil(float64(jobs)/p.perSecond), shortest), longest)
	}
	return time.Duration(seconds) * time.Second
}

// tick measures the pace of everybody, every probeEvery, and sets what each may
// have in the queue. fleet is how many ingresses are alive.
func (g *gate) tick(fleet int) {
	g.fleet.Store(int64(max(1, fleet)))
	g.disperse()
	g.mu.RLock()
	defer g.mu.RUnlock()
	for _, l := range g.lines {
		l.mu.Lock()
		l.pace.see(l.taken.Swap(0), quickPace)
		l.share.Store(l.pace.share())
		l.mu.Unlock()
	}
	for _, t := range g.tenants {
		t.line.mu.Lock()
		t.pace.see(t.taken.Swap(0), slowPace)
		t.line.mu.Unlock()
	}
}

// retryAfter is when a refused client may try again: when what waits of it, or
// of all, will have been taken.
func (t *tenant) retryAfter(why Refusal) time.Duration {
	l := t.line
	l.mu.Lock()
	defer l.mu.Unlock()
	if why == RefusedClient {
		return t.pace.wait(t.queued.Load() + t.held.Load())
	}
	return l.pace.wait(l.queued.Load() + l.held.Load())
}
