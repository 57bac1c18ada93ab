package config

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"model-proxy/internal/llm"
)

func shippedPrices(t *testing.T) priceList {
	t.Helper()
	d, err := layer{name: shippedDir, fsys: shipped}.readFile("prices.json")
	if err != nil {
		t.Fatal(err)
	}
	f := readPrices(d)
	if len(d.problems) > 0 {
		t.Fatalf("the list in the binary: %v", lines(d.problems))
	}
	return f
}

// The figures are those of the source, looked up there by hand.
func TestShippedPrices(t *testing.T) {
	list := PriceList{files: []priceList{shippedPrices(t)}}
	rates := func(dollars ...float64) llm.Rates { // input, cache read, write, write for 1 h, output, reasoning
		var r [6]int64
		for i, d := range dollars {
			r[i] = int64(d*1e6 + 0.5)
		}
		return llm.Rates{Input: r[0], CacheRead: r[1], CacheWrite: r[2], CacheWrite1h: r[3], Output: r[4], Reasoning: r[5]}
	}
	for _, c := range []struct {
		provider, model string
		want            llm.Price
	}{
		{"openai", "gpt-5.2", llm.Price{Rates: rates(1.75, 0.175, 1.75, 1.75, 14, 14)}},
		{"openai", "text-embedding-3-small", llm.Price{Rates: rates(0.02, 0.02, 0.02, 0.02, 0, 0)}},
		{"anthropic", "claude-opus-4-5", llm.Price{Rates: rates(5, 0.5, 6.25, 10, 25, 25)}},
		{"anthropic", "claude-3-haiku-20240307", llm.Price{Rates: rates(0.25, 0.03, 0.3, 0.5, 1.25, 1.25)}},
		{"gemini", "gemini-2.5-pro", llm.Price{Rates: rates(1.25, 0.125, 1.25, 1.25, 10, 10),
			Tiers: []llm.PriceTier{{AbovePrompt: 200_000, Rates: rates(2.5, 0.25, 2.5, 2.5, 15, 15)}}}},
		{"openrouter", "anthropic/claude-sonnet-4.5", llm.Price{Rates: rates(3, 0.3, 3.75, 6, 15, 15),
			Tiers: []llm.PriceTier{{AbovePrompt: 200_000, Rates: rates(6, 0.6, 7.5, 12, 22.5, 22.5)}}}},
		{"alibaba", "qwen-plus", llm.Price{Rates: rates(0.4, 0.4, 0.4, 0.4, 1.2, 4)}},
		{"ollama", "whatever:7b", llm.Price{}},
		{"openrouter", "openai/gpt-oss-20b:free", llm.Price{}},
	} {
		got := list.Find(c.provider, c.provider, c.model)
		if got == nil {
			t.Errorf("%s/%s: got no price", c.provider, c.model)
			continue
		}
		if diff := cmp.Diff(c.want, got.Price); diff != "" {
			t.Errorf("%s/%s (-want +got):\n%s", c.provider, c.model, diff)
		}
	}
}

// Every entry has a date and a source, and none contradicts itself.
func TestShippedPricesAreSound(t *testing.T) {
	list := PriceList{files: []priceList{shippedPrices(t)}}
	all := list.All()
	if len(all) < 500 {
		t.Errorf("got %d prices, want those of the whole source", len(all))
	}
	for _, p := range all {
		if p.Date != "2026-07-02" || p.Source == "" || !p.Shipped {
			t.Errorf("%s: got date %q, source %q, shipped %v", p.Name(), p.Date, p.Source, p.Shipped)
		}
		if doubts := p.Doubts(); doubts != nil {
			t.Errorf("%s: %s", p.Name(), strings.Join(doubts, "; "))
		}
		free := p.Input == 0 && p.Output == 0
		if known := p.Provider == "ollama" || p.Provider == "vllm" || p.Provider == "zai" || p.Provider == "mistral" || p.Provider == "openrouter"; free && !known {
			t.Errorf("%s is free", p.Name())
		}
		for i, t2 := range p.Tiers {
			if t2.AbovePrompt < 1000 || i > 0 {
				t.Errorf("%s: tier %d above %d tokens", p.Name(), i, t2.AbovePrompt)
			}
		}
	}
}

// Every model that ships has a price on each of its routes.
func TestShippedModelsHavePrices(t *testing.T) {
	s := mustLoad(t, Options{Environ: []string{"CLIENT_API_KEY=c", "OPENAI_API_KEY=k", "ANTHROPIC_API_KEY=k", "GEMINI_API_KEY=k", "MISTRAL_API_KEY=k", "GROQ_API_KEY=k",
		"CEREBRAS_API_KEY=k", "TOGETHER_API_KEY=k", "FIREWORKS_API_KEY=k", "XAI_API_KEY=k", "DEEPSEEK_API_KEY=k", "OPENROUTER_API_KEY=k"}})
	routes := 0
	for name, m := range s.Models {
		for _, r := range m.Routes {
			routes++
			if r.Price == nil {
				t.Errorf("%s: %s/%s has no price", name, r.Provider.Name, r.Model)
			}
		}
	}
	if routes < 40 {
		t.Errorf("got %d routes, want those of all models", routes)
	}
}

