package bus_test

import (
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"model-proxy/internal/bus"
)

// bare is the configuration for a fresh server without streams, as
// deploy/nats/server.conf bounds it, that ends with the test.
func bare(t *testing.T, logMaxBytes int64) bus.Config {
	t.Helper()
	ns, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true,
		JetStream: true, StoreDir: t.TempDir(), JetStreamMaxMemory: 1e9, JetStreamMaxStore: 20e9})
	if err != nil {
		t.Fatal(err)
	}
	ns.Start()
	t.Cleanup(ns.WaitForShutdown)
	t.Cleanup(ns.Shutdown)
	return bus.Config{URL: ns.ClientURL(), QueueMaxRequests: 20000, QueueMaxPerClient: 2000, QueueMaxBytes: 256 << 20,
		LogMaxBytes: logMaxBytes, Log: slog.New(slog.DiscardHandler)}
}

// Roles that start together make the same streams. The server counts a stream's
// bound once for each of them until it stands, and has no room for two.
func TestStreamsMadeTogether(t *testing.T) {
	for range 10 {
		cfg := bare(t, 10<<30)
		var all sync.WaitGroup
		for range 6 {
			all.Go(func() {
				c, err := bus.Connect(t.Context(), cfg, "test")
				if err != nil {
					t.Error(err)
					return
				}
				defer c.Close()
				if err := c.Ensure(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
	}
}

// A server that really has no room ends the start.
func TestStreamWithoutRoom(t *testing.T) {
	cfg := bare(t, 21e9)
	c, err := bus.Connect(t.Context(), cfg, "test")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Ensure(t.Context()); err == nil || !strings.Contains(err.Error(), "stream LOG: ") || !strings.Contains(err.Error(), "insufficient storage") {
		t.Errorf("got %v, want that there is no storage for LOG", err)
	}
}
