package bus

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// pullExpires is how long the server keeps a pull open. It bounds how long a
// hung worker can swallow jobs.
const pullExpires = time.Second

// puller tells the server how many jobs of one pool and lane the worker can
// take now. Raw pulls, because the client library's own loops stop pulling for
// 30 s when a batch is handled faster than it is fetched (docs/decisions).
type puller struct {
	// Fixed at construction.
	w     *Worker
	api   string
	inbox string

	mu          sync.Mutex // guards the rest
	outstanding int        // credits the server holds
	next        uint64     // id of the next pull
	open        map[uint64]pull
	notBefore   time.Time // after a refusal, no pull before
}

type pull struct {
	n  int
	at time.Time
}

func newPuller(w *Worker, pool, lane string, n int) *puller {
	return &puller{w: w, api: "$JS.API.CONSUMER.MSG.NEXT." + reqStream + "." + consumerName(pool, lane),
		inbox: "P." + w.id + "." + strconv.Itoa(n), open: map[uint64]pull{}}
}

// arm gives the server credit for the free slots it has none for. With many
// slots free it waits until half of the credit is used, so that a busy worker
// does not send a pull for every job.
func (p *puller) arm() {
	if p.w.draining.Load() {
		return
	}
	free := p.w.cfg.Concurrency - int(p.w.busy.Load())
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if p.outstanding > free/2 || free-p.outstanding <= 0 || now.Before(p.notBefore) {
		return
	}
	n := free - p.outstanding
	p.next++
	p.open[p.next] = pull{n, now}
	p.outstanding += n
	body := fmt.Appendf(nil, `{"batch":%d,"expires":%d}`, n, pullExpires.Nanoseconds())
	p.w.ask(p.api, p.inbox+"."+strconv.FormatUint(p.next, 36), body)
}

// reset forgets all credit: the server that held it is gone.
func (p *puller) reset() {
	p.mu.Lock()
	p.outstanding = 0
	clear(p.open)
	p.notBefore = time.Time{}
	p.mu.Unlock()
	p.arm()
}

// expire forgets pulls that ended without a word.
func (p *puller) expire(now time.Time) {
	p.mu.Lock()
	possible := 0
	for id, o := range p.open {
		if now.Sub(o.at) > 2*pullExpires {
			delete(p.open, id)
			continue
		}
		possible += o.n
	}
	p.outstanding = min(p.outstanding, possible)
	p.mu.Unlock()
	p.arm()
}

// receive takes a job, or a word about a pull.
func (p *puller) receive(hard context.Context, m *nats.Msg) {
	if m.Reply == "" {
		p.status(m)
		return
	}
	p.mu.Lock()
	p.outstanding--
	p.mu.Unlock()
	w := p.w
	if !w.claim() {
		w.publish(m.Reply, []byte("-NAK")) // for another worker, at once
		return
	}
	r, err := w.begin(hard, m)
	if err != nil {
		w.cfg.Log.Error("a job cannot be read", "error", err)
		w.release()
		w.publish(m.Reply, []byte("+TERM"))
		return
	}
	p.arm()
	go func() { // drain waits for it
		defer p.arm()
		defer w.release()
		w.serve(r)
	}()
}

// status says that a pull is over: expired (408), nothing there (404), refused
// (409), or that nobody answers (503).
func (p *puller) status(m *nats.Msg) {
	id, _ := strconv.ParseUint(m.Subject[len(p.inbox)+1:], 36, 64)
	code := m.Header.Get("Status")
	if code == "100" {
		return
	}
	p.mu.Lock()
	o, known := p.open[id]
	if known {
		delete(p.open, id)
		left := o.n
		if v := m.Header.Get("Nats-Pending-Messages"); v != "" {
			left, _ = strconv.Atoi(v)
		}
		p.outstanding = max(0, p.outstanding-left)
	}
	if code != "408" && code != "404" {
		p.notBefore = time.Now().Add(100 * time.Millisecond)
	}
	p.mu.Unlock()
	p.arm()
}
