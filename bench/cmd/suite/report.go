//go:build linux

package main

import (
	"fmt"
	"slices"
	"strings"
)

// column is one figure of a table, taken from a target's result and from those
// of the others in the same round.
type column struct {
	title, form string
	value       func(r result, beside round) float64
}

// round is what no gateway, the reverse proxy and the gateway have come to.
type round struct{ direct, floor, gateway result }

var (
	plain = []column{rps,
		{"p50 µs", "%.0f", func(r result, _ round) float64 { return r.Latency.P50 }},
		{"p99 µs", "%.0f", func(r result, _ round) float64 { return r.Latency.P99 }},
		{"added p50", "%.0f", func(r result, b round) float64 { return r.Latency.P50 - b.direct.Latency.P50 }},
		{"added p99", "%.0f", func(r result, b round) float64 { return r.Latency.P99 - b.direct.Latency.P99 }},
		cpu, ratio, rss, errs,
	}
	stream = []column{rps,
		{"TTFT p50 µs", "%.0f", func(r result, _ round) float64 { return r.TTFT.P50 }},
		{"TTFT p99 µs", "%.0f", func(r result, _ round) float64 { return r.TTFT.P99 }},
		{"added p50", "%.0f", func(r result, b round) float64 { return r.TTFT.P50 - b.direct.TTFT.P50 }},
		{"added p99", "%.0f", func(r result, b round) float64 { return r.TTFT.P99 - b.direct.TTFT.P99 }},
		cpu, ratio, rss, errs,
	}

	converted = append(stream[:len(stream):len(stream)], passed)

	rps    = column{"answers/s", "%.0f", func(r result, _ round) float64 { return r.RPS }}
	cpu    = column{"CPU µs each", "%.0f", func(r result, _ round) float64 { return 1000 * r.Watched.CPUPer1000 }}
	ratio  = column{"CPU ÷ floor", "%.2f", func(r result, b round) float64 { return r.Watched.CPUPer1000 / b.floor.Watched.CPUPer1000 }}
	passed = column{"CPU ÷ pass-through", "%.2f", func(r result, b round) float64 { return r.Watched.CPUPer1000 / b.gateway.Watched.CPUPer1000 }}
	rss    = column{"RSS MiB", "%.0f", func(r result, _ round) float64 { return float64(r.Watched.RSSMax) / (1 << 20) }}
	errs   = column{"errors %", "%.2f", func(r result, _ round) float64 { return r.errorShare() }}
)

// watched are the columns that need a process to watch.
var watched = []string{cpu.title, ratio.title, passed.title, rss.title}

// errorShare is the share of requests that went wrong, in percent.
func (r result) errorShare() float64 {
	var n int64
	for _, e := range r.Errors {
		n += e
	}
	if n == 0 {
		return 0
	}
	return 100 * float64(n) / float64(n+r.OK)
}

// table is one scenario's figures: the median of the rounds, and behind it from
// the least to the most.
func table(s scenario, rs rounds) string {
	var sb strings.Builder
	fmt.Fprintf(&sb, "\n%s %s\n\n| target |", s.name, s.pace)
	for _, c := range s.columns {
		fmt.Fprintf(&sb, " %s |", c.title)
	}
	fmt.Fprintf(&sb, "\n|---|%s", strings.Repeat("---:|", len(s.columns)))
	for _, name := range []string{"direct", "floor", "old", "roles", "gateway", converting} {
		if rs[name] == nil {
			continue
		}
		fmt.Fprintf(&sb, "\n| %s |", name)
		for _, c := range s.columns {
			cell := c.cell(rs[name], rs)
			if name == "direct" && slices.Contains(watched, c.title) {
				cell = "–" // there is no process to watch
			}
			fmt.Fprintf(&sb, " %s |", cell)
		}
	}
	return sb.String()
}

func (c column) cell(own []result, rs rounds) string {
	direct, floor, gateway := rs["direct"], rs["floor"], rs["gateway"]
	values := make([]float64, min(len(own), len(direct), len(floor), len(gateway)))
	for i := range values {
		values[i] = c.value(own[i], round{direct[i], floor[i], gateway[i]})
	}
	if len(values) == 0 {
		return ""
	}
	slices.Sort(values)
	n := len(values)
	cell := fmt.Sprintf(c.form, (values[(n-1)/2]+values[n/2])/2)
	if least, most := fmt.Sprintf(c.form, values[0]), fmt.Sprintf(c.form, values[n-1]); least != most {
		cell += fmt.Sprintf(" (%s…%s)", least, most)
	}
	return cell
}
