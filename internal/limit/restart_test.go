package limit

import (
	"net"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// startListening runs a NATS server that others can connect to over TCP.
func startListening(t *testing.T, dir string, port int) *server.Server {
	t.Helper()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: port, JetStream: true, StoreDir: dir, NoSigs: true})
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

// A restarted server has forgotten the streams; limits must work again as soon
// as the connection is back, with no help from anybody.
func TestServerRestart(t *testing.T) {
	dir := t.TempDir()
	first := startListening(t, dir, server.RANDOM_PORT)
	back := make(chan struct{})
	nc, err := nats.Connect(first.ClientURL(), nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond),
		nats.ReconnectHandler(func(*nats.Conn) { close(back) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	l, err := New(nc, Options{ID: "a"})
	if err != nil {
		t.Fatal(err)
	}
	in := &ingress{Limiter: l, nc: nc}
	c := Client{ID: "c", RequestsPerMinute: 100, TokensPerMinute: 100_000, MaxParallel: 10}
	running := mustAdmit(t, in, c, Estimate{Prompt: 10, MaxTokens: 10})

	port := first.Addr().(*net.TCPAddr).Port
	first.Shutdown()
	first.WaitForShutdown()
	mustRefuse(t, in, Client{ID: "other", RequestsPerMinute: 100}, Estimate{}, Bus)
	startListening(t, dir, port)
	<-back

	next := mustAdmit(t, in, c, Estimate{Prompt: 10, MaxTokens: 10})
	if got := in.Reserved().Parallel; got != 2 {
		t.Errorf("slots: got %d, want 2: that of the request that ran on, and the new one", got)
	}
	running.Release()
	next.Release()
}
