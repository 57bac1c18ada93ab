// Package telemetry_test follows requests through real processes by the spans
// that reach a collector and by the figures that Prometheus reads.
package telemetry_test

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"model-proxy/e2e/gatewaytest"
	"model-proxy/internal/provider/mock"
)

const soon = time.Minute // what happens as a matter of course

func TestMain(m *testing.M) { os.Exit(gatewaytest.Main(m)) }

// traceOf is the id of a client's n-th trace.
func traceOf(n int) string { return fmt.Sprintf("%032x", 0xabc000+n) }

// traced is a request of a client that has a trace of its own.
func traced(r gatewaytest.Request, n int) gatewaytest.Request {
	return r.With("traceparent", "00-"+traceOf(n)+"-00000000000000ff-01", "X-Request-Id", fmt.Sprintf("traced-%d", n))
}

// tree draws spans below their parents, each with what tells it from the others.
func tree(spans []gatewaytest.Span) string {
	var b strings.Builder
	var below func(parent, indent string)
	below = func(parent, indent string) {
		for _, s := range spans {
			if s.Parent != parent {
				continue
			}
			b.WriteString(indent + s.Kind + " " + s.Name)
			for _, key := range []string{"model_proxy.delivery", "model_proxy.attempt", "model_proxy.retry.cause", "error.type"} {
				if v, ok := s.Attributes[key]; ok {
					b.WriteString(" " + key[strings.LastIndexByte(key, '.')+1:] + "=" + v)
				}
			}
			b.WriteByte('\n')
			below(s.ID, indent+"  ")
		}
	}
	below("00000000000000ff", "")
	return b.String()
}

func checkTree(t *testing.T, c *gatewaytest.Collector, n int, want string) []gatewaytest.Span {
	t.Helper()
	want = strings.TrimPrefix(want, "\n")
	spans := c.AwaitTrace(traceOf(n), strings.Count(want, "\n"), soon)
	if got := tree(spans); got != want {
		t.Errorf("got the spans\n%swant\n%s", got, want)
	}
	return spans
}

// named is the first span of that name.
func named(t *testing.T, spans []gatewaytest.Span, name string) gatewaytest.Span {
	t.Helper()
	for _, s := range spans {
		if s.Name == name {
			return s
		}
	}
	t.Fatalf("no span %q in\n%s", name, tree(spans))
	return gatewaytest.Span{}
}

// checkQuiet looks for what must never be in a span.
func checkQuiet(t *testing.T, c *gatewaytest.Collector, words ...string) {
	t.Helper()
	for _, secret := range append(words, gatewaytest.ClientKey, gatewaytest.OpenAIKey, gatewaytest.AnthropicKey) {
		if strings.Contains(c.Raw(), secret) {
			t.Errorf("the spans hold %q", secret)
		}
	}
}

