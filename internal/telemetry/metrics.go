package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"model-proxy/config"
	"model-proxy/internal/llm"
	"model-proxy/internal/span"
	"model-proxy/internal/usage"
)

// other stands in a label for a name that the configuration does not have.
const other = "other"

// Metrics counts what requests and attempts leave behind: a figure here is the
// sum of the records. Labels are names from the configuration and words of this
// program, never a client, a key or anything a client has sent.
type Metrics struct {
	snapshot func() *config.Snapshot

	requests *family[requestLabels, requestSeries]
	attempts *family[attemptLabels, attemptSeries]

	// By name, as Prometheus keeps them.
	ended, attempted, tokens, cost    *prometheus.CounterVec
	served, firstToken, perToken      *prometheus.HistogramVec
	operation, firstChunk, tokenUsage *prometheus.HistogramVec
	queueWait                         prometheus.Histogram
}

// requestLabels tell one request's series from another's.
type requestLabels struct {
	endpoint        llm.Endpoint
	model, provider string // logical; "" where no provider was asked
	outcome         usage.Outcome
	fault           string // error type
}

type requestSeries struct {
	ended                        prometheus.Counter
	served, firstToken, perToken prometheus.Observer
}

// attemptLabels tell one attempt's series from another's.
type attemptLabels struct {
	endpoint        llm.Endpoint
	provider, model string // upstream
	outcome         usage.Outcome
	action, fault   string
}

type attemptSeries struct {
	attempted                       prometheus.Counter
	operation, firstChunk           prometheus.Observer
	input, output                   prometheus.Observer
	prompt, cachedRead, cachedWrite prometheus.Counter
	completion, reasoning, cost     prometheus.Counter
}

// NewMetrics returns Metrics that know the names of the configuration, and
// registers them.
func NewMetrics(r prometheus.Registerer, snapshot func() *config.Snapshot) *Metrics {
	m := &Metrics{snapshot: snapshot}
	m.requests, m.attempts = newFamily(m.newRequest), newFamily(m.newAttempt)
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
		r.MustRegister(v)
		return v
	}
	genAI := func(name, unit, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		for i := range labels {
			labels[i] = span.Prometheus(labels[i], "")
		}
		v := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: span.Prometheus(name, unit), Help: help, Buckets: buckets}, labels)
		r.MustRegister(v)
		return v
	}
	m.ended = counter("model_proxy_requests_total", "Requests that were admitted and are over.", "endpoint", "model", "outcome")
	m.attempted = counter("model_proxy_attempts_total", "Calls to upstreams that are over.", "provider", "model", "outcome", "action")
	m.tokens = counter("model_proxy_tokens_total", "Tokens used. prompt includes cached_read and cached_write, completion includes reasoning.", "provider", "model", "kind")
	m.cost = counter("model_proxy_cost_usd_total", "Cost of attempts with a known price, in US dollars.", "provider", "model")
	m.queueWait = prometheus.NewHistogram(prometheus.HistogramOpts{Name: "model_proxy_queue_wait_seconds",
		Help: "Time from a request's publication to its being taken by a worker.", Buckets: waitBuckets})
	r.MustRegister(m.queueWait)

	const op, provider, model, fault = span.LabelOperation, span.LabelProvider, span.LabelModel, span.LabelError
	m.served = genAI(span.ServerRequestDuration, "seconds", "Time from a request read to the end of its answer, for clients.", durationBuckets, op, provider, model, fault)
	m.firstToken = genAI(span.ServerTimeToFirstToken, "seconds", "Time from a request read to the first content of a stream, for clients.", firstTokenBuckets, op, provider, model)
	m.perToken = genAI(span.ServerTimePerToken, "seconds", "Time per token of a stream after the first, for clients.", perTokenBuckets, op, provider, model)
	m.operation = genAI(span.ClientOperationDuration, "seconds", "Duration of an attempt at an upstream.", durationBuckets, op, provider, model, fault)
	m.firstChunk = genAI(span.ClientTimeToFirstChunk, "seconds", "Time to the first content of an upstream's stream.", durationBuckets, op, provider, model)
	m.tokenUsage = genAI(span.ClientTokenUsage, "", "Tokens of an attempt.", tokenBuckets, op, provider, model, span.LabelTokenType)
	return m
}

// Buckets of the GenAI conventions, in seconds and tokens, and those of the wait
// in the queue, in seconds.
var (
	durationBuckets   = []float64{.01, .02, .04, .08, .16, .32, .64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92}
	firstTokenBuckets = []float64{.001, .005, .01, .02, .04, .06, .08, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10}
	perTokenBuckets   = []float64{.01, .025, .05, .075, .1, .15, .2, .3, .4, .5, .75, 1, 2.5}
	tokenBuckets      = []float64{1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864}
	waitBuckets       = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}
)

