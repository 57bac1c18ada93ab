package telemetry

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"model-proxy/config"
	"model-proxy/internal/llm"
	"model-proxy/internal/usage"
)

// configured is a configuration of one model with one route.
func configured() *config.Snapshot {
	p := &config.Provider{Name: "main-azure", Vendor: "openai", Protocols: []llm.Protocol{llm.Azure}}
	m := &config.Model{LogicalName: "gpt", Routes: []*config.Route{{Provider: p, Model: "gpt-up"}}}
	return &config.Snapshot{Providers: map[string]*config.Provider{p.Name: p}, Models: map[string]*config.Model{"gpt": m}}
}

func newTestMetrics() (*Metrics, *prometheus.Registry) {
	r := prometheus.NewRegistry()
	return NewMetrics(r, configured), r
}

// figures are all series by name and labels: counters with their value,
// histograms with number and sum.
func figures(t testing.TB, r *prometheus.Registry) map[string]string {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, f := range families {
		for _, m := range f.Metric {
			var labels []string
			for _, l := range m.Label {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			value := fmt.Sprint(m.Counter.GetValue())
			if f.GetType() == dto.MetricType_HISTOGRAM {
				value = fmt.Sprintf("%d of %g", m.Histogram.GetSampleCount(), m.Histogram.GetSampleSum())
			}
			out[f.GetName()+"{"+strings.Join(labels, ",")+"}"] = value
		}
	}
	return out
}

func dollars(nano int64) *int64 { return &nano }

var (
	goodRequest = usage.Request{Endpoint: llm.ChatCompletions, Model: "gpt", Provider: "main-azure", Outcome: usage.OK, Stream: true, WorkerID: "w",
		QueueMS: 4, TTFTMS: 500, TotalMS: 2500, Spend: usage.Spend{CompletionTokens: 11, UsageSource: llm.UsageProvider}}
	goodAttempt = usage.Attempt{Provider: "main-azure", UpstreamModel: "gpt-up", Outcome: usage.OK, TTFTMS: 400, TotalMS: 2000,
		Spend: usage.Spend{PromptTokens: 10, CachedReadTokens: 4, CachedWriteTokens: 2, CompletionTokens: 11, ReasoningTokens: 3,
			UsageSource: llm.UsageProvider, CostNanoUSD: dollars(2_500_000)}}
)

func TestFiguresAreTheRecords(t *testing.T) {
	m, r := newTestMetrics()
	for range 2 {
		req, attempt := goodRequest, goodAttempt
		m.Recorded(usage.Entry{Kind: usage.KindStarted, Attempt: &attempt, Request: &req}) // not over yet
		m.Recorded(usage.Entry{Kind: usage.KindFinished, Attempt: &attempt, Request: &req})
		m.Recorded(usage.Entry{Kind: usage.KindRequest, Request: &req})
		m.Recorded(usage.Entry{Kind: usage.KindBody, Body: &usage.Body{}})
	}
	refused := usage.Attempt{Provider: "main-azure", UpstreamModel: "gpt-up", Outcome: usage.Error, Action: "model_key_failure", ErrorType: "rate_limited",
		TotalMS: 10, Spend: usage.Spend{UsageSource: llm.UsageNone}}
	m.Recorded(usage.Entry{Kind: usage.KindFinished, Attempt: &refused, Request: &goodRequest})
	m.Recorded(usage.Entry{Kind: usage.KindLost, Attempt: &usage.Attempt{Outcome: usage.WorkerLost, ErrorType: "worker_lost", TotalMS: 9}})
	m.Recorded(usage.Entry{Kind: usage.KindRequest, Request: &usage.Request{Endpoint: llm.Embeddings, Model: "gpt", Outcome: usage.Expired, ErrorType: "timed_out", TotalMS: 100}})
	const ops = "gen_ai_operation_name=chat,gen_ai_provider_name=azure.ai.openai,gen_ai_request_model="
	want := map[string]string{
		"model_proxy_requests_total{endpoint=/v1/chat/completions,model=gpt,outcome=ok}":                                                               "2",
		"model_proxy_requests_total{endpoint=/v1/embeddings,model=gpt,outcome=expired}":                                                                "1",
		"model_proxy_attempts_total{action=,model=gpt-up,outcome=ok,provider=main-azure}":                                                              "2",
		"model_proxy_attempts_total{action=model_key_failure,model=gpt-up,outcome=error,provider=main-azure}":                                          "1",
		"model_proxy_attempts_total{action=,model=,outcome=worker_lost,provider=}":                                                                     "1",
		"model_proxy_tokens_total{kind=prompt,model=gpt-up,provider=main-azure}":                                                                       "20",
		"model_proxy_tokens_total{kind=cached_read,model=gpt-up,provider=main-azure}":                                                                  "8",
		"model_proxy_tokens_total{kind=cached_write,model=gpt-up,provider=main-azure}":                                                                 "4",
		"model_proxy_tokens_total{kind=completion,model=gpt-up,provider=main-azure}":                                                                   "22",
		"model_proxy_tokens_total{kind=reasoning,model=gpt-up,provider=main-azure}":                                                                    "6",
		"model_proxy_cost_usd_total{model=gpt-up,provider=main-azure}":                                                                                 "0.005",
		"model_proxy_queue_wait_seconds{}":                                                                                                             "2 of 0.008",
		"gen_ai_server_request_duration_seconds{error_type=," + ops + "gpt}":                                                                           "2 of 5",
		"gen_ai_server_time_to_first_token_seconds{" + ops + "gpt}":                                                                                    "2 of 1",
		"gen_ai_server_time_per_output_token_seconds{" + ops + "gpt}":                                                                                  "2 of 0.4",
		"gen_ai_client_operation_duration_seconds{error_type=," + ops + "gpt-up}":                                                                      "2 of 4",
		"gen_ai_client_operation_duration_seconds{error_type=rate_limited," + ops + "gpt-up}":                                                          "1 of 0.01",
		"gen_ai_client_operation_time_to_first_chunk_seconds{" + ops + "gpt-up}":                                                                       "2 of 0.8",
		"gen_ai_client_token_usage{" + ops + "gpt-up,gen_ai_token_type=input}":                                                                         "2 of 20",
		"gen_ai_client_token_usage{" + ops + "gpt-up,gen_ai_token_type=output}":                                                                        "2 of 22",
		"gen_ai_server_request_duration_seconds{error_type=timed_out,gen_ai_operation_name=embeddings,gen_ai_provider_name=,gen_ai_request_model=gpt}": "1 of 0.1",
	}
	got := figures(t, r)
	maps.DeleteFunc(got, func(name, value string) bool { return value == "0" || strings.HasPrefix(value, "0 of") })
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("figures (-want +got):\n%s", d)
	}
}

