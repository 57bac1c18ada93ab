package fault_test

import (
	"strconv"
	"testing"
	"time"

	"model-proxy/e2e/gatewaytest"
	"model-proxy/internal/provider/mock"
)

// linked starts a cluster whose only worker reaches NATS by a way that can be
// cut.
func linked(t *testing.T, u *gatewaytest.Upstream) (*gatewaytest.Cluster, *gatewaytest.Link) {
	t.Helper()
	c := gatewaytest.NewCluster(t, u, gatewaytest.Setup{}, 0)
	link := gatewaytest.NewLink(t, c.NATS.URL())
	c.AddWorker(link.URL()).AwaitLog(`"msg":"started"`, patience)
	return c, link
}

// A worker that loses NATS for 2 s in the middle of a stream costs its client a
// pause, and not a byte.
func TestConnectionCutForAWhile(t *testing.T) {
	t.Parallel()
	for _, p := range gatewaytest.Protocols {
		t.Run(string(p.Protocol), func(t *testing.T) {
			t.Parallel()
			u := gatewaytest.NewUpstream(t, mock.Options{Fault: mock.Fault{Delay: 20 * time.Millisecond, Chunks: 200}})
			c, link := linked(t, u)
			s := c.MustOpen(t, p.Stream("on and on").With("X-Request-Id", "paused"))
			s.MustEvents(t, 10)
			link.CutFor(2 * time.Second)
			got, err := s.Rest()
			if want := u.LastSent(); err != nil || got != want || !p.Ended(got) {
				t.Errorf("got %d bytes, %v, properly ended %t; want the %d bytes the upstream sent", len(got), err, p.Ended(got), len(want))
			}
			if row := c.AwaitRow(t, "paused", soon); row.Outcome != "ok" || row.Attempts != 1 {
				t.Errorf("request: got %s with %d attempts, want ok with 1", row.Outcome, row.Attempts)
			}
			if a := c.AwaitAttempts(t, "paused", 1, soon); a[0].Outcome != "ok" {
				t.Errorf("attempt: got %s, want ok", a[0].Outcome)
			}
		})
	}
}

// The same holds for an ingress that loses NATS for a while: its clients wait.
func TestIngressCutForAWhile(t *testing.T) {
	t.Parallel()
	u := gatewaytest.NewUpstream(t, mock.Options{Fault: mock.Fault{Delay: 20 * time.Millisecond, Chunks: 200}})
	c := gatewaytest.NewCluster(t, u, gatewaytest.Setup{}, 1)
	link := gatewaytest.NewLink(t, c.NATS.URL())
	g := c.AddIngressAt(link.URL())
	var open []*gatewaytest.Stream
	for i := range 6 {
		s := g.MustOpen(t, gatewaytest.Protocols[i%2].Stream("on and on").With("X-Request-Id", "paused-"+strconv.Itoa(i)))
		s.MustEvents(t, 10)
		open = append(open, s)
	}
	plain := g.Go(t, gatewaytest.Protocols[0].Plain("and one more").With("X-Request-Id", "paused-plain", "X-Mock-Ttft", "1s"))
	u.AwaitRequests(len(open)+1, soon)
	link.CutFor(2 * time.Second)
	for i, s := range open {
		if got, err := s.Rest(); err != nil || got != u.Sent()[i] || !gatewaytest.Protocols[i%2].Ended(got) {
			t.Errorf("stream %d: got %d bytes, %v; want the %d the upstream sent", i, len(got), err, len(u.Sent()[i]))
		}
		checkRecorded(t, g, "paused-"+strconv.Itoa(i))
	}
	checkWhole(t, <-plain, u.LastSent())
	checkRecorded(t, g, "paused-plain")
}

// A queue that does not say within 2 s that it has a request may have it all the
// same: the client is told to come again, and the request has its record.
func TestUnconfirmedRequest(t *testing.T) {
	t.Parallel()
	u := gatewaytest.NewUpstream(t, mock.Options{})
	c := gatewaytest.NewCluster(t, u, gatewaytest.Setup{Env: []string{"RATE_LIMIT_REQUESTS_PER_MINUTE=0", "RATE_LIMIT_TOKENS_PER_MINUTE=0"}}, 1)
	link := gatewaytest.NewLink(t, c.NATS.URL())
	g := c.AddIngressAt(link.URL())
	g.Do(t, gatewaytest.Protocols[0].Plain("hello").With("X-Mock-Ttft", "2s")) // until then the worker has heard of the ingress, and asks it nothing

	calls := 0
	for try := 0; try < 3 && calls == 0; try++ { // a worker that the machine has stopped asks first, and is told that nobody waits
		id, before := "unconfirmed-"+strconv.Itoa(try), len(u.Requests())
		unmute := link.Mute()
		a := g.Do(t, gatewaytest.Protocols[0].Plain("hello").With("X-Request-Id", id))
		t.Logf("answered after %v: %s", a.Took.Round(time.Millisecond), a.Body)
		unmute()
		if a.Status != 503 || a.Header.Get("Retry-After") == "" {
			t.Errorf("got %d, Retry-After %q, want 503 with one", a.Status, a.Header.Get("Retry-After"))
		}
		gatewaytest.Await(t, soon, "the job to be over", func() bool {
			return c.Metrics().Sum("model_proxy_queue_depth") == 0 && c.Workers[0].Metrics().Sum("model_proxy_worker_slots_used") == 0
		})
		if row := c.AwaitRow(t, id, soon); row.Outcome != "error" || row.Status != 503 {
			t.Errorf("request: got %s, %d, want error, 503", row.Outcome, row.Status)
		}
		calls = len(u.Requests()) - before
		c.AwaitAttempts(t, id, calls, soon)
	}
	if calls != 1 {
		t.Errorf("the upstream saw %d calls of the request, want 1", calls)
	}
	checkServes(t, g, gatewaytest.Protocols[0])
}

