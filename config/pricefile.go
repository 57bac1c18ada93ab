package config

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"model-proxy/internal/llm"
)

// pricesFile is the form of prices.json. Prices are US dollars for a million
// tokens.
type pricesFile struct {
	Date        string                           `json:"date"`   // 2026-07-02: when the prices were true
	Source      string                           `json:"source"` // where they come from
	Description note                             `json:"description"`
	Providers   map[string]map[string]*priceFile `json:"providers"`
}

// priceFile is one model's entry. Date and source may differ from the file's.
type priceFile struct {
	servedFile
	Services    map[string]*servedFile `json:"service_tiers"` // by what the provider calls them
	Date        string                 `json:"date"`
	Source      string                 `json:"source"`
	Description note                   `json:"description"`
}

// servedFile is what one service tier costs.
type servedFile struct {
	ratesFile
	Tiers []tierFile `json:"tiers"`
}

type ratesFile struct {
	Input        *float64 `json:"input"`
	Output       *float64 `json:"output"`
	CacheRead    *float64 `json:"cache_read"`     // else as input
	CacheWrite   *float64 `json:"cache_write"`    // else as input
	CacheWrite1h *float64 `json:"cache_write_1h"` // else as cache_write
	Reasoning    *float64 `json:"reasoning"`      // else as output
}

// tierFile holds for the whole of a request whose prompt is longer. What it
// leaves out is as without it.
type tierFile struct {
	AbovePrompt int64 `json:"above_prompt_tokens"`
	ratesFile
}

// maxPrice is the most that a million tokens may cost, in dollars. More is a
// slip of the pen.
const maxPrice = 1e6

// readPrices checks one price list.
func readPrices(d *document) priceList {
	var f pricesFile
	d.decode(&f)
	d.checkDate("date", f.Date)
	list := priceList{date: f.Date, prices: map[string]map[string]*Price{}}
	for _, provider := range slices.Sorted(maps.Keys(f.Providers)) {
		known := map[string]*Price{}
		if list.prices[strings.ToLower(provider)] != nil {
			d.fault("providers."+provider, "stands twice, with other capitals; make one of the two")
		}
		list.prices[strings.ToLower(provider)] = known
		for _, model := range slices.Sorted(maps.Keys(f.Providers[provider])) {
			entry := f.Providers[provider][model]
			if entry == nil {
				continue
			}
			path := "providers." + provider + "." + model
			name := strings.ToLower(model)
			if known[name] != nil {
				d.fault(path, "stands twice, with other capitals; remove one of the two")
			}
			p := &Price{Provider: provider, Model: model, File: d.name, Shipped: d.shipped,
				Date: cmp.Or(entry.Date, f.Date), Source: cmp.Or(entry.Source, f.Source, d.name)}
			if entry.Date != "" {
				d.checkDate(path+".date", entry.Date)
				list.date = max(list.date, entry.Date)
			}
			p.Price = d.readPrice(path, &entry.servedFile)
			for tier, served := range entry.Services {
				if p.Services == nil {
					p.Services = map[string]*llm.Price{}
				}
				if served != nil {
					own := d.readPrice(path+".service_tiers."+tier, served)
					p.Services[tier] = &own
				}
			}
			known[name] = p
		}
	}
	return list
}

func (d *document) checkDate(path, date string) {
	if _, err := time.Parse(time.DateOnly, date); err != nil {
		d.fault(path, "%q is not a date such as 2026-07-02; say when the prices were true", date)
	}
}

func (d *document) readPrice(path string, f *servedFile) llm.Price {
	if f.Input == nil || f.Output == nil {
		d.fault(path, "needs input and output, in dollars for a million tokens; a model that is free says 0")
		return llm.Price{}
	}
	p := llm.Price{Rates: d.rates(path, &f.ratesFile)}
	for i := range f.Tiers {
		t := &f.Tiers[i]
		at := path + ".tiers[" + strconv.Itoa(i) + "]"
		if t.AbovePrompt <= 0 || i > 0 && t.AbovePrompt <= f.Tiers[i-1].AbovePrompt {
			d.fault(at+".above_prompt_tokens", "must be more than 0 and than the tier's before it, is %d", t.AbovePrompt)
		}
		p.Tiers = append(p.Tiers, llm.PriceTier{AbovePrompt: t.AbovePrompt, Rates: d.rates(at, t.over(&f.ratesFile))})
	}
	return p
}

// over is the tier's rates, and those of the entry where it has none.
func (t *tierFile) over(base *ratesFile) *ratesFile {
	r := t.ratesFile
	r.Input, r.Output = cmp.Or(r.Input, base.Input), cmp.Or(r.Output, base.Output)
	r.CacheRead, r.CacheWrite = cmp.Or(r.CacheRead, base.CacheRead), cmp.Or(r.CacheWrite, base.CacheWrite)
	r.CacheWrite1h, r.Reasoning = cmp.Or(r.CacheWrite1h, base.CacheWrite1h), cmp.Or(r.Reasoning, base.Reasoning)
	return &r
}

// rates converts an entry that has input and output, and fills in the rest.
func (d *document) rates(path string, f *ratesFile) llm.Rates {
	r := llm.Rates{Input: d.rate(path+".input", f.Input, 0), Output: d.rate(path+".output", f.Output, 0)}
	r.CacheRead = d.rate(path+".cache_read", f.CacheRead, r.Input)
	r.CacheWrite = d.rate(path+".cache_write", f.CacheWrite, r.Input)
	r.CacheWrite1h = d.rate(path+".cache_write_1h", f.CacheWrite1h, r.CacheWrite)
	r.Reasoning = d.rate(path+".reasoning", f.Reasoning, r.Output)
	return r
}

// rate converts dollars for a million tokens into micro-dollars.
func (d *document) rate(path string, dollars *float64, unless int64) int64 {
	if dollars == nil {
		return unless
	}
	micro := math.Round(*dollars * 1e6)
	switch {
	case *dollars < 0 || *dollars > maxPrice:
		d.fault(path, "must be from 0 to %.0f dollars for a million tokens, is %v", maxPrice, *dollars)
		return 0
	case math.Abs(*dollars*1e6-micro) > 1e-3:
		d.fault(path, "has more than six digits after the point: %v; prices are in dollars for a million tokens", *dollars)
	}
	return int64(micro)
}
