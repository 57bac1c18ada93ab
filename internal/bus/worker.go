package bus

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"model-proxy/internal/llm"
)

// WorkerConfig is what the workers' side of the bus asks of its owner.
type WorkerConfig struct {
	ID          string   // from NewWorkerID
	Pools       []string // whose jobs to take
	Concurrency int      // jobs at a time
	Drain       time.Duration
	Cut         <-chan struct{} // closed to end a drain at once; nil never is
	Log         *slog.Logger
	// Handle serves one job and returns when it is over. It runs on a
	// goroutine of its own.
	Handle func(*Run)
	// Orphaned is told of a job that nobody began and whose ingress is gone, before
	// the job leaves the queue. It must not block.
	Orphaned func(*Orphan)
}

// Worker is the workers' side of the bus: it pulls jobs while it has free slots
// and carries their answers back.
type Worker struct {
	// Fixed at construction.
	id    string
	conn  *Conn
	cfg   WorkerConfig
	peers *peers // ingresses
	out   *outbox
	hands *hands
	slots *slots

	vigil    vigil
	busy     atomic.Int64
	fullTold atomic.Int64 // when ingresses were last told that no slot is free, in Unix nanoseconds
	stalls   stalls
	draining atomic.Bool
	inFlight sync.WaitGroup

	hard context.Context // of all runs; set by Run before any begins

	mu   sync.Mutex // guards runs, and the change of draining
	runs map[uint32]*Run
}

// NewWorker joins the bus as a worker.
func NewWorker(c *Conn, cfg WorkerConfig) *Worker {
	w := &Worker{id: cfg.ID, conn: c, cfg: cfg, peers: newPeers(), out: newOutbox(c.nc.Publish), hands: newHands(), runs: map[uint32]*Run{}}
	w.slots = newSlots(w)
	return w
}

// ID is the worker's name on the bus.
func (w *Worker) ID() string { return w.id }

// Busy is the number of slots in use.
func (w *Worker) Busy() int64 { return w.busy.Load() }

// Run takes jobs until ctx ends; those in flight then have cfg.Drain to finish
// before they are cancelled. Run returns when all are over.
func (w *Worker) Run(ctx context.Context) error {
	hard, kill := context.WithCancelCause(context.WithoutCancel(ctx))
	defer kill(ErrStopped)
	w.hard = hard
	subs := []struct {
		subject string
		handle  nats.MsgHandler
	}{
		{"C." + w.id + ".*", w.control},
		{"C." + w.id, w.list},
		{"X.*", w.fenced},
		{"hb.*", w.heard},
	}
	if err := w.ensureConsumers(ctx); err != nil {
		return err
	}
	for _, s := range subs {
		sub, err := w.conn.nc.Subscribe(s.subject, s.handle)
		if err != nil {
			return fmt.Errorf("subscribe to %s: %w", s.subject, err)
		}
		defer func() { _ = sub.Unsubscribe() }() // the connection may be closed by now
		if err := sub.SetPendingLimits(-1, -1); err != nil {
			return fmt.Errorf("subscribe to %s: %w", s.subject, err)
		}
	}
	defer w.conn.near().joinWorker(w)()
	for _, p := range w.slots.pullers {
		if err := p.listen(); err != nil {
			return err
		}
		defer p.deafen()
	}
	w.conn.OnReconnect(w.slots.reset)
	var keeping sync.WaitGroup
	back := w.conn.returns()
	keeping.Go(func() { w.conn.keep(ctx, back, w.restorePulls) })
	defer keeping.Wait()
	w.beat()
	w.slots.reset()
	over := make(chan struct{})
	watched := make(chan struct{})
	go func() { w.watch(over); close(watched) }()
	<-ctx.Done()
	w.drain(kill)
	close(over)
	<-watched
	w.hands.close()
	return nil
}

