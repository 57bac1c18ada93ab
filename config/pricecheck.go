package config

import (
	"fmt"
	"strconv"
	"strings"

	"model-proxy/internal/llm"
)

// Doubts returns what in a price contradicts itself, each as half a sentence
// that says so. A price that does may be right all the same: it is used.
func (p *Price) Doubts() []string {
	var all []string
	note := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	below := &p.Rates
	doubtRates(below, "", note)
	for i := range p.Tiers {
		t := &p.Tiers[i]
		where := fmt.Sprintf(" above %d prompt tokens", t.AbovePrompt)
		doubtRates(&t.Rates, where, note)
		for _, r := range [...]struct {
			name        string
			long, short int64
		}{{"input", t.Input, below.Input}, {"output", t.Output, below.Output}, {"cache_read", t.CacheRead, below.CacheRead},
			{"cache_write", t.CacheWrite, below.CacheWrite}, {"cache_write_1h", t.CacheWrite1h, below.CacheWrite1h}, {"reasoning", t.Reasoning, below.Reasoning}} {
			if r.long < r.short {
				note("%s%s is %s, less than for shorter prompts (%s)", r.name, where, Dollars(r.long), Dollars(r.short))
			}
		}
		below = &t.Rates
	}
	return all
}

func doubtRates(r *llm.Rates, where string, note func(string, ...any)) {
	for _, c := range [...]struct {
		low, high           string
		lowPrice, highPrice int64
	}{
		{"cache_read", "input", r.CacheRead, r.Input},
		{"input", "cache_write", r.Input, r.CacheWrite},
		{"cache_write", "cache_write_1h", r.CacheWrite, r.CacheWrite1h},
	} {
		if c.lowPrice > c.highPrice {
			note("%s%s costs %s, more than %s (%s)", c.low, where, Dollars(c.lowPrice), c.high, Dollars(c.highPrice))
		}
	}
}

// Dollars shows a rate of llm.Rates in dollars for a million tokens, exactly:
// 1_250_000 is 1.25.
func Dollars(rate int64) string {
	text := strconv.FormatInt(rate, 10)
	text = strings.Repeat("0", max(0, 7-len(text))) + text
	whole, part := text[:len(text)-6], strings.TrimRight(text[len(text)-6:], "0")
	if part == "" {
		return whole
	}
	return whole + "." + part
}