// However many names come along that nobody has configured, there is one series
// for all of them.
func TestUnknownNamesCollapse(t *testing.T) {
	m, r := newTestMetrics()
	record := func(i int) {
		odd := fmt.Sprintf("odd-%d", i)
		m.Recorded(usage.Entry{Kind: usage.KindRequest, Request: &usage.Request{Endpoint: llm.Endpoint("/" + odd), Model: odd, Provider: odd,
			Outcome: usage.Outcome(odd), ErrorType: odd}})
		m.Recorded(usage.Entry{Kind: usage.KindFinished, Request: &goodRequest, Attempt: &usage.Attempt{Provider: odd, UpstreamModel: odd,
			Outcome: usage.Outcome(odd), Action: odd, ErrorType: odd}})
		m.Recorded(usage.Entry{Kind: usage.KindFinished, Request: &goodRequest, Attempt: &usage.Attempt{Provider: "main-azure", UpstreamModel: odd,
			Outcome: usage.OK}})
	}
	record(0)
	before := slices.Sorted(maps.Keys(figures(t, r)))
	for i := range 500 {
		record(i)
	}
	after := slices.Sorted(maps.Keys(figures(t, r)))
	if d := cmp.Diff(before, after); d != "" {
		t.Errorf("new series (-before +after):\n%s", d)
	}
	for _, name := range after {
		if strings.Contains(name, "odd") {
			t.Errorf("series %s has a name that is not configured", name)
		}
	}
	if got := figures(t, r)["model_proxy_requests_total{endpoint=other,model=other,outcome=other}"]; got != "501" {
		t.Errorf("requests under other: %s, want 501", got)
	}
}

func TestCountedAtOnce(t *testing.T) {
	m, r := newTestMetrics()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 100 {
				req, attempt := goodRequest, goodAttempt
				m.Recorded(usage.Entry{Kind: usage.KindFinished, Attempt: &attempt, Request: &req})
				m.Recorded(usage.Entry{Kind: usage.KindRequest, Request: &req})
			}
		})
	}
	all.Wait()
	for _, name := range []string{"model_proxy_requests_total{endpoint=/v1/chat/completions,model=gpt,outcome=ok}",
		"model_proxy_attempts_total{action=,model=gpt-up,outcome=ok,provider=main-azure}"} {
		if got := figures(t, r)[name]; got != "800" {
			t.Errorf("%s: %s, want 800", name, got)
		}
	}
}

// Counting a request whose series are there makes no garbage.
func TestCountingAllocatesNothing(t *testing.T) {
	m, _ := newTestMetrics()
	req, attempt := goodRequest, goodAttempt
	count := func() {
		m.Recorded(usage.Entry{Kind: usage.KindFinished, Attempt: &attempt, Request: &req})
		m.Recorded(usage.Entry{Kind: usage.KindRequest, Request: &req})
	}
	if n := testing.AllocsPerRun(100, count); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

func BenchmarkRecorded(b *testing.B) {
	m, _ := newTestMetrics()
	req, attempt := goodRequest, goodAttempt
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			m.Recorded(usage.Entry{Kind: usage.KindFinished, Attempt: &attempt, Request: &req})
			m.Recorded(usage.Entry{Kind: usage.KindRequest, Request: &req})
		}
	})
}
