package bus

import (
	"bytes"
	"container/list"
	"encoding/binary"
	"slices"
	"sync"
	"time"

	"model-proxy/internal/llm"
)

// Credit window of one answer: the worker sends at most this far ahead of what
// the client has taken.
const (
	windowFrames = 64
	windowBytes  = 256 << 10
)

// againAfter is how long a job waits that a worker gave back: it did not know the
// model, or had given it up.
const againAfter = time.Second

// maxGrants is how often a job may be granted to workers that never accept it.
const maxGrants = 12

// maxMoves is how often a job may be given to another worker after a loss.
const maxMoves = 2

// Call is one submitted job, seen from the ingress that holds its client.
// One goroutine reads it (Wait, Ready, Next, Commit, Cancel, Close). While it
// waits, a near worker may read in its place.
type Call struct {
	// Fixed at construction.
	in        *Ingress
	job       *Job
	token     string
	tenant    *tenant
	published time.Time     // or held back, since it was submitted
	ready     chan struct{} // capacity 1; never closed

	turn sync.Mutex         // held by who reads: from Submit on, but for Wait, the call's own reader
	pass func() (done bool) // what a near worker does in the reader's place; guarded by turn

	mu        sync.Mutex // guards the rest
	place     place
	waits     *list.Element // its place behind the gate; guarded by the line's mutex instead
	seats     *seats        // of the worker that has the job
	grants    int           // given since the newest publication, none of them used
	acked     bool          // the queue has taken the job
	queueSeq  uint64        // its sequence in REQ
	ackedOn   uint64        // how often the connection had come back by then
	delivery  int           // of the newest publication, 0 before the first
	moves     int           // publications after a loss
	run       uint32        // the granted run, 0 while none
	gone      []uint32      // runs that were given up: whatever comes of them is refused
	asked     *asker        // a redelivery waiting for a grant
	worker    string
	attempt   *Attempt   // newest one known
	of        uint32     // the run that it is of
	earlier   []*Attempt // those before it of the same run
	attempts  int        // begun so far, as far as is known; a run that ends says how many were made
	accepted  time.Time
	began     time.Time // the newest attempt
	again     time.Time // when to publish once more because the worker gave the job back
	next      uint32    // sequence wanted next
	queue     []Frame   // received
	taken     int       // of queue, by Next
	held      int       // bytes of frames taken since the last credit was sent
	granted   uint32    // credit limit last sent
	committed bool      // the client got an answer byte
	cancelled bool      // nobody wants it any more: a worker that takes it is told so
	finished  bool      // an end was received or made up
	lastFrame time.Time
}

type asker struct {
	run    uint32
	worker string
	reply  string
	at     time.Time
}

// Wait returns when Next may have something, or Wake was called since the last
// Wait. Meanwhile a near worker that has handed over a frame may call pass on
// its own goroutine instead of waking the caller's: what is in NextData is then
// passed on without a change of goroutine (docs/decisions/0016). What it takes it
// may not keep: the memory is the worker's again. If pass reports false, Wait
// returns.
func (c *Call) Wait(pass func() (done bool)) {
	c.pass = pass
	c.turn.Unlock()
	<-c.ready
	c.turn.Lock()
}

// hand takes a frame from a near worker, on the worker's goroutine, which holds no
// lock. While the reader waits the frame is passed on at once. What of its data
// stays here is copied, unless given says that nobody changes it any more.
func (c *Call) hand(f *Frame, given bool, now time.Time) {
	if f.Data == nil || given && f.End != nil || !c.turn.TryLock() {
		if !given {
			f.Data = bytes.Clone(f.Data)
		}
		if c.take(f, now) {
			c.Wake()
		}
		return
	}
	f.borrowed = !given
	over := f.End != nil
	news := c.take(f, now)
	if done := c.passOn(); news && (!done || over) {
		c.Wake() // whoever has the turn looks again
	}
}

