package worker

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"model-proxy/config"
	"model-proxy/convert"
	"model-proxy/internal/bus"
	"model-proxy/internal/llm"
	"model-proxy/internal/provider"
	"model-proxy/internal/usage"
	"model-proxy/router"
)

// attemptAt is an attempt of a client's request, with its exchange, at a provider
// of a protocol.
func attemptAt(t *testing.T, endpoint llm.Endpoint, p *config.Provider, protocol llm.Protocol, header http.Header) *attempt {
	t.Helper()
	body := []byte(`{"model":"m","max_tokens":10,"stream":true,"messages":[{"role":"user","content":"hello"}]}`)
	run := &bus.Run{Delivery: bus.Delivery{Job: bus.Job{Endpoint: endpoint, Model: "m", Stream: true, Header: header, Body: body}}}
	a := &attempt{job: &job{w: &Worker{}, run: run, began: time.Now()}, began: time.Now(),
		step: router.Step{Attempt: 1, Protocol: protocol, Route: &config.Route{Provider: p, Model: "m-upstream"}}}
	if err := a.convert(a.job.input()); err != nil {
		t.Fatal(err)
	}
	return a
}

// Only what is meant for an upstream reaches it.
func TestHeaderForUpstream(t *testing.T) {
	client := http.Header{"User-Agent": {"sdk/1"}, "Anthropic-Version": {"2024-01-01"}, "Anthropic-Beta": {"good-1, bad-1", "good-2"},
		"Openai-Beta": {"x"}, "X-Secret": {"s"}, "X-Listed": {"l"}}
	for _, c := range []struct {
		name     string
		endpoint llm.Endpoint
		protocol llm.Protocol
		provider config.Provider
		want     http.Header
	}{
		{"same protocol", llm.Messages, llm.Anthropic, config.Provider{Quirks: llm.Quirks{BlockBetas: []string{"bad-1"}}},
			http.Header{"User-Agent": {"sdk/1"}, "Anthropic-Version": {"2024-01-01"}, "Anthropic-Beta": {"good-1,good-2"}}},
		{"another protocol", llm.ChatCompletions, llm.Anthropic, config.Provider{},
			http.Header{"User-Agent": {"sdk/1"}, "Anthropic-Version": {"2023-06-01"}}},
		{"from Anthropic's", llm.Messages, llm.OpenAI, config.Provider{}, http.Header{"User-Agent": {"sdk/1"}, "Openai-Beta": {"x"}}},
		{"the provider's own", llm.ChatCompletions, llm.OpenAI, config.Provider{Headers: map[string]string{"x-own": "o", "user-agent": "ours"}},
			http.Header{"User-Agent": {"ours"}, "Anthropic-Version": {"2024-01-01"}, "Anthropic-Beta": {"good-1, bad-1", "good-2"}, "Openai-Beta": {"x"}, "X-Own": {"o"}}},
	} {
		a := attemptAt(t, c.endpoint, &c.provider, c.protocol, client)
		got := a.header(a.job.input())
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

// An upstream's id is passed on unless it is so long that clients would refuse
// the answer's head for it.
func TestUpstreamID(t *testing.T) {
	long := strings.Repeat("x", 100_000)
	for _, c := range []struct {
		header http.Header
		want   string
	}{
		{http.Header{}, ""},
		{http.Header{"X-Request-Id": {"req_1"}, "Request-Id": {"req_2"}}, "req_1"},
		{http.Header{"X-Request-Id": {long}}, ""},
		{http.Header{"X-Request-Id": {long}, "Request-Id": {"req_2"}}, "req_2"},
	} {
		a := attemptAt(t, llm.ChatCompletions, &config.Provider{}, llm.OpenAI, nil)
		if got := a.head(&provider.Answer{Status: http.StatusOK, Header: c.header}).UpstreamID; got != c.want {
			t.Errorf("got the id %.20q, want %q", got, c.want)
		}
	}
}

// chunk is an event of a chat stream.
func chunk(text, finish string) llm.Event {
	end := "null"
	if finish != "" {
		end = `"` + finish + `"`
	}
	return llm.Event{Data: []byte(`{"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"` + text + `"},"finish_reason":` + end + `}]}`)}
}

// What one read brings is converted up to the answer's end, or to an event that is
// not understood: what came before that is good.
func TestConvertEvents(t *testing.T) {
	done, bad := llm.Event{Data: []byte("[DONE]")}, llm.Event{Data: []byte(`{"broken`)}
	for _, c := range []struct {
		name   string
		events []llm.Event
		n      int
		done   bool
		bad    string
	}{
		{"a piece", []llm.Event{chunk("a", "")}, 1, false, ""},
		{"several pieces", []llm.Event{chunk("a", ""), chunk("b", "")}, 2, false, ""},
		{"to the end", []llm.Event{chunk("a", ""), chunk("", "stop"), done}, 3, true, ""},
		{"nothing after the end", []llm.Event{chunk("", "stop"), done, bad}, 2, true, ""},
		{"up to a broken one", []llm.Event{chunk("a", ""), bad, chunk("b", "")}, 1, false, `{"broken`},
	} {
		a := attemptAt(t, llm.ChatCompletions, &config.Provider{}, llm.OpenAI, nil)
		a.s = a.x.Stream()
		out, got := a.convertEvents(nil, c.events)
		if got.Events != c.n || got.done != c.done || string(got.bad) != c.bad || (got.err != nil) != (c.bad != "") {
			t.Errorf("%s: got %d events, done %t, bad %q (%v), %q; want %d, %t, %q", c.name, got.Events, got.done, got.bad, got.err, out, c.n, c.done, c.bad)
		}
	}
}

// What an attempt has used, by how it ended and whether the upstream had answered.
func TestUsed(t *testing.T) {
	for _, c := range []struct {
		name    string
		outcome usage.Outcome
		status  int
		ok      bool
		source  llm.UsageSource
	}{
		{"refused by the upstream", usage.Error, 429, false, ""},
		{"never answered", usage.TimedOut, 0, false, ""},
		{"stopped before the answer", usage.Cancelled, 0, true, llm.UsageEstimated},
		{"stopped within the answer", usage.Cancelled, 200, true, llm.UsageEstimated},
		{"stopped after a refusal", usage.Cancelled, 500, false, ""},
	} {
		a := attemptAt(t, llm.ChatCompletions, &config.Provider{}, llm.OpenAI, nil)
		a.status = c.status
		u, ok := a.used(c.outcome)
		if ok != c.ok || u.Source != c.source || ok && u.Prompt != convert.EstimateTokens(len(a.x.Body())) {
			t.Errorf("%s: got %+v, %t; want source %q, %t", c.name, u, ok, c.source, c.ok)
		}
	}
	if _, ok := (&attempt{}).used(usage.OK); ok {
		t.Error("an attempt that was never prepared has used something")
	}
}
