//go:build linux

package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"model-proxy/bench/internal/hist"
)

func TestTable(t *testing.T) {
	run := func(p50, cpu float64, failed int64) result {
		r := result{OK: 99, RPS: 1000, Latency: hist.Summary{P50: p50, P99: 10 * p50}}
		r.Watched.CPUPer1000, r.Watched.RSSMax = cpu, 64<<20
		if failed > 0 {
			r.Errors = map[string]int64{"timeout": failed}
		}
		return r
	}
	got := table(scenario{name: "plain-1000", columns: plain}, rounds{
		"direct":  {run(100, 0, 0), run(120, 0, 0)},
		"floor":   {run(200, 0.1, 0), run(220, 0.2, 0)},
		"gateway": {run(300, 0.2, 1), run(320, 0.2, 0)},
	})
	want := `
plain-1000 

| target | answers/s | p50 µs | p99 µs | added p50 | added p99 | CPU µs each | CPU ÷ floor | RSS MiB | errors % |
|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|
| direct | 1000 | 110 (100…120) | 1100 (1000…1200) | 0 | 0 | – | – | – | 0.00 |
| floor | 1000 | 210 (200…220) | 2100 (2000…2200) | 100 | 1000 | 150 (100…200) | 1.00 | 64 | 0.00 |
| gateway | 1000 | 310 (300…320) | 3100 (3000…3200) | 200 | 2000 | 200 | 1.50 (1.00…2.00) | 64 | 0.50 (0.00…1.00) |`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
}
