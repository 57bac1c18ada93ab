package limit

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats-server/v2/server/ats"
	"github.com/nats-io/nats.go"
)

// inFakeTime runs f with a real NATS server in a bubble where a minute takes no
// time. The server's one goroutine that a bubble cannot hold is started outside.
func inFakeTime(t *testing.T, f func(t *testing.T, s *server.Server)) {
	t.Helper()
	ats.Register()
	defer ats.Unregister()
	synctest.Test(t, func(t *testing.T) { f(t, startNATS(t)) })
}

// startNATS runs a NATS server inside the test.
func startNATS(t testing.TB) *server.Server {
	t.Helper()
	s, err := server.NewServer(&server.Options{DontListen: true, JetStream: true, StoreDir: t.TempDir(), NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(time.Minute) {
		t.Fatal("the NATS server is not ready after a minute")
	}
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	return s
}

// ingress is a Limiter with a connection of its own.
type ingress struct {
	*Limiter
	nc   *nats.Conn
	stop func() // ends Run and waits for it
}

// kill cuts the connection first, so that nothing can be given back.
func (in *ingress) kill() {
	in.nc.Close()
	in.stop()
}

func startIngress(t testing.TB, s *server.Server, id string) *ingress {
	t.Helper()
	in := connect(t, s, id)
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- in.Run(ctx) }()
	in.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ran; err != nil {
			t.Errorf("Run: got %v, want nil", err)
		}
		in.nc.Close()
	})
	t.Cleanup(in.stop)
	return in
}

// connect makes an ingress whose Limiter does not run.
func connect(t testing.TB, s *server.Server, id string) *ingress {
	t.Helper()
	nc, err := nats.Connect("", nats.InProcessServer(s), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	l, err := New(nc, Options{ID: id})
	if err != nil {
		t.Fatal(err)
	}
	return &ingress{Limiter: l, nc: nc}
}

func startThree(t *testing.T, s *server.Server) []*ingress {
	t.Helper()
	var all []*ingress
	for _, id := range []string{"a", "b", "c"} {
		all = append(all, startIngress(t, s, id))
	}
	return all
}

// burst sends n requests at once, in turn over the ingresses, and returns the
// grants.
func burst(t *testing.T, all []*ingress, n int, c Client, e Estimate) []*Grant {
	t.Helper()
	var mu sync.Mutex
	var grants []*Grant
	var away atomic.Int64
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			g, d := all[i%len(all)].Admit(t.Context(), c, e)
			switch {
			case g != nil:
				mu.Lock()
				grants = append(grants, g)
				mu.Unlock()
			case d.Reason == Bus:
				away.Add(1)
			}
		})
	}
	wg.Wait()
	if n := away.Load(); n > 0 {
		t.Errorf("got %d refusals for want of the bus, want 0", n)
	}
	return grants
}

func mustAdmit(t *testing.T, in *ingress, c Client, e Estimate) *Grant {
	t.Helper()
	g, d := in.Admit(t.Context(), c, e)
	if d != nil {
		t.Fatalf("got refused for %s (%v), want admitted", d.Reason, d.Cause)
	}
	return g
}

func mustRefuse(t *testing.T, in *ingress, c Client, e Estimate, want Reason) *Denied {
	t.Helper()
	_, d := in.Admit(t.Context(), c, e)
	if d == nil {
		t.Fatalf("got admitted, want refused for %s", want)
	}
	if d.Reason != want {
		t.Fatalf("got refused for %s (%v), want for %s", d.Reason, d.Cause, want)
	}
	if d.RetryAfter <= 0 {
		t.Errorf("refused for %s: got retry after %v, want above 0", want, d.RetryAfter)
	}
	return d
}

func TestClientWithoutLimitsNeedsNoBus(t *testing.T) {
	s := startNATS(t)
	in := connect(t, s, "a")
	in.nc.Close()
	g := mustAdmit(t, in, Client{ID: "c"}, Estimate{Prompt: 1 << 40})
	g.Settle(1, 1)
	g.Cancel()
	g.Release()
}

// A refusal by one limit must leave the others as they were.
func TestRefusedConsumesNothing(t *testing.T) {
	rows := []struct {
		name   string
		client Client // refuses every request but the first
		reason Reason
	}{
		{"tokens", Client{RequestsPerMinute: 10, TokensPerMinute: 100, MaxParallel: 20}, TPM},
		{"parallel", Client{RequestsPerMinute: 10, TokensPerMinute: 5000, MaxParallel: 1}, Parallel},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T, s *server.Server) {
				all := startThree(t, s)
				row.client.ID = "c"
				e := Estimate{Prompt: 100, MaxTokens: 100}
				first := mustAdmit(t, all[0], row.client, e)
				defer first.Release()
				for i := range 60 {
					mustRefuse(t, all[i%3], row.client, e, row.reason)
				}
				time.Sleep(time.Second) // a lease for the hurried client ends
				// Nine requests and most of the tokens must still be free.
				wide := Client{ID: "c", RequestsPerMinute: 10, TokensPerMinute: 2000, MaxParallel: 20}
				if got := len(burst(t, all, 60, wide, Estimate{Prompt: 100, MaxTokens: 100})); got != 9 {
					t.Errorf("after 60 refusals: got %d more admitted, want 9", got)
				}
			})
		})
	}
}

