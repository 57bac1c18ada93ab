package bus

import (
	"encoding/binary"
	"time"

	"github.com/nats-io/nats.go"

	"model-proxy/internal/phase"
)

// resendEnd is how long an end waits for its acknowledgement before it is sent again.
const resendEnd = time.Second

// watch beats, keeps the pulls alive, asks the ingresses of silent runs whether
// they still want them, and repeats ends that were not acknowledged.
func (w *Worker) watch(over <-chan struct{}) {
	tick := time.NewTimer(phase.Next(probeEvery))
	defer tick.Stop()
	absent, beaten := absence{last: time.Now()}, time.Now()
	for {
		select {
		case <-over:
			return
		case <-tick.C:
		}
		tick.Reset(phase.Next(probeEvery))
		now := time.Now()
		w.vigil.tick(now)
		state := absent.look(now, w.conn.Connected())
		w.excuse(absent.slept)
		switch state {
		case away:
			w.forgive(now)
		case cutOff:
			w.abandon()
		}
		if state != present { // to publish would only wait for the connection
			continue
		}
		if now.Sub(beaten) > beatDue {
			beaten = now
			w.beat()
			w.peers.forget(now)
		}
		w.slots.expire(now)
		w.sweep(now)
	}
}

// excuse leaves a time in which this process did not run out of the ingresses'
// silence.
func (w *Worker) excuse(slept time.Duration) {
	if slept == 0 {
		return
	}
	w.peers.excuse(slept)
	for _, r := range w.running() {
		r.mu.Lock()
		r.heard = earlier(r.heard.Add(slept), time.Now())
		r.mu.Unlock()
	}
}

// forgive restarts every clock: the silence was ours.
func (w *Worker) forgive(now time.Time) {
	w.peers.forgive(now)
	for _, r := range w.running() {
		r.mu.Lock()
		r.heard = now
		r.mu.Unlock()
	}
}

// abandon ends every run: the ingresses have given them up.
func (w *Worker) abandon() {
	for _, r := range w.running() {
		r.end(ErrIngressLost)
	}
}

func (w *Worker) running() []*Run {
	w.mu.Lock()
	defer w.mu.Unlock()
	runs := make([]*Run, 0, len(w.runs))
	for _, r := range w.runs {
		runs = append(runs, r)
	}
	return runs
}

func (w *Worker) sweep(now time.Time) {
	probes := map[string][]byte{} // by ingress: runs it should still want
	for _, r := range w.running() {
		ingress := r.Ingress()
		switch r.check(now, w.peers.state(ingress).seen) {
		case runForgotten:
			w.drop(r)
		case runLost:
			r.end(ErrIngressLost)
		case runSilent:
			list, ok := probes[ingress]
			if !ok {
				list = append(list, ctlProbe)
			}
			list = appendString(list, r.reply[len("R.")+len(ingress)+1:])
			probes[ingress] = binary.BigEndian.AppendUint32(list, r.id)
		}
	}
	for ingress, list := range probes {
		w.ask("R."+ingress, "C."+w.id+"."+probeToken+ingress, list)
	}
}

// What a look at a run finds.
type runState int

const (
	runWell      runState = iota
	runSilent             // nothing heard from its ingress for a second
	runLost               // its ingress is gone
	runForgotten          // over, and its ingress is gone: nobody will acknowledge the end
)

// check looks at a run; an end that was not acknowledged is sent again.
func (r *Run) check(now, ingressSeen time.Time) runState {
	r.mu.Lock()
	defer r.mu.Unlock()
	gone := now.Sub(ingressSeen) > patience && now.Sub(r.heard) > patience
	switch {
	case r.over && gone:
		return runForgotten
	case gone:
		return runLost
	case r.over && r.at == nil && now.Sub(r.sent) > resendEnd && len(r.kept) > 0:
		r.sent = now
		r.w.publish(r.reply, r.kept[len(r.kept)-1].buf)
	case !r.over && now.Sub(r.heard) > time.Second:
		return runSilent
	}
	return runWell
}

// probeAnswer is an ingress's answer: the runs it does not want.
func (w *Worker) probeAnswer(ingress string, m *nats.Msg) {
	if len(m.Data) == 0 {
		return // no responders: its silence will tell
	}
	w.peers.beat(ingress)
	body := reader{b: m.Data[1:]}
	for len(body.b) >= 4 {
		if r := w.find(body.uint32()); r != nil && r.Ingress() == ingress {
			r.end(ErrFenced)
		}
	}
}
