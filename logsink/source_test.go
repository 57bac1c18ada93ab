package logsink

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// forgetful is a Source whose LOG loses, after it has handed out the first
// messages, that it has.
type forgetful struct {
	Source
	once   sync.Once
	forget func()
}

func (f *forgetful) Fetch(ctx context.Context, limit int, wait time.Duration) ([]Message, error) {
	messages, err := f.Source.Fetch(ctx, limit, wait)
	if len(messages) > 0 {
		f.once.Do(f.forget)
	}
	return messages, err
}

// A server that was killed may have lost how far it had handed LOG out. The sink
// goes on all the same, and stores each record once.
func TestSinkWhoseDeliveriesAreForgotten(t *testing.T) {
	js, consumer := logServer(t)
	if _, err := js.CreateConsumer(t.Context(), "LOG", jetstream.ConsumerConfig{Durable: "other", AckPolicy: jetstream.AckExplicitPolicy}); err != nil {
		t.Fatal(err) // without another, LOG would let go of its messages with the sink's
	}
	const n = 100
	publishRecords(t, js, n)
	s, err := OpenSQLite(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	source := &forgetful{Source: FromConsumer(js, consumer), forget: func() {
		if err := js.DeleteConsumer(t.Context(), "LOG", "sink"); err != nil {
			t.Error(err)
		}
		if _, err := js.CreateConsumer(t.Context(), "LOG", consumer.CachedInfo().Config); err != nil {
			t.Error(err)
		}
	}}
	until(t, Config{Source: source, Store: s, Liveness: everyoneLives{}, Log: quiet}, func(stats Stats) bool {
		return stats.Requests >= n && stats.Duplicates > 0
	})
	if got := counts(t, s); got.Requests != n || got.Attempts != 2*n || got.Open != 0 {
		t.Errorf("got %+v, want %d requests, %d attempts and nothing open", got, n, 2*n)
	}
}

func TestStreamSeq(t *testing.T) {
	for reply, want := range map[string]uint64{
		"$JS.ACK.LOG.sink.1.42.7.1700000000000000000.3":               42,
		"$JS.ACK.hub.ACCHASH.LOG.sink.1.42.7.1700000000000000000.3.r": 42,
		"$JS.ACK.LOG": 0,
		"":            0,
	} {
		if got := streamSeq(reply); got != want {
			t.Errorf("%s: got %d, want %d", reply, got, want)
		}
	}
}
