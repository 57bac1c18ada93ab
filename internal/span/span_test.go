package span

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"model-proxy/internal/bus"
	"model-proxy/internal/llm"
	"model-proxy/internal/usage"
)

// keeper returns a Tracer and the spans that it has ended so far.
func keeper(s sdk.Sampler) (*Tracer, func() tracetest.SpanStubs) {
	kept := tracetest.NewInMemoryExporter()
	return New(sdk.NewTracerProvider(sdk.WithSyncer(kept), sdk.WithSampler(s))), kept.GetSpans
}

const clientsTrace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

// asked is a client's request.
func asked(header string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/v1/chat/completions", nil)
	if header != "" {
		r.Header.Set("Traceparent", header)
	}
	return r
}

// follow makes the spans of a request that is answered by its second attempt.
func follow(t *Tracer, r *http.Request) {
	q := t.Request(r, time.Now())
	job := &bus.Job{ID: "job-1", RequestID: "req-1", Endpoint: llm.ChatCompletions, Model: "gpt", Pool: "default", Lane: "normal",
		Client: "client-1", Trace: r.Header.Get("Traceparent"), Body: []byte(`{"messages":[{"role":"user","content":"secret words"}]}`)}
	q.Publish(job).End(nil)
	p := t.Process(&bus.Delivery{Job: *job, Number: 1, TimeLeft: time.Second}, "w-1", time.Now())
	rec := &usage.Attempt{Attempt: 1, Provider: "primary", UpstreamModel: "gpt-up", RouteID: "a", KeyFP: "0123456789ab", UpstreamProtocol: llm.OpenAI}
	call := Call{Record: rec, Endpoint: job.Endpoint, Vendor: "openai", ServedModel: "gpt", URL: "https://api.example.com/v1/chat?key=x", Body: job.Body, Began: time.Now()}
	first := p.Attempt(call)
	rec.Outcome, rec.ErrorType, rec.ErrorMessage, rec.Status, rec.UsageSource = usage.Error, "rate_limited", "you said: secret words", 429, llm.UsageNone
	rec.Action = "model_key_failure"
	first.End(rec, Answer{})
	call.RetryCause, call.Stream = "rate_limited", true
	call.Body = []byte(`{"max_tokens":7,"temperature":0.5,"n":2,"seed":3,"top_p":1,"stop":"secret words","messages":[]}`)
	rec = &usage.Attempt{Attempt: 2, Provider: "backup", UpstreamModel: "claude-up", UpstreamProtocol: llm.Anthropic}
	call.Record, call.Vendor = rec, "anthropic"
	second := p.Attempt(call)
	rec.Outcome, rec.Status, rec.TTFTMS = usage.OK, 200, 250
	rec.Spend = usage.Spend{PromptTokens: 10, CachedReadTokens: 4, CachedWriteTokens: 1, CompletionTokens: 20, ReasoningTokens: 5, UsageSource: llm.UsageProvider}
	second.End(rec, Answer{ID: "msg_1", Model: "claude-up-2026", Finish: "end_turn"})
	p.End()
	q.End(&usage.Request{RequestID: "req-1", JobID: "job-1", Model: "gpt", Outcome: usage.OK, Status: 200, Attempts: 2, Deliveries: 1, QueueMS: 1.5})
}

