package ingress

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// reasons are all values of model_proxy_rejected_total{reason}: a closed set.
var reasons = []string{"auth", "rpm", "tpm", "parallel", "queue_client", "queue_full", "too_large", "invalid", "unknown_model", "bus", "draining"}

// metrics are counted with atomics and read when scraped, so that the hot path
// pays for one addition.
type metrics struct {
	inFlight atomic.Int64
	reject   [16]atomic.Int64 // by index in reasons
}

func (m *metrics) rejected(reason string) {
	for i, r := range reasons {
		if r == reason {
			m.reject[i].Add(1)
		}
	}
}

var (
	rejectedDesc = prometheus.NewDesc("model_proxy_rejected_total", "Requests turned away before the queue.", []string{"reason"}, nil)
	inFlightDesc = prometheus.NewDesc("model_proxy_inflight_requests", "Requests admitted and not yet over.", nil, nil)
	reservedDesc = prometheus.NewDesc("model_proxy_limit_reserved", "What this ingress holds of its clients' limits.", []string{"kind"}, nil)
	bodiesDesc   = prometheus.NewDesc("model_proxy_body_bytes", "Bytes of request bodies held.", nil, nil)
	workersDesc  = prometheus.NewDesc("model_proxy_workers_seen", "Workers heard of in the last two seconds.", nil, nil)
)

// Held is the number of requests that wait here for their client's turn.
func (s *Server) Held() int64 { return s.bus.Held() }

// Describe implements prometheus.Collector.
func (s *Server) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(s, ch) }

// Collect implements prometheus.Collector.
func (s *Server) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v int64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(v), labels...)
	}
	for i, r := range reasons {
		ch <- prometheus.MustNewConstMetric(rejectedDesc, prometheus.CounterValue, float64(s.metrics.reject[i].Load()), r)
	}
	held := s.limits.Reserved()
	gauge(reservedDesc, held.Requests, "requests")
	gauge(reservedDesc, held.Tokens, "tokens")
	gauge(reservedDesc, held.Parallel, "parallel")
	gauge(inFlightDesc, s.metrics.inFlight.Load())
	gauge(bodiesDesc, s.bodies.held.Load())
	gauge(workersDesc, int64(s.bus.Workers()))
}
