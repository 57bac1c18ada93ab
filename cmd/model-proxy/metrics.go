package main

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"model-proxy/internal/bus"
	"model-proxy/keysvc"
)

var (
	cooldownsDesc = prometheus.NewDesc("model_proxy_cooldowns", "Providers, keys and models at rest.", []string{"provider"}, nil)
	depthDesc     = prometheus.NewDesc("model_proxy_queue_depth", "Requests that wait for a worker.", nil, nil)
	slotsDesc     = prometheus.NewDesc("model_proxy_worker_slots_used", "Jobs being served.", nil, nil)
	pendingDesc   = prometheus.NewDesc("model_proxy_records_pending", "Records that LOG has not confirmed yet.", nil, nil)
	ageDesc       = prometheus.NewDesc("model_proxy_queue_oldest_seconds", "Age of the request that waits longest.", nil, nil)
)

// cooldowns shows what rests, when scraped.
type cooldowns struct{ keys *keysvc.Service }

func (c cooldowns) Describe(ch chan<- *prometheus.Desc) { ch <- cooldownsDesc }

func (c cooldowns) Collect(ch chan<- prometheus.Metric) {
	for provider, n := range c.keys.Cooldowns(time.Now()) {
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
		pending += w.Pending()
	}
	if r.node.ingress != nil {
		pending += r.node.ingress.Pending()
	}
	ch <- prometheus.MustNewConstMetric(slotsDesc, prometheus.GaugeValue, float64(busy))
	ch <- prometheus.MustNewConstMetric(pendingDesc, prometheus.GaugeValue, float64(pending))
}