func TestSpansOfARequest(t *testing.T) {
	tracer, spans := keeper(sdk.AlwaysSample())
	follow(tracer, asked(clientsTrace))
	want := []struct {
		name, parent string
		kind         trace.SpanKind
		attributes   map[string]string // all of them are there, as text
		not          []string          // none of these are
	}{
		{"POST /v1/chat/completions", "00f067aa0ba902b7", trace.SpanKindServer, map[string]string{"http.request.method": "POST",
			"http.route": "/v1/chat/completions", "http.response.status_code": "200", "model_proxy.queue_ms": "1.5", "model_proxy.attempts": "2"}, []string{"error.type"}},
		{"publish req.default", "POST /v1/chat/completions", trace.SpanKindProducer, map[string]string{"messaging.system": "nats",
			"messaging.operation.type": "send", "messaging.message.id": "job-1", "messaging.destination.name": "req.default"}, nil},
		{"process req.default", "publish req.default", trace.SpanKindConsumer, map[string]string{
			"messaging.operation.type": "process", "model_proxy.delivery": "1", "model_proxy.worker": "w-1"}, []string{"error.type"}},
		{"chat gpt-up", "process req.default", trace.SpanKindClient, map[string]string{"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai",
			"gen_ai.request.model": "gpt-up", "error.type": "rate_limited", "model_proxy.action": "model_key_failure", "server.address": "api.example.com",
			"server.port": "443", "model_proxy.key": "0123456789ab", "openai.api.type": "chat_completions", "model_proxy.upstream_status": "429"},
			[]string{"gen_ai.usage.input_tokens", "model_proxy.retry.cause"}},
		{"chat claude-up", "process req.default", trace.SpanKindClient, map[string]string{"gen_ai.provider.name": "anthropic",
			"gen_ai.request.stream": "true", "gen_ai.request.max_tokens": "7", "gen_ai.request.temperature": "0.5", "gen_ai.request.choice.count": "2",
			"gen_ai.request.seed": "3", "gen_ai.usage.input_tokens": "10", "gen_ai.usage.cache_read.input_tokens": "4",
			"gen_ai.usage.cache_creation.input_tokens": "1", "gen_ai.usage.output_tokens": "20", "gen_ai.usage.reasoning.output_tokens": "5",
			"gen_ai.response.finish_reasons": `["end_turn"]`, "gen_ai.response.id": "msg_1", "gen_ai.response.model": "claude-up-2026",
			"gen_ai.response.time_to_first_chunk": "0.25", "model_proxy.retry.cause": "rate_limited"}, []string{"error.type", "openai.api.type"}},
	}
	got := map[string]tracetest.SpanStub{}
	ids := map[string]string{}
	for _, s := range spans() {
		got[s.Name] = s
		ids[s.SpanContext.SpanID().String()] = s.Name
		if id := s.SpanContext.TraceID().String(); id != TraceID(clientsTrace) {
			t.Errorf("%s: trace %s, want the client's", s.Name, id)
		}
		for _, a := range s.Attributes {
			if strings.Contains(a.Value.String(), "secret words") {
				t.Errorf("%s: %s holds what the client said: %s", s.Name, a.Key, a.Value.String())
			}
		}
		if s.Status.Description != "" {
			t.Errorf("%s: description %q, want none", s.Name, s.Status.Description)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d spans, want %d", len(got), len(want))
	}
	for _, w := range want {
		s, ok := got[w.name]
		if !ok {
			t.Errorf("no span %q among %v", w.name, ids)
			continue
		}
		parent := s.Parent.SpanID().String()
		if name, ok := ids[parent]; ok {
			parent = name
		}
		if parent != w.parent || s.SpanKind != w.kind {
			t.Errorf("%s: parent %s, kind %v, want %s, %v", w.name, parent, s.SpanKind, w.parent, w.kind)
		}
		has := map[string]string{}
		for _, a := range s.Attributes {
			has[string(a.Key)] = a.Value.String()
		}
		for k, v := range w.attributes {
			if has[k] != v {
				t.Errorf("%s: %s is %q, want %q", w.name, k, has[k], v)
			}
		}
		for _, k := range w.not {
			if v, ok := has[k]; ok {
				t.Errorf("%s: %s is %q, want none", w.name, k, v)
			}
		}
	}
}

// A request that is turned away has a span of its own; one that is our fault is
// a failure.
func TestRefused(t *testing.T) {
	for status, code := range map[int]string{429: "Unset", 503: "Error"} {
		tracer, spans := keeper(sdk.AlwaysSample())
		tracer.Request(asked(""), time.Now()).Refused("rpm", status)
		if s := spans(); len(s) != 1 || s[0].Status.Code.String() != code {
			t.Errorf("%d: got %d spans, status %v, want one with %s", status, len(s), s[0].Status, code)
		}
	}
}

// An attempt that died with its worker is told by the ingress.
func TestLost(t *testing.T) {
	tracer, spans := keeper(sdk.AlwaysSample())
	begun := time.Now().Add(-time.Second)
	tracer.Lost(bus.Loss{Job: &bus.Job{Endpoint: llm.Messages, Model: "m", Trace: clientsTrace}, Worker: "w-1", Delivery: 1, Number: 1,
		Begun: begun, Attempt: &bus.Attempt{Provider: "p", UpstreamModel: "up"}}, "openai")
	tracer.Lost(bus.Loss{Job: &bus.Job{}}, "") // without a trace there is nothing to tell
	s := spans()
	if len(s) != 1 || s[0].Name != "chat up" || !s[0].StartTime.Equal(begun) || s[0].Status.Code.String() != "Error" {
		t.Errorf("got %+v, want one failed span from %v", s, begun)
	}
}

// What is not sampled is not kept, nor by the worker, whatever the client wants:
// the job goes on with the client's trace, if there is one, marked as not kept.
func TestNotSampled(t *testing.T) {
	for _, c := range []struct {
		name, header string
		sampler      sdk.Sampler
	}{
		{"the client does not", strings.TrimSuffix(clientsTrace, "1") + "0", sdk.ParentBased(sdk.AlwaysSample())},
		{"the client does, we do not", clientsTrace, sdk.NeverSample()},
		{"no client's trace", "", sdk.NeverSample()},
	} {
		tracer, spans := keeper(c.sampler)
		follow(tracer, asked(c.header))
		if n := len(spans()); n != 0 {
			t.Errorf("%s: %d spans kept, want none", c.name, n)
		}
		job := &bus.Job{Trace: c.header}
		tracer.Request(asked(c.header), time.Now()).Publish(job)
		if parent, _ := Parent(job.Trace, ""); TraceID(job.Trace) != TraceID(c.header) || parent.IsSampled() {
			t.Errorf("%s: job has %q, want the trace of %q, not sampled", c.name, job.Trace, c.header)
		}
	}
}

func TestProvider(t *testing.T) {
	got := map[string]string{}
	for _, vendor := range []string{"openai", "anthropic", "mistral", "xai", "acme"} {
		got[vendor] = Provider(vendor, llm.OpenAI)
	}
	got["at Azure"], got["at Google"] = Provider("openai", llm.Azure), Provider("google", llm.Gemini)
	want := map[string]string{"openai": "openai", "anthropic": "anthropic", "mistral": "mistral_ai", "xai": "x_ai", "acme": "acme",
		"at Azure": "azure.ai.openai", "at Google": "gcp.gemini"}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("names of providers (-want +got):\n%s", d)
	}
}

