// Package bustest starts a real embedded NATS server for tests.
package bustest

import (
	"log/slog"
	"testing"
	"time"

	"model-proxy/internal/bus"
)

// Config returns the configuration of a fresh embedded server that ends with
// the test, with streams in place and the product's default bounds.
func Config(t testing.TB) bus.Config {
	t.Helper()
	srv, err := bus.StartServer(bus.ServerConfig{Dir: t.TempDir(), Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Shutdown)
	cfg := bus.Config{Server: srv, QueueMaxRequests: 20000, QueueMaxPerClient: 2000, QueueMaxBytes: 256 << 20,
		LogMaxBytes: 1 << 30, Log: slog.New(slog.DiscardHandler)}
	conn := Connect(t, cfg, "setup")
	if err := conn.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	return cfg
}

// Apart is cfg for another process: it reaches the same server by TCP.
func Apart(cfg bus.Config) bus.Config {
	cfg.URL, cfg.Server = "nats://"+cfg.Server.Addr(), nil
	return cfg
}

// Connect opens a connection that closes with the test.
func Connect(t testing.TB, cfg bus.Config, name string) *bus.Conn {
	t.Helper()
	c, err := bus.Connect(t.Context(), cfg, name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// waitFor is enough for what a busy machine is slow to do.
const waitFor = time.Minute

// Wait calls ok until it is true, and fails the test if that takes too long.
func Wait(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(waitFor)
	for !ok() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("waited %v for: %s", waitFor, what)
		}
	}
}