// One process with a single slot: the second request waits for the first, and
// its trace shows how long.
func TestWaitInTheQueueIsVisible(t *testing.T) {
	t.Parallel()
	c := gatewaytest.NewCollector(t)
	u := gatewaytest.NewUpstream(t, mock.Options{})
	const held = 300 * time.Millisecond
	arrived, release := make(chan struct{}), make(chan struct{})
	first := sync.OnceFunc(func() { close(arrived); <-release })
	u.Instead(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { first(); u.Mock.ServeHTTP(w, r) }))
	g := gatewaytest.Run(t, u, gatewaytest.Setup{Env: append(c.Environ(), "OTEL_SERVICE_NAME=gateway-under-test"), Flags: []string{"--concurrency", "1"}})
	answers := []<-chan gatewaytest.Answer{g.Go(t, traced(gatewaytest.Protocols[0].Plain("confidential words"), 1))}
	<-arrived
	answers = append(answers, g.Go(t, traced(gatewaytest.Protocols[1].Stream("confidential words"), 2)))
	gatewaytest.Await(t, soon, "the second request to be queued", func() bool { return g.Metrics().Sum("model_proxy_queue_depth") == 1 })
	time.AfterFunc(held, func() { close(release) })
	for n, answer := range answers {
		if a := <-answer; a.Status != 200 || a.Err != nil {
			t.Fatalf("request %d: %d, %v, %s", n+1, a.Status, a.Err, a.Body)
		}
	}
	checkTree(t, c, 1, `
SERVER POST /v1/chat/completions
  PRODUCER publish req.default
    CONSUMER process req.default delivery=1
      CLIENT chat gpt-upstream delivery=1 attempt=1
`)
	spans := checkTree(t, c, 2, `
SERVER POST /v1/messages
  PRODUCER publish req.default
    CONSUMER process req.default delivery=1
      CLIENT chat claude-upstream delivery=1 attempt=1
`)
	process, publish := named(t, spans, "process req.default"), named(t, spans, "publish req.default")
	if wait := process.Began.Sub(publish.Ended); wait < held {
		t.Errorf("from published to taken: %v, want at least %v", wait, held)
	}
	server, attempt := spans[0], named(t, spans, "chat claude-upstream")
	if server.Attributes["model_proxy.queue_ms"] == "" || server.Attributes["http.response.status_code"] != "200" || server.Service != "gateway-under-test" {
		t.Errorf("server span of %s: %v", server.Service, server.Attributes)
	}
	for key, want := range map[string]string{"gen_ai.operation.name": "chat", "gen_ai.provider.name": "anthropic", "gen_ai.request.model": "claude-upstream",
		"gen_ai.request.stream": "true", "gen_ai.request.max_tokens": "100000", "gen_ai.response.finish_reasons": "end_turn", "server.address": "127.0.0.1",
		"model_proxy.outcome": "ok"} {
		if got := attempt.Attributes[key]; got != want {
			t.Errorf("attempt: %s is %q, want %q", key, got, want)
		}
	}
	for _, key := range []string{"gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens", "gen_ai.response.id", "gen_ai.response.time_to_first_chunk", "model_proxy.key"} {
		if attempt.Attributes[key] == "" {
			t.Errorf("attempt: no %s", key)
		}
	}
	checkQuiet(t, c, "confidential")
	if row := g.AwaitRow(t, "traced-2", soon); row.TraceID != traceOf(2) {
		t.Errorf("record: trace_id %q, want %q", row.TraceID, traceOf(2))
	}
}

// A fallback is a second attempt below the same job, with the cause of it; a
// request that fails says in the log which trace it belongs to; one that is
// turned away leaves a span, but a stranger's leaves none.
func TestFallbackAndFailure(t *testing.T) {
	t.Parallel()
	c := gatewaytest.NewCollector(t)
	u := gatewaytest.NewUpstream(t, mock.Options{})
	u.FailKey(gatewaytest.OpenAIKey, mock.Fault{Status: 429})
	g := gatewaytest.Run(t, u, gatewaytest.Setup{Env: c.Environ(), Files: map[string]gatewaytest.JSON{
		"models/both.json": gatewaytest.Model("both", "openai", "anthropic")}})
	p := gatewaytest.Protocols[0]
	if a := g.Do(t, traced(p.Of("both").Stream("hello"), 1)); a.Status != 200 {
		t.Fatalf("got %d: %s", a.Status, a.Body)
	}
	spans := checkTree(t, c, 1, `
SERVER POST /v1/chat/completions
  PRODUCER publish req.default
    CONSUMER process req.default delivery=1
      CLIENT chat both-upstream delivery=1 attempt=1 type=rate_limited
      CLIENT chat both-upstream delivery=1 attempt=2 cause=rate_limited
`)
	if a := named(t, spans, "chat both-upstream").Attributes; a["model_proxy.action"] != "model_key_failure" || a["model_proxy.upstream_status"] != "429" {
		t.Errorf("first attempt: %v", a)
	}
	if a := g.Do(t, traced(p.Plain("hello").With("X-Mock-Status", "400"), 2)); a.Status != 400 {
		t.Errorf("got %d, want 400: %s", a.Status, a.Body)
	}
	line := g.AwaitLog(`"msg":"request failed"`, soon)
	if want := `"trace_id":"` + traceOf(2) + `"`; !strings.Contains(line, want) {
		t.Errorf("log: got %s, want %s in it", line, want)
	}
	if a := g.Do(t, traced(p.Of("nothing").Plain("hello"), 3)); a.Status != 404 {
		t.Errorf("got %d, want 404: %s", a.Status, a.Body)
	}
	spans = checkTree(t, c, 3, "SERVER POST /v1/chat/completions\n")
	if a := spans[0].Attributes; a["model_proxy.rejected.reason"] != "unknown_model" || a["http.response.status_code"] != "404" {
		t.Errorf("span of a request turned away: %v", a)
	}
	if a := g.Do(t, traced(p.Plain("hello").With("Authorization", "Bearer stranger"), 4)); a.Status != 401 {
		t.Errorf("got %d, want 401: %s", a.Status, a.Body)
	}
	g.Do(t, traced(p.Of("both").Plain("hello"), 5))
	c.AwaitTrace(traceOf(5), 4, soon) // by then the stranger's would have come too
	if n := len(c.Trace(traceOf(4))); n != 0 {
		t.Errorf("a stranger's request left %d spans, want none", n)
	}
}

