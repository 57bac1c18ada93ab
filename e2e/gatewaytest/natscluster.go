package gatewaytest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// NATSCluster is three NATS servers with replicated JetStream, on local ports.
// They end with the test.
type NATSCluster struct {
	Nodes []*NATS
	t     testing.TB
}

// StartNATSCluster starts the servers and waits until they have a leader.
func StartNATSCluster(t testing.TB) *NATSCluster {
	t.Helper()
	c := &NATSCluster{t: t}
	var routes []*url.URL
	for range 3 {
		routes = append(routes, &url.URL{Scheme: "nats", Host: "127.0.0.1:" + strconv.Itoa(FreePort(t))})
	}
	for i, own := range routes {
		port, _ := strconv.Atoi(own.Port())
		c.Nodes = append(c.Nodes, newNATS(t, server.Options{ServerName: "nats-" + strconv.Itoa(i+1), NoFastProducerStall: true, Routes: routes,
			Cluster: server.ClusterOpts{Name: "test", Host: "127.0.0.1", Port: port}}))
	}
	for _, n := range c.Nodes {
		n.awaitReady()
		n.opts.Port = n.ns.Addr().(*net.TCPAddr).Port
	}
	c.Await(startWithin)
	return c
}

// FreePort is a port that nobody listens on, below those that the system gives
// to connections, for those who must know it before they start.
func FreePort(t testing.TB) int {
	t.Helper()
	for range 100 {
		port := 20000 + rand.IntN(10000)
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			_ = l.Close() // it was only a try
			return port
		}
	}
	t.Fatal("no free port")
	return 0
}

// URL lists the addresses of all servers.
func (c *NATSCluster) URL() string {
	var all []string
	for _, n := range c.Nodes {
		all = append(all, "nats://"+net.JoinHostPort("127.0.0.1", strconv.Itoa(n.opts.Port)))
	}
	return strings.Join(all, ",")
}

func (c *NATSCluster) urlOf(string) string { return c.URL() }

// Leader is the server that leads a stream.
func (c *NATSCluster) Leader(stream string) *NATS {
	c.t.Helper()
	name := leaderOf(c.t, c.URL(), stream, len(c.Nodes))
	for _, n := range c.Nodes {
		if n.opts.ServerName == name {
			return n
		}
	}
	c.t.Fatalf("stream %s has no leader", stream)
	return nil
}

// leaderOf is the name of the server that leads a stream, which is to be on n.
func leaderOf(t testing.TB, url, stream string, n int) string {
	t.Helper()
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), startWithin)
	defer stop()
	s, err := js.Stream(ctx, stream)
	if err != nil {
		t.Fatal(err)
	}
	info := s.CachedInfo()
	if info.Cluster == nil || len(info.Cluster.Replicas) != n-1 {
		t.Fatalf("stream %s is on %+v, want on all servers", stream, info.Cluster)
	}
	return info.Cluster.Leader
}

// replicates reports whether a stream can be made on three servers.
func replicates(t testing.TB, url string) bool {
	nc, err := nats.Connect(url)
	if err != nil {
		return false
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return false
	}
	ctx, stop := context.WithTimeout(t.Context(), 2*time.Second)
	defer stop()
	const name = "READY"
	_, err = js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{Name: name, Subjects: []string{"ready"}, Replicas: 3, Storage: jetstream.MemoryStorage})
	return err == nil && js.DeleteStream(ctx, name) == nil
}

// Await waits until every server has caught up with the others.
func (c *NATSCluster) Await(within time.Duration) {
	c.t.Helper()
	Await(c.t, within, "the NATS servers to agree", func() bool {
		for _, n := range c.Nodes {
			if !n.ns.JetStreamIsCurrent() {
				return false
			}
		}
		return true
	})
}
