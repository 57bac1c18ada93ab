package fault_test

import (
	"slices"
	"syscall"
	"testing"
	"time"

	"model-proxy/e2e/gatewaytest"
	"model-proxy/internal/provider/mock"
)

// slowFirst makes the first call wait and every other one answer at once.
func slowFirst(r *mock.Request) *mock.Fault {
	if r.Seq == 1 {
		return &mock.Fault{TTFT: time.Minute}
	}
	return nil
}

// streamOrPlain makes a request of either kind.
var kinds = []struct {
	name string
	make func(gatewaytest.Protocol, string) gatewaytest.Request
}{
	{"stream", gatewaytest.Protocol.Stream},
	{"plain", gatewaytest.Protocol.Plain},
}

// A worker that is killed before the client got an answer byte costs the client
// nothing: another one serves the request within a second.
func TestWorkerKilledBeforeFirstByte(t *testing.T) {
	t.Parallel()
	for i, p := range gatewaytest.Protocols {
		kind := kinds[i]
		t.Run(string(p.Protocol)+"/"+kind.name, func(t *testing.T) {
			t.Parallel()
			u := gatewaytest.NewUpstream(t, mock.Options{})
			u.Script(slowFirst)
			c := gatewaytest.NewCluster(t, u, gatewaytest.Setup{}, 2)
			answer := c.Go(t, kind.make(p, "hello").With("X-Request-Id", "moved"))
			dead := c.Serving(u.AwaitRequests(1, soon)[0])
			killed := time.Now()
			dead.Kill()
			second := u.AwaitRequests(2, patience)[1]
			took := c.Clock.Between(killed, second.Time)
			t.Logf("from the kill to the second call: %v", took.Round(time.Millisecond))
			if took > 2*time.Second {
				t.Errorf("moved after %v, want within 1 s", took)
			}
			if c.Serving(second) == dead {
				t.Error("the dead worker has called again")
			}
			checkWhole(t, <-answer, u.LastSent())
			checkMoved(t, c.Gateway, "moved", "worker_lost")
		})
	}
}

// checkWhole compares an answer with what the upstream sent.
func checkWhole(t *testing.T, a gatewaytest.Answer, sent string) {
	t.Helper()
	if a.Err != nil || a.Status != 200 || a.Body != sent {
		t.Errorf("got %d, %v, %q; want 200 and %q", a.Status, a.Err, a.Body, sent)
	}
}

// checkMoved checks the records of a request whose first worker was lost. On a
// busy machine that worker may have been given up, and have got the job back,
// before it was hurt: then it was lost twice.
func checkMoved(t *testing.T, g *gatewaytest.Gateway, id string, lost ...string) {
	t.Helper()
	row := g.AwaitRow(t, id, soon)
	if row.Outcome != "ok" || row.Deliveries < 2 || row.Deliveries > 3 || row.Attempts != row.Deliveries {
		t.Fatalf("request: got %s with %d deliveries and %d attempts, want ok and two or three of both", row.Outcome, row.Deliveries, row.Attempts)
	}
	a := g.AwaitAttempts(t, id, row.Attempts, soon)
	for i, one := range a {
		served := i == len(a)-1
		if one.Attempt != i+1 || served != (one.Outcome == "ok") || !served && !slices.Contains(lost, one.Outcome) {
			t.Errorf("attempt %d: got number %d, %s; want %d, and one of %v before the last, which is ok", i+1, one.Attempt, one.Outcome, i+1, lost)
		}
		if one.Outcome == "worker_lost" && one.Provider != "" && (one.PromptTokens == 0 || one.UsageSource != "estimated") {
			t.Errorf("attempt %d: got %d prompt tokens, %s; want an estimate of what the lost call cost", i+1, one.PromptTokens, one.UsageSource)
		}
	}
	if last := a[len(a)-1]; last.WorkerID == a[0].WorkerID || last.WorkerID != row.WorkerID {
		t.Errorf("attempts: %+v; want the last by another worker than the first, the request's", a)
	}
}

