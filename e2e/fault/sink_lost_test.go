package fault_test

import (
	"strconv"
	"testing"

	"model-proxy/e2e/gatewaytest"
	"model-proxy/internal/provider/mock"
)

// A log sink that is killed over and over loses no record and stores none twice.
func TestSinkKilled(t *testing.T) {
	t.Parallel()
	const rounds, each = 5, 40
	u := gatewaytest.NewUpstream(t, mock.Options{})
	c := gatewaytest.NewCluster(t, u, gatewaytest.Setup{}, 1)
	asked, served := 0, 0 // the queue of a busy machine may not confirm one in time: that has its row too
	for range rounds {
		for i := range each {
			p := gatewaytest.Protocols[i%2]
			a := c.Do(t, p.Stream("hello").With("X-Request-Id", strconv.Itoa(asked)))
			asked++
			switch {
			case a.Status == 200:
				served++
			case !a.Unconfirmed():
				t.Fatalf("got %d: %s", a.Status, a.Body)
			}
		}
		c.Sink.Kill() // with the last records still on their way
		c.RestartSink()
	}
	gatewaytest.Await(t, patience, "every record", func() bool {
		return len(c.Requests(t, "")) >= asked && len(c.Attempts(t, "")) >= served
	})
	ids := map[string]int{}
	for _, row := range c.Requests(t, "") {
		ids[row.RequestID]++
	}
	calls := len(u.Requests())
	gatewaytest.Await(t, patience, "every attempt", func() bool { return len(c.Attempts(t, "")) >= calls })
	attempts := c.Attempts(t, "")
	if len(ids) != asked || len(c.Requests(t, "")) != asked || len(attempts) != calls || served < asked/2 {
		t.Errorf("got %d requests with %d ids and %d attempts, want %d of each; %d were served and %d calls made",
			len(c.Requests(t, "")), len(ids), len(attempts), asked, served, calls)
	}
}
