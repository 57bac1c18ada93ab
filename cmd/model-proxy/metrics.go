package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"model-proxy/config"
	"model-proxy/internal/bus"
	"model-proxy/internal/llm"
	"model-proxy/keysvc"
	"model-proxy/logsink"
)

// docs/metrics.md lists every metric; its table is made from what a gateway shows.
var (
	cooldownsDesc = prometheus.NewDesc("model_proxy_cooldowns", "Providers, keys and models at rest.", []string{"provider"}, nil)
	depthDesc     = prometheus.NewDesc("model_proxy_queue_depth", "Requests that wait for a worker.", nil, nil)
	slotsDesc     = prometheus.NewDesc("model_proxy_worker_slots_used", "Jobs being served.", nil, nil)
	pendingDesc   = prometheus.NewDesc("model_proxy_records_pending", "Records that LOG has not confirmed yet and, where the sink runs, messages that are not stored yet.", nil, nil)
	ageDesc       = prometheus.NewDesc("model_proxy_queue_oldest_seconds", "Age of the request that waits longest.", nil, nil)
	stalledDesc   = prometheus.NewDesc("model_proxy_relay_stalled", "Answers that wait at this moment because their clients are a whole credit window behind.", nil, nil)
	stallsDesc    = prometheus.NewDesc("model_proxy_relay_stalls_total", "How often an answer had to wait for its client.", nil, nil)
	keysDesc      = prometheus.NewDesc("model_proxy_keys", "Keys of providers that models use.", []string{"provider", "state"}, nil)
)

// routed are the providers that a model has a route to.
func routed(s *config.Snapshot) map[string]bool {
	names := map[string]bool{}
	for _, m := range s.Models {
		for _, r := range m.Routes {
			names[r.Provider.Name] = true
		}
	}
	return names
}

// newCooldownEvents counts cooldowns. Every provider's count begins at 0, so that
// the first event is an increase.
func newCooldownEvents(s *config.Snapshot) *prometheus.CounterVec {
	events := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "model_proxy_cooldown_events_total",
		Help: "Cooldowns begun, or lengthened by a second or more."}, []string{"provider", "scope"})
	for name := range routed(s) {
		for _, scope := range []llm.Scope{llm.ScopeKey, llm.ScopeKeyModel, llm.ScopeProvider, llm.ScopeBreaker} {
			events.WithLabelValues(name, string(scope))
		}
	}
	return events
}

// newUnpriced counts what nobody knows the price of. The count of every model
// that has a route without a price begins at 0.
func newUnpriced(s *config.Snapshot) *prometheus.CounterVec {
	unpriced := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "model_proxy_unpriced_total",
		Help: "Attempts that used tokens of a model without a price."}, []string{"model"})
	for name, m := range s.Models {
		for _, r := range m.Routes {
			if r.Price == nil {
				unpriced.WithLabelValues(name)
			}
		}
	}
	return unpriced
}

// buildInfo names the version.
func buildInfo() prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "model_proxy_build_info", Help: "Always 1; the labels say what runs.",
		ConstLabels: prometheus.Labels{"version": version, "go": runtime.Version()}}, func() float64 { return 1 })
}

// cooldowns shows what rests, and which keys do not, when scraped.
type cooldowns struct {
	keys     *keysvc.Service
	snapshot func() *config.Snapshot
}

func (c cooldowns) Describe(ch chan<- *prometheus.Desc) { ch <- cooldownsDesc; ch <- keysDesc }

func (c cooldowns) Collect(ch chan<- prometheus.Metric) {
	resting := c.keys.Cooldowns(time.Now())
	for name := range routed(c.snapshot()) {
		resting[name] += 0
	}
	for provider, n := range resting {
		ch <- prometheus.MustNewConstMetric(cooldownsDesc, prometheus.GaugeValue, float64(n), provider)
	}
	for provider, n := range keyCounts(c.keys.List(time.Now(), c.snapshot()), c.snapshot()) {
		ch <- prometheus.MustNewConstMetric(keysDesc, prometheus.GaugeValue, float64(n.Usable), provider, "usable")
		ch <- prometheus.MustNewConstMetric(keysDesc, prometheus.GaugeValue, float64(n.Keys-n.Usable), provider, "resting")
	}
}

// queueDepth asks the queue, when scraped, and the ingress what it holds back.
type queueDepth struct {
	conn *bus.Conn
	held func() int64
}

func (q queueDepth) Describe(ch chan<- *prometheus.Desc) { ch <- depthDesc; ch <- ageDesc }

