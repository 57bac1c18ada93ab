package bus

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"model-proxy/internal/llm"
	"model-proxy/internal/phase"
)

// Control messages, ingress → worker, on C.<worker>.<run> (and, for probes and
// lists, on C.<worker>). The first byte says which.
const (
	ctlCredit byte = 'C' // frames may be sent up to this sequence (4)
	ctlWant   byte = 'W' // send again from this sequence (4)
	ctlCancel byte = 'X' // stop; also the answer to frames nobody wants
	ctlGrant  byte = 'G' // run the job: attempts made before (4), which delivery it is (4)
	ctlPart   byte = 'B' // part of a body: index(4), bytes
	ctlDone   byte = 'D' // list of runs whose end has arrived
	ctlProbe  byte = 'P' // list of silent runs, each with the sequence wanted next; answered with those not wanted
	ctlAsk    byte = 'Q' // worker → ingress: may I run this? run(4), worker
)

const (
	probeEvery    = 250 * time.Millisecond
	beatEvery     = 500 * time.Millisecond
	beatDue       = beatEvery - probeEvery/2   // at every other look, or at each that is late
	hungAfter     = 2 * time.Second            // without a beat, before the client got a byte
	cutOffAfter   = 4 * time.Second            // without a connection: who cannot be reached gives up by itself
	patience      = 5 * time.Second            // without a sign, once it has: longer than whoever reconnects takes to give up
	pubAckWithin  = 2*time.Second - probeEvery // looked at every probeEvery: refused within 2 s
	grantPatience = 5 * time.Second
	doneWithin    = 20 * time.Millisecond
	probeToken    = "_p-" // R.<ingress>._p-<worker>: answers to probes
)

// IngressConfig is what the ingress' side of the bus asks of its owner.
type IngressConfig struct {
	ID string // from NewIngressID
	// Lost is told of an attempt that died with its worker. It must not block.
	Lost func(Loss)
	Log  *slog.Logger
}

// Loss describes an attempt whose worker is gone.
type Loss struct {
	Job      *Job
	Worker   string
	Delivery int
	Number   int        // of the attempt
	Attempt  *Attempt   // what is known of it, nil if nothing
	Earlier  []*Attempt // of the same worker, before it: what became of them may not have been told
	Begun    time.Time  // when the worker took the job, or began the attempt
}

// Ingress is the client's side of the bus: it submits jobs and receives their
// answers. Safe for concurrent use.
type Ingress struct {
	// Fixed at construction.
	id     string
	conn   *Conn
	cfg    IngressConfig
	prefix string // R.<id>.
	calls  *calls
	peers  *peers
	gate   *gate

	tokens atomic.Uint64
	alone  atomic.Bool // the only workers are near: there is nobody that the queue would share jobs with
	mute   atomic.Bool // the server is connected, but nothing comes back from it: not even this ingress's own beats

	queueMade time.Time // of the queue that jobs went to; owned by Run and what it starts

	endedSoon *time.Timer // sends ended

	mu    sync.Mutex        // guards ended
	ended map[string][]byte // by worker: runs whose end is to be acknowledged
}

// NewIngress joins the bus as an ingress.
func NewIngress(c *Conn, cfg IngressConfig) *Ingress {
	i := &Ingress{id: cfg.ID, conn: c, cfg: cfg, prefix: "R." + cfg.ID + ".", calls: newCalls(), peers: newPeers(), ended: map[string][]byte{},
		gate: newGate(bounds{c.cfg.QueueMaxPerClient, c.cfg.QueueMaxRequests, c.cfg.QueueMaxBytes})}
	i.endedSoon = time.AfterFunc(time.Hour, i.sendDone)
	i.endedSoon.Stop()
	i.alone.Store(c.near() != nil) // others will be heard of
	return i
}

// ID is the process's name on the bus.
func (i *Ingress) ID() string { return i.id }

func (i *Ingress) reply(token string) string { return i.prefix + token }

// Run receives answers and watches the workers until ctx ends. Submit works
// once Run has been called and started is closed.
func (i *Ingress) Run(ctx context.Context, started chan<- struct{}) error {
	subs := []struct {
		subject string
		handle  nats.MsgHandler
	}{
		{i.prefix + "*", i.receive},
		{"R." + i.id, i.probed},
		{"part." + i.id + ".*", i.part},
		{"hb.*", i.heard},
		{"$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES." + reqStream + ".*", i.exhausted},
	}
	for _, s := range subs {
		sub, err := i.conn.nc.Subscribe(s.subject, s.handle)
		if err != nil {
			return fmt.Errorf("subscribe to %s: %w", s.subject, err)
		}
		defer func() { _ = sub.Unsubscribe() }() // the connection may be closed by now
		if err := sub.SetPendingLimits(-1, -1); err != nil {
			return fmt.Errorf("subscribe to %s: %w", s.subject, err)
		}
	}
	if err := i.conn.nc.Flush(); err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	back := i.conn.returns()
	err := i.conn.insist(ctx, func(ctx context.Context) (err error) {
		i.queueMade, err = i.conn.queueMade(ctx)
		return err
	})
	if err != nil {
		return fmt.Errorf("look at the queue: %w", err)
	}
	var keeping sync.WaitGroup
	keeping.Go(func() { i.conn.keep(ctx, back, i.resubmit) })
	keeping.Go(func() { i.letIn(ctx.Done()) })
	defer keeping.Wait()
	defer i.conn.near().join(i)()
	i.beat()
	close(started)
	i.watch(ctx)
	return nil
}

