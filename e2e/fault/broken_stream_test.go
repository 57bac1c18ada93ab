package fault_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"model-proxy/e2e/gatewaytest"
	"model-proxy/internal/llm"
	"model-proxy/internal/provider/mock"
)

// brokenStreams are faults after the first answer byte: the stream ends with an
// error event, and is recorded as what it was.
var brokenStreams = []struct {
	name   string
	header []string
	want   []tried // any of them
}{
	{"cut", []string{"X-Mock-Cut-After", "6"}, []tried{{outcome: "cut", status: 200}}},
	{"malformed", []string{"X-Mock-Malformed-After", "6"}, []tried{{outcome: "cut", status: 200}}},
	{"stalled", []string{"X-Mock-Stall-After", "6"}, []tried{{outcome: "timeout", timer: "idle", status: 200}}},
	{"over time", []string{"X-Mock-Delay", "100ms", "X-Mock-Chunks", "500", "X-Model-Proxy-Timeout-Ms", "4000"},
		[]tried{{outcome: "cancelled", status: 200}, {outcome: "timeout", timer: "total", status: 200}}}, // the ingress or the worker's own timer
}

// A stream that breaks in the middle is never passed off as whole.
func TestBrokenStreams(t *testing.T) {
	t.Parallel()
	u := gatewaytest.NewUpstream(t, mock.Options{Fault: mock.Fault{Chunks: 20, Delay: 10 * time.Millisecond}})
	setup := gatewaytest.Setup{Files: map[string]gatewaytest.JSON{}, Env: []string{"BREAKER_FAILURES=1000"}}
	for _, p := range gatewaytest.Protocols {
		provider := map[string]string{"gpt": "openai", "claude": "anthropic"}[p.Model]
		setup.Files["models/"+p.Model+".json"] = gatewaytest.With(gatewaytest.Model(p.Model, provider), gatewaytest.JSON{"idle_timeout_seconds": 3})
	}
	g := gatewaytest.Run(t, u, setup)
	for _, b := range brokenStreams {
		for _, p := range gatewaytest.Protocols {
			t.Run(b.name+"/"+string(p.Protocol), func(t *testing.T) {
				id := b.name + "-" + string(p.Protocol)
				id = strings.ReplaceAll(id, " ", "-")
				a := g.Do(t, p.Stream("hello").With(append(b.header, "X-Request-Id", id)...))
				if a.Status != 200 || a.Err != nil {
					t.Errorf("got %d, %v; want 200 and a proper end of the body", a.Status, a.Err)
				}
				if err := p.CheckCut(a.Body, u.LastSent()); err != nil {
					t.Error(err)
				}
				if row := g.AwaitRow(t, id, soon); row.Outcome != "incomplete" || row.CompletionTokens == 0 {
					t.Errorf("request: %s with %d completion tokens, want incomplete with some", row.Outcome, row.CompletionTokens)
				}
				row := g.AwaitAttempts(t, id, 1, soon)[0]
				if got := (tried{row.Outcome, row.Timer, "", row.Status}); !slices.Contains(b.want, got) {
					t.Errorf("attempt: got %+v, want one of %+v", got, b.want)
				}
			})
		}
	}
}

// Only what is certain is mended: a missing [DONE] after a finish reason. A
// missing message_stop is a cut.
func TestMissingEnd(t *testing.T) {
	t.Parallel()
	u := gatewaytest.NewUpstream(t, mock.Options{})
	g := gatewaytest.Run(t, u, gatewaytest.Setup{})
	for _, p := range gatewaytest.Protocols {
		a := g.Do(t, p.Stream("hello").With("X-Mock-No-Done", "true", "X-Request-Id", string(p.Protocol)))
		sent := u.LastSent()
		if p.Protocol == llm.OpenAI {
			checkWhole(t, a, sent+"data: [DONE]\n\n")
			checkRecorded(t, g, string(p.Protocol))
			continue
		}
		if err := p.CheckCut(a.Body, sent); err != nil {
			t.Error(err)
		}
		checkBroken(t, g, string(p.Protocol), "cut")
	}
}

// A plain answer that breaks is no answer: nothing of it reaches the client.
func TestBrokenPlainAnswers(t *testing.T) {
	t.Parallel()
	u := gatewaytest.NewUpstream(t, mock.Options{})
	g := gatewaytest.Run(t, u, gatewaytest.Setup{})
	for _, fault := range []string{"X-Mock-Cut-After", "X-Mock-Malformed-After"} {
		for _, p := range gatewaytest.Protocols {
			a := g.Do(t, p.Plain("hello").With(fault, "1"))
			if a.Err != nil || a.Status != 502 {
				t.Errorf("%s: got %d, %v: %s; want 502", fault, a.Status, a.Err, a.Body)
			}
			if err := p.CheckError(a.Body); err != nil {
				t.Errorf("%s: %v", fault, err)
			}
		}
	}
}
