package config

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"model-proxy/internal/llm"
)

func shippedCatalog(t *testing.T) *catalog {
	t.Helper()
	d, err := layer{name: shippedDir, fsys: shipped}.readFile("catalog.json")
	if err != nil {
		t.Fatal(err)
	}
	f := readCatalog(d)
	if len(d.problems) > 0 {
		t.Fatalf("shipped catalogue: %v", lines(d.problems))
	}
	if f.Date == "" || f.Source == "" {
		t.Errorf("shipped catalogue: got date %q and source %q, want both", f.Date, f.Source)
	}
	return &catalog{files: []catalogFile{f}}
}

func TestCatalogNames(t *testing.T) {
	c := shippedCatalog(t)
	get := func(model string) llm.Capabilities { return c.capabilities(&Provider{Vendor: "x"}, model) }
	for _, test := range []struct {
		model                       string
		output                      int64
		structured, thinking, sampl string
	}{
		{"claude-opus-4-5", 64000, "native", "budget", "one_of"},
		{"claude-opus-4-5-20251101", 64000, "native", "budget", "one_of"},
		{"claude-opus-4-5@20251101", 64000, "native", "budget", "one_of"},
		{"anthropic/claude-opus-4.5", 64000, "native", "budget", "one_of"},
		{"Anthropic/Claude-Opus-4.5:beta", 64000, "native", "budget", "one_of"},
		{"claude-3-5-sonnet-latest", 8192, "tool", "none", "all"},
		{"claude-3-haiku-20240307", 4096, "tool", "none", "all"},
		{"claude-3.7-sonnet", 64000, "tool", "budget", "all"},
		{"claude-sonnet-4-20250514", 64000, "tool", "budget", "all"},
		{"claude-opus-4-1-20250805", 32000, "native", "budget", "one_of"},
		{"claude-opus-4-7", 128000, "native", "adaptive", "none"},
		{"claude-unheard-of-9", 128000, "native", "adaptive", "none"},
		{"gpt-4o-2024-05-13", 4096, "", "", "all"},
		{"gpt-4o-2099-01-01", 16384, "native", "", "all"},
		{"o3-2025-04-16", 100000, "native", "", "none"},
		{"gpt-5.9-turbo", 0, "native", "", "none"},
		{"nobody-knows", 0, "", "", ""},
	} {
		got := get(test.model)
		if got.MaxOutputTokens != test.output || got.Structured != test.structured || got.Thinking != test.thinking || got.Sampling != test.sampl {
			t.Errorf("%s: got %d %q %q %q, want %d %q %q %q", test.model, got.MaxOutputTokens, got.Structured, got.Thinking, got.Sampling,
				test.output, test.structured, test.thinking, test.sampl)
		}
	}
	if got := get("claude-opus-4-8").MidSystem; got == nil || !*got {
		t.Errorf("claude-opus-4-8: got mid_system %v, want true", got)
	}
	if got := get("o3"); got.MaxTokensField != "max_completion_tokens" || got.SystemRole != "developer" || len(got.ReasoningEffortLevels) == 0 {
		t.Errorf("o3: got %+v, want a reasoning model", got)
	}
	own, other := c.capabilities(&Provider{Vendor: "cerebras"}, "gpt-oss-120b"), get("gpt-oss-120b")
	if own.MaxOutputTokens == 0 || other.MaxOutputTokens != 0 {
		t.Errorf("a host's own limit: got %d there and %d elsewhere, want it there only", own.MaxOutputTokens, other.MaxOutputTokens)
	}
}

func TestCatalogOrder(t *testing.T) {
	yes := true
	s := load(t, map[string]string{
		"providers/p.json": `{"endpoints": {"base_url": "https://p.test"}, "models": {"claude-opus-4-5": {"max_output_tokens": 1, "supports_tools": false}}}`,
		"catalog.json":     `{"models": {"claude-opus-4-5": {"max_output_tokens": 2, "thinking": "none"}, "mine": {"supports_vision": true}}}`,
		"models/m.json":    `{"model_routings": [{"id": "a", "provider": "p", "model": "claude-opus-4-5"}, {"id": "b", "provider": "p", "model": "vendor/mine"}]}`,
	}, "P_API_KEY=k")
	got := s.Models["m"].Routes[0].Capabilities
	if got.MaxOutputTokens != 1 || *got.SupportsTools || got.Thinking != "none" || got.Structured != "native" {
		t.Errorf("got %+v, want the provider's limit and tools, the operator's thinking, the shipped rest", got)
	}
	if diff := cmp.Diff(llm.Capabilities{SupportsVision: &yes}, s.Models["m"].Routes[1].Capabilities); diff != "" {
		t.Errorf("the operator's own model (-want +got):\n%s", diff)
	}
}
