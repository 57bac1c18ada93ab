//go:build linux

package main

import (
	"fmt"
	"slices"
	"strings"
)

// column is one figure of a table, taken from a target's result, that of no
// gateway and that of the reverse proxy in the same round.
type column struct {
	title, form string
	value       func(r, direct, floor result) float64
}

var (
	plain = []column{rps,
		{"p50 µs", "%.0f", func(r, _, _ result) float64 { return r.Latency.P50 }},
		{"p99 µs", "%.0f", func(r, _, _ result) float64 { return r.Latency.P99 }},
		{"added p50", "%.0f", func(r, d, _ result) float64 { return r.Latency.P50 - d.Latency.P50 }},
		{"added p99", "%.0f", func(r, d, _ result) float64 { return r.Latency.P99 - d.Latency.P99 }},
		cpu, ratio, rss, errs,
	}
	stream = []column{rps,
		{"TTFT p50 µs", "%.0f", func(r, _, _ result) float64 { return r.TTFT.P50 }},
		{"TTFT p99 µs", "%.0f", func(r, _, _ result) float64 { return r.TTFT.P99 }},
		{"added p50", "%.0f", func(r, d, _ result) float64 { return r.TTFT.P50 - d.TTFT.P50 }},
		{"added p99", "%.0f", func(r, d, _ result) float64 { return r.TTFT.P99 - d.TTFT.P99 }},
		cpu, ratio, rss, errs,
	}

	rps   = column{"answers/s", "%.0f", func(r, _, _ result) float64 { return r.RPS }}
	cpu   = column{"CPU µs each", "%.0f", func(r, _, _ result) float64 { return 1000 * r.Watched.CPUPer1000 }}
	ratio = column{"CPU ÷ floor", "%.2f", func(r, _, f result) float64 { return r.Watched.CPUPer1000 / f.Watched.CPUPer1000 }}
	rss   = column{"RSS MiB", "%.0f", func(r, _, _ result) float64 { return float64(r.Watched.RSSMax) / (1 << 20) }}
	errs  = column{"errors %", "%.2f", func(r, _, _ result) float64 { return r.errorShare() }}
)

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
	for _, name := range []string{"direct", "floor", "gateway"} {
		fmt.Fprintf(&sb, "\n| %s |", name)
		for _, c := range s.columns {
			cell := c.cell(rs[name], rs["direct"], rs["floor"])
			if name == "direct" && (c.title == cpu.title || c.title == ratio.title || c.title == rss.title) {
				cell = "–" // there is no process to watch
			}
			fmt.Fprintf(&sb, " %s |", cell)
		}
	}
	return sb.String()
}

func (c column) cell(own, direct, floor []result) string {
	values := make([]float64, min(len(own), len(direct), len(floor)))
	for i := range values {
		values[i] = c.value(own[i], direct[i], floor[i])
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
