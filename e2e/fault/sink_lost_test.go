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
	for round := range rounds {
		for i := range each {
			p := gatewaytest.Protocols[i%2]
			if a := c.Do(t, p.Stream("hello").With("X-Request-Id", strconv.Itoa(round*each+i))); a.Status != 200 {
				t.Fatalf("got %d: %s", a.Status, a.Body)
			}
		}
		c.Sink.Kill() // with the last records still on their way
		c.RestartSink()
	}
	gatewaytest.Await(t, patience, "every record", func() bool {
		return len(c.Requests(t, "")) >= rounds*each && len(c.Attempts(t, "")) >= rounds*each
	})
	ids := map[string]int{}
	for _, row := range c.Requests(t, "") {
		ids[row.RequestID]++
	}
	attempts := c.Attempts(t, "")
	if len(ids) != rounds*each || len(c.Requests(t, "")) != rounds*each || len(attempts) != rounds*each {
		t.Errorf("got %d requests with %d ids and %d attempts, want %d of each", len(c.Requests(t, "")), len(ids), len(attempts), rounds*each)
	}
}
