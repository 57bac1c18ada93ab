package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// A job whose ingress died before a worker began it has nobody who would record
// it. A worker that is handed one asks for leave to run it, since it has not
// heard the ingress lately, and nobody answers. Then it gives the job back for a
// while; when the ingress has been silent for orphanAfter, it reports the job
// and takes it out. Where no worker takes jobs, the sink looks for them (Orphans).
const (
	orphanAfter = 10 * time.Second // of silence its ingress counts as dead, as for the sink
	unheardFor  = 1500 * time.Millisecond
	giveBackFor = 2 * time.Second
)

// doubts reports whether a job may have been given to another worker, or may
// have nobody who waits for its answer.
func (w *Worker) doubts(r *Run) bool {
	r.mu.Lock()
	began := r.heard
	r.mu.Unlock()
	return r.old || r.Number > 1 || r.deliveries() > 1 ||
		r.at == nil && w.peers.silence(r.Ingress(), began) > unheardFor
}

// cleared reports whether a doubtful job may run. If not, it is out of the queue,
// or given back.
func (w *Worker) cleared(r *Run) bool {
	switch r.mayRun() {
	case granted:
		return true
	case denied:
		w.publish(r.msg.Reply, ackWord)
		return false
	}
	if r.ctx.Err() != nil { // this worker is being stopped
		w.publish(r.msg.Reply, []byte("-NAK"))
		return false
	}
	if w.peers.silence(r.Ingress(), time.Now()) < orphanAfter {
		w.publish(r.msg.Reply, fmt.Appendf(nil, `-NAK {"delay":%d}`, giveBackFor.Nanoseconds()))
		return false
	}
	if w.cfg.Orphaned != nil {
		o := &Orphan{Delivery: r.Delivery, Published: time.Now()}
		if meta, err := r.msg.Metadata(); err == nil { // which every job has
			o.Published = meta.Timestamp
		}
		w.cfg.Orphaned(o)
	}
	w.publish(r.msg.Reply, ackWord)
	return false
}

// Orphan is a job that waits in the queue although its ingress is gone.
type Orphan struct {
	Delivery
	Published time.Time // by the server's clock

	seq uint64
}

// Orphans finds orphans in the queue without taking them out as a worker does. It
// belongs to one goroutine.
type Orphans struct {
	conn  *Conn
	alive *Liveness
	next  uint64    // sequence to go on with; 0 if the last search came to its end
	last  time.Time // when that search began
	open  int       // found and not removed; where it is not 0, the next search begins anew
}

// NewOrphans returns an Orphans that knows by alive who is gone.
func NewOrphans(c *Conn, alive *Liveness) *Orphans { return &Orphans{conn: c, alive: alive} }

// orphansAtOnce bounds what one search returns.
const orphansAtOnce = 500

// Find returns orphans, none as long as no ingress has fallen silent since all of
// them were found. One that is not removed may be returned again. What it has
// found it returns also where ctx ends, or an error comes, before the end of the
// queue: then the next call goes on.
func (o *Orphans) Find(ctx context.Context) (found []Orphan, err error) {
	now := time.Now()
	if o.next == 0 {
		left := o.alive.peers.lastLeft(now, ingressPrefix, orphanAfter)
		if left.IsZero() || o.open == 0 && !o.last.Before(left.Add(orphanAfter)) {
			return nil, nil
		}
		o.next, o.last, o.open = 1, now, 0
	}
	defer func() { o.open += len(found) }()
	queue, err := o.conn.js.Stream(ctx, reqStream)
	for err == nil && len(found) < orphansAtOnce {
		var m *jetstream.RawStreamMsg
		m, err = queue.GetMsg(ctx, o.next, jetstream.WithGetMsgSubject("req.>"))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			o.next = 0
			return found, nil
		}
		if err != nil {
			break
		}
		o.next = m.Sequence + 1
		d, unreadable := parseDelivery(&nats.Msg{Subject: m.Subject, Header: m.Header, Data: m.Data})
		if unreadable == nil && o.alive.peers.silence(d.Ingress(), now) >= orphanAfter {
			found = append(found, Orphan{*d, m.Time, m.Sequence})
		}
	}
	if err != nil {
		err = fmt.Errorf("look for orphans in the queue: %w", err)
	}
	return found, err
}

// Remove takes orphans out of the queue.
func (o *Orphans) Remove(found []Orphan) {
	for _, one := range found {
		o.conn.forget(one.seq)
	}
	o.open -= len(found)
}
