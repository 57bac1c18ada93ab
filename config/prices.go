package config

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strings"
	"sync"

	"model-proxy/internal/llm"
)

// Price is one entry of a price list, as it holds for a model. What the entry
// leaves out is filled in: llm.Price has a rate for every kind of token.
type Price struct {
	llm.Price
	Provider string // as the list names it
	Model    string // likewise; ends in * where it stands for several
	Date     string // the day it was true, as 2026-07-02
	Source   string
	File     string // where it stands
	Shipped  bool   // in the list in the binary
}

// Name is where the entry stands in its list.
func (p *Price) Name() string { return p.Provider + "/" + p.Model }

// PriceList is every price known: the operator's prices.json files in search
// order, then the list in the binary. The zero PriceList knows none.
type PriceList struct {
	// Version names this very list, the newest date in it and eight digits of
	// a hash over it, as 2026-07-02-1f3a5b7c. It stands in every record. ""
	// where there is no list.
	Version string
	files   []priceList
}

// priceList is one file's prices by provider and then by model, both in lower
// case.
type priceList struct {
	date   string
	prices map[string]map[string]*Price
}

// Find returns the price of a provider's model, or nil if none is known: a
// model without a price is told as such, never guessed.
//
// The list of the provider's own name counts; a provider that no file lists by
// name has the prices of its vendor. The operator's files are asked before the
// list in the binary, each by the same rules: the name as it is, without what
// stands before its last slash, without its date (-20250929, -2025-09-29,
// @20250929), without both; then the longest entry that ends in * and fits.
// Capitals do not matter. Suffixes such as :free or -latest are part of the name,
// because another price hangs on them.
func (l *PriceList) Find(provider, vendor, model string) *Price {
	provider = strings.ToLower(provider)
	if !l.lists(provider) {
		provider = strings.ToLower(vendor)
	}
	names := priceNames(model)
	for _, f := range l.files {
		if p := lookupPrice(f.prices[provider], names); p != nil {
			return p
		}
	}
	return nil
}

func (l *PriceList) lists(provider string) bool {
	for _, f := range l.files {
		if f.prices[provider] != nil {
			return true
		}
	}
	return false
}

// All returns every entry that counts, those hidden by an earlier file left
// out, in no order.
func (l *PriceList) All() []*Price {
	var all []*Price
	for i, f := range l.files {
		for provider, models := range f.prices {
			for name, p := range models {
				if !l.hidden(i, provider, name) {
					all = append(all, p)
				}
			}
		}
	}
	return all
}

func (l *PriceList) hidden(file int, provider, name string) bool {
	for _, f := range l.files[:file] {
		if f.prices[provider][name] != nil {
			return true
		}
	}
	return false
}

// ShippedPrice returns what the list in the binary alone says of a model.
func (l *PriceList) ShippedPrice(provider, model string) *Price {
	for _, f := range l.files {
		if p := lookupPrice(f.prices[strings.ToLower(provider)], priceNames(model)); p != nil && p.Shipped {
			return p
		}
	}
	return nil
}

// priceDate is the date at the end of a dated model's name.
var priceDate = regexp.MustCompile(`[-@](\d{8}|\d{4}-\d{2}-\d{2})$`)

// priceNames are the names under which a model may be listed, best first.
func priceNames(model string) []string {
	model = strings.ToLower(model)
	bare := model[strings.LastIndexByte(model, '/')+1:]
	return []string{model, bare, priceDate.ReplaceAllString(model, ""), priceDate.ReplaceAllString(bare, "")}
}

func lookupPrice(models map[string]*Price, names []string) *Price {
	for _, name := range names {
		if p := models[name]; p != nil {
			return p
		}
	}
	var found *Price
	for pattern, p := range models {
		prefix, open := strings.CutSuffix(pattern, "*")
		if !open || found != nil && len(found.Model) >= len(pattern) {
			continue
		}
		if strings.HasPrefix(names[0], prefix) || strings.HasPrefix(names[1], prefix) {
			found = p
		}
	}
	return found
}

// loadPrices reads the price list of every layer.
func (l *loader) loadPrices() error {
	sum := sha256.New()
	newest := ""
	for _, dir := range l.layers {
		d, list, err := dir.prices()
		if err != nil {
			return err
		}
		if d == nil {
			continue
		}
		l.collect(d)
		if !d.valid() {
			continue
		}
		l.hash.add(d)
		own := sha256.Sum256(d.raw)
		sum.Write(own[:])
		newest = max(newest, list.date)
		l.prices.files = append(l.prices.files, list)
	}
	if len(l.prices.files) > 0 {
		l.prices.Version = newest + "-" + hex.EncodeToString(sum.Sum(nil)[:4])
	}
	return nil
}

// prices reads the layer's list; the document is nil if it has none. The list
// in the binary, which is long, is read once and shared: nothing changes it.
func (l layer) prices() (*document, priceList, error) {
	if l.name == shippedDir {
		s, err := builtInPrices()
		if err != nil {
			return nil, priceList{}, err
		}
		return &document{name: s.name, shipped: true, raw: s.raw}, s.list, nil
	}
	d, err := l.readFile("prices.json")
	if d == nil || err != nil {
		return nil, priceList{}, err
	}
	return d, readPrices(d), nil
}

// builtIn is the list in the binary, without what reading it left behind.
type builtIn struct {
	name string
	raw  []byte
	list priceList
}

var builtInPrices = sync.OnceValues(func() (builtIn, error) {
	d, err := layer{name: shippedDir, fsys: shipped}.readFile("prices.json")
	if err != nil {
		return builtIn{}, err
	}
	return builtIn{d.name, d.raw, readPrices(d)}, nil
})
