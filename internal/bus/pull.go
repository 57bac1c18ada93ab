package bus

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// pullExpires is how long the server keeps a pull open. It bounds how long a
// hung worker can swallow jobs.
const pullExpires = time.Second

// puller asks the server for jobs of one pool and lane. Raw pulls, because the
// client library's own loops stop pulling for 30 s when a batch is handled
// faster than it is fetched (docs/decisions). How many and when is decided by
// slots.
type puller struct {
	// Fixed at construction.
	s      *slots
	pool   string
	api    string
	inbox  string // P.<worker>.<n>; what is pulled goes to <inbox>.<withdrawals>.<pull>
	weight int

	sub     *nats.Subscription
	version int // of the inbox: how often pulls were withdrawn

	// Guarded by s.mu.
	outstanding int             // jobs the server may still send
	open        map[uint64]pull // by id
	asking      bool            // what is outstanding is an ask for what waits already
	hungry      bool            // jobs wait here that no credit is given for
	turn        int             // of the weighted round robin
	share       int             // of the slots being spent
	quietUntil  time.Time       // it had nothing when last asked
	notBefore   time.Time       // after a refusal, no pull before
}

type pull struct {
	n  int
	at time.Time
}

// pullKind says how long a pull waits.
type pullKind int

const (
	untilWork pullKind = iota // it waits for jobs to come, up to pullExpires
	noWait                    // it takes what waits already
)

func newPuller(s *slots, pool, lane string, weight, n int) *puller {
	return &puller{s: s, pool: pool, api: "$JS.API.CONSUMER.MSG.NEXT." + reqStream + "." + consumerName(pool, lane),
		inbox: "P." + s.w.id + "." + strconv.Itoa(n), weight: weight, open: map[uint64]pull{}}
}

// listen subscribes to the inbox.
func (p *puller) listen() (err error) {
	p.sub, err = p.subscribe()
	return err
}

func (p *puller) deafen() {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	_ = p.sub.Unsubscribe() // the connection may be closed by now
}

func (p *puller) subscribe() (*nats.Subscription, error) {
	subject := p.inbox + "." + strconv.Itoa(p.version) + ".*"
	sub, err := p.s.w.conn.nc.Subscribe(subject, p.receive)
	if err != nil {
		return nil, fmt.Errorf("subscribe to %s: %w", subject, err)
	}
	return sub, sub.SetPendingLimits(-1, -1)
}

// withdrawLocked takes back what the server still holds: it drops pulls that
// nobody listens for. Jobs on their way arrive all the same, for the old inbox
// is read until the server has confirmed that it is closed.
func (p *puller) withdrawLocked() {
	if p.outstanding == 0 {
		return
	}
	p.version++
	sub, err := p.subscribe()
	if err != nil { // the connection is closed
		return
	}
	_ = p.sub.Drain() // fails only on a connection that is closed
	p.sub = sub
	p.forgetLocked()
}

// forgetLocked forgets all credit.
func (p *puller) forgetLocked() {
	p.outstanding = 0
	clear(p.open)
	p.answeredLocked()
}

// pullLocked gives the server credit for n jobs more.
func (p *puller) pullLocked(n int, kind pullKind, now time.Time) {
	s := p.s
	s.next++
	p.open[s.next] = pull{n, now}
	p.outstanding += n
	body := fmt.Appendf(nil, `{"batch":%d,"expires":%d}`, n, pullExpires.Nanoseconds())
	if kind == noWait {
		body = fmt.Appendf(nil, `{"batch":%d,"no_wait":true}`, n)
		p.asking = true
		s.asked++
	}
	s.w.ask(p.api, p.inbox+"."+strconv.Itoa(p.version)+"."+strconv.FormatUint(s.next, 36), body)
}

// answeredLocked notes that an ask is answered.
func (p *puller) answeredLocked() {
	if p.asking {
		p.asking = false
		p.s.asked--
	}
}

// expireLocked forgets pulls that ended without a word.
func (p *puller) expireLocked(now time.Time) {
	possible := 0
	for id, o := range p.open {
		if now.Sub(o.at) > 2*pullExpires {
			delete(p.open, id)
			continue
		}
		possible += o.n
	}
	p.outstanding = min(p.outstanding, possible)
	if p.outstanding == 0 {
		p.answeredLocked()
	}
}

// receive takes a job, or a word about a pull.
func (p *puller) receive(m *nats.Msg) {
	if m.Reply == "" {
		p.status(m)
		return
	}
	w := p.s.w
	if !w.claim() {
		p.s.overrun(p)
		w.publish(m.Reply, []byte("-NAK")) // for another worker, at once
		return
	}
	p.s.taken(p, pendingIn(m.Reply))
	r, err := w.begin(m)
	if err != nil {
		w.decline(m, err)
		w.release()
		p.s.offer()
		return
	}
	p.s.offer()
	w.start(r)
}

// pendingIn is how many jobs waited behind this one, the last field of the
// reply subject that the server gives to a delivery.
func pendingIn(reply string) int {
	n, _ := strconv.Atoi(reply[strings.LastIndexByte(reply, '.')+1:])
	return n
}

// status says that a pull is over: expired (408), nothing there (404, and 408
// where others wait for the same), refused (409), or that nobody answers (503).
func (p *puller) status(m *nats.Msg) {
	code := m.Header.Get("Status")
	if code == "100" {
		return
	}
	id, _ := strconv.ParseUint(m.Subject[strings.LastIndexByte(m.Subject, '.')+1:], 36, 64)
	now := time.Now()
	p.s.mu.Lock()
	if o, known := p.open[id]; known {
		delete(p.open, id)
		left := o.n
		if v := m.Header.Get("Nats-Pending-Messages"); v != "" {
			left, _ = strconv.Atoi(v)
		}
		p.outstanding = max(0, p.outstanding-left)
		if p.asking {
			p.outstanding = 0 // there is one ask at a time
			p.hungry, p.quietUntil = false, now.Add(quietFor)
			p.answeredLocked()
		}
	}
	if code != "408" && code != "404" {
		p.notBefore = now.Add(100 * time.Millisecond)
	}
	p.s.mu.Unlock()
	p.s.offer()
}
