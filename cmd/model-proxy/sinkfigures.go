package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"model-proxy/logsink"
)

var (
	sinkLagDesc     = prometheus.NewDesc("model_proxy_sink_lag_messages", "Messages of LOG that are not stored.", nil, nil)
	sinkStalledDesc = prometheus.NewDesc("model_proxy_sink_stalled_seconds", "How long the batch in hand has been waiting for the store.", nil, nil)
	sinkWritesDesc  = prometheus.NewDesc("model_proxy_sink_writes", "1 if this log sink writes, 0 if it stands by for another.", nil, nil)
	sinkRowsDesc    = prometheus.NewDesc("model_proxy_sink_rows_total", "Rows stored.", []string{"table"}, nil)
	sinkRepeatDesc  = prometheus.NewDesc("model_proxy_sink_duplicates_total", "Entries left out because their row existed.", nil, nil)
)

// sinkFigures shows how the log sink is doing, when scraped.
type sinkFigures struct{ sink *logsink.Sink }

func (f sinkFigures) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{sinkLagDesc, sinkStalledDesc, sinkWritesDesc, sinkRowsDesc, sinkRepeatDesc} {
		ch <- d
	}
}

func (f sinkFigures) Collect(ch chan<- prometheus.Metric) {
	s := f.sink.Stats()
	writes := 0.0
	if s.Writes {
		writes = 1
	}
	ch <- prometheus.MustNewConstMetric(sinkLagDesc, prometheus.GaugeValue, float64(s.Lag.Messages))
	ch <- prometheus.MustNewConstMetric(sinkStalledDesc, prometheus.GaugeValue, s.Lag.Stalled.Seconds())
	ch <- prometheus.MustNewConstMetric(sinkWritesDesc, prometheus.GaugeValue, writes)
	ch <- prometheus.MustNewConstMetric(sinkRepeatDesc, prometheus.CounterValue, float64(s.Duplicates))
	for table, n := range map[string]int64{"requests": s.Requests, "attempts": s.Attempts, "bodies": s.Bodies} {
		ch <- prometheus.MustNewConstMetric(sinkRowsDesc, prometheus.CounterValue, float64(n), table)
	}
}
