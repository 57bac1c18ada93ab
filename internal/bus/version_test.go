package bus_test

import (
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"model-proxy/internal/bus"
	"model-proxy/internal/bus/bustest"
	"model-proxy/internal/llm"
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

// A worker that gets a job of another version says so at once: the client is not
// left to its deadline.
func TestJobOfAnotherVersionIsAnswered(t *testing.T) {
	nearAndApart(t, func(t *testing.T, g *gateway) {
		call := g.submitFor("a", bus.LaneNormal)
		js := bustest.Connect(t, g.cfg, "test").JetStream()
		queue, err := js.Stream(t.Context(), "REQ")
		if err != nil {
			t.Fatal(err)
		}
		var job *jetstream.RawStreamMsg
		bustest.Wait(t, "the job to be in the queue", func() bool {
			job, err = queue.GetMsg(t.Context(), 1)
			return err == nil
		})
		newer := &nats.Msg{Subject: job.Subject, Data: job.Data, Header: job.Header}
		newer.Header.Set("Mp-Job", strings.Replace(job.Header.Get("Mp-Job"), "v=1;", "v=2;", 1))
		newer.Header.Set(nats.MsgIdHdr, "newer")
		if err := queue.DeleteMsg(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		if _, err := js.PublishMsg(t.Context(), newer); err != nil {
			t.Fatal(err)
		}
		w, _ := g.worker(1, echo)
		_, end := collect(t, call)
		if end.Err == nil || end.Err.Kind != llm.Unavailable || !strings.Contains(end.Err.Message, "version") || end.Attempts != 0 {
			t.Errorf("got %+v, want a word about versions and no attempt", end)
		}
		call.Close()
		if _, end := collect(t, g.submitFor("a", bus.LaneNormal)); end.Err != nil || w.Busy() > 1 {
			t.Errorf("the next job: %v", end.Err)
		}
	})
}
