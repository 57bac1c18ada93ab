package bus

import (
	"context"
	"encoding/binary"
	"errors"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

// Why a run's context ended.
var (
	ErrCancelled   = errors.New("the ingress does not want the answer any more")
	ErrFenced      = errors.New("the job was given to another worker")
	ErrIngressLost = errors.New("no sign of the ingress")
	ErrStopped     = errors.New("the worker was stopped")
)

// Run is one job that this worker was given. The handler calls Accept, Fetch,
// then Attempt and Send in turn, the last Send with an End.
type Run struct {
	Delivery

	// Fixed at construction.
	w   *Worker
	id  uint32
	msg *nats.Msg // the queue's message, to be acknowledged; nil for a job from a near ingress
	old bool      // it may be so old that another worker has it
	at  *Ingress  // where the frames go if it is near, else nil
	to  *Call     // likewise; nil too if there is none any more
	ctx context.Context
	end context.CancelCauseFunc

	handing atomic.Int64 // since when a near ingress has a frame in hand, in Unix ns; 0 while none has

	wake  chan struct{} // capacity 1; credit, a grant or a part has come; never closed
	parts chan []byte   // pieces of a large body; never closed

	mu      sync.Mutex // guards the rest
	granted bool
	denied  bool
	wanted  bool   // the ingress says so, asked by confirm
	absent  bool   // nobody listens under the ingress's name
	seq     uint32 // of the next frame
	limit   uint32 // frames below it may be sent
	kept    []kept // sent, not yet covered by credit; a near ingress has missed nothing, so without their bytes
	bytes   int    // of the window, that kept takes
	over    bool   // the end has been sent
	sent    time.Time
	heard   time.Time // last control message
}

type kept struct {
	seq    uint32
	buf    []byte
	window int // bytes that it takes of the window
}

// Context ends when the job is cancelled, fenced, or its ingress is lost; its
// cause says which.
func (r *Run) Context() context.Context { return r.ctx }

// deliveries is how often the queue has handed over this message, this time
// included. It stands in the reply subject: $JS.ACK.<stream>.<consumer>.<n>.…,
// with a domain and an account hash before the stream on servers that use them.
func (r *Run) deliveries() int {
	at := 4
	if strings.Count(r.msg.Reply, ".") >= 10 {
		at = 6
	}
	rest := r.msg.Reply
	for range at {
		_, rest, _ = strings.Cut(rest, ".")
	}
	n, _, _ := strings.Cut(rest, ".")
	count, err := strconv.Atoi(n)
	if err != nil {
		return 1
	}
	return count
}

// Accept tells the ingress that the job is taken, with the attempt planned (nil
// if there is none), and takes the job out of the queue. A death between the
// two makes the queue deliver again.
func (r *Run) Accept(a *Attempt) {
	r.note(Frame{Accepted: true, WorkerID: r.w.id, Attempt: a}, canWait)
	if r.msg != nil {
		r.w.out.send(canWait, message{r.msg.Reply, ackWord})
	}
}

// Attempt tells that another upstream is about to be called. The server has it
// before Attempt returns, unless it is away: should the worker die in the call,
// the ingress knows of both. It returns the context's cause, and tells nothing, if
// that has ended: a worker that has slept asks first whether the job is still its.
func (r *Run) Attempt(a *Attempt) error {
	if r.at == nil && r.w.vigil.slept(time.Now()) {
		r.confirm()
	}
	if r.ctx.Err() != nil {
		return context.Cause(r.ctx)
	}
	r.note(Frame{Attempt: a}, atOnce)
	if r.at == nil {
		_ = r.w.conn.nc.FlushTimeout(knownWithin) // the call is made in any case
	}
	return nil
}

// confirm asks the ingress whether it still wants this run, and returns when it
// does, when the context has ended, which says that it does not, or when there was
// no answer for grantPatience.
func (r *Run) confirm() {
	_, token, _ := strings.Cut(strings.TrimPrefix(r.reply, "R."), ".")
	ask := binary.BigEndian.AppendUint32(appendString([]byte{ctlProbe}, token), r.id)
	r.mu.Lock()
	r.wanted = false // an answer to an earlier question that came too late
	r.mu.Unlock()
	r.ask("R."+r.Ingress(), ask, func() bool { return r.wanted })
}

// knownWithin bounds how long a call to another upstream waits for the server.
const knownWithin = 50 * time.Millisecond

// Part is what one Send carries; every field may be left out.
type Part struct {
	Head    *Head
	Data    []byte // whole events, or a piece of a plain answer
	Given   bool   // Data is never changed any more; else what is needed of it is copied
	Events  int    // number of events in Data
	Content bool   // Data holds the first content
	End     *End   // the job is over
}

// Send sends a part of the answer, in several frames if it is large. It waits
// while the client is behind, and returns the context's cause if that ends.
// An end is sent in any case.
func (r *Run) Send(p Part) error {
	var err error
	for err == nil && len(p.Data) > maxFrame {
		first := Part{Head: p.Head, Data: p.Data[:maxFrame], Given: p.Given, Content: p.Content}
		err = r.send(first, true)
		p.Head, p.Data, p.Content = nil, p.Data[maxFrame:], false
	}
	if err == nil && (p.Head != nil || len(p.Data) > 0 || p.End == nil) {
		err = r.send(p, false)
		if err == nil {
			return nil
		}
	}
	if p.End == nil {
		return err
	}
	if r.ctx.Err() != nil || err != nil {
		p = Part{End: p.End}
	}
	r.mu.Lock()
	r.sendUnlock(p, false, canWait)
	return err
}

// send waits for credit and sends one frame.
func (r *Run) send(p Part, split bool) error {
	r.mu.Lock()
	if r.behindLocked(len(p.Data)) {
		r.awaitCreditLocked(len(p.Data))
	}
	if r.ctx.Err() != nil {
		r.mu.Unlock()
		return context.Cause(r.ctx)
	}
	u := canWait
	if p.Head != nil { // the client has nothing yet
		u = atOnce
	}
	r.sendUnlock(p, split, u)
	return nil
}

// behindLocked reports whether the client is too far behind for n more bytes.
func (r *Run) behindLocked(n int) bool {
	return r.seq >= r.limit || r.bytes > 0 && r.bytes+n > windowBytes
}

// awaitCreditLocked waits until the client is no longer behind, or the context
// ends. It lets go of the lock meanwhile.
func (r *Run) awaitCreditLocked(n int) {
	defer r.w.stalls.begin()()
	for r.behindLocked(n) && r.ctx.Err() == nil {
		r.mu.Unlock()
		select {
		case <-r.wake:
		case <-r.ctx.Done():
		}
		r.mu.Lock()
	}
}

// sendUnlock sends a frame of the answer, and lets go of the lock.
func (r *Run) sendUnlock(p Part, split bool, u urgency) {
	r.over = r.over || p.End != nil
	f := Frame{Head: p.Head, End: p.End, Data: p.Data, Events: p.Events, Content: p.Content, Split: split}
	f.size = frameHeader + len(p.Data)
	r.frameUnlock(&f, p.Given, u)
}

// note sends a frame that the ingress reads by itself. It waits for no client and
// gets no credit, so it takes nothing of the window.
func (r *Run) note(f Frame, u urgency) {
	r.mu.Lock()
	r.limit++
	r.frameUnlock(&f, true, u)
}

// frameUnlock sends the next frame, keeps it until credit covers it, and lets go
// of the lock. given says that nobody changes the frame's data any more.
func (r *Run) frameUnlock(f *Frame, given bool, u urgency) {
	now := time.Now()
	f.run, f.seq = r.id, r.seq
	k := kept{seq: r.seq, window: f.size}
	r.seq++
	r.bytes += k.window
	r.sent = now
	if r.at != nil {
		r.kept = append(r.kept, k)
		r.mu.Unlock()
		r.hand(f, given, now)
		return
	}
	k.buf = f.append((*bufferPool.Get().(*[]byte))[:0])
	r.kept = append(r.kept, k)
	r.w.out.send(u, message{r.reply, k.buf})
	r.mu.Unlock()
}

// credit takes a new limit and lets go of what the client has.
func (r *Run) credit(limit uint32) {
	r.mu.Lock()
	r.heard = time.Now()
	if limit > r.limit {
		r.limit = limit
	}
	n := 0
	for n < len(r.kept) && r.kept[n].seq+windowFrames < limit {
		r.bytes -= r.kept[n].window
		freeBuffer(r.kept[n].buf)
		n++
	}
	r.kept = r.kept[n:]
	r.mu.Unlock()
	r.signal()
}

// again sends what is kept from a sequence on. A frame that is not kept was
// covered by credit: then credit has overtaken the question, which is old.
func (r *Run) again(from uint32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.at != nil || len(r.kept) == 0 || from < r.kept[0].seq || from >= r.seq {
		return
	}
	r.w.out.flush() // or a frame could be let go of while it waits there
	for _, k := range r.kept {
		if k.seq >= from {
			r.w.publish(r.reply, k.buf)
		}
	}
	r.sent = time.Now()
}

func (r *Run) signal() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// ackWord takes a job out of the queue.
var ackWord = []byte("+ACK")

// What comes of the question whether a job may run.
type verdict int

const (
	granted    verdict = iota
	denied             // nobody wants its answer any more
	unanswered         // the ingress is gone, or does not answer in time
)

// mayRun asks the ingress for a job that may have been given to another worker,
// or that may have nobody who waits for it. The grant is what makes a job run
// once at a time.
func (r *Run) mayRun() verdict {
	ask := binary.BigEndian.AppendUint32([]byte{ctlAsk}, r.id)
	ask = appendString(ask, r.w.id)
	r.ask(r.reply, ask, func() bool { return r.granted || r.denied || r.absent })
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.granted:
		return granted
	case r.denied:
		return denied
	}
	return unanswered
}

