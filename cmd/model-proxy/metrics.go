package main

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"model-proxy/config"
	"model-proxy/internal/bus"
	"model-proxy/internal/llm"
	"model-proxy/keysvc"
)

var (
	cooldownsDesc = prometheus.NewDesc("model_proxy_cooldowns", "Providers, keys and models at rest.", []string{"provider"}, nil)
	depthDesc     = prometheus.NewDesc("model_proxy_queue_depth", "Requests that wait for a worker.", nil, nil)
	slotsDesc     = prometheus.NewDesc("model_proxy_worker_slots_used", "Jobs being served.", nil, nil)
	pendingDesc   = prometheus.NewDesc("model_proxy_records_pending", "Records that LOG has not confirmed yet.", nil, nil)
	ageDesc       = prometheus.NewDesc("model_proxy_queue_oldest_seconds", "Age of the request that waits longest.", nil, nil)
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

// cooldowns shows what rests, when scraped.
type cooldowns struct {
	keys     *keysvc.Service
	snapshot func() *config.Snapshot
}

func (c cooldowns) Describe(ch chan<- *prometheus.Desc) { ch <- cooldownsDesc }

func (c cooldowns) Collect(ch chan<- prometheus.Metric) {
	resting := c.keys.Cooldowns(time.Now())
	for name := range routed(c.snapshot()) {
		resting[name] += 0
	}
	for provider, n := range resting {
		ch <- prometheus.MustNewConstMetric(cooldownsDesc, prometheus.GaugeValue, float64(n), provider)
	}
}

// queueDepth asks the queue, when scraped.
type queueDepth struct{ conn *bus.Conn }

func (q queueDepth) Describe(ch chan<- *prometheus.Desc) { ch <- depthDesc; ch <- ageDesc }

func (q queueDepth) Collect(ch chan<- prometheus.Metric) {
	ctx, stop := context.WithTimeout(context.Background(), time.Second)
	defer stop()
	queue, err := q.conn.Queue(ctx)
	if err != nil {
		return // no figure is better than a wrong one
	}
	ch <- prometheus.MustNewConstMetric(depthDesc, prometheus.GaugeValue, float64(queue.Depth))
	ch <- prometheus.MustNewConstMetric(ageDesc, prometheus.GaugeValue, queue.Oldest.Seconds())
}

// roleTotals sums up what every role of the process counts.
type roleTotals struct{ node *node }

func (r roleTotals) Describe(ch chan<- *prometheus.Desc) { ch <- slotsDesc; ch <- pendingDesc }

func (r roleTotals) Collect(ch chan<- prometheus.Metric) {
	var busy, pending int64
	for _, w := range r.node.workers {
		busy += w.Busy()
	}
	if r.node.records != nil {
		pending = r.node.records.Pending()
	}
	ch <- prometheus.MustNewConstMetric(slotsDesc, prometheus.GaugeValue, float64(busy))
	ch <- prometheus.MustNewConstMetric(pendingDesc, prometheus.GaugeValue, float64(pending))
}
