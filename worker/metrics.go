package worker

import "github.com/prometheus/client_golang/prometheus"

var (
	slotsDesc   = prometheus.NewDesc("model_proxy_worker_slots_used", "Jobs being served.", []string{"worker"}, nil)
	pendingDesc = prometheus.NewDesc("model_proxy_records_pending", "Records that LOG has not confirmed yet.", []string{"process"}, nil)
)

// Describe implements prometheus.Collector.
func (w *Worker) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(w, ch) }

// Collect implements prometheus.Collector.
func (w *Worker) Collect(ch chan<- prometheus.Metric) {
	ch <- prometheus.MustNewConstMetric(slotsDesc, prometheus.GaugeValue, float64(w.bus.Busy()), w.ID())
	ch <- prometheus.MustNewConstMetric(pendingDesc, prometheus.GaugeValue, float64(w.records.Pending()), w.ID())
}
