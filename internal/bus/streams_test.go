package bus_test

import (
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"model-proxy/internal/bus"
	"model-proxy/internal/bus/bustest"
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
	c := bustest.Connect(t, bare(t, 10<<30), "test")
	if err := c.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	s, err := c.JetStream().Stream(t.Context(), bus.LogStream)
	if err != nil {
		t.Fatal(err)
	}
	made := s.CachedInfo().Config
	for range 200 {
		if err := c.JetStream().DeleteStream(t.Context(), bus.LogStream); err != nil {
			t.Fatal(err)
		}
		var others sync.WaitGroup
		for range 4 {
			others.Go(func() { _, _ = c.JetStream().CreateStream(t.Context(), made) }) // one of all succeeds
		}
		err := c.Ensure(t.Context())
		others.Wait()
		if err != nil {
			t.Fatal(err)
		}
	}
}

// A role that starts with other bounds sets them for all.
func TestStreamsTakeNewBounds(t *testing.T) {
	cfg := bare(t, 1<<30)
	for _, logMaxBytes := range []int64{1 << 30, 2 << 30, 2 << 30} {
		cfg.LogMaxBytes, cfg.QueueMaxRequests = logMaxBytes, logMaxBytes>>20
		c := bustest.Connect(t, cfg, "test")
		if err := c.Ensure(t.Context()); err != nil {
			t.Fatal(err)
		}
		log, err := c.JetStream().Stream(t.Context(), "LOG")
		if err != nil {
			t.Fatal(err)
		}
		queue, err := c.JetStream().Stream(t.Context(), "REQ")
		if err != nil {
			t.Fatal(err)
		}
		if got, most := log.CachedInfo().Config.MaxBytes, queue.CachedInfo().Config.MaxMsgs; got != logMaxBytes || most != logMaxBytes>>20 {
			t.Errorf("LOG holds %d bytes and REQ %d messages, want %d and %d", got, most, logMaxBytes, logMaxBytes>>20)
		}
	}
}

// A server that really has no room ends the start.
func TestStreamWithoutRoom(t *testing.T) {
	c := bustest.Connect(t, bare(t, 21e9), "test")
	if err := c.Ensure(t.Context()); err == nil || !strings.Contains(err.Error(), "stream LOG: ") || !strings.Contains(err.Error(), "insufficient storage") {
		t.Errorf("got %v, want that there is no storage for LOG", err)
	}
}