// ask puts a question to the ingress, once a second should it be lost, until
// answered, which is called with r.mu held, or the context has ended, or for
// grantPatience.
func (r *Run) ask(subject string, question []byte, answered func() bool) {
	patience := time.NewTimer(grantPatience)
	defer patience.Stop()
	again := time.NewTicker(time.Second)
	defer again.Stop()
	r.w.ask(subject, r.control(), question)
	for {
		select {
		case <-r.ctx.Done():
			return
		case <-patience.C:
			return
		case <-again.C:
			r.w.ask(subject, r.control(), question)
		case <-r.wake:
		}
		r.mu.Lock()
		over := answered()
		r.mu.Unlock()
		if over {
			return
		}
	}
}

// control is where messages to this run go.
func (r *Run) control() string { return "C." + r.w.id + "." + runToken(r.id) }

// Pieces of a large body: how large, and how many are asked for at a time.
const (
	partSize    = 256 << 10
	partsAtOnce = 4
)

// Fetch brings a body that was too large for the message.
func (r *Run) Fetch() error {
	if r.bodySize == 0 {
		return nil
	}
	n := (r.bodySize + partSize - 1) / partSize
	body, have := make([]byte, r.bodySize), make([]bool, n)
	subject := "part." + strings.TrimPrefix(r.reply, "R.")
	asked, got := 0, 0
	want := func(i int) {
		r.w.ask(subject, r.control(), binary.BigEndian.AppendUint32(nil, uint32(i)))
	}
	again := time.NewTicker(time.Second)
	defer again.Stop()
	for got < n {
		for ; asked < n && asked < got+partsAtOnce; asked++ {
			want(asked)
		}
		select {
		case <-r.ctx.Done():
			return context.Cause(r.ctx)
		case <-again.C:
			for i := range asked {
				if !have[i] {
					want(i)
				}
			}
		case p := <-r.parts:
			i := int(binary.BigEndian.Uint32(p))
			if i < n && !have[i] {
				copy(body[i*partSize:], p[4:])
				have[i] = true
				got++
			}
		}
	}
	r.Body = body
	return nil
}

// Frames live in buffers that go round: one is free again once credit covers it.
var bufferPool = sync.Pool{New: func() any { b := make([]byte, 0, 2048); return &b }}

func freeBuffer(b []byte) {
	if b != nil && cap(b) <= 2*maxFrame {
		bufferPool.Put(&b)
	}
}
