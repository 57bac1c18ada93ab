package fault_test

import (
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"model-proxy/e2e/gatewaytest"
	"model-proxy/internal/provider/mock"
)

// An ingress may know a model before the workers do: it asks once more after a
// second, and then tells the client to come back. Nothing was called, so nothing
// counts as an attempt.
func TestModelThatNoWorkerKnowsYet(t *testing.T) {
	t.Parallel()
	u := gatewaytest.NewUpstream(t, mock.Options{})
	c := gatewaytest.NewCluster(t, u, gatewaytest.Setup{}, 1)
	c.Change(func(s *gatewaytest.Setup) {
		s.Files = map[string]gatewaytest.JSON{"models/new.json": gatewaytest.Model("new", "openai")}
	})
	g := c.AddIngress()
	p := gatewaytest.Protocols[0].Of("new")

	a := g.Do(t, p.Plain("hello").With("X-Request-Id", "too-early"))
	if a.Status != 503 || a.Header.Get("Retry-After") == "" || !strings.Contains(a.Body, "does not know the model") {
		t.Errorf("got %d, Retry-After %q: %s; want 503 that says why", a.Status, a.Header.Get("Retry-After"), a.Body)
	}
	if a.Took < 900*time.Millisecond || a.Active > 5*time.Second {
		t.Errorf("answered after %v, want one more try after 1 s", a.Took)
	}
	if row := g.AwaitRow(t, "too-early", soon); row.Outcome != "error" || row.Attempts != 0 {
		t.Errorf("record: %s with %d attempts, want error with none", row.Outcome, row.Attempts)
	}

	known := c.AddWorker(c.BusURL())
	known.AwaitLog(`"msg":"started"`, soon)
	var answers []<-chan gatewaytest.Answer
	for i := range 8 { // some come to the worker that does not know it first
		answers = append(answers, g.Go(t, p.Plain("hello").With("X-Request-Id", "mixed-"+strconv.Itoa(i))))
	}
	for i, answer := range answers {
		a, id := <-answer, "mixed-"+strconv.Itoa(i)
		want := map[int]int{200: 1, 503: 0} // attempts
		if row := g.AwaitRow(t, id, soon); row.Attempts != want[a.Status] || row.Status != a.Status {
			t.Errorf("%s after %v: got %d, record %d with %d attempts", id, a.Took, a.Status, row.Status, row.Attempts)
		}
	}
	c.Workers[0].Signal(syscall.SIGTERM)
	c.Workers[0].ExitCode(soon)
	if a := g.Do(t, p.Plain("hello").With("X-Request-Id", "in-time")); a.Status != 200 {
		t.Errorf("with a worker that knows it: got %d: %s", a.Status, a.Body)
	}
	if row := g.AwaitRow(t, "in-time", soon); row.Attempts != 1 {
		t.Errorf("record: %d attempts, want 1", row.Attempts)
	}
	if rows := g.AwaitAttempts(t, "in-time", 1, soon); rows[0].Attempt != 1 || !rows[0].Answered() {
		t.Errorf("attempt %d: %s, want 1: ok", rows[0].Attempt, rows[0].Outcome)
	}
}