// watch beats, probes and sweeps until ctx ends.
func (i *Ingress) watch(ctx context.Context) {
	tick := time.NewTimer(phase.Next(probeEvery))
	defer tick.Stop()
	absent, beaten := absence{last: time.Now()}, time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		tick.Reset(phase.Next(probeEvery))
		now := time.Now()
		state := absent.look(now, i.conn.Connected())
		i.excuse(absent.slept)
		switch state {
		case away:
			i.forgive(now)
		case cutOff:
			i.abandon()
		}
		if state != present { // to publish would only wait for the connection
			continue
		}
		if now.Sub(beaten) > beatDue {
			beaten = now
			i.beat()
			i.peers.forget(now)
		}
		i.sweep(now)
	}
}

// excuse leaves a time in which this process did not run out of what it waits
// for: signs of the workers, and the queue's word that it has a job.
func (i *Ingress) excuse(slept time.Duration) {
	if slept == 0 {
		return
	}
	i.peers.excuse(slept)
	now := time.Now()
	i.unconfirmed(func(c *Call) { c.lastFrame = earlier(c.lastFrame.Add(slept), now) })
}

// forgive restarts every clock: the silence was ours.
func (i *Ingress) forgive(now time.Time) {
	i.peers.forgive(now)
	i.unconfirmed(func(c *Call) { c.lastFrame = now })
}

// unconfirmed calls f for each job of which the queue has said nothing yet. Its
// call is locked.
func (i *Ingress) unconfirmed(f func(c *Call)) {
	i.calls.each(func(c *Call) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.place == placeQueued && !c.acked && c.run == 0 {
			f(c)
		}
	})
}

