package gatewaytest

import (
	"net"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
)

// NATS is a real NATS server with JetStream on a local port. It ends with the
// test.
type NATS struct {
	// Passwords are those of the roles' users; nil where the server asks nobody.
	Passwords map[string]string

	t    testing.TB
	opts server.Options
	ns   *server.Server
}

// StartNATS starts a server on a free port.
func StartNATS(t testing.TB) *NATS {
	t.Helper()
	return StartNATSWith(t, server.Options{})
}

// StartNATSWith starts a server with these options, on a free port and with
// JetStream in a folder of its own.
func StartNATSWith(t testing.TB, opts server.Options) *NATS {
	t.Helper()
	n := newNATS(t, opts)
	n.awaitReady()
	n.opts.Port = n.ns.Addr().(*net.TCPAddr).Port
	return n
}

// newNATS starts a server and does not wait until it is ready.
func newNATS(t testing.TB, opts server.Options) *NATS {
	t.Helper()
	opts.Host, opts.Port, opts.JetStream, opts.StoreDir, opts.NoSigs = "127.0.0.1", server.RANDOM_PORT, true, t.TempDir(), true
	n := &NATS{t: t, opts: opts}
	n.launch()
	t.Cleanup(n.Stop)
	return n
}

// Start starts the server, again on the same port and files after a Stop.
func (n *NATS) Start() {
	n.t.Helper()
	n.launch()
	n.awaitReady()
}

func (n *NATS) launch() {
	n.t.Helper()
	opts := n.opts
	ns, err := server.NewServer(&opts)
	if err != nil {
		n.t.Fatalf("NATS: %v", err)
	}
	n.ns = ns
	ns.Start()
}

func (n *NATS) awaitReady() {
	n.t.Helper()
	if !n.ns.ReadyForConnections(startWithin) {
		n.t.Fatalf("NATS was not ready within %v", startWithin)
	}
}

// Stop stops the server and waits until it has let go of port and files.
func (n *NATS) Stop() {
	n.ns.Shutdown()
	n.ns.WaitForShutdown()
}

// URL is the server's address for clients.
func (n *NATS) URL() string { return n.ns.ClientURL() }

// urlOf is the address with the user of a role in it.
func (n *NATS) urlOf(role string) string {
	if n.Passwords == nil {
		return n.URL()
	}
	return strings.Replace(n.URL(), "://", "://"+role+":"+n.Passwords[role]+"@", 1)
}