func (q queueDepth) Collect(ch chan<- prometheus.Metric) {
	ctx, stop := context.WithTimeout(context.Background(), time.Second)
	defer stop()
	queue, err := q.conn.Queue(ctx)
	if err != nil {
		return // no figure is better than a wrong one
	}
	ch <- prometheus.MustNewConstMetric(depthDesc, prometheus.GaugeValue, float64(queue.Depth+q.held()))
	ch <- prometheus.MustNewConstMetric(ageDesc, prometheus.GaugeValue, queue.Oldest.Seconds())
}

// roleTotals sums up what every role of the process counts.
type roleTotals struct{ node *node }

func (r roleTotals) Describe(ch chan<- *prometheus.Desc) {
	ch <- slotsDesc
	ch <- pendingDesc
	ch <- stalledDesc
	ch <- stallsDesc
}

func (r roleTotals) Collect(ch chan<- prometheus.Metric) {
	var busy, pending, stalled, stalls int64
	for _, w := range r.node.workers {
		busy += w.Busy()
		s := w.Stalls()
		stalled += s.Now
		stalls += s.Total
	}
	if r.node.records != nil {
		pending = r.node.records.Pending()
	}
	if r.node.sink != nil {
		pending += int64(r.node.sink.Lag().Messages) // of at least one record each
	}
	ch <- prometheus.MustNewConstMetric(slotsDesc, prometheus.GaugeValue, float64(busy))
	ch <- prometheus.MustNewConstMetric(pendingDesc, prometheus.GaugeValue, float64(pending))
	ch <- prometheus.MustNewConstMetric(stalledDesc, prometheus.GaugeValue, float64(stalled))
	ch <- prometheus.MustNewConstMetric(stallsDesc, prometheus.CounterValue, float64(stalls))
}

// sinkState shows what the log sink has done and what lies before it.
type sinkState struct{ sink *logsink.Sink }

var (
	sinkLagDesc     = prometheus.NewDesc("model_proxy_sink_lag_messages", "Messages of LOG that are not stored yet.", nil, nil)
	sinkStalledDesc = prometheus.NewDesc("model_proxy_sink_stalled_seconds", "How long the batch in hand has been waiting for the store.", nil, nil)
	sinkWritesDesc  = prometheus.NewDesc("model_proxy_sink_writes", "1 if this log sink writes, 0 if it stands by for another.", nil, nil)
	sinkOpenDesc    = prometheus.NewDesc("model_proxy_sink_open_jobs", "Jobs of which something is not over.", nil, nil)
	sinkRowsDesc    = prometheus.NewDesc("model_proxy_sink_rows_total", "Rows stored.", []string{"table"}, nil)
	sinkAgainDesc   = prometheus.NewDesc("model_proxy_sink_duplicates_total", "Records left out because their rows were there.", nil, nil)
	sinkCorruptDesc = prometheus.NewDesc("model_proxy_sink_corrupt_total", "Messages that could not be read.", nil, nil)
)

func (s sinkState) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(s, ch) }

func (s sinkState) Collect(ch chan<- prometheus.Metric) {
	now := s.sink.Stats()
	gauge := func(d *prometheus.Desc, v float64) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v)
	}
	count := func(d *prometheus.Desc, v int64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	gauge(sinkLagDesc, float64(now.Lag.Messages))
	gauge(sinkStalledDesc, now.Lag.Stalled.Seconds())
	writes := 0.0
	if now.Writes {
		writes = 1
	}
	gauge(sinkWritesDesc, writes)
	gauge(sinkOpenDesc, float64(now.Open))
	count(sinkRowsDesc, now.Requests, "requests")
	count(sinkRowsDesc, now.Attempts, "attempts")
	count(sinkRowsDesc, now.Bodies, "bodies")
	count(sinkAgainDesc, now.Duplicates)
	count(sinkCorruptDesc, now.Corrupt)
}

func (n *node) metricsHandler() http.Handler {
	return promhttp.HandlerFor(n.registry, promhttp.HandlerOpts{})
}

// startMetrics serves /metrics and /health on --metrics-listen, for roles
// without a port.
func (n *node) startMetrics(ctx context.Context) error {
	if n.flags.metricsListen == "" {
		return nil
	}
	listener, err := net.Listen("tcp", n.flags.metricsListen)
	if err != nil {
		return fmt.Errorf("--metrics-listen: %w", err)
	}
	n.log.Info("metrics", "address", listener.Addr().String())
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", n.metricsHandler())
	mux.HandleFunc("GET /health", n.health)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, WriteTimeout: time.Minute}
	n.start(ctx, "metrics", func(ctx context.Context) error {
		defer context.AfterFunc(ctx, func() { _ = server.Close() })()
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	return nil
}
