package limit

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// startNATS runs a NATS server inside the test.
func startNATS(t testing.TB) *server.Server {
	t.Helper()
	s, err := server.NewServer(&server.Options{DontListen: true, JetStream: true, StoreDir: t.TempDir(), NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the NATS server is not ready after 10 s")
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

func startIngress(t testing.TB, s *server.Server, id string) *ingress {
	t.Helper()
	nc, err := nats.Connect("", nats.InProcessServer(s))
	if err != nil {
		t.Fatal(err)
	}
	l, err := New(nc, Options{ID: id})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- l.Run(ctx) }()
	in := &ingress{Limiter: l, nc: nc}
	in.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ran; err != nil {
			t.Errorf("Run: got %v, want nil", err)
		}
		nc.Close()
	})
	t.Cleanup(in.stop)
	return in
}

func startThree(t *testing.T) []*ingress {
	s := startNATS(t)
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
			g, d := all[i%len(all)].Admit(context.Background(), c, e)
			if g != nil {
				mu.Lock()
				grants = append(grants, g)
				mu.Unlock()
			} else if d.Reason == Bus {
				away.Add(1)
				t.Log(d.Cause)
			}
		})
	}
	wg.Wait()
	if n := away.Load(); n > 0 {
		t.Errorf("got %d refusals for want of the bus, want 0", n)
	}
	return grants
}

func TestRequestsOverThreeIngresses(t *testing.T) {
	all := startThree(t)
	got := len(burst(t, all, 1000, Client{ID: "c", RequestsPerMinute: 100}, Estimate{}))
	if got != 100 {
		t.Errorf("1000 requests at once: got %d admitted, want 100", got)
	}
}

func TestParallelOverThreeIngresses(t *testing.T) {
	all := startThree(t)
	c := Client{ID: "c", MaxParallel: 10}
	grants := burst(t, all, 300, c, Estimate{})
	if len(grants) != 10 {
		t.Errorf("300 requests at once: got %d admitted, want 10", len(grants))
	}
	for _, g := range grants {
		g.Release()
	}
}