// A server that is there and says nothing, or a network that swallows what it says,
// is away like one that is gone: requests are refused at once, also those that
// would wait behind others, and streams end, also while the client library waits
// for a new connection.
func TestNATSMute(t *testing.T) {
	t.Parallel()
	p := gatewaytest.Protocols[0]
	for _, connected := range []bool{true, false} {
		t.Run("connected="+strconv.FormatBool(connected), func(t *testing.T) {
			t.Parallel()
			u := gatewaytest.NewUpstream(t, mock.Options{})
			c := gatewaytest.NewCluster(t, u, gatewaytest.Setup{}, 1)
			link := gatewaytest.NewLink(t, c.NATS.URL())
			g := c.AddIngressAt(link.URL())
			running := g.MustOpen(t, p.Stream("running").With("X-Request-Id", "running", "X-Mock-Delay", "20ms", "X-Mock-Chunks", "5000"))
			running.MustEvents(t, 5)
			muted, unmute := time.Now(), link.Mute()
			if !connected {
				link.Cut()
				link.Heal()
				g.AwaitLog("NATS connection lost", soon)
			}
			for range 2 { // they find out that nobody is there
				checkRefused(t, p, g.Do(t, p.Plain("meanwhile")))
			}
			var answers []<-chan gatewaytest.Answer
			for range 6 {
				answers = append(answers, g.Go(t, p.Plain("meanwhile")))
			}
			for _, a := range answers {
				checkRefused(t, p, <-a)
			}
			got, _ := running.Rest()
			took := c.Clock.Since(muted)
			t.Logf("the stream ended after %v", took.Round(time.Millisecond))
			if err := p.CheckCut(got, u.Sent()[0]); err != nil || took > 8*time.Second {
				t.Errorf("the stream under way: %v after %v; want an error event within 5 s", err, took)
			}
			unmute()
			gatewaytest.Await(t, patience, "an answer after the server's return", func() bool {
				return g.Do(t, p.Plain("after").With("X-Model-Proxy-Timeout-Ms", "5000")).Status == 200
			})
		})
	}
}

// A worker that never comes back ends its streams with an error event, and its
// records are closed for it.
func TestConnectionCutForGood(t *testing.T) {
	t.Parallel()
	for _, p := range gatewaytest.Protocols {
		t.Run(string(p.Protocol), func(t *testing.T) {
			t.Parallel()
			u := gatewaytest.NewUpstream(t, mock.Options{Fault: mock.Fault{Delay: 20 * time.Millisecond, Chunks: 5000}})
			c, link := linked(t, u)
			s := c.MustOpen(t, p.Stream("on and on").With("X-Request-Id", "severed"))
			s.MustEvents(t, 10)
			cut := time.Now()
			link.Cut()
			got, err := s.Rest()
			t.Logf("from the cut to the error event: %v", time.Since(cut).Round(time.Millisecond))
			if err != nil {
				t.Errorf("the answer ended with %v, want a proper end of the body", err)
			}
			if err := p.CheckCut(got, u.LastSent()); err != nil {
				t.Error(err)
			}
			checkBroken(t, c.Gateway, "severed", "worker_lost")
			u.AwaitOver(patience) // the worker knows by itself that nobody waits
			link.Heal()
			checkServes(t, c.Gateway, p)
			if a := c.Attempts(t, "severed"); len(a) != 1 {
				t.Errorf("%d attempt rows after the worker's return, want 1: %+v", len(a), a)
			}
		})
	}
}

// before is how many requests are served while all is well.
const before = 20

