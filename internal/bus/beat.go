package bus

import (
	"encoding/binary"
	"maps"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// A beat is a sign of life on hb.<process>, every beatEvery. A worker's, which
// comes also when its last slot is taken, tells how many jobs it can take, and of
// which pools; an ingress's how many it holds
// back, if any, and of whom:
//
//	worker:  free (uvarint), pools (strings)
//	ingress: held (uvarint), subjects and how many of each (string, uvarint)

const (
	workerPrefix  = "w-"
	ingressPrefix = "i-"
)

func (w *Worker) beat() {
	free := 0
	if !w.draining.Load() {
		free = max(0, w.cfg.Concurrency-int(w.busy.Load()))
	}
	msg := binary.AppendUvarint(nil, uint64(free))
	for _, pool := range w.cfg.Pools {
		msg = appendString(msg, Token(pool))
	}
	w.publish("hb."+w.id, msg)
}

// fullEvery is how often, at most, a worker tells out of turn that it is full.
const fullEvery = 50 * time.Millisecond

// tellFull tells the ingresses that no slot is free. Each knows by itself only of
// the slots that its own jobs have taken, and would let jobs into the queue for
// the rest until the next beat.
func (w *Worker) tellFull(now time.Time) {
	told := w.fullTold.Load()
	if now.UnixNano()-told >= int64(fullEvery) && w.fullTold.CompareAndSwap(told, now.UnixNano()) {
		w.beat()
	}
}

// heard takes a beat. An ingress that is new is told at once what it can count on.
func (w *Worker) heard(m *nats.Msg) {
	id := m.Subject[len("hb."):]
	if strings.HasPrefix(id, ingressPrefix) && w.peers.state(id).seen.IsZero() {
		w.beat()
	}
	w.peers.beat(id)
	if id == w.id {
		w.vigil.heard(time.Now())
	}
}

func (i *Ingress) beat() {
	var msg []byte
	if held := i.gate.held.Load(); held > 0 {
		msg = i.gate.appendHeld(binary.AppendUvarint(nil, uint64(held)))
	}
	i.publish("hb."+i.id, msg)
}

// heard takes a beat of a worker or an ingress.
func (i *Ingress) heard(m *nats.Msg) {
	id := m.Subject[len("hb."):]
	s := i.peers.beat(id)
	if id == i.id {
		i.mute.Store(false)
		return
	}
	body := reader{b: m.Data}
	switch {
	case strings.HasPrefix(id, workerPrefix) && len(m.Data) > 0:
		free := body.uvarint()
		if s == nil {
			var pools []string
			for len(body.b) > 0 && body.err == nil {
				pools = append(pools, body.string())
			}
			s = i.peers.seat(id, i.gate.newSeats(pools))
		}
		s.set(int64(free))
		i.gate.ring()
	case strings.HasPrefix(id, ingressPrefix):
		i.gate.hear(id, &body)
	}
}

// maxSubjects is how many tenants a beat names at most.
const maxSubjects = 1000

func (g *gate) appendHeld(msg []byte) []byte {
	g.mu.RLock()
	defer g.mu.RUnlock()
	named := 0
	for subject, t := range g.tenants {
		n := t.held.Load()
		if n <= 0 || named == maxSubjects {
			continue
		}
		named++
		msg = binary.AppendUvarint(appendString(msg, subject), uint64(n))
	}
	return msg
}

// crowd is what another ingress holds.
type crowd struct {
	heard   time.Time
	jobs    int64
	tenants map[string]int64 // by subject
}

// hear notes what another ingress holds; nothing, where its beat is empty.
func (g *gate) hear(id string, body *reader) {
	if len(body.b) == 0 {
		g.mu.RLock()
		_, known := g.others[id]
		g.mu.RUnlock()
		if !known {
			return
		}
		g.mu.Lock()
		delete(g.others, id)
		g.crowd.Store(len(g.others) > 0)
		g.mu.Unlock()
		return
	}
	c := crowd{heard: time.Now(), jobs: int64(body.uvarint()), tenants: map[string]int64{}}
	for len(body.b) > 0 && body.err == nil {
		subject := body.string()
		c.tenants[subject] = int64(body.uvarint())
	}
	g.mu.Lock()
	g.others[id] = c
	g.crowd.Store(true)
	g.mu.Unlock()
}

// disperse forgets what ingresses held that have fallen silent.
func (g *gate) disperse() {
	if !g.crowd.Load() {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	maps.DeleteFunc(g.others, func(_ string, c crowd) bool { return time.Since(c.heard) >= hungAfter })
	g.crowd.Store(len(g.others) > 0)
}

// elsewhere is what other ingresses hold, of all and of one tenant.
func (g *gate) elsewhere(subject string) (sum struct{ jobs, tenant int64 }) {
	if !g.crowd.Load() {
		return sum
	}
	g.mu.RLock()
	defer g.mu.RUnlock()
	for _, c := range g.others {
		if time.Since(c.heard) < hungAfter {
			sum.jobs += c.jobs
			sum.tenant += c.tenants[subject]
		}
	}
	return sum
}
