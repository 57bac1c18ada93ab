package nats_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"model-proxy/e2e/gatewaytest"
	"model-proxy/internal/provider/mock"
)

// NATS has no room left on disk, and the spools are full: what cannot be recorded
// is not accepted, with the time to come back. Once the sink works again so does
// everything, and each request that was served has its rows.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	const room = 2 << 20
	u := gatewaytest.NewUpstream(t, mock.Options{Fault: mock.Fault{Text: "short"}})
	n := gatewaytest.StartNATSWith(t, server.Options{JetStreamMaxStore: room})
	c := gatewaytest.NewClusterOn(t, n, u, gatewaytest.Setup{Env: []string{"LOG_BODIES=all",
		"LOG_MAX_BYTES=" + strconv.Itoa(room), "SPOOL_MAX_BYTES=" + strconv.Itoa(room/8)}}, 1)
	c.Sink.Kill()
	p := gatewaytest.Protocols[0]
	long := strings.Repeat("a long question ", 4000) // 64 KB, of which the records keep a copy
	served, last := 0, gatewaytest.Answer{Status: 200}
	for ; last.Status == 200 && served < 500; served++ {
		last = c.Do(t, p.Plain(long).With("X-Request-Id", "full-"+strconv.Itoa(served)))
	}
	served--
	t.Logf("%d requests served before the disk was full", served)
	if served < room/len(long)/2 {
		t.Errorf("only %d requests served: the log was not what was full", served)
	}
	for _, p := range gatewaytest.Protocols {
		a := c.Do(t, p.Stream("hello").With("X-Request-Id", "refused"))
		if a.Status != 503 || a.Header.Get("Retry-After") == "" {
			t.Errorf("with a full disk: got %d, Retry-After %q: %s; want 503 with a time", a.Status, a.Header.Get("Retry-After"), a.Body)
		}
		if err := p.CheckError(a.Body); err != nil {
			t.Error(err)
		}
	}
	c.RestartSink()
	gatewaytest.Await(t, patience, "requests to be taken again", func() bool {
		return c.Do(t, p.Plain("hello").With("X-Request-Id", "again")).Status == 200
	})
	for i := range served {
		id := "full-" + strconv.Itoa(i)
		if row := c.AwaitRow(t, id, patience); row.Outcome != "ok" {
			t.Errorf("%s: got %s, want ok", id, row.Outcome)
		}
	}
	gatewaytest.Await(t, patience, "an attempt's row for each call", func() bool { return len(c.Attempts(t, "")) >= len(u.Requests()) })
	if got, calls := len(c.Attempts(t, "")), len(u.Requests()); got != calls {
		t.Errorf("%d rows of attempts for %d calls", got, calls)
	}
	if rows := c.Requests(t, "refused"); len(rows) > 0 {
		t.Errorf("what was refused has %d rows, want none", len(rows))
	}
}