// With NATS gone new requests are refused at once; after its return everything
// works, and no record of what was served is missing.
func TestNATSAway(t *testing.T) {
	t.Parallel()
	u := gatewaytest.NewUpstream(t, mock.Options{})
	c := gatewaytest.NewCluster(t, u, gatewaytest.Setup{}, 1)
	p := gatewaytest.Protocols[0]
	for i := range before {
		if a := c.Do(t, p.Plain("before").With("X-Request-Id", "before-"+strconv.Itoa(i))); a.Status != 200 {
			t.Fatalf("request %d: got %d: %s", i, a.Status, a.Body)
		}
	}
	running := c.MustOpen(t, p.Stream("running").With("X-Request-Id", "running", "X-Mock-Delay", "20ms", "X-Mock-Chunks", "2000"))
	running.MustEvents(t, 5)
	c.NATS.Stop()
	gone := time.Now()
	again := time.NewTicker(250 * time.Millisecond)
	defer again.Stop()
	for i := range 4 {
		p := gatewaytest.Protocols[i%2]
		checkRefused(t, p, c.Do(t, p.Plain("meanwhile").With("X-Request-Id", "meanwhile")))
		<-again.C
	}
	got, _ := running.Rest()
	t.Logf("from NATS' end to the stream's: %v", time.Since(gone).Round(time.Millisecond))
	took := c.Clock.Since(gone)
	if err := p.CheckCut(got, u.Sent()[before]); err != nil || took > 7*time.Second {
		t.Errorf("the stream under way: %v after %v; want an error event within 5 s", err, took)
	}
	u.AwaitOver(soon) // and nobody pays for what nobody reads
	<-time.After(5*time.Second - time.Since(gone))
	checkRefused(t, p, c.Do(t, p.Plain("meanwhile").With("X-Request-Id", "meanwhile")))
	c.NATS.Start()
	gatewaytest.Await(t, patience, "an answer after NATS' return", func() bool {
		return c.Do(t, p.Plain("after").With("X-Request-Id", "first-after", "X-Model-Proxy-Timeout-Ms", "5000")).Status == 200
	})
	const after = 20
	for i := range after {
		a := c.Do(t, p.Plain("after").With("X-Request-Id", "after-"+strconv.Itoa(i)))
		checkWhole(t, a, u.LastSent())
	}
	checkBroken(t, c.Gateway, "running", "cancelled")
	for i := range before {
		checkRecorded(t, c.Gateway, "before-"+strconv.Itoa(i))
	}
	for i := range after {
		checkRecorded(t, c.Gateway, "after-"+strconv.Itoa(i))
	}
}

// A NATS server that only starts anew costs a pause: streams under way go on,
// and what waited in its memory is queued again.
func TestNATSRestarted(t *testing.T) {
	t.Parallel()
	p := gatewaytest.Protocols[1]
	t.Run("streaming", func(t *testing.T) {
		t.Parallel()
		u := gatewaytest.NewUpstream(t, mock.Options{Fault: mock.Fault{Delay: 20 * time.Millisecond, Chunks: 100}})
		c := gatewaytest.NewCluster(t, u, gatewaytest.Setup{}, 1)
		s := c.MustOpen(t, p.Stream("on and on").With("X-Request-Id", "through"))
		s.MustEvents(t, 10)
		c.NATS.Stop()
		c.NATS.Start()
		if got, err := s.Rest(); err != nil || got != u.LastSent() || !p.Ended(got) {
			t.Errorf("got %q, %v; want %q", got, err, u.LastSent())
		}
		checkRecorded(t, c.Gateway, "through")
	})
	t.Run("waiting", func(t *testing.T) {
		t.Parallel()
		u := gatewaytest.NewUpstream(t, mock.Options{})
		c := gatewaytest.NewCluster(t, u, gatewaytest.Setup{}, 0)
		answer := c.Go(t, p.Plain("is anybody there?").With("X-Request-Id", "waited"))
		gatewaytest.Await(t, soon, "the request in the queue", func() bool { return c.Metrics().Sum("model_proxy_queue_depth") == 1 })
		c.NATS.Stop()
		c.NATS.Start()
		c.AddWorker(c.NATS.URL())
		checkWhole(t, <-answer, u.LastSent())
		checkRecorded(t, c.Gateway, "waited")
	})
}

// checkRefused checks that a request without a bus is refused fast, in its own
// protocol, and told when to come back.
func checkRefused(t *testing.T, p gatewaytest.Protocol, a gatewaytest.Answer) {
	t.Helper()
	if a.Err != nil || a.Status != 503 || a.Header.Get("Retry-After") == "" {
		t.Errorf("without NATS: got %d, Retry-After %q, %v: %s; want 503 with Retry-After", a.Status, a.Header.Get("Retry-After"), a.Err, a.Body)
	}
	if a.Active > 3*time.Second {
		t.Errorf("without NATS: refused after %v, want within 2 s", a.Active)
	}
	if err := p.CheckError(a.Body); err != nil {
		t.Error(err)
	}
}

// checkRecorded checks that a request has its one row and its one attempt.
func checkRecorded(t *testing.T, g *gatewaytest.Gateway, id string) {
	t.Helper()
	if row := g.AwaitRow(t, id, patience); row.Outcome != "ok" {
		t.Errorf("request %s: got %s, want ok", id, row.Outcome)
	}
	if a := g.AwaitAttempts(t, id, 1, soon); a[0].Outcome != "ok" {
		t.Errorf("attempt of %s: got %s, want ok", id, a[0].Outcome)
	}
}
