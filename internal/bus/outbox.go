package bus

import (
	"encoding/binary"
	"strings"
	"sync"
	"time"
)

// outbox gathers messages that can wait a moment, and sends frames for one
// ingress as one message. Each message on its own is parsed twice and wakes five
// goroutines on its way (client, server, client, inbox, handler), most of them
// on sleeping processors; with thousands a second that is the largest part of a
// stream's processor time (docs/decisions). The first message after a pause goes
// at once, so a lone stream waits for nothing.
type outbox struct {
	publish func(subject string, data []byte) error

	mu      sync.Mutex // guards the rest, and the order of what is sent
	last    time.Time  // when something was last sent
	waiting []message
	bundle  []byte      // frames for one ingress, while they are put together
	timer   *time.Timer // sends what waits
}

// gatherFor is how long a message waits for others at most.
const gatherFor = time.Millisecond

type message struct {
	subject string
	data    []byte // not changed before it is sent
}

func newOutbox(publish func(subject string, data []byte) error) *outbox {
	o := &outbox{publish: publish}
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
	for i := range o.waiting {
		if o.waiting[i].data != nil {
			o.publishLocked(i)
		}
	}
	clear(o.waiting)
	o.waiting = o.waiting[:0]
	o.last = time.Now()
}

// publishLocked sends the i-th of what waits, and with it, in order, all later
// frames for the same ingress.
func (o *outbox) publishLocked(i int) {
	first := o.waiting[i]
	ingress := ingressOf(first.subject)
	o.bundle = o.bundle[:0]
	n := 0
	for k := i; ingress != "" && k < len(o.waiting); k++ {
		m := &o.waiting[k]
		if m.data == nil || ingressOf(m.subject) != ingress {
			continue
		}
		if len(o.bundle)+len(m.data) > maxBundle {
			break
		}
		o.bundle = appendString(o.bundle, m.subject[len("R.")+len(ingress)+1:])
		o.bundle = binary.AppendUvarint(o.bundle, uint64(len(m.data)))
		o.bundle = append(o.bundle, m.data...)
		m.data = nil
		n++
	}
	// What is lost with a connection is asked for again.
	if n > 1 {
		_ = o.publish("R."+ingress+"."+bundleToken, o.bundle)
		return
	}
	o.waiting[i].data = nil
	_ = o.publish(first.subject, first.data)
}

// maxBundle bounds the frames in one message, in bytes, well under the smallest
// max_payload (1 MB).
const maxBundle = 256 << 10

// bundleToken is where bundles go, R.<ingress>._b: several frames, each as the
// token of its job and itself, with lengths.
const bundleToken = "_b"

// ingressOf is the ingress a frame goes to, "" for other messages.
func ingressOf(subject string) string {
	rest, ok := strings.CutPrefix(subject, "R.")
	if !ok {
		return ""
	}
	ingress, _, _ := strings.Cut(rest, ".")
	return ingress
}
