package recall

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"

	"model-proxy/internal/bus"
	"model-proxy/internal/bus/bustest"
)

func open(t *testing.T, cfg bus.Config, name string) *Store {
	t.Helper()
	s, err := New(bustest.Connect(t, cfg, name).NATS(), 1)
	if err != nil {
		t.Fatal(err)
	}
	s.within = time.Minute // a busy machine is no reason to fail
	return s
}

func put(t *testing.T, s *Store, client, key, data string) {
	t.Helper()
	if err := s.Put(t.Context(), client, key, []byte(data)); err != nil {
		t.Fatal(err)
	}
}

// What one worker keeps another finds, for the same client only.
func TestKeptForAllWorkers(t *testing.T) {
	cfg := bustest.Config(t)
	one, other := open(t, cfg, "one"), open(t, bustest.Apart(cfg), "other")
	put(t, one, "team a", "k1", "old")
	put(t, one, "team a", "k1", "thinking 1")
	put(t, one, "team a", "k2", "thinking 2")
	put(t, one, "team-b", "k1", "not yours")
	got, err := other.Get(t.Context(), "team a", []string{"k1", "k2", "k3"})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]byte{"k1": []byte("thinking 1"), "k2": []byte("thinking 2")}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("want (-) and got (+):\n%s", diff)
	}
	if got, err := other.Get(t.Context(), "team-c", []string{"k1"}); err != nil || got == nil || len(got) > 0 {
		t.Errorf("another client: got %v, %v; want an empty map", got, err)
	}
}

// The cache has bounds: what is too large is refused, the oldest goes when the
// rest is full, and everything goes with time.
func TestBounds(t *testing.T) {
	cfg := bustest.Config(t)
	s := open(t, cfg, "one")
	if err := s.Put(t.Context(), "c", "k", make([]byte, mostOne+1)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("one byte too many: got %v, want ErrTooLarge", err)
	}
	large := string(bytes.Repeat([]byte("x"), mostOne/2))
	const n = most/(mostOne/2) + 8
	for i := range n {
		put(t, s, "c", "k"+strings.Repeat("-", i%40)+string(rune('a'+i/40)), large)
	}
	stream, err := s.js.Stream(t.Context(), Stream)
	if err != nil {
		t.Fatal(err)
	}
	info := stream.CachedInfo()
	if info.State.Bytes > most || info.State.Msgs == n {
		t.Errorf("%d bytes in %d messages of %d, want at most %d bytes", info.State.Bytes, info.State.Msgs, n, most)
	}
	if info.Config.MaxAge != keptFor || info.Config.Storage != jetstream.MemoryStorage {
		t.Errorf("kept for %v in %v", info.Config.MaxAge, info.Config.Storage)
	}
	if got, err := s.Get(t.Context(), "c", []string{"ka"}); err != nil || len(got) > 0 {
		t.Errorf("the oldest: got %d, %v; want nothing", len(got), err)
	}
}

// A server that has forgotten the stream gets it again; one that is gone is no
// reason to wait, and the map is there all the same.
func TestLostStream(t *testing.T) {
	cfg := bustest.Config(t)
	s := open(t, cfg, "one")
	put(t, s, "c", "k", "before")
	if err := s.js.DeleteStream(t.Context(), Stream); err != nil {
		t.Fatal(err)
	}
	if err := s.Put(t.Context(), "c", "k", []byte("lost")); err == nil {
		t.Error("kept in a stream that is gone")
	}
	put(t, s, "c", "k", "after")
	if got, err := s.Get(t.Context(), "c", []string{"k"}); err != nil || string(got["k"]) != "after" {
		t.Errorf("got %q, %v", got["k"], err)
	}
	cfg.Server.Shutdown()
	s.within = within
	if got, err := s.Get(t.Context(), "c", []string{"k"}); err == nil || got == nil {
		t.Errorf("without a server: got %v, %v; want an error and an empty map", got, err)
	}
}

// What a newer version has made is left alone.
func TestNewerStream(t *testing.T) {
	cfg := bustest.Config(t)
	s := open(t, cfg, "one")
	_, err := s.js.CreateStream(t.Context(), jetstream.StreamConfig{Name: Stream, Subjects: []string{"think.*.*"}, Metadata: map[string]string{"model-proxy-version": "2"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Put(t.Context(), "c", "k", []byte("x")); !errors.Is(err, bus.ErrVersion) {
		t.Errorf("got %v, want bus.ErrVersion", err)
	}
}
