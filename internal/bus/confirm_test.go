package bus

import (
	"log/slog"
	"testing"
	"time"
)

// A worker that has slept and whose ingress is gone hears at once, each time that
// it asks, that nobody is there. It does not ask again as fast as it is told so.
func TestConfirmOfAGoneIngress(t *testing.T) {
	t.Parallel()
	srv, err := StartServer(ServerConfig{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Shutdown)
	conn, err := Connect(t.Context(), Config{Server: srv, QueueMaxRequests: 10, QueueMaxPerClient: 10, QueueMaxBytes: 1 << 20, LogMaxBytes: 1 << 20,
		Log: slog.New(slog.DiscardHandler)}, "worker")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	w := NewWorker(conn, WorkerConfig{ID: NewWorkerID(), Log: slog.New(slog.DiscardHandler)})
	w.hard = t.Context()
	if _, err := conn.nc.Subscribe("C."+w.id+".*", w.control); err != nil {
		t.Fatal(err)
	}
	r := &Run{Delivery: Delivery{reply: "R." + NewIngressID() + ".token"}}
	w.register(r)
	defer r.end(nil)
	before, began := conn.nc.Stats().OutMsgs, time.Now()
	r.confirm()
	asked, seconds := conn.nc.Stats().OutMsgs-before, time.Since(began).Seconds()
	if !r.absent || float64(asked) > seconds+2 {
		t.Errorf("told that nobody is there: %v; asked %d times in %.1f s, want one question a second", r.absent, asked, seconds)
	}
}
