package limit

import (
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
)

// What a newer version has made is left as it is, and the error says what to do.
func TestNewerStreamsAreRefused(t *testing.T) {
	s := startNATS(t)
	js, err := jetstream.New(connect(t, s, "a").nc)
	if err != nil {
		t.Fatal(err)
	}
	if err := EnsureStreams(t.Context(), js, 1); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"RL", "KV_PAR"} {
		stream, err := js.Stream(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		was := stream.CachedInfo().Config
		newer := was
		newer.Metadata = map[string]string{"model-proxy-version": "2"}
		if _, err := js.UpdateStream(t.Context(), newer); err != nil {
			t.Fatal(err)
		}
		if err := EnsureStreams(t.Context(), js, 1); err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "upgrade this process") {
			t.Errorf("stream %s of version 2: got %v, want an error that names it and says to upgrade", name, err)
		}
		if _, err := js.UpdateStream(t.Context(), was); err != nil {
			t.Fatal(err)
		}
	}
}
