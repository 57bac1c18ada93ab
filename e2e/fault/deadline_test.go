package fault_test

import (
	"testing"
	"time"

	"model-proxy/e2e/gatewaytest"
	"model-proxy/internal/provider/mock"
)

// A request whose deadline passes gets 504 in its own protocol, and the upstream
// is let go.
func TestDeadline(t *testing.T) {
	t.Parallel()
	u := gatewaytest.NewUpstream(t, mock.Options{Fault: mock.Fault{TTFT: time.Minute}})
	g := gatewaytest.Run(t, u, gatewaytest.Setup{})
	for _, p := range gatewaytest.Protocols {
		for _, kind := range kinds {
			id := string(p.Protocol) + "-" + kind.name
			// Long enough for a machine that stands still for a moment to have called the upstream by then.
			checkLate(t, p, g.Do(t, kind.make(p, "hello").With("X-Model-Proxy-Timeout-Ms", "1500", "X-Request-Id", id)), 1500*time.Millisecond)
			if row := g.AwaitRow(t, id, soon); row.Outcome != "error" || row.Status != 504 || row.Attempts != 1 {
				t.Errorf("%s: %s, %d, %d attempts; want error, 504, 1", id, row.Outcome, row.Status, row.Attempts)
			}
			if a := g.AwaitAttempts(t, id, 1, soon)[0]; a.Outcome != "timeout" || a.Timer != "total" {
				t.Errorf("attempt of %s: %s by timer %q; want timeout by total: which of the two parts is first does not matter", id, a.Outcome, a.Timer)
			}
		}
	}
	u.AwaitOver(soon)
}

// checkLate checks the answer to a request that had so long.
func checkLate(t *testing.T, p gatewaytest.Protocol, a gatewaytest.Answer, had time.Duration) {
	t.Helper()
	if a.Err != nil || a.Status != 504 || a.Took < had || a.Active > had+time.Second {
		t.Errorf("got %d, %v after %v: %s; want 504 after %v", a.Status, a.Err, a.Took, a.Body, had)
	}
	if err := p.CheckError(a.Body); err != nil {
		t.Error(err)
	}
}

// Without a worker a request waits until its deadline, and is recorded as
// expired without an attempt; a worker that comes later does not serve it.
func TestExpiredInQueue(t *testing.T) {
	t.Parallel()
	u := gatewaytest.NewUpstream(t, mock.Options{})
	c := gatewaytest.NewCluster(t, u, gatewaytest.Setup{}, 0)
	for _, p := range gatewaytest.Protocols {
		id := string(p.Protocol)
		checkLate(t, p, c.Do(t, p.Stream("hello").With("X-Model-Proxy-Timeout-Ms", "300", "X-Request-Id", id)), 300*time.Millisecond)
		if row := c.AwaitRow(t, id, soon); row.Outcome != "expired" || row.Attempts != 0 || row.Status != 504 {
			t.Errorf("%s: %s, %d, %d attempts; want expired, 504, none", id, row.Outcome, row.Status, row.Attempts)
		}
	}
	c.AddWorker(c.NATS.URL())
	checkServes(t, c.Gateway, gatewaytest.Protocols[0])
	if n := len(u.Requests()); n != 1 {
		t.Errorf("the upstream saw %d requests, want only the one in time", n)
	}
	if n := len(c.Attempts(t, string(gatewaytest.Protocols[0].Protocol))); n != 0 {
		t.Errorf("%d attempts of an expired request", n)
	}
}

// A client with too much in the queue gets 429, a full queue is 503, both with
// the time to come back; both are served again once there is room.
func TestQueueBounds(t *testing.T) {
	t.Parallel()
	for _, bound := range []struct {
		name   string
		env    string
		reason string
		status int
	}{
		{"of one client", "QUEUE_MAX_PER_CLIENT=2", `reason="queue_client"`, 429},
		{"of all", "QUEUE_MAX_REQUESTS=2", `reason="queue_full"`, 503},
	} {
		t.Run(bound.name, func(t *testing.T) {
			t.Parallel()
			u := gatewaytest.NewUpstream(t, mock.Options{})
			c := gatewaytest.NewCluster(t, u, gatewaytest.Setup{Env: []string{bound.env, "CLIENT_API_KEY_2=" + gatewaytest.SecondClient}}, 0)
			p := gatewaytest.Protocols[0]
			waiting := []<-chan gatewaytest.Answer{c.Go(t, p.Plain("one")), c.Go(t, p.Plain("two"))}
			gatewaytest.Await(t, soon, "two requests in the queue", func() bool { return c.Metrics().Sum("model_proxy_queue_depth") == 2 })
			for _, p := range gatewaytest.Protocols {
				a := c.Do(t, p.Stream("three"))
				if a.Status != bound.status || a.Header.Get("Retry-After") == "" || a.Active > 2*time.Second {
					t.Errorf("got %d, Retry-After %q after %v; want %d, a time, within 2 s", a.Status, a.Header.Get("Retry-After"), a.Active, bound.status)
				}
				if err := p.CheckError(a.Body); err != nil {
					t.Error(err)
				}
			}
			if n := c.Metrics().Sum("model_proxy_rejected_total{" + bound.reason + "}"); n != 2 {
				t.Errorf("%v refusals counted with %s, want 2", n, bound.reason)
			}
			other := p.Plain("from another client").With("Authorization", gatewaytest.SecondClient)
			if bound.status == 429 {
				waiting = append(waiting, c.Go(t, other))
			} else if a := c.Do(t, other); a.Status != 503 {
				t.Errorf("another client got %d, want 503: the whole queue is full", a.Status)
			}
			c.AddWorker(c.NATS.URL())
			for i, w := range waiting {
				if a := <-w; a.Status != 200 {
					t.Errorf("waiting request %d: got %d: %s", i+1, a.Status, a.Body)
				}
			}
			gatewaytest.Await(t, soon, "a row for each served request and no other", func() bool { return len(c.Requests(t, "")) == len(waiting) })
		})
	}
}