func TestCancelGivesAllBack(t *testing.T) {
	inFakeTime(t, func(t *testing.T, s *server.Server) {
		all := startThree(t, s)
		c := Client{ID: "c", RequestsPerMinute: 1, TokensPerMinute: 10, MaxParallel: 1}
		for i := range 9 {
			g := mustAdmit(t, all[i%3], c, Estimate{Prompt: 10, MaxTokens: 10})
			g.Cancel()
			g.Cancel()
			g.Release()
			synctest.Wait()
		}
		mustAdmit(t, all[0], c, Estimate{Prompt: 10, MaxTokens: 10})
		mustRefuse(t, all[1], c, Estimate{Prompt: 10, MaxTokens: 10}, RPM)
	})
}

// Whatever a client did, an idle ingress holds nothing.
func TestReservedReturnsToZero(t *testing.T) {
	inFakeTime(t, func(t *testing.T, s *server.Server) {
		in := startIngress(t, s, "a")
		c := Client{ID: "c", RequestsPerMinute: 1_000_000, TokensPerMinute: 1_000_000_000, MaxParallel: 10_000}
		for range 20 {
			for _, g := range burst(t, []*ingress{in}, 500, c, Estimate{Prompt: 100, MaxTokens: 50}) {
				g.Settle(90, 30)
				g.Release()
			}
		}
		held := mustAdmit(t, in, c, Estimate{Prompt: 100, MaxTokens: 50})
		if got := in.Reserved(); got.Parallel < 1 || got.Tokens < 100 {
			t.Errorf("while a request runs: got %+v, want at least a slot and 100 tokens", got)
		}
		held.Settle(90, 30)
		held.Release()
		time.Sleep(5 * time.Second)
		if got := in.Reserved(); got != (Reserved{}) {
			t.Errorf("5 s after the last request: got %+v, want nothing", got)
		}
	})
}

func TestStoppedIngressLeavesItsRoom(t *testing.T) {
	inFakeTime(t, func(t *testing.T, s *server.Server) {
		a, b := startIngress(t, s, "a"), startIngress(t, s, "b")
		c := Client{ID: "c", RequestsPerMinute: 10_000, MaxParallel: 1000}
		spent := 0
		for range 10 { // in a hurry: a leases ahead
			grants := burst(t, []*ingress{a}, 100, c, Estimate{})
			spent += len(grants)
			for _, g := range grants {
				g.Release()
			}
		}
		if got := a.Reserved(); got.Requests == 0 || got.Parallel == 0 {
			t.Fatalf("got %+v, want leases", got)
		}
		a.stop()
		g := mustAdmit(t, b, c, Estimate{})
		defer g.Release()
		if got, want := g.Levels().Requests.Remaining, int64(10_000-spent-1); got != want {
			t.Errorf("remaining at b: got %d, want %d", got, want)
		}
	})
}

func TestForgottenClient(t *testing.T) {
	inFakeTime(t, func(t *testing.T, s *server.Server) {
		in := startIngress(t, s, "a")
		c := Client{ID: "c", RequestsPerMinute: 10, MaxParallel: 10}
		running := mustAdmit(t, in, c, Estimate{})
		other := mustAdmit(t, in, Client{ID: "d", RequestsPerMinute: 10}, Estimate{})
		other.Release()
		time.Sleep(5 * time.Minute)
		if got := len(in.all()); got != 1 {
			t.Errorf("after 5 minutes: got %d clients, want 1, the one with a running request", got)
		}
		running.Release()
		time.Sleep(5 * time.Minute)
		if got := len(in.all()); got != 0 {
			t.Errorf("after the last request: got %d clients, want 0", got)
		}
	})
}

// A client is told of all its limits, whichever refused it.
func TestLevelsOfARefusal(t *testing.T) {
	inFakeTime(t, func(t *testing.T, s *server.Server) {
		in := startIngress(t, s, "a")
		c := Client{ID: "c", RequestsPerMinute: 1, TokensPerMinute: 1000}
		mustAdmit(t, in, c, Estimate{Prompt: 60, MaxTokens: 40})
		time.Sleep(30 * time.Second)
		got := mustRefuse(t, in, c, Estimate{}, RPM).Levels
		want := Levels{
			Requests: Level{Limit: 1, Remaining: 0, Reset: got.Requests.Reset},
			Tokens:   Level{Limit: 1000, Remaining: 900, Reset: got.Tokens.Reset},
		}
		if got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
		if reset := got.Tokens.Reset; reset <= 30*time.Second || reset > 41*time.Second {
			t.Errorf("tokens: got reset in %v, want what is left of 60 s and a bucket", reset)
		}
	})
}
