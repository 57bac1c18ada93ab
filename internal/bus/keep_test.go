package bus

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"model-proxy/internal/llm"
)

// A queue that was lost gets again what it had. What came after the connection's
// return is in the new queue: it would be run twice at a time.
func TestResubmit(t *testing.T) {
	srv, err := StartServer(ServerConfig{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Shutdown)
	conn, err := Connect(t.Context(), Config{Server: srv, QueueMaxRequests: 10, QueueMaxPerClient: 10, QueueMaxBytes: 1 << 20, LogMaxBytes: 1 << 20,
		Log: slog.New(slog.DiscardHandler)}, "ingress")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	if err := conn.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	i := NewIngress(conn, IngressConfig{ID: NewIngressID(), Log: slog.New(slog.DiscardHandler)})
	ctx, stop := context.WithCancel(t.Context())
	started, over := make(chan struct{}), make(chan error, 1)
	go func() { over <- i.Run(ctx, started) }()
	<-started
	stop() // nobody else resubmits, or sweeps
	if err := <-over; err != nil {
		t.Fatal(err)
	}
	acked := func(id string) *Call {
		c, err := i.Submit(&Job{ID: id, Client: id, Endpoint: llm.ChatCompletions, Pool: DefaultPool, Lane: DefaultLane,
			Deadline: time.Now().Add(time.Minute), Body: []byte("{}")})
		if err != nil {
			t.Fatal(err)
		}
		c.queued(1)
		return c
	}
	old := acked("old")
	conn.times.Add(1)
	young := acked("young")
	i.queueMade = time.Time{}
	if err := i.resubmit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := []int{old.State().Deliveries, young.State().Deliveries}; got[0] != 2 || got[1] != 1 {
		t.Errorf("got deliveries %v, want 2 of the job from before, 1 of the one after", got)
	}
}