// off goes the way of a request that is not traced.
func off(r *http.Request, job *bus.Job, d *bus.Delivery, call Call, req *usage.Request) {
	var none *Tracer
	q := none.Request(r, call.Began)
	q.Publish(job).End(nil)
	p := none.Process(d, "w", call.Began)
	p.Attempt(call).End(call.Record, Answer{})
	p.Failed("cause")
	p.End()
	q.End(req)
}

func TestOffCostsNothing(t *testing.T) {
	r := asked("")
	job, d, req := &bus.Job{}, &bus.Delivery{}, &usage.Request{}
	call := Call{Record: &usage.Attempt{}, Began: time.Now()}
	if n := testing.AllocsPerRun(100, func() { off(r, job, d, call, req) }); n != 0 {
		t.Errorf("%v allocations for a request that is not traced, want none", n)
	}
	if job.Trace != "" {
		t.Errorf("the job has the trace %q, want none", job.Trace)
	}
}

func BenchmarkOff(b *testing.B) {
	r := asked("")
	job, d, req := &bus.Job{}, &bus.Delivery{}, &usage.Request{}
	call := Call{Record: &usage.Attempt{}, Began: time.Now()}
	b.ReportAllocs()
	for b.Loop() {
		off(r, job, d, call, req)
	}
}

// BenchmarkDropped is what a request pays that is traced and not sampled.
func BenchmarkDropped(b *testing.B) {
	tracer := New(sdk.NewTracerProvider(sdk.WithSampler(sdk.ParentBased(sdk.TraceIDRatioBased(0)))))
	r, job, d, req := asked(""), &bus.Job{}, &bus.Delivery{}, &usage.Request{}
	b.ReportAllocs()
	for b.Loop() {
		q := tracer.Request(r, time.Now())
		q.Publish(job).End(nil)
		d.Trace = job.Trace
		tracer.Process(d, "w", time.Now()).End()
		q.End(req)
	}
}

// BenchmarkRequest makes the five spans of one request.
func BenchmarkRequest(b *testing.B) {
	for name, s := range map[string]sdk.Sampler{"kept": sdk.AlwaysSample(), "1 in 100": sdk.TraceIDRatioBased(0.01), "dropped": sdk.NeverSample()} {
		b.Run(name, func(b *testing.B) {
			tracer := New(sdk.NewTracerProvider(sdk.WithSampler(s)))
			r := asked("")
			b.ReportAllocs()
			for b.Loop() {
				follow(tracer, r)
			}
		})
	}
}