func (w *Worker) ensureConsumers(ctx context.Context) error {
	for _, pool := range w.cfg.Pools {
		for _, l := range lanes {
			err := w.conn.insist(ctx, func(ctx context.Context) error { return w.conn.ensureConsumer(ctx, pool, l.name) })
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// restorePulls makes the consumers again, should the server have lost them.
func (w *Worker) restorePulls(ctx context.Context) error {
	if err := w.ensureConsumers(ctx); err != nil {
		return err
	}
	w.slots.reset()
	return nil
}

// drain waits for the jobs in flight, cancels what is left at the end of its
// patience, and gives the last ends a moment to be acknowledged.
func (w *Worker) drain(kill context.CancelCauseFunc) {
	w.mu.Lock()
	w.draining.Store(true) // from here on nothing joins those that are waited for
	w.mu.Unlock()
	w.slots.close()
	w.beat()
	idle := make(chan struct{})
	go func() { w.inFlight.Wait(); close(idle) }()
	patience := time.NewTimer(w.cfg.Drain)
	defer patience.Stop()
	select {
	case <-idle:
	case <-patience.C:
	case <-w.cfg.Cut:
	}
	kill(ErrStopped)
	<-idle
	last := time.NewTimer(2 * time.Second)
	defer last.Stop()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for w.unacknowledged() {
		select {
		case <-look.C:
		case <-last.C:
			return
		}
	}
}

func (w *Worker) unacknowledged() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.runs) > 0
}

// claim takes a slot for a job; ok is false when there is none.
func (w *Worker) claim() (ok bool) {
	w.mu.Lock()
	if w.draining.Load() || int(w.busy.Load()) >= w.cfg.Concurrency {
		w.mu.Unlock()
		return false
	}
	last := int(w.busy.Add(1)) == w.cfg.Concurrency
	w.inFlight.Add(1)
	w.mu.Unlock()
	if last {
		w.tellFull(time.Now())
	}
	return true
}

func (w *Worker) release() {
	w.busy.Add(-1)
	w.inFlight.Done()
}

// begin registers a run for a message of the queue.
func (w *Worker) begin(m *nats.Msg) (*Run, error) {
	d, err := parseDelivery(m)
	if err != nil {
		return nil, err
	}
	r := &Run{Delivery: *d, msg: m}
	if r.at = w.conn.near().ingress(r.Ingress()); r.at != nil {
		r.to = r.at.calls.get(r.reply[len(r.at.prefix):])
	}
	if d.bodySize > 0 {
		r.parts = make(chan []byte, 2*partsAtOnce)
	}
	w.register(r)
	r.old = w.vigil.slept(r.heard)
	return r, nil
}

// register makes a run one of this worker's.
func (w *Worker) register(r *Run) {
	r.w, r.limit, r.wake, r.heard = w, windowFrames, make(chan struct{}, 1), time.Now()
	r.ctx, r.end = context.WithCancelCause(w.hard)
	w.mu.Lock()
	for r.id == 0 || w.runs[r.id] != nil {
		r.id = rand.Uint32()
	}
	w.runs[r.id] = r
	w.mu.Unlock()
}

// start runs a job, which has a slot, on a goroutine of its own.
func (w *Worker) start(r *Run) {
	w.hands.do(func() { // drain waits for it
		defer w.slots.offer()
		defer w.release()
		w.serve(r)
	})
}

// decline ends a job that cannot be read, for its ingress too where the envelope
// tells of one: that waits for its deadline otherwise. What frames look like has
// not changed since the first version.
func (w *Worker) decline(m *nats.Msg, cause error) {
	w.cfg.Log.Error("a job cannot be read", "error", cause)
	if d, err := parseDelivery(m); errors.Is(err, ErrVersion) && d.reply != "" {
		e := llm.NewError(llm.Unavailable, "the gateway's parts are of different versions: "+err.Error())
		f := Frame{run: rand.Uint32(), Accepted: true, WorkerID: w.id, End: &End{Err: e, Attempts: d.Attempts}}
		w.publish(d.reply, f.append(nil))
	}
	w.publish(m.Reply, []byte("+TERM"))
}

// serve runs one job from its message to its end.
func (w *Worker) serve(r *Run) {
	defer r.end(nil)
	if !w.conn.Connected() { // nobody would learn of it: another worker gets the job
		w.drop(r)
		return
	}
	if r.msg != nil && w.doubts(r) && !w.cleared(r) {
		w.drop(r)
		return
	}
	w.cfg.Handle(r)
	r.mu.Lock()
	over := r.over
	r.mu.Unlock()
	cause := context.Cause(r.ctx)
	if !over || r.at != nil || errors.Is(cause, ErrFenced) || errors.Is(cause, ErrIngressLost) {
		w.drop(r) // nobody waits for this end, or it is where it should be
	}
}

func (w *Worker) drop(r *Run) {
	w.mu.Lock()
	delete(w.runs, r.id)
	w.mu.Unlock()
}

func (w *Worker) find(id uint32) *Run {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.runs[id]
}

// control is a message to one run.
func (w *Worker) control(m *nats.Msg) {
	token := m.Subject[len("C.")+len(w.id)+1:]
	if ingress, ok := strings.CutPrefix(token, probeToken); ok {
		w.probeAnswer(ingress, m)
		return
	}
	id, err := strconv.ParseUint(token, 36, 32)
	r := w.find(uint32(id))
	if err != nil || r == nil {
		return
	}
	if len(m.Data) == 0 { // no responders: the ingress is gone, or its connection
		r.mu.Lock()
		r.absent = true
		r.mu.Unlock()
		r.signal()
		return
	}
	w.peers.beat(r.Ingress())
	body := reader{b: m.Data[1:]}
	switch m.Data[0] {
	case ctlCredit:
		r.credit(body.uint32())
	case ctlWant:
		r.again(body.uint32())
	case ctlGrant, ctlCancel:
		r.mu.Lock()
		made, delivery := body.uint32(), body.uint32()
		if body.err == nil && !r.granted { // from then on the handler reads them
			r.Attempts, r.Number = max(r.Attempts, int(made)), max(r.Number, int(delivery))
		}
		r.granted = m.Data[0] == ctlGrant
		r.denied = !r.granted
		r.mu.Unlock()
		if r.denied {
			r.end(ErrCancelled)
		}
		r.signal()
	case ctlProbe:
		r.probed(body)
	case ctlPart:
		if len(m.Data) < 5 {
			return
		}
		select {
		case r.parts <- m.Data[1:]:
		default: // more than was asked for; what is missing is asked for again
		}
	}
}

// probed takes the answer to confirm: the runs that are not wanted.
func (r *Run) probed(unwanted reader) {
	for len(unwanted.b) >= 4 {
		if unwanted.uint32() == r.id {
			r.end(ErrFenced)
			return
		}
	}
	r.mu.Lock()
	r.wanted = true
	r.mu.Unlock()
	r.signal()
}

// list is a message about many runs: acknowledged ends, or a probe.
func (w *Worker) list(m *nats.Msg) {
	if len(m.Data) == 0 {
		return
	}
	body := reader{b: m.Data[1:]}
	switch m.Data[0] {
	case ctlDone:
		w.mu.Lock()
		defer w.mu.Unlock()
		for len(body.b) >= 4 {
			id := body.uint32()
			if r := w.runs[id]; r != nil {
				delete(w.runs, id)
				r.free()
			}
		}
	case ctlProbe:
		answer := []byte{ctlProbe}
		for len(body.b) >= 8 {
			id, next := body.uint32(), body.uint32()
			if r := w.find(id); r != nil {
				r.again(next)
			} else {
				answer = binary.BigEndian.AppendUint32(answer, id)
			}
		}
		w.publish(m.Reply, answer)
	}
}

// free lets go of the frames of a run whose end has arrived.
func (r *Run) free() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, k := range r.kept {
		freeBuffer(k.buf)
	}
	r.kept, r.bytes = nil, 0
}

// fenced hears that a run's frames are not wanted, or that all of them are.
func (w *Worker) fenced(m *nats.Msg) {
	id, err := strconv.ParseUint(m.Subject[len("X."):], 36, 32)
	r := w.find(uint32(id))
	if err != nil || r == nil || len(m.Data) == 0 || string(m.Data[1:]) != r.reply {
		return
	}
	if m.Data[0] == ctlWant {
		r.again(0)
		return
	}
	r.end(ErrFenced)
	r.mu.Lock()
	over := r.over
	r.mu.Unlock()
	if over {
		w.drop(r)
	}
}

// publish sends and forgets; what is lost with a connection is sent again when
// the ingress asks.
func (w *Worker) publish(subject string, msg []byte) {
	if err := w.conn.nc.Publish(subject, msg); err != nil {
		w.cfg.Log.Debug("not sent", "subject", subject, "error", err)
	}
}

func (w *Worker) ask(subject, reply string, msg []byte) {
	if err := w.conn.nc.PublishRequest(subject, reply, msg); err != nil {
		w.cfg.Log.Debug("not sent", "subject", subject, "error", err)
	}
}