// passOn reads in the reader's place. Who calls it has the turn, and has it no
// longer, even if it panics: that is the worker's to deal with, not the reader's.
func (c *Call) passOn() (done bool) {
	defer c.turn.Unlock()
	if c.pass() {
		return true
	}
	c.keep()
	return false
}

// keep copies what is not passed on.
func (c *Call) keep() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := c.taken; i < len(c.queue); i++ {
		if f := &c.queue[i]; f.borrowed {
			f.Data, f.borrowed = bytes.Clone(f.Data), false
		}
	}
}

// Ready is Wait for a select.
func (c *Call) Ready() <-chan struct{} { return c.ready }

// Wake ends a Wait. It may be called by anyone at any time.
func (c *Call) Wake() {
	select {
	case c.ready <- struct{}{}:
	default:
	}
}

// Next takes the next frame in order; ok is false when there is none yet.
// What the caller has taken counts as consumed: it takes a frame when the
// client has room for it.
func (c *Call) Next() (f Frame, ok bool) {
	c.mu.Lock()
	if len(c.queue) == 0 {
		c.mu.Unlock()
		return Frame{}, false
	}
	return c.nextUnlock(), true
}

// NextData is Next and Commit for a frame without an end.
func (c *Call) NextData() (f Frame, ok bool) {
	c.mu.Lock()
	if len(c.queue) == 0 || c.queue[c.taken].End != nil {
		c.mu.Unlock()
		return Frame{}, false
	}
	c.committed = true
	return c.nextUnlock(), true
}

// nextUnlock takes the next frame, which there is, and lets go of the lock.
func (c *Call) nextUnlock() Frame {
	f := c.queue[c.taken]
	c.queue[c.taken] = Frame{}
	if c.taken++; c.taken == len(c.queue) {
		c.queue, c.taken = c.queue[:0], 0
	}
	due, worker := c.takenLocked(f), c.worker
	c.mu.Unlock()
	if due { // without the lock, which the next frames want
		c.in.credit(worker, f.run, f.seq+1+windowFrames)
	}
	return f
}

// takenLocked counts f as consumed. It reports whether credit is due for it.
func (c *Call) takenLocked(f Frame) bool {
	if f.run != c.run || f.End != nil || f.Last { // made up here, or the last: nobody waits for credit
		return false
	}
	limit := f.seq + 1 + windowFrames
	c.held += f.size
	if limit < c.granted+windowFrames/2 && c.held < windowBytes/2 {
		return false
	}
	c.granted, c.held = limit, 0
	return true
}

// Commit tells that the client is about to get its first answer byte, after
// which no other worker may answer. It is false if f's worker was lost since:
// then f is to be dropped.
func (c *Call) Commit(f Frame) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.run != c.run {
		return false
	}
	c.committed = true
	return true
}

// Cancel stops the work on the job, wherever it is. The worker's end, if there
// is a worker, still arrives as a frame.
func (c *Call) Cancel() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cancelled = true
	switch {
	case c.finished:
	case c.place == placeHeld:
		c.moveLocked(placeOver)
	case c.run != 0:
		c.in.control(c.worker, c.run, []byte{ctlCancel})
	case c.acked:
		c.in.forget(c.queueSeq)
	}
}

// Queued reports whether the job is in the queue, where a worker may be taking
// it at this moment.
func (c *Call) Queued() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.place == placeQueued
}

// Running reports whether a worker has the job.
func (c *Call) Running() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.run != 0
}

// State is what the request's record needs to know of the way it went.
type State struct {
	WorkerID   string
	Deliveries int
	Attempts   int
	Attempt    *Attempt // the newest one known, nil if none
	QueueTime  time.Duration
}

// State may be read at any time.
func (c *Call) State() State {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := State{WorkerID: c.worker, Deliveries: c.delivery, Attempts: c.attempts, Attempt: c.attempt}
	if !c.accepted.IsZero() {
		s.QueueTime = c.accepted.Sub(c.published)
	}
	return s
}

// Close forgets the call; late frames are answered with a cancel.
func (c *Call) Close() {
	c.in.calls.del(c.token)
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.finished && c.run != 0 {
		c.in.control(c.worker, c.run, []byte{ctlCancel})
	}
	c.finishLocked()
}

