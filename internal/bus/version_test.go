package bus_test

import (
	"strings"
	"testing"

	"model-proxy/internal/bus/bustest"
)

// Streams and consumers carry the version of the bus; what a newer one has made
// is left as it is, and the error says what to do.
func TestNewerVersionIsRefused(t *testing.T) {
	cfg := bustest.Config(t)
	c := bustest.Connect(t, cfg, "test")
	for _, name := range []string{"REQ", "LOG"} {
		s, err := c.JetStream().Stream(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		was := s.CachedInfo().Config
		if was.Metadata["model-proxy-version"] != "1" {
			t.Errorf("stream %s has the version %q, want 1", name, was.Metadata["model-proxy-version"])
		}
		newer := was
		newer.Metadata = map[string]string{"model-proxy-version": "2"}
		if _, err := c.JetStream().UpdateStream(t.Context(), newer); err != nil {
			t.Fatal(err)
		}
		if err := c.Ensure(t.Context()); err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "upgrade this process") {
			t.Errorf("stream %s of version 2: got %v, want an error that names it and says to upgrade", name, err)
		}
		if _, err := c.JetStream().UpdateStream(t.Context(), was); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Ensure(t.Context()); err != nil {
		t.Error(err)
	}
	consumer, err := c.JetStream().Consumer(t.Context(), "LOG", "sink")
	if err != nil {
		t.Fatal(err)
	}
	if v := consumer.CachedInfo().Config.Metadata["model-proxy-version"]; v != "1" {
		t.Errorf("the sink's consumer has the version %q, want 1", v)
	}
}
