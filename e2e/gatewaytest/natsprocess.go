package gatewaytest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// natsServer builds the nats-server of the version that the gateway embeds, once
// for all tests of a binary; it lies beside the binary under test.
var natsServer = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp(filepath.Dir(os.Getenv(binaryVar)), "nats-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "nats-server")
	if out, err := exec.Command("go", "build", "-o", path, "github.com/nats-io/nats-server/v2").CombinedOutput(); err != nil {
		return "", fmt.Errorf("build nats-server: %w: %s", err, out)
	}
	return path, nil
})

// NATSServers are three nats-server processes with replicated JetStream. Each
// way between two of them can be cut.
type NATSServers struct {
	Servers []*NATSServer

	t    testing.TB
	ways map[[2]int]*Link // from one to another
}

// NATSServer is one of them.
type NATSServer struct {
	*Process
	Name string
	port int
	conf string
	t    testing.TB
}

// StartNATSServers starts three servers and waits until they can serve.
func StartNATSServers(t testing.TB) *NATSServers {
	t.Helper()
	s := &NATSServers{t: t, ways: map[[2]int]*Link{}}
	const n = 3
	var clients, routes [n]int
	for i := range n {
		clients[i], routes[i] = FreePort(t), FreePort(t)
	}
	for i := range n {
		var others []string
		for j := range n {
			if i != j {
				s.ways[[2]int{i, j}] = NewLink(t, local(routes[j]))
				others = append(others, s.ways[[2]int{i, j}].URL())
			}
		}
		one := &NATSServer{Name: "nats-" + strconv.Itoa(i+1), port: clients[i], conf: filepath.Join(t.TempDir(), "nats.conf"), t: t}
		// What it advertises leads nowhere: servers shall meet on the ways alone.
		text := fmt.Sprintf(`server_name: %s, listen: "127.0.0.1:%d", jetstream { store_dir: %q }, no_fast_producer_stall: true, write_deadline: "5s"
cluster { name: test, listen: "127.0.0.1:%d", cluster_advertise: "127.0.0.1:1", no_advertise: true, routes: [%s] }
`, one.Name, one.port, t.TempDir(), routes[i], strings.Join(others, ", "))
		if err := os.WriteFile(one.conf, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		s.Servers = append(s.Servers, one)
		one.Start()
	}
	s.AwaitReady()
	return s
}

func local(port int) string { return "nats://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// Start starts the server, again on its files after it has ended.
func (n *NATSServer) Start() {
	n.t.Helper()
	path, err := natsServer()
	if err != nil {
		n.t.Fatal(err)
	}
	n.Process = startProgram(n.t, path, n.Name, nil, "-c", n.conf)
}

// URL is the server's address.
func (n *NATSServer) URL() string { return local(n.port) }

// URL lists the addresses of all servers.
func (s *NATSServers) URL() string { return s.Without(nil).URL() }

func (s *NATSServers) urlOf(string) string { return s.URL() }

// Without is the servers but one, for processes that do not know that one.
func (s *NATSServers) Without(other *NATSServer) Bus {
	var all []string
	for _, n := range s.Servers {
		if n != other {
			all = append(all, n.URL())
		}
	}
	return addresses(strings.Join(all, ","))
}

// addresses is a Bus that is no more than its addresses.
type addresses string

func (a addresses) URL() string         { return string(a) }
func (a addresses) urlOf(string) string { return string(a) }

// AwaitReady waits until JetStream has a leader and takes a replicated stream.
func (s *NATSServers) AwaitReady() {
	s.t.Helper()
	Await(s.t, 2*startWithin, "the NATS servers to agree", func() bool { return replicates(s.t, s.URL()) })
}

// Leader is the server that leads a stream.
func (s *NATSServers) Leader(stream string) *NATSServer {
	s.t.Helper()
	name := leaderOf(s.t, s.URL(), stream, len(s.Servers))
	for _, n := range s.Servers {
		if n.Name == name {
			return n
		}
	}
	s.t.Fatalf("stream %s is led by %q", stream, name)
	return nil
}

// Isolate cuts a server off from the others, for its clients it stays there.
// What it returns heals it.
func (s *NATSServers) Isolate(one *NATSServer) (heal func()) {
	var cut []*Link
	for way, link := range s.ways {
		if s.Servers[way[0]] == one || s.Servers[way[1]] == one {
			link.Cut()
			cut = append(cut, link)
		}
	}
	return func() {
		for _, link := range cut {
			link.Heal()
		}
	}
}

// KillAll ends all servers at once.
func (s *NATSServers) KillAll() {
	for _, n := range s.Servers {
		n.Signal(syscall.SIGKILL)
	}
	for _, n := range s.Servers {
		n.Kill()
	}
}

// StartAll starts all servers again.
func (s *NATSServers) StartAll() {
	s.t.Helper()
	for _, n := range s.Servers {
		n.Start()
	}
	s.AwaitReady()
}