// A worker that is killed cannot tell its attempt: the ingress does. The job's
// second delivery is below the same publication.
func TestKilledWorker(t *testing.T) {
	t.Parallel()
	c := gatewaytest.NewCollector(t)
	u := gatewaytest.NewUpstream(t, mock.Options{})
	u.Script(func(r *mock.Request) *mock.Fault {
		if r.Seq == 1 {
			return &mock.Fault{TTFT: time.Minute}
		}
		return nil
	})
	cluster := gatewaytest.NewCluster(t, u, gatewaytest.Setup{Env: c.Environ()}, 2)
	answer := cluster.Go(t, traced(gatewaytest.Protocols[0].Plain("hello"), 1))
	dead := cluster.Serving(u.AwaitRequests(1, soon)[0])
	dead.Kill()
	if a := <-answer; a.Status != 200 {
		t.Fatalf("got %d: %s", a.Status, a.Body)
	}
	checkTree(t, c, 1, `
SERVER POST /v1/chat/completions
  PRODUCER publish req.default
    CLIENT chat gpt-upstream delivery=1 attempt=1 type=worker_lost
    CONSUMER process req.default delivery=2
      CLIENT chat gpt-upstream delivery=2 attempt=2 cause=worker_lost
`)
	if n := cluster.Metrics().Sum(`model_proxy_attempts_total{action="",model="gpt-upstream",outcome="worker_lost",provider="openai"}`); n != 1 {
		t.Errorf("the ingress counts %v lost attempts, want 1", n)
	}
	for _, w := range cluster.Workers {
		if w != dead {
			if n := w.Metrics().Sum(`model_proxy_attempts_total{action="",model="gpt-upstream",outcome="ok",provider="openai"}`); n != 1 {
				t.Errorf("%s counts %v attempts that answered, want 1", w.Name, n)
			}
		}
	}
}

// A collector that does not answer costs spans and nothing else.
func TestCollectorAway(t *testing.T) {
	t.Parallel()
	u := gatewaytest.NewUpstream(t, mock.Options{})
	g := gatewaytest.Run(t, u, gatewaytest.Setup{Env: []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1", "OTEL_BSP_SCHEDULE_DELAY=50",
		"OTEL_EXPORTER_OTLP_TIMEOUT=200"}})
	for range 20 {
		if a := g.Do(t, gatewaytest.Protocols[0].Plain("hello")); a.Status != 200 {
			t.Fatalf("got %d: %s", a.Status, a.Body)
		}
	}
	g.AwaitLog(`"msg":"spans lost: the collector does not take them"`, soon)
	g.Signal(os.Interrupt)
	if code := g.ExitCode(soon); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
}
