package fault_test

import (
	"strconv"
	"syscall"
	"testing"
	"time"

	"model-proxy/e2e/gatewaytest"
	"model-proxy/internal/provider/mock"
)

// SIGTERM lets every stream finish, loses no record and ends with 0.
func TestDrain(t *testing.T) {
	t.Parallel()
	u := gatewaytest.NewUpstream(t, mock.Options{Fault: mock.Fault{Delay: 20 * time.Millisecond, Chunks: 100}})
	g := gatewaytest.Run(t, u, gatewaytest.Setup{})
	open := openStreams(t, g, 10)
	plain := g.Go(t, gatewaytest.Protocols[0].Plain("slow").With("X-Request-Id", "plain", "X-Mock-Ttft", "1s"))
	u.AwaitRequests(len(open)+1, soon)
	g.Signal(syscall.SIGTERM)
	for i, s := range open {
		p := gatewaytest.Protocols[i%2]
		if got, err := s.Rest(); err != nil || !p.Ended(got) {
			t.Errorf("stream %d: %v, properly ended %t", i, err, p.Ended(got))
		}
	}
	if a := <-plain; a.Status != 200 || a.Err != nil {
		t.Errorf("plain request: %d, %v", a.Status, a.Err)
	}
	if code := g.ExitCode(soon); code != 0 {
		t.Errorf("exit code %d after a drain, want 0", code)
	}
	for i := range open {
		checkRecorded(t, g, "stream-"+strconv.Itoa(i))
	}
	checkRecorded(t, g, "plain")
}

// openStreams opens n streams, of each protocol in turn, with the request ids
// stream-0, stream-1, …
func openStreams(t *testing.T, g *gatewaytest.Gateway, n int) []*gatewaytest.Stream {
	t.Helper()
	var open []*gatewaytest.Stream
	for i := range n {
		s := g.MustOpen(t, gatewaytest.Protocols[i%2].Stream("going on").With("X-Request-Id", "stream-"+strconv.Itoa(i)))
		s.MustEvents(t, 3)
		open = append(open, s)
	}
	return open
}

// A second signal, or the end of the drain, cuts what is left, with an error
// event in the client's protocol.
func TestDrainCutShort(t *testing.T) {
	t.Parallel()
	for _, how := range []struct {
		name  string
		setup gatewaytest.Setup
		again bool // a second signal
	}{
		{"second signal", gatewaytest.Setup{}, true},
		{"end of the drain", gatewaytest.Setup{Flags: []string{"--drain", "1s"}}, false},
	} {
		t.Run(how.name, func(t *testing.T) {
			t.Parallel()
			u := gatewaytest.NewUpstream(t, mock.Options{Fault: mock.Fault{Delay: 20 * time.Millisecond, Chunks: 5000}})
			g := gatewaytest.Run(t, u, how.setup)
			open := openStreams(t, g, 4)
			g.Signal(syscall.SIGTERM)
			g.AwaitLog("draining", soon)
			if how.again {
				g.Signal(syscall.SIGTERM)
			}
			for i, s := range open {
				got, err := s.Rest()
				if err != nil {
					t.Errorf("stream %d ended with %v, want a proper end of the body", i, err)
				}
				if err := gatewaytest.Protocols[i%2].CheckCut(got, u.Sent()[i]); err != nil {
					t.Errorf("stream %d: %v", i, err)
				}
			}
			if code := g.ExitCode(soon); code != 0 {
				t.Errorf("exit code %d, want 0", code)
			}
			u.AwaitOver(soon)
			for i := range open {
				checkBroken(t, g, "stream-"+strconv.Itoa(i), "cancelled")
			}
		})
	}
}

// Every role of a cluster drains by itself: its streams finish, and another
// process takes what is new.
func TestDrainRoles(t *testing.T) {
	t.Parallel()
	u := gatewaytest.NewUpstream(t, mock.Options{Fault: mock.Fault{Delay: 20 * time.Millisecond, Chunks: 100}})
	c := gatewaytest.NewCluster(t, u, gatewaytest.Setup{}, 1)
	other := c.AddIngress()
	open := openStreams(t, c.Gateway, 4)
	leaving := c.Workers[0]
	c.AddWorker(c.NATS.URL()).AwaitLog(`"msg":"started"`, patience)
	leaving.Signal(syscall.SIGTERM)
	c.Signal(syscall.SIGTERM)
	leaving.AwaitLog("draining", soon)
	if a := other.Do(t, gatewaytest.Protocols[0].Plain("new")); a.Status != 200 {
		t.Errorf("a new request: got %d: %s", a.Status, a.Body)
	}
	for i, s := range open {
		if got, err := s.Rest(); err != nil || got != u.Sent()[i] {
			t.Errorf("stream %d: %v, %d bytes; want %d", i, err, len(got), len(u.Sent()[i]))
		}
	}
	if a, b := leaving.ExitCode(soon), c.ExitCode(soon); a != 0 || b != 0 {
		t.Errorf("exit codes of worker and ingress: %d, %d; want 0", a, b)
	}
	for i := range open {
		checkRecorded(t, c.Gateway, "stream-"+strconv.Itoa(i))
	}
}

// Every process of a cluster is replaced in turn by one with a newer
// configuration, while streams run and requests come: none is cut or refused.
func TestRollingRestart(t *testing.T) {
	t.Parallel()
	u := gatewaytest.NewUpstream(t, mock.Options{Fault: mock.Fault{Delay: 20 * time.Millisecond, Chunks: 250}})
	c := gatewaytest.NewCluster(t, u, gatewaytest.Setup{}, 2)
	open := openStreams(t, c.Gateway, 6)
	old := append([]*gatewaytest.Worker{}, c.Workers...)
	c.Change(func(s *gatewaytest.Setup) {
		s.Files = map[string]gatewaytest.JSON{"models/newer.json": gatewaytest.Model("newer", "openai")}
	})
	serves := func(g *gatewaytest.Gateway, model, after string) {
		t.Helper()
		if a := g.Do(t, gatewaytest.Protocols[0].Of(model).Plain("new")); a.Status != 200 {
			t.Errorf("after %s: got %d: %s", after, a.Status, a.Body)
		}
	}
	for _, w := range old {
		c.AddWorker(c.BusURL()).AwaitLog(`"msg":"started"`, patience)
		w.Signal(syscall.SIGTERM)
		w.AwaitLog("draining", soon)
		serves(c.Gateway, "gpt", "a worker")
	}
	c.Sink.Signal(syscall.SIGTERM)
	if code := c.Sink.ExitCode(soon); code != 0 {
		t.Errorf("exit code of the sink: %d, want 0", code)
	}
	c.RestartSink()
	serves(c.Gateway, "gpt", "the sink")
	newer := c.AddIngress()
	c.Signal(syscall.SIGTERM)
	serves(newer, "newer", "the ingress")
	for i, s := range open {
		if got, err := s.Rest(); err != nil || !gatewaytest.Protocols[i%2].Ended(got) {
			t.Errorf("stream %d: %v, %d bytes, properly ended %t", i, err, len(got), gatewaytest.Protocols[i%2].Ended(got))
		}
	}
	for _, p := range []*gatewaytest.Process{old[0].Process, old[1].Process, c.Process} {
		if code := p.ExitCode(soon); code != 0 {
			t.Errorf("exit code %d, want 0", code)
		}
	}
	for i := range open {
		checkRecorded(t, c.Gateway, "stream-"+strconv.Itoa(i))
	}
}