// Recorded counts a record that ends a request or an attempt, and passes over
// others. It does not block and keeps nothing. It is safe for concurrent use.
func (m *Metrics) Recorded(e usage.Entry) {
	switch e.Kind {
	case usage.KindRequest:
		m.request(e.Request)
	case usage.KindFinished, usage.KindLost:
		m.attempt(e.Request, e.Attempt)
	}
}

func (m *Metrics) request(rec *usage.Request) {
	k := requestLabels{rec.Endpoint, rec.Model, rec.Provider, rec.Outcome, rec.ErrorType}
	s := m.requests.get(k)
	if s == nil {
		s = m.requests.add(m.knownRequest(k))
	}
	s.ended.Inc()
	s.served.Observe(seconds(rec.TotalMS))
	if rec.WorkerID != "" { // a worker has taken it
		m.queueWait.Observe(seconds(rec.QueueMS))
	}
	if !rec.Stream || rec.TTFTMS == 0 {
		return
	}
	s.firstToken.Observe(seconds(rec.TTFTMS))
	if rec.Outcome == usage.OK && rec.CompletionTokens > 1 {
		s.perToken.Observe(seconds(rec.TotalMS-rec.TTFTMS) / float64(rec.CompletionTokens-1))
	}
}

// attempt counts an attempt. Of one whose worker was lost nobody knows the
// request, nor what it has used.
func (m *Metrics) attempt(of *usage.Request, rec *usage.Attempt) {
	if of == nil {
		of = &usage.Request{}
	}
	k := attemptLabels{of.Endpoint, rec.Provider, rec.UpstreamModel, rec.Outcome, rec.Action, rec.ErrorType}
	s := m.attempts.get(k)
	if s == nil {
		s = m.attempts.add(m.knownAttempt(k))
	}
	s.attempted.Inc()
	if rec.Outcome == usage.WorkerLost {
		return
	}
	s.operation.Observe(seconds(rec.TotalMS))
	if of.Stream && rec.TTFTMS > 0 {
		s.firstChunk.Observe(seconds(rec.TTFTMS))
	}
	if rec.CostNanoUSD != nil {
		s.cost.Add(float64(*rec.CostNanoUSD) / 1e9)
	}
	if of.Endpoint == llm.CountTokens {
		return // its answer has the count where others have their usage
	}
	if rec.UsageSource == llm.UsageProvider { // the convention wants no guesses
		s.input.Observe(float64(rec.PromptTokens))
		s.output.Observe(float64(rec.CompletionTokens))
	}
	s.prompt.Add(float64(rec.PromptTokens))
	s.cachedRead.Add(float64(rec.CachedReadTokens))
	s.cachedWrite.Add(float64(rec.CachedWriteTokens))
	s.completion.Add(float64(rec.CompletionTokens))
	s.reasoning.Add(float64(rec.ReasoningTokens))
}

func seconds(ms float64) float64 { return max(0, ms) / float64(time.Second/time.Millisecond) }

// newRequest makes the series of labels that are known.
func (m *Metrics) newRequest(k requestLabels) *requestSeries {
	op, provider := span.Operation(k.endpoint), m.wellKnown(k.provider)
	return &requestSeries{
		ended:      m.ended.WithLabelValues(string(k.endpoint), k.model, string(k.outcome)),
		served:     m.served.WithLabelValues(op, provider, k.model, k.fault),
		firstToken: m.firstToken.WithLabelValues(op, provider, k.model),
		perToken:   m.perToken.WithLabelValues(op, provider, k.model),
	}
}

// newAttempt makes the series of labels that are known.
func (m *Metrics) newAttempt(k attemptLabels) *attemptSeries {
	op, provider := span.Operation(k.endpoint), m.wellKnown(k.provider)
	tokens := func(kind string) prometheus.Counter { return m.tokens.WithLabelValues(k.provider, k.model, kind) }
	return &attemptSeries{
		attempted:  m.attempted.WithLabelValues(k.provider, k.model, string(k.outcome), k.action),
		operation:  m.operation.WithLabelValues(op, provider, k.model, k.fault),
		firstChunk: m.firstChunk.WithLabelValues(op, provider, k.model),
		input:      m.tokenUsage.WithLabelValues(op, provider, k.model, "input"),
		output:     m.tokenUsage.WithLabelValues(op, provider, k.model, "output"),
		prompt:     tokens("prompt"), cachedRead: tokens("cached_read"), cachedWrite: tokens("cached_write"),
		completion: tokens("completion"), reasoning: tokens("reasoning"),
		cost: m.cost.WithLabelValues(k.provider, k.model),
	}
}

// wellKnown is a configured provider's name in the GenAI conventions.
func (m *Metrics) wellKnown(name string) string {
	p := m.snapshot().Providers[name]
	if p == nil || len(p.Protocols) == 0 {
		return name
	}
	return span.Provider(p.Vendor, p.Protocols[0])
}
