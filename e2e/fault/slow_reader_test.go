package fault_test

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"model-proxy/e2e/gatewaytest"
	"model-proxy/internal/provider/mock"
)

// patient waits long for the first of what the simulated provider has to make.
var patient = gatewaytest.Setup{Files: map[string]gatewaytest.JSON{
	"models/gpt.json": gatewaytest.With(gatewaytest.Model("gpt", "openai"), gatewaytest.JSON{"timeout_seconds": 500})}}

// A client that stops reading is slowed by itself: it loses no byte, the other
// streams keep their pace, and the gateway does not hold what it has not read.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	const (
		others = 199
		chunks = 50
		size   = 64 << 20 // of the slow one's answer, far beyond every buffer on its way
	)
	u := gatewaytest.NewUpstream(t, mock.Options{})
	g := gatewaytest.Run(t, u, patient)
	p := gatewaytest.Protocols[0]
	slow := g.MustOpen(t, p.Stream("slow").With("X-Request-Id", "slow", "X-Mock-Text", "word", "X-Mock-Body-Size", "67108864", "X-Mock-Chunks", "4000"))
	slow.MustEvents(t, 2)
	gatewaytest.Await(t, patience, "the slow one's upstream to be slowed", func() bool { return g.Metrics().Sum("model_proxy_relay_stalled") == 1 })
	before := g.RSS(t)

	took := make([]time.Duration, others)
	var all sync.WaitGroup
	for i := range others {
		all.Go(func() {
			a := g.Do(t, p.Stream("quick").With("X-Mock-Delay", "20ms", "X-Mock-Chunks", "50"))
			if took[i] = a.Active; a.Err != nil || !p.Ended(a.Body) {
				t.Errorf("stream %d: %d, %v", i, a.Status, a.Err)
			}
		})
	}
	all.Wait()
	slices.Sort(took)
	const pace = chunks * 20 * time.Millisecond
	t.Logf("%d streams of %v each: p50 %v, p99 %v, slowest %v", others, pace, took[others/2], took[others*99/100], took[others-1])
	if median := took[others/2]; median > 2*pace+time.Second {
		t.Errorf("half of the other streams took over %v, want about %v", median, pace)
	}
	rss := g.RSS(t)
	t.Logf("memory with one slow reader: %d MiB, with 199 more streams: %d MiB", before>>20, rss>>20)
	if rss > 192<<20 {
		t.Errorf("the gateway holds %d MiB, want far less", rss>>20)
	}
	got, err := slow.Rest()
	u.AwaitOver(patience) // the last write is noted once it has returned
	// On a busy machine the simulated provider itself can be silent for 15 s.
	if want := u.Sent()[0]; err != nil || strings.ReplaceAll(got, ": keep-alive\n\n", "") != want || len(got) < size {
		t.Errorf("the slow reader got %d bytes, %v; want the %d the upstream sent", len(got), err, len(want))
	}
	if row := g.AwaitRow(t, "slow", soon); row.Outcome != "ok" || row.BytesOut != int64(len(got)) {
		t.Errorf("the slow reader's request: got %s with %d bytes, want ok with %d", row.Outcome, row.BytesOut, len(got))
	}
}

// The same holds where the roles are processes of their own: neither the ingress
// nor the worker, nor NATS between them, holds what one client has not read.
func TestSlowReaderOfACluster(t *testing.T) {
	t.Parallel()
	const size = 64 << 20
	u := gatewaytest.NewUpstream(t, mock.Options{})
	c := gatewaytest.NewCluster(t, u, patient, 1)
	p := gatewaytest.Protocols[0]
	slow := c.MustOpen(t, p.Stream("slow").With("X-Request-Id", "slow", "X-Mock-Text", "word", "X-Mock-Body-Size", "67108864", "X-Mock-Chunks", "4000"))
	slow.MustEvents(t, 2)
	gatewaytest.Await(t, patience, "the slow one's upstream to be slowed", func() bool { return c.Workers[0].Metrics().Sum("model_proxy_relay_stalled") == 1 })
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			a := c.Do(t, p.Stream("quick").With("X-Mock-Delay", "20ms", "X-Mock-Chunks", "50"))
			if a.Err != nil || !p.Ended(a.Body) || a.Active > 5*time.Second {
				t.Errorf("another stream: %d, %v after %v; want it whole after 1 s", a.Status, a.Err, a.Active)
			}
		})
	}
	all.Wait()
	ingress, worker := c.RSS(t), c.Workers[0].RSS(t)
	t.Logf("memory with one slow reader: ingress %d MiB, worker %d MiB", ingress>>20, worker>>20)
	if ingress > 128<<20 || worker > 128<<20 {
		t.Errorf("ingress and worker hold %d and %d MiB, want far less", ingress>>20, worker>>20)
	}
	got, err := slow.Rest()
	u.AwaitOver(patience)
	if want := u.Sent()[0]; err != nil || strings.ReplaceAll(got, ": keep-alive\n\n", "") != want || len(got) < size {
		t.Errorf("the slow reader got %d bytes, %v; want the %d the upstream sent", len(got), err, len(want))
	}
	checkRecorded(t, c.Gateway, "slow")
}
