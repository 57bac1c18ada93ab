package bus

import (
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// outbox gathers messages that can wait a moment. Each message on its own wakes
// five goroutines on its way (client, server, client, inbox, handler), most of
// them on sleeping processors; with thousands a second, sending them together
// takes off a third of the processor time of a stream (docs/decisions). The
// first message after a pause goes at once, so a lone stream waits for nothing.
type outbox struct {
	nc *nats.Conn

	mu      sync.Mutex // guards the rest, and the order of what is sent
	last    time.Time  // when something was last sent
	waiting []message
	timer   *time.Timer // sends what waits
}

// gatherFor is how long a message waits for others at most.
const gatherFor = time.Millisecond

type message struct {
	subject string
	data    []byte // not changed before it is sent
}

func newOutbox(nc *nats.Conn) *outbox {
	o := &outbox{nc: nc}
	o.timer = time.AfterFunc(time.Hour, o.flush)
	o.timer.Stop()
	return o
}

// urgency says whether a message may wait for others.
type urgency int

const (
	canWait urgency = iota // for at most gatherFor
	atOnce                 // and what waits goes before it
)

// send publishes a message now or within gatherFor; order is kept either way.
func (o *outbox) send(u urgency, m message) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if u == canWait && !o.idleLocked() {
		o.waiting = append(o.waiting, m)
		return
	}
	o.waiting = append(o.waiting, m)
	o.flushLocked()
}

// idleLocked reports that nothing was sent for gatherFor, so that a message may
// go at once. Where it may not, the timer is set for what will wait.
func (o *outbox) idleLocked() bool {
	if len(o.waiting) > 0 {
		return false
	}
	rest := gatherFor - time.Since(o.last)
	if rest <= 0 {
		return true
	}
	o.timer.Reset(rest)
	return false
}

func (o *outbox) flush() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.flushLocked()
}

func (o *outbox) flushLocked() {
	if len(o.waiting) == 0 {
		return
	}
	for i, m := range o.waiting {
		_ = o.nc.Publish(m.subject, m.data) // what is lost with a connection is asked for again
		o.waiting[i] = message{}
	}
	o.waiting = o.waiting[:0]
	o.last = time.Now()
}
