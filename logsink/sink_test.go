package logsink

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"model-proxy/internal/usage"
)

var quiet = slog.New(slog.DiscardHandler)

// everyoneLives is a Liveness without deaths.
type everyoneLives struct{}

func (everyoneLives) Silence(string) time.Duration { return 0 }

// logServer runs NATS with the stream LOG and its consumer.
func logServer(t testing.TB) (jetstream.JetStream, jetstream.Consumer) {
	t.Helper()
	srv, err := server.NewServer(&server.Options{DontListen: true, JetStream: true, StoreDir: t.TempDir(), NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	t.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
	if !srv.ReadyForConnections(time.Minute) {
		t.Fatal("NATS does not start")
	}
	nc, err := nats.Connect("", nats.InProcessServer(srv))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.CreateStream(t.Context(), jetstream.StreamConfig{
		Name: "LOG", Subjects: []string{"log.>"}, Storage: jetstream.FileStorage, Retention: jetstream.InterestPolicy, Discard: jetstream.DiscardNew,
	})
	if err != nil {
		t.Fatal(err)
	}
	c, err := stream.CreateConsumer(t.Context(), jetstream.ConsumerConfig{
		Durable: "sink", AckPolicy: jetstream.AckExplicitPolicy, AckWait: 300 * time.Millisecond, MaxAckPending: 2000,
	})
	if err != nil {
		t.Fatal(err)
	}
	return js, c
}

// publisher is LOG as a usage.Packer needs it.
type publisher struct{ js jetstream.JetStream }

func (p publisher) Publish(id string, data []byte) (usage.Ack, error) {
	f, err := p.js.PublishMsgAsync(&nats.Msg{Subject: "log.test", Data: data, Header: nats.Header{"Nats-Msg-Id": {id}}})
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		select {
		case <-f.Ok():
			return nil
		case err := <-f.Err():
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}, nil
}

// publishRecords sends n requests with two attempts each through a Packer, the
// way a worker and an ingress do.
func publishRecords(t testing.TB, js jetstream.JetStream, n int) {
	t.Helper()
	spool, err := usage.OpenSpool(t.TempDir(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer spool.Close()
	p := usage.NewPacker(usage.PackerConfig{Process: "w-1", Publisher: publisher{js}, Spool: spool, Log: quiet})
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := p.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	for i := range n {
		job := fmt.Sprintf("job-%06d", i)
		for number := 1; number <= 2; number++ {
			a := usage.Attempt{JobID: job, Attempt: number, Delivery: 1, RequestID: job, WorkerID: "w-1", Time: usage.At(time.Now())}
			p.Add(usage.Entry{Kind: usage.KindStarted, Ingress: "i-1", Left: time.Minute, Attempt: &a})
			a.Outcome = usage.OK
			p.Add(usage.Entry{Kind: usage.KindFinished, Ingress: "i-1", Left: time.Minute, Attempt: &a})
		}
		p.Add(usage.Entry{Kind: usage.KindRequest, Ingress: "i-1", Request: &usage.Request{JobID: job, RequestID: job, Time: usage.At(time.Now()), Outcome: usage.OK}})
	}
	stop()
	running.Wait()
	if got := p.Pending(); got != 0 {
		t.Fatalf("got %d records not on LOG, want 0", got)
	}
}

// counts returns the number of rows in each table.
func counts(t *testing.T, s *SQLite) (n struct{ Requests, Attempts, Open int }) {
	t.Helper()
	row := s.db.QueryRow("select (select count(*) from requests), (select count(*) from attempts), (select count(*) from open_entries)")
	if err := row.Scan(&n.Requests, &n.Attempts, &n.Open); err != nil {
		t.Fatal(err)
	}
	return n
}

// until runs a Sink until done says that it has done enough, asked between
// batches.
func until(t testing.TB, c Config, done func(Stats) bool) Stats {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), 3*time.Minute)
	defer stop()
	w := &watched{Source: c.Source, between: make(chan struct{}, 1)}
	c.Source = w
	s := New(c)
	var running sync.WaitGroup
	running.Go(func() {
		if err := s.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	for !done(s.Stats()) && ctx.Err() == nil {
		select {
		case <-w.between:
		case <-ctx.Done():
			t.Errorf("the sink does not get there: %+v", s.Stats())
		}
	}
	stop()
	running.Wait()
	return s.Stats()
}

// watched tells when one batch is done and the next begins.
type watched struct {
	Source
	between chan struct{} // never closed
}

func (w *watched) Fetch(ctx context.Context, limit int, wait time.Duration) ([]Message, error) {
	select {
	case w.between <- struct{}{}:
	default:
	}
	return w.Source.Fetch(ctx, limit, wait)
}

var errKilled = errors.New("killed")

// mortal is a store whose process is killed at one write: before it, or after
// the commit and before the acknowledgement.
type mortal struct {
	store
	writes int // left
	kill   context.CancelFunc
}

func (m *mortal) write(ctx context.Context, b *batch) (written, error) {
	if m.writes--; m.writes > 0 {
		return m.store.write(ctx, b)
	}
	defer m.kill()
	if rand.IntN(2) == 0 {
		if _, err := m.store.write(context.WithoutCancel(ctx), b); err != nil {
			return written{}, err
		}
	}
	return written{}, errKilled
}

// small is a Source that gives few messages at a time, so that there are many
// batches to die in, and some left for the last sink.
type small struct{ Source }

func (s small) Fetch(ctx context.Context, _ int, wait time.Duration) ([]Message, error) {
	return s.Source.Fetch(ctx, 1+rand.IntN(4), wait)
}

func TestKilledSinkLosesAndRepeatsNothing(t *testing.T) {
	js, consumer := logServer(t)
	const requests = 7000 // 21,000 rows
	publishRecords(t, js, requests)
	s := openStore(t, t.TempDir())
	for range 6 { // at most 6 × 4 batches of 4 messages, of some 100; LOG may be empty before, for busy packs grow
		ctx, kill := context.WithTimeout(t.Context(), 5*time.Second)
		sink := New(Config{Source: small{FromConsumer(js, consumer)}, Store: &mortal{s, 1 + rand.IntN(4), kill}, Liveness: everyoneLives{}, Log: quiet})
		if err := sink.Run(ctx); err != nil {
			t.Fatal(err)
		}
		kill()
	}
	until(t, Config{Source: FromConsumer(js, consumer), Store: s, Liveness: everyoneLives{}, Log: quiet}, func(Stats) bool {
		n := counts(t, s)
		return n.Requests == requests && n.Attempts == 2*requests
	})
	if got := counts(t, s); got.Requests != requests || got.Attempts != 2*requests {
		t.Errorf("got %+v, want %d requests, %d attempts", got, requests, 2*requests)
	}
}

func TestDuplicatesAreCounted(t *testing.T) {
	js, consumer := logServer(t)
	message := usage.Encode("i-1",
		usage.Entry{Kind: usage.KindFinished, Attempt: &usage.Attempt{JobID: "a", Attempt: 1, Outcome: usage.OK}},
		usage.Entry{Kind: usage.KindRequest, Request: &usage.Request{JobID: "a", Outcome: usage.OK}},
	)
	for _, data := range [][]byte{message, message, []byte("\x01garbage"), []byte("garbage"), {0xff}, []byte(`{"a":1}`), message} {
		if _, err := js.Publish(t.Context(), "log.test", data); err != nil {
			t.Fatal(err)
		}
	}
	s := openStore(t, t.TempDir())
	got := until(t, Config{Source: FromConsumer(js, consumer), Store: s, Liveness: everyoneLives{}, Log: quiet}, func(st Stats) bool {
		return st.Requests+st.Attempts+st.Duplicates >= 6
	})
	if got.Requests != 1 || got.Attempts != 1 || got.Duplicates != 4 || got.Corrupt != 4 {
		t.Errorf("got %+v, want 1 request, 1 attempt, 4 duplicates, 4 corrupt", got)
	}
}

func TestNewerMessageStopsTheSink(t *testing.T) {
	js, consumer := logServer(t)
	newer := append([]byte{99}, usage.Encode("i-1")[1:]...)
	if _, err := js.Publish(t.Context(), "log.test", newer); err != nil {
		t.Fatal(err)
	}
	s := New(Config{Source: FromConsumer(js, consumer), Store: openStore(t, t.TempDir()), Liveness: everyoneLives{}, Log: quiet})
	if err := s.Run(t.Context()); !errors.Is(err, usage.ErrVersion) {
		t.Fatalf("got %v, want usage.ErrVersion", err)
	}
	info, err := consumer.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := info.NumPending + uint64(info.NumAckPending); got != 1 {
		t.Errorf("got %d messages left on LOG, want 1", got)
	}
}

// failing is a store that is away for some writes.
type failing struct {
	store
	failures int
}

func (f *failing) write(ctx context.Context, b *batch) (written, error) {
	if f.failures--; f.failures >= 0 {
		return written{}, errors.New("connection refused")
	}
	return f.store.write(ctx, b)
}

func TestStoreThatFailsIsTriedAgain(t *testing.T) {
	js, consumer := logServer(t)
	publishRecords(t, js, 100)
	s := openStore(t, t.TempDir())
	until(t, Config{Source: FromConsumer(js, consumer), Store: &failing{s, 2}, Liveness: everyoneLives{}, Log: quiet}, func(st Stats) bool {
		return st.Requests == 100
	})
	if got := counts(t, s); got.Requests != 100 || got.Attempts != 200 {
		t.Errorf("got %+v, want 100 requests, 200 attempts", got)
	}
}