// finishLocked notes that nothing more comes.
func (c *Call) finishLocked() {
	c.finished = true
	c.moveLocked(placeOver)
}

// receive takes a frame off the bus. It never blocks.
func (c *Call) receive(msg []byte) {
	run, seq, ok := frameIDs(msg)
	if !ok {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.isNextLocked(run, seq, msg[0]&partAccepted != 0, time.Now()) {
		return
	}
	f, err := parseFrame(msg)
	if err != nil {
		c.failLocked(llm.NewError(llm.BadGateway, "an answer could not be understood on its way").Because(err))
		c.in.control(c.worker, c.run, []byte{ctlCancel})
		return
	}
	if c.takeLocked(&f) {
		c.Wake()
	}
}

// take takes a frame that was handed over. It reports whether that is of concern
// to the reader.
func (c *Call) take(f *Frame, now time.Time) (news bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.isNextLocked(f.run, f.seq, f.Accepted, now) && c.takeLocked(f)
}

// takeLocked takes the frame that was wanted next, and reports whether that is of
// concern to the reader.
func (c *Call) takeLocked(f *Frame) (news bool) {
	c.next++
	if f.End != nil && f.End.Cancelled && !c.cancelled {
		f.End.Again, f.End.Err = true, c.gaveUpLocked()
	}
	if f.End != nil && f.End.Again && c.again.IsZero() && !c.committed && !c.cancelled {
		c.setAsideLocked(f.End)
		return false
	}
	c.noteLocked(f)
	if f.Accepted && c.cancelled { // it was taken too late to be stopped before
		c.in.control(c.worker, c.run, []byte{ctlCancel})
		news = true
	}
	if f.Head == nil && f.Data == nil && f.End == nil {
		return news
	}
	if f.borrowed && f.End != nil { // the data can be passed on, the end is the reader's
		end := Frame{run: f.run, seq: f.seq, End: f.End}
		f.End, f.Last = nil, true
		c.queue = append(c.queue, *f, end)
		return true
	}
	c.queue = append(c.queue, *f)
	return true
}

// gaveUpLocked is what the end of a worker that stopped by itself comes to: it has
// taken this ingress for gone, which has only been stopped for a while, or cut off.
func (c *Call) gaveUpLocked() *llm.Error {
	if c.committed {
		return llm.NewError(llm.BadGateway, "the connection to the worker was lost while it answered")
	}
	return llm.NewError(llm.Unavailable, "the request was given up by its worker, more than once")
}

// setAsideLocked keeps a job that a worker has given back, to publish it once more.
func (c *Call) setAsideLocked(end *End) {
	c.in.done(c.worker, c.run)
	c.gone = append(c.gone, c.run)
	c.run, c.again, c.attempts = 0, c.lastFrame.Add(againAfter), end.Attempts
	c.queue, c.taken, c.held = nil, 0, 0
	c.moveLocked(placeAside)
}

// isNextLocked reports whether a frame is the one that is wanted next of the
// run that may answer. Other runs are cancelled, and frames that are missing
// asked for.
func (c *Call) isNextLocked(run, seq uint32, accepted bool, now time.Time) bool {
	if c.run == 0 && !c.finished && !slices.Contains(c.gone, run) {
		if !accepted { // the acceptance was lost, with our connection perhaps
			c.in.wantAll(c.token, run)
			return false
		}
		c.run, c.next = run, seq
	}
	if run != c.run || c.finished {
		c.in.refuse(c.token, run)
		return false
	}
	c.lastFrame = now
	if seq > c.next {
		c.wantLocked()
	}
	return seq == c.next
}

// noteLocked keeps what a frame tells of the job's way.
func (c *Call) noteLocked(f *Frame) {
	if f.Accepted {
		c.earlier = nil
		c.worker, c.accepted, c.began = f.WorkerID, c.lastFrame, c.lastFrame
		c.granted, c.grants = windowFrames, 0
		c.seatLocked(f.WorkerID)
	}
	if f.Attempt != nil {
		if c.of == f.run {
			c.earlier = append(c.earlier, c.attempt)
		}
		c.attempt, c.of, c.attempts, c.began = f.Attempt, f.run, f.Attempt.Number, c.lastFrame
	}
	if f.Accepted && f.Attempt == nil {
		c.attempts++
	}
	if f.End != nil {
		c.finishLocked()
		c.attempts = f.End.Attempts
		c.in.done(c.worker, c.run)
	}
}

// wantLocked asks the worker to send again from the first frame that is missing.
func (c *Call) wantLocked() {
	msg := [5]byte{ctlWant}
	binary.BigEndian.PutUint32(msg[1:], c.next)
	c.in.control(c.worker, c.run, msg[:])
}

// failLocked ends the call from here.
func (c *Call) failLocked(e *llm.Error) {
	if c.finished {
		return
	}
	c.finishLocked()
	c.queue = append(c.queue, Frame{run: c.run, End: &End{Err: e, Attempts: c.attempts}})
	c.Wake()
}

// ask answers a worker that was given the job again and wants to run it.
func (c *Call) ask(a asker) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.finished || c.committed || c.cancelled:
		c.in.publish(a.reply, []byte{ctlCancel})
	case c.grants >= maxGrants: // it ends whoever takes it
		c.in.publish(a.reply, []byte{ctlCancel})
		c.failLocked(llm.NewError(llm.Unavailable, "no worker could take the request"))
	case c.run == 0 || c.run == a.run:
		c.grantLocked(a)
	default:
		c.asked = &a // its owner may be dead: the sweep will tell
	}
}

