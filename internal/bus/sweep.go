package bus

import (
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"github.com/nats-io/nats.go"

	"model-proxy/internal/llm"
)

var (
	errWorkerLost = errors.New("no sign of the worker")
	errCutOff     = errors.New("no connection to NATS")
	errUnknownRun = errors.New("the worker does not know the run any more")
)

// sweep looks at the workers and at every call: it ends those the queue did not
// confirm, moves those whose worker is gone, and probes the workers of the rest.
func (i *Ingress) sweep(now time.Time) {
	i.peers.vacate(now)
	i.alone.Store(i.conn.near().alone(i.peers.alive(now, workerPrefix)))
	mute := i.peers.silence(i.id, now) > hungAfter
	i.mute.Store(mute)
	i.gate.tick(i.peers.alive(now, ingressPrefix))
	i.gate.ring()
	probes := map[string][]byte{} // by worker: silent runs, each with the sequence wanted next
	i.calls.each(func(c *Call) {
		c.mu.Lock()
		defer c.mu.Unlock()
		switch {
		case c.finished:
		case c.run == 0 && c.again.After(c.lastFrame):
			if now.After(c.again) {
				c.publishLocked()
			}
		case c.place == placeHeld && mute:
			c.refusedLocked(RefusedBus)
		case c.run == 0:
			if c.place == placeQueued && !c.acked && now.Sub(c.lastFrame) > pubAckWithin {
				c.failLocked(notConfirmed())
			}
		case i.peers.state(c.worker).gone(now, c.committed):
			c.lostLocked(errWorkerLost)
		default:
			list, ok := probes[c.worker]
			if !ok {
				list = append(list, ctlProbe)
			}
			if now.Sub(c.lastFrame) >= probeEvery {
				list = binary.BigEndian.AppendUint32(list, c.run)
				list = binary.BigEndian.AppendUint32(list, c.next)
			}
			probes[c.worker] = list
		}
	})
	for worker, list := range probes {
		err := i.conn.nc.PublishRequest("C."+worker, i.prefix+probeToken+worker, list)
		if err != nil {
			i.cfg.Log.Debug("not probed", "worker", worker, "error", err)
		}
	}
}

// notConfirmed is how a call ends of which the queue has said nothing. It may have
// the job all the same: this is a failure of a request, not a refusal to take it.
func notConfirmed() *llm.Error {
	e := llm.NewError(llm.Unavailable, "the queue did not confirm the request in time")
	e.RetryAfter = time.Second
	return e
}

// abandon ends every call: the bus is away for so long that the workers have
// given them up.
func (i *Ingress) abandon() {
	i.calls.each(func(c *Call) {
		e := llm.NewError(llm.Unavailable, "the queue cannot be reached at the moment")
		e.RetryAfter = time.Second
		c.mu.Lock()
		defer c.mu.Unlock()
		c.failLocked(e.Because(errCutOff))
	})
}

// probeAnswer is a worker's answer: the runs it does not know.
func (i *Ingress) probeAnswer(worker string, m *nats.Msg) {
	if len(m.Data) == 0 {
		if m.Header.Get("Status") == "503" {
			i.peers.noResponder(worker)
		}
		return
	}
	i.peers.beat(worker)
	r := reader{b: m.Data[1:]}
	unknown := map[uint32]bool{}
	for len(r.b) >= 4 {
		unknown[r.uint32()] = true
	}
	if len(unknown) == 0 {
		return
	}
	i.calls.each(func(c *Call) {
		c.mu.Lock()
		defer c.mu.Unlock()
		// A run that ended between probe and answer has its end under way.
		if c.worker == worker && c.run != 0 && unknown[c.run] && !c.finished && time.Since(c.lastFrame) >= probeEvery {
			c.lostLocked(errUnknownRun)
		}
	})
}

// probed answers a worker that asks whether this ingress still wants its runs:
// with those it does not.
func (i *Ingress) probed(m *nats.Msg) {
	if len(m.Data) == 0 || m.Data[0] != ctlProbe {
		return
	}
	r := reader{b: m.Data[1:]}
	answer := []byte{ctlProbe}
	for len(r.b) > 0 && r.err == nil {
		token, run := r.string(), r.uint32()
		if c := i.calls.get(token); c == nil || !c.wants(run) {
			answer = binary.BigEndian.AppendUint32(answer, run)
		}
	}
	i.publish(m.Reply, answer)
}

// wants reports whether a run's answer is still wanted. One that is not known
// yet has been heard of for the first time: what it sent before was lost.
func (c *Call) wants(run uint32) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.run == 0 && !c.finished && !slices.Contains(c.gone, run) {
		c.in.wantAll(c.token, run)
		return true
	}
	return c.run == run && !c.finished
}
