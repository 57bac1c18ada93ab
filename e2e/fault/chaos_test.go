package fault_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"model-proxy/e2e/clock"
	"model-proxy/e2e/gatewaytest"
	"model-proxy/internal/provider/mock"
)

// request is one of the chaos: what was asked and what came of it.
type request struct {
	id       string
	protocol gatewaytest.Protocol
	stream   bool
	answer   gatewaytest.Answer
}

// Under load, with workers killed, stopped and cut off at random and the sink
// restarted, every client gets a whole answer or is told that it has not, and
// the records agree with what the clients and the provider saw.
func TestChaos(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	u := gatewaytest.NewUpstream(t, mock.Options{Fault: mock.Fault{TTFT: 20 * time.Millisecond, Delay: 10 * time.Millisecond, Chunks: 30}})
	c := gatewaytest.NewCluster(t, u, gatewaytest.Setup{Env: []string{"BREAKER_FAILURES=1000000"}}, 2)
	link := gatewaytest.NewLink(t, c.NATS.URL())
	c.AddWorker(link.URL()).AwaitLog(`"msg":"started"`, patience)

	over := make(chan struct{})
	requests := make([][]*request, 16)
	var clients sync.WaitGroup
	for k := range requests {
		clients.Go(func() { requests[k] = ask(t, c.Gateway, k, over) })
	}
	hurt := breakThings(t, c, link, rand.New(rand.NewPCG(seed, 1)))
	close(over)
	clients.Wait()
	settle(t, c.Gateway)
	for _, w := range c.Workers {
		if !w.Ended() {
			gatewaytest.Await(t, patience, w.Name+" to have nothing left", func() bool {
				m := w.Metrics()
				return m.Sum("model_proxy_worker_slots_used") == 0 && m.Sum("model_proxy_records_pending") == 0
			})
		}
	}
	u.AwaitOver(soon)
	audit(t, c, u, requests, hurt)
}

// ask sends one request after the other until over is closed.
func ask(t *testing.T, g *gatewaytest.Gateway, k int, over <-chan struct{}) (done []*request) {
	for i := 0; ; i++ {
		select {
		case <-over:
			return done
		default:
		}
		q := &request{id: fmt.Sprintf("chaos-%d-%d", k, i), protocol: gatewaytest.Protocols[(k+i)%2], stream: i%3 > 0}
		r := q.protocol.Plain(q.id)
		if q.stream {
			r = q.protocol.Stream(q.id)
		}
		q.answer = g.Do(t, r.With("X-Request-Id", q.id))
		done = append(done, q)
	}
}

// breakThings does something bad every half second. It returns when a worker was
// killed or cut off.
func breakThings(t *testing.T, c *gatewaytest.Cluster, link *gatewaytest.Link, r *rand.Rand) (hurt []time.Time) {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	var stopped *gatewaytest.Worker
	var since time.Time // that it is
	for round := range 20 {
		<-tick.C
		if stopped != nil && round%4 == 0 {
			stopped.Signal(syscall.SIGCONT)
			stopped = nil
		}
		w := c.Workers[r.IntN(len(c.Workers))]
		switch n := r.IntN(10); {
		case w.Ended():
		case n < 4:
			hurt = append(hurt, time.Now())
			if w == stopped { // what it had not told by then it never tells
				hurt = append(hurt, since)
			}
			w.Kill()
			c.AddWorker(c.NATS.URL())
		case n < 6 && stopped == nil:
			since = time.Now()
			w.Signal(syscall.SIGSTOP)
			stopped = w
		case n < 8:
			hurt = append(hurt, time.Now())
			link.CutFor(time.Duration(r.IntN(1000)) * time.Millisecond)
		default:
			c.Sink.Kill()
			c.RestartSink()
		}
	}
	if stopped != nil {
		stopped.Signal(syscall.SIGCONT)
	}
	c.AddWorker(c.NATS.URL()).AwaitLog(`"msg":"started"`, patience)
	return hurt
}