// A worker that hangs is given up within 5 s; when it comes back it finds its
// attempt superseded and changes nothing any more.
func TestWorkerHungBeforeFirstByte(t *testing.T) {
	t.Parallel()
	u := gatewaytest.NewUpstream(t, mock.Options{})
	u.Script(func(r *mock.Request) *mock.Fault {
		if r.Seq == 1 { // it answers while its worker hangs: a chunk too late waits in the pipe
			return &mock.Fault{TTFT: time.Second, Delay: 50 * time.Millisecond, Chunks: 400}
		}
		return nil
	})
	c := gatewaytest.NewCluster(t, u, gatewaytest.Setup{}, 2)
	p := gatewaytest.Protocols[0]
	answer := c.Go(t, p.Stream("hello").With("X-Request-Id", "hung"))
	hung := c.Serving(u.AwaitRequests(1, soon)[0])
	stopped := time.Now()
	hung.Signal(syscall.SIGSTOP)
	a := <-answer
	took := c.Clock.Since(stopped)
	t.Logf("from the stop to the whole answer: %v", took.Round(time.Millisecond))
	if took > 5*time.Second+time.Second { // a second for a busy machine
		t.Errorf("answered after %v, want within 5 s", took)
	}
	checkWhole(t, a, u.LastSent())
	hung.Signal(syscall.SIGCONT)
	u.AwaitOver(soon) // the worker that was hung stops its call
	gatewaytest.Await(t, soon, "the worker's last record", func() bool {
		m := hung.Metrics()
		return m.Sum("model_proxy_records_pending") == 0 && m.Sum("model_proxy_worker_slots_used") == 0
	})
	checkMoved(t, c.Gateway, "hung", "worker_lost", "fenced")
	checkServes(t, c.Gateway, p) // and what it said late has hurt nobody
	if n := len(c.Attempts(t, "hung")); n != 2 {
		t.Errorf("%d attempt rows after the worker's return, want 2", n)
	}
}

// A worker that comes back from a hang and finds that its call has failed does not go
// on to the next upstream: that is another worker's business by now.
func TestWorkerHungBeforeFailover(t *testing.T) {
	t.Parallel()
	u := gatewaytest.NewUpstream(t, mock.Options{})
	u.Script(func(r *mock.Request) *mock.Fault {
		if r.Seq == 1 { // it fails while its worker hangs
			return &mock.Fault{TTFT: time.Second, Status: 500}
		}
		return nil
	})
	c := gatewaytest.NewCluster(t, u, secondRoute(t, u), 2)
	answer := c.Go(t, gatewaytest.Protocols[0].Plain("hello").With("X-Request-Id", "hung-failing"))
	hung := c.Serving(u.AwaitRequests(1, soon)[0])
	hung.Signal(syscall.SIGSTOP)
	u.AwaitRequests(2, patience)
	hung.Signal(syscall.SIGCONT)
	checkWhole(t, <-answer, u.LastSent())
	gatewaytest.Await(t, soon, "the worker's last record", func() bool {
		m := hung.Metrics()
		return m.Sum("model_proxy_records_pending") == 0 && m.Sum("model_proxy_worker_slots_used") == 0
	})
	checkMoved(t, c.Gateway, "hung-failing", "worker_lost", "error")
	if n, rows := len(u.Requests()), len(c.Attempts(t, "hung-failing")); n != rows {
		t.Errorf("the provider saw %d calls, and %d have a row", n, rows)
	}
}

// checkServes checks that the gateway still answers. A client that is told to come
// again does so.
func checkServes(t *testing.T, g *gatewaytest.Gateway, p gatewaytest.Protocol) {
	t.Helper()
	a := g.Do(t, p.Plain("still there?"))
	for try := 0; a.Unconfirmed() && try < 2; try++ {
		a = g.Do(t, p.Plain("still there?"))
	}
	if a.Status != 200 || a.Err != nil {
		t.Errorf("another request: got %d, %v, %q; want 200", a.Status, a.Err, a.Body)
	}
}