// Submit gives a job to a near worker that is free for it, publishes it, or holds
// it back until its tenant's turn has come. What becomes of it arrives through the
// Call; an error means that the queue cannot be reached.
func (i *Ingress) Submit(job *Job) (*Call, error) {
	if !i.conn.Connected() || i.mute.Load() {
		return nil, llm.NewError(llm.Unavailable, "the queue cannot be reached at the moment")
	}
	now := time.Now()
	c := &Call{in: i, job: job, token: strconv.FormatUint(i.tokens.Add(1), 36), tenant: i.gate.tenant(job), published: now, lastFrame: now,
		ready: make(chan struct{}, 1)}
	c.turn.Lock()
	i.calls.put(c)
	if why := i.gate.full(c); why != "" {
		c.refused(why)
		return c, nil
	}
	if !i.gate.open(c.tenant) {
		i.gate.hold(c)
		return c, nil
	}
	if i.conn.near().give(c) {
		return c, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.delivery = 1
	c.moveLocked(placeQueued)
	if err := i.conn.nc.PublishMsg(job.message(c.tenant.subject, i.reply(c.token), 1, 0)); err != nil {
		c.finishLocked()
		i.calls.del(c.token)
		return nil, llm.NewError(llm.Unavailable, "the queue cannot be reached at the moment").Because(err)
	}
	return c, nil
}

// WakeAll wakes every call.
func (i *Ingress) WakeAll() { i.calls.each((*Call).Wake) }

// Held is how many jobs wait here because their clients have enough in the
// queue already.
func (i *Ingress) Held() int64 { return i.gate.held.Load() }

// Active is the number of calls that are not closed.
func (i *Ingress) Active() int { return i.calls.len() }

// Workers is the number of workers heard of in the last two seconds.
func (i *Ingress) Workers() int { return i.peers.alive(time.Now(), workerPrefix) }

// receive is the inbox of every answer. It must not block.
func (i *Ingress) receive(m *nats.Msg) {
	token := m.Subject[len(i.prefix):]
	if worker, ok := strings.CutPrefix(token, probeToken); ok {
		i.probeAnswer(worker, m)
		return
	}
	if token == bundleToken {
		i.unbundle(m.Data)
		return
	}
	c := i.calls.get(token)
	switch {
	case len(m.Data) == 0:
		if c != nil && m.Header.Get("Status") == "503" {
			c.refused(RefusedBus)
		}
	case m.Data[0] == '{':
		if c != nil {
			c.pubAck(m.Data)
		} else if seq, ok := quickAck(m.Data); ok { // given up before the queue had it
			i.forget(seq)
		}
	case m.Data[0] == ctlAsk:
		i.askedToRun(c, m)
	default:
		i.frameReceived(c, token, m.Data)
	}
}

// unbundle takes the frames of a bundle apart. Each gets memory of its own: a
// slow reader must not hold on to those of all others.
func (i *Ingress) unbundle(data []byte) {
	r := reader{b: data}
	for len(r.b) > 0 && r.err == nil {
		token, frame := r.bytes(), r.bytes()
		if r.err == nil {
			i.frameReceived(i.calls.get(string(token)), string(token), bytes.Clone(frame))
		}
	}
}

// frameReceived hands a frame off the bus to its call, nil if there is none any more.
func (i *Ingress) frameReceived(c *Call, token string, msg []byte) {
	if c != nil {
		c.receive(msg)
	} else if run, _, ok := frameIDs(msg); ok {
		i.refuse(token, run)
	}
}

func (i *Ingress) askedToRun(c *Call, m *nats.Msg) {
	r := reader{b: m.Data[1:]}
	a := asker{run: r.uint32(), worker: r.string(), reply: m.Reply, at: time.Now()}
	if c == nil || r.err != nil {
		i.publish(m.Reply, []byte{ctlCancel})
		return
	}
	c.ask(a)
}

// refuse tells whoever sent a frame that nobody wants its run. A frame does not
// name its worker, so the word goes to X.<run>, with the reply subject that the
// right one knows it by.
func (i *Ingress) refuse(token string, run uint32) {
	i.publish("X."+runToken(run), append([]byte{ctlCancel}, i.reply(token)...))
}

// wantAll asks a run of which nothing has arrived yet to send everything again.
func (i *Ingress) wantAll(token string, run uint32) {
	i.publish("X."+runToken(run), append([]byte{ctlWant}, i.reply(token)...))
}

// control sends a control message to one run.
func (i *Ingress) control(worker string, run uint32, msg []byte) {
	i.publish("C."+worker+"."+runToken(run), msg)
}

// credit lets a run go on up to limit.
func (i *Ingress) credit(worker string, run, limit uint32) {
	if w := i.conn.near().worker(worker); w != nil {
		if r := w.find(run); r != nil {
			r.credit(limit)
		}
		return
	}
	msg := [5]byte{ctlCredit}
	binary.BigEndian.PutUint32(msg[1:], limit)
	i.control(worker, run, msg[:])
}

// publish sends and forgets: what is lost with a connection is asked for again
// by the probes.
func (i *Ingress) publish(subject string, msg []byte) {
	if err := i.conn.nc.Publish(subject, msg); err != nil {
		i.cfg.Log.Debug("not sent", "subject", subject, "error", err)
	}
}

func runToken(run uint32) string { return strconv.FormatUint(uint64(run), 36) }

// done notes that an end has arrived; the worker is told within doneWithin, of
// many at once. A near one knows.
func (i *Ingress) done(worker string, run uint32) {
	if i.conn.near().worker(worker) != nil {
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.ended) == 0 {
		i.endedSoon.Reset(doneWithin)
	}
	i.ended[worker] = binary.BigEndian.AppendUint32(i.ended[worker], run)
}

func (i *Ingress) sendDone() {
	i.mu.Lock()
	ended := i.ended
	if len(ended) == 0 {
		i.mu.Unlock()
		return
	}
	i.ended = make(map[string][]byte, len(ended))
	i.mu.Unlock()
	for worker, runs := range ended {
		for len(runs) > 0 {
			n := min(len(runs), 4*4096)
			i.publish("C."+worker, append([]byte{ctlDone}, runs[:n]...))
			runs = runs[n:]
		}
	}
}

// forget takes a job that no worker has begun out of the queue.
func (i *Ingress) forget(seq uint64) { i.conn.forget(seq) }

// exhausted hears that the server gave up delivering a message.
func (i *Ingress) exhausted(m *nats.Msg) {
	var adv struct {
		Seq uint64 `json:"stream_seq"`
	}
	if json.Unmarshal(m.Data, &adv) != nil {
		return
	}
	i.calls.each(func(c *Call) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.acked && c.queueSeq == adv.Seq && c.run == 0 {
			i.forget(adv.Seq)
			c.failLocked(llm.NewError(llm.Unavailable, "no worker could take the request"))
		}
	})
}

// part sends one piece of a body that was too large for the message.
func (i *Ingress) part(m *nats.Msg) {
	c := i.calls.get(m.Subject[strings.LastIndexByte(m.Subject, '.')+1:])
	r := reader{b: m.Data}
	index := r.uint32()
	if c == nil || r.err != nil || int(index)*partSize >= len(c.job.Body) {
		i.publish(m.Reply, []byte{ctlCancel})
		return
	}
	body := c.job.Body[int(index)*partSize:]
	msg := make([]byte, 0, 5+partSize)
	msg = append(msg, ctlPart)
	msg = binary.BigEndian.AppendUint32(msg, index)
	i.publish(m.Reply, append(msg, body[:min(partSize, len(body))]...))
}