// audit compares what the clients saw, the provider's ledger and the records.
func audit(t *testing.T, c *gatewaytest.Cluster, u *gatewaytest.Upstream, all [][]*request, hurt []time.Time) {
	calls := map[string][]gatewaytest.Call{} // of each request
	for _, one := range u.Calls() {
		calls[idIn(one.Asked)] = append(calls[idIn(one.Asked)], one)
	}
	n := -int(c.Metrics().Sum("model_proxy_rejected_total")) // those have no row
	for _, list := range all {
		n += len(list)
	}
	gatewaytest.Await(t, patience, "a row for each request that was admitted", func() bool { return len(c.Requests(t, "")) >= n })
	given := time.Now().Add(40 * time.Second) // the sink gives a dead worker 10 s
	gatewaytest.Await(t, patience, "the attempts of dead workers", func() bool {
		return answered(c.Attempts(t, "")) >= answered(c.Requests(t, "")) || time.Now().After(given)
	})
	rows, attempts := map[string][]gatewaytest.RequestRow{}, map[string][]gatewaytest.AttemptRow{}
	for _, row := range c.Requests(t, "") {
		rows[row.RequestID] = append(rows[row.RequestID], row)
	}
	for _, a := range c.Attempts(t, "") {
		attempts[a.RequestID] = append(attempts[a.RequestID], a)
	}
	outcomes := map[string]int{}
	for _, list := range all {
		for _, q := range list {
			if q.answer.Status == 503 && len(rows[q.id]) == 0 {
				outcomes["refused"]++
				continue
			}
			if len(rows[q.id]) != 1 {
				t.Errorf("%s (%d): %d rows, want 1", q.id, q.answer.Status, len(rows[q.id]))
				continue
			}
			outcomes[rows[q.id][0].Outcome]++
			q.check(t, rows[q.id][0], attempts[q.id], calls[q.id], untold(c.Clock, calls[q.id], hurt))
		}
	}
	t.Logf("%d requests: %v; %d calls, %d attempts", n, outcomes, len(u.Calls()), len(c.Attempts(t, "")))
	if len(rows) != n {
		t.Errorf("%d requests have rows, want the %d that were admitted", len(rows), n)
	}
}

// answered counts the rows that say ok.
func answered[T interface{ Answered() bool }](rows []T) (n int) {
	for _, row := range rows {
		if row.Answered() {
			n++
		}
	}
	return n
}

// untold counts the calls that a worker may not have been able to report: it was
// killed or cut off so soon after them that neither its acceptance nor its
// records, which are packed for 20 ms and more under load, had left it.
func untold(had *clock.Clock, calls []gatewaytest.Call, hurt []time.Time) (n int) {
	for _, one := range calls {
		if slices.ContainsFunc(hurt, func(at time.Time) bool {
			after := at.Sub(one.At)
			if after > 0 {
				after = had.Between(one.At, at)
			}
			return after > -20*time.Millisecond && after < 150*time.Millisecond
		}) {
			n++
		}
	}
	return n
}

// idIn finds the id that a request of ask has for its text.
func idIn(body string) string {
	_, rest, _ := strings.Cut(body, `"content":"`)
	id, _, _ := strings.Cut(rest, `"`)
	return id
}

// check compares one request's answer, row, attempts and calls.
func (q *request) check(t *testing.T, row gatewaytest.RequestRow, attempts []gatewaytest.AttemptRow, calls []gatewaytest.Call, untold int) {
	whole := q.answer.Err == nil && q.answer.Status == 200
	if q.stream && whole {
		whole = q.protocol.Ended(q.answer.Body)
	}
	if whole != (row.Outcome == "ok") {
		t.Errorf("%s: recorded as %s, the client got %d, %v, whole %t", q.id, row.Outcome, q.answer.Status, q.answer.Err, whole)
	}
	matches := func(ok func(sent string) bool) bool {
		for _, one := range calls {
			if ok(one.Sent) {
				return true
			}
		}
		return false
	}
	switch {
	case whole:
		if !matches(func(sent string) bool { return sent == q.answer.Body }) {
			t.Errorf("%s: the client got what the provider never sent: %q", q.id, q.answer.Body)
		}
	case q.answer.Status == 200:
		if !matches(func(sent string) bool { return q.protocol.CheckCut(q.answer.Body, sent) == nil }) {
			t.Errorf("%s: no error event at the end of %q", q.id, q.answer.Body)
		}
	default:
		if err := q.protocol.CheckError(q.answer.Body); err != nil {
			t.Errorf("%s: %v", q.id, err)
		}
	}
	served, numbers := 0, map[int]bool{}
	for _, a := range attempts {
		numbers[a.Attempt] = true
		if a.Outcome == "ok" {
			served++
		}
	}
	if len(numbers) != len(attempts) || len(attempts)+untold < len(calls) || served > max(1, row.Deliveries) || row.Outcome == "ok" && served < 1 {
		t.Errorf("%s: %s with %d calls and the attempts %+v; want one row for each call, each with its own number, and one ok for each delivery at most", q.id, row.Outcome, len(calls), attempts)
	}
}