// A stream whose worker is lost after the first answer byte ends with the
// protocol's own error event, never as if it were whole.
func TestWorkerLostMidStream(t *testing.T) {
	t.Parallel()
	for _, fault := range []struct {
		name   string
		signal syscall.Signal
	}{{"killed", syscall.SIGKILL}, {"hung", syscall.SIGSTOP}} {
		for _, p := range gatewaytest.Protocols {
			t.Run(fault.name+"/"+string(p.Protocol), func(t *testing.T) {
				t.Parallel()
				u := gatewaytest.NewUpstream(t, mock.Options{Fault: mock.Fault{Delay: 50 * time.Millisecond, Chunks: 2000}})
				c := gatewaytest.NewCluster(t, u, gatewaytest.Setup{}, 1)
				s := c.MustOpen(t, p.Stream("a long story").With("X-Request-Id", "broken"))
				s.MustEvents(t, 10)
				lost := time.Now()
				c.Workers[0].Signal(fault.signal)
				got, err := s.Rest()
				took := c.Clock.Since(lost)
				t.Logf("from the loss to the error event: %v", took.Round(time.Millisecond))
				if took > 10*time.Second {
					t.Errorf("ended after %v, want within 10 s", took)
				}
				if err != nil {
					t.Errorf("the answer ended with %v, want a proper end of the body", err)
				}
				if err := p.CheckCut(got, u.LastSent()); err != nil {
					t.Error(err)
				}
				checkBroken(t, c.Gateway, "broken", "worker_lost")
			})
		}
	}
}

// checkBroken checks the records of a request that ended within its answer.
func checkBroken(t *testing.T, g *gatewaytest.Gateway, id string, outcomes ...string) {
	t.Helper()
	row := g.AwaitRow(t, id, soon)
	if row.Outcome != "incomplete" || row.Attempts != 1 {
		t.Errorf("request: got %s with %d attempts, want incomplete with 1", row.Outcome, row.Attempts)
	}
	if a := g.AwaitAttempts(t, id, 1, patience); !slices.Contains(outcomes, a[0].Outcome) {
		t.Errorf("attempt: got %s, want one of %v", a[0].Outcome, outcomes)
	}
}

// A worker that is killed just after it went on from a failed call to the next has
// had no time to record the first: both calls have their rows all the same.
func TestWorkerKilledAfterFailover(t *testing.T) {
	t.Parallel()
	u := gatewaytest.NewUpstream(t, mock.Options{})
	u.Script(func(r *mock.Request) *mock.Fault {
		switch r.Seq {
		case 1:
			return &mock.Fault{Status: 429}
		case 2:
			return &mock.Fault{TTFT: time.Minute}
		}
		return nil
	})
	c := gatewaytest.NewCluster(t, u, gatewaytest.Setup{Env: threeKeys}, 2)
	answer := c.Go(t, gatewaytest.Protocols[0].Stream("hello").With("X-Request-Id", "moved"))
	c.Serving(u.AwaitRequests(2, soon)[1]).Kill()
	checkWhole(t, <-answer, u.LastSent())
	if row := c.AwaitRow(t, "moved", soon); row.Outcome != "ok" || row.Attempts != len(u.Requests()) {
		t.Errorf("request: %s with %d attempts, want ok with %d", row.Outcome, row.Attempts, len(u.Requests()))
	}
	for i, a := range c.AwaitAttempts(t, "moved", len(u.Requests()), soon) {
		if a.Attempt != i+1 || a.Provider != "openai" || a.KeyFP == "" || i == 1 && a.Outcome != "worker_lost" {
			t.Errorf("attempt %d: got %+v; want it to name its provider and key, and the second to be worker_lost", i+1, a)
		}
	}
}