func (c *Call) grantLocked(a asker) {
	c.run, c.worker, c.next, c.asked = a.run, a.worker, 0, nil
	c.grants++
	c.lastFrame = time.Now()
	c.seatLocked(a.worker)
	msg := binary.BigEndian.AppendUint32([]byte{ctlGrant}, uint32(c.attempts))
	c.in.publish(a.reply, binary.BigEndian.AppendUint32(msg, uint32(c.delivery)))
}

// lostLocked is called when the worker of a running call is gone.
func (c *Call) lostLocked(cause error) {
	loss := Loss{Job: c.job, Worker: c.worker, Delivery: c.delivery, Attempt: c.attempt, Earlier: c.earlier, Begun: c.began}
	if c.next == 0 { // it had the grant and was not heard of again: an attempt nobody knows anything of
		c.attempts++
		loss.Attempt, loss.Earlier, loss.Begun = nil, nil, c.lastFrame
	}
	loss.Number = max(1, c.attempts)
	if c.in.cfg.Lost != nil {
		c.in.cfg.Lost(loss)
	}
	if c.cancelled { // nobody wants another worker to begin
		c.finishLocked()
		return
	}
	if c.committed {
		c.failLocked(llm.NewError(llm.BadGateway, "the connection to the worker was lost while it answered").Because(cause))
		return
	}
	if c.moves >= maxMoves || time.Until(c.job.Deadline) <= 0 {
		c.failLocked(llm.NewError(llm.Unavailable, "the request was lost with its worker, more than once").Because(cause))
		return
	}
	c.moves++
	c.gone = append(c.gone, c.run)
	c.run, c.next, c.queue, c.taken, c.held = 0, 0, nil, 0, 0
	if a := c.asked; a != nil && time.Since(a.at) < grantPatience {
		c.delivery++ // the queue's own
		c.grantLocked(*a)
		return
	}
	c.publishLocked()
}

// publishLocked publishes the job, as its next delivery.
func (c *Call) publishLocked() {
	c.asked = nil
	c.delivery++
	c.acked = false
	c.lastFrame = time.Now()
	c.moveLocked(placeQueued)
	if err := c.in.conn.nc.PublishMsg(c.job.message(c.tenant.subject, c.in.reply(c.token), c.delivery, c.attempts)); err != nil {
		c.failLocked(llm.NewError(llm.Unavailable, "the queue cannot be reached").Because(err))
	}
}