func TestPriceNames(t *testing.T) {
	s := load(t, map[string]string{"prices.json": `{"date": "2026-09-01", "providers": {
		"acme": {"big": {"input": 1, "output": 2}, "big-2026-01-31": {"input": 3, "output": 4}, "Vendor/Small": {"input": 5, "output": 6},
			"ser*": {"input": 7, "output": 8}, "series-2*": {"input": 9, "output": 10}, "gone": {"input": 0, "output": 0}},
		"openai": {"gpt-4o": {"input": 11, "output": 12}}}}`})
	for _, c := range []struct {
		provider, vendor, model string
		input                   int64 // dollars; -1: no price
	}{
		{"acme", "acme", "big", 1},
		{"ACME", "acme", "Big", 1},
		{"acme", "acme", "big-2026-01-31", 3},
		{"acme", "acme", "big-2026-02-28", 1},
		{"acme", "acme", "big@20260228", 1},
		{"acme", "acme", "somebody/big-20260228", 1},
		{"acme", "acme", "vendor/small", 5},
		{"acme", "acme", "vendor/small-20260101", 5},
		{"acme", "acme", "small", -1},
		{"acme", "acme", "other/small", -1},
		{"acme", "acme", "big:free", -1},
		{"acme", "acme", "big-latest", -1},
		{"acme", "acme", "big-2601", -1},
		{"acme", "acme", "bigger", -1},
		{"acme", "acme", "series-1", 7},
		{"acme", "acme", "x/series-2-pro", 9},
		{"acme", "acme", "gone", 0},
		{"acme", "acme", "", -1},
		{"acme", "openai", "gpt-4o", -1},  // acme is listed: it is not OpenAI
		{"other", "openai", "gpt-4o", 11}, // not listed, but its file says whose API it is
		{"openai", "openai", "gpt-4o", 11},
		{"openai", "openai", "gpt-4o-2024-05-13", 11}, // the operator's file is asked first
		{"openai", "openai", "gpt-5.2", 1},            // $1.75, from the list in the binary
		{"azure", "openai", "gpt-5.2", 1},
		{"nobody", "nobody", "gpt-5.2", -1},
	} {
		got := int64(-1)
		if p := s.Prices.Find(c.provider, c.vendor, c.model); p != nil {
			got = p.Input / 1e6
		}
		if got != c.input {
			t.Errorf("%s (%s), %s: got $%d, want $%d", c.provider, c.vendor, c.model, got, c.input)
		}
	}
}

// The version names the whole list: it changes with any of its files, and is
// the same wherever they stand.
func TestPriceVersion(t *testing.T) {
	files := map[string]string{"prices.json": `{"date": "2026-09-01", "providers": {"acme": {"big": {"input": 1, "output": 2}}}}`}
	first, again := load(t, files), load(t, files)
	if first.Prices.Version != again.Prices.Version || !strings.HasPrefix(first.Prices.Version, "2026-09-01-") {
		t.Errorf("got %q and %q, want the same, with the newest date", first.Prices.Version, again.Prices.Version)
	}
	files["prices.json"] = strings.Replace(files["prices.json"], "2}", "3}", 1)
	other := load(t, files)
	if other.Prices.Version == first.Prices.Version || other.Revision == first.Revision {
		t.Errorf("got version %s and revision %s again for other prices", other.Prices.Version, other.Revision)
	}
	bare := load(t, nil)
	if !strings.HasPrefix(bare.Prices.Version, "2026-07-02-") {
		t.Errorf("got %q for the list in the binary alone", bare.Prices.Version)
	}
}

func TestServiceTierPrices(t *testing.T) {
	s := load(t, map[string]string{"prices.json": `{"date": "2026-09-01", "providers": {"acme": {"a": {"input": 1, "output": 2,
		"service_tiers": {"flex": {"input": 0.5, "output": 1}, "priority": {"input": 2, "output": 4, "tiers": [{"above_prompt_tokens": 10, "input": 3}]}}}}}}`})
	p := s.Prices.Find("acme", "acme", "a")
	for tier, want := range map[string]int64{"": 20*1000 + 5*2000, "flex": 20*500 + 5*1000, "priority": 20*3000 + 5*4000} {
		if got, ok := p.Cost(llm.Usage{Prompt: 20, Completion: 5, Tier: tier}); got != want || !ok {
			t.Errorf("%q: got %d, %v; want %d", tier, got, ok, want)
		}
	}
}

func TestPriceDoubts(t *testing.T) {
	s := load(t, map[string]string{"prices.json": `{"date": "2026-09-01", "providers": {"acme": {
		"b": {"input": 1, "output": 2, "cache_read": 3}, "c": {"input": 1, "output": 2, "cache_write": 0.5},
		"d": {"input": 1, "output": 2, "cache_write": 1.25, "cache_write_1h": 1.1},
		"e": {"input": 1, "output": 2.5, "tiers": [{"above_prompt_tokens": 1000, "output": 2.25}]},
		"f": {"input": 1, "output": 2, "tiers": [{"above_prompt_tokens": 1000, "input": 2}]}, "g": {"input": 0.5, "output": 0.03}}}}`})
	for model, want := range map[string][]string{
		"b": {"cache_read costs 3, more than input (1)"}, "c": {"input costs 1, more than cache_write (0.5)"},
		"d": {"cache_write costs 1.25, more than cache_write_1h (1.1)"},
		"e": {"output above 1000 prompt tokens is 2.25, less than for shorter prompts (2.5)", "reasoning above 1000 prompt tokens is 2.25, less than for shorter prompts (2.5)"},
		"f": nil, "g": nil,
	} {
		if diff := cmp.Diff(want, s.Prices.Find("acme", "acme", model).Doubts()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", model, diff)
		}
	}
}

func TestDollars(t *testing.T) {
	for rate, want := range map[int64]string{0: "0", 1: "0.000001", 37_500: "0.0375", 1_250_000: "1.25", 30_000_000: "30", 999_999_999_999: "999999.999999"} {
		if got := Dollars(rate); got != want {
			t.Errorf("%d: got %s, want %s", rate, got, want)
		}
	}
}
