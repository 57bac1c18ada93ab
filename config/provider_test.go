package config

import (
	"encoding/json"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"model-proxy/internal/llm"
)

// provider loads one provider file with the given fields besides base_url.
func provider(t *testing.T, fields string, environ ...string) *Provider {
	t.Helper()
	s := load(t, map[string]string{"providers/p.json": `{"endpoints": {"base_url": "https://p.test"}` + fields + `}`}, environ...)
	if s.Providers["p"] == nil {
		t.Fatalf("left out: %v", lines(s.Problems))
	}
	return s.Providers["p"]
}

func TestDefaultParameters(t *testing.T) {
	p := provider(t, `, "request_config": {"default_parameters": {
		"temperature": 1.0, "top_p": 1, "n": 1, "seed": null, "max_tokens": 1, "stop": ["${WORD}"], "presence_penalty": 0.5
	}}`, "WORD=end")
	want := map[string]string{"max_tokens": "1", "stop": `["end"]`, "presence_penalty": "0.5"}
	got := map[string]string{}
	for name, value := range p.DefaultParameters {
		got[name] = string(value)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("parameters (-want +got):\n%s", diff)
	}
	p = provider(t, `, "request_config": {"default_parameters": {"temperature": 0.7, "top_p": 0.9, "n": 2}}`)
	if got := slices.Sorted(maps.Keys(p.DefaultParameters)); !slices.Equal(got, []string{"n", "temperature", "top_p"}) {
		t.Errorf("other values than the API's own: got %v, want all three", got)
	}
}

func TestKeyHeader(t *testing.T) {
	for _, test := range []struct{ fields, header, format string }{
		{``, "Authorization", "Bearer {api_key}"},
		{`, "protocols": ["anthropic"]`, "x-api-key", "{api_key}"},
		{`, "protocols": ["azure"]`, "api-key", "{api_key}"},
		{`, "authentication": {"header_name": "x-goog-api-key"}`, "x-goog-api-key", "{api_key}"},
		{`, "authentication": {"header_format": "Token {api_key}"}`, "Authorization", "Token {api_key}"},
	} {
		p := provider(t, test.fields)
		if p.KeyHeader != test.header || p.KeyFormat != test.format {
			t.Errorf("%s: got %s: %s, want %s: %s", test.fields, p.KeyHeader, p.KeyFormat, test.header, test.format)
		}
	}
}

func TestProtocols(t *testing.T) {
	p := provider(t, `, "protocols": ["openai-responses", "openai"], "vendor": "openai"`)
	if diff := cmp.Diff([]llm.Protocol{llm.Responses, llm.OpenAI}, p.Protocols); diff != "" {
		t.Errorf("without compatible_format (-want +got):\n%s", diff)
	}
	if p.Vendor != "openai" || p.Quirks.ToolCallID != "openai40" {
		t.Errorf("got vendor %q with quirks %+v, want openai's", p.Vendor, p.Quirks)
	}
	s := load(t, nil)
	if diff := cmp.Diff([]llm.Protocol{llm.OpenAI, llm.Responses}, s.Providers["openai"].Protocols); diff != "" {
		t.Errorf("shipped openai (-want +got):\n%s", diff)
	}
	for given, want := range map[llm.Protocol]llm.Protocol{llm.OpenAI: llm.Azure, llm.Anthropic: llm.Anthropic, llm.Azure: llm.Azure} {
		got := routeProtocols(&Provider{Protocols: []llm.Protocol{llm.Azure}}, given)
		if !slices.Equal(got, []llm.Protocol{want}) {
			t.Errorf("wire_protocol %s at azure: got %v, want %s", given, got, want)
		}
	}
}

func TestProviderFields(t *testing.T) {
	seven, zero := int64(7), int64(0)
	p := provider(t, `, "display_name": "P", "pool": "eu",
		"authentication": {"additional_headers": {"X-Team": "${TEAM}-x"}},
		"forward_headers": ["X-Mock-*"],
		"request_config": {"max_retries": 2, "retry_on_status": [500, 529], "required_parameters": ["max_tokens"]},
		"rate_limiting": {"enabled": true, "requests_per_minute": 30, "tokens_per_minute": null, "cooldown_seconds": 7},
		"error_handling": {"429": {"action": "provider_cooldown", "cooldown_seconds": 0}, "500": {"cooldown_seconds": 7}},
		"models": {"big": {"cooldown_seconds": 7, "max_output_tokens": 99}},
		"model_mapping": {"a": "b"},
		"quirks": {"stream_options": false, "tool_schema_strip": ["$schema"], "allow_extra": ["top_k"]}`, "TEAM=blue")
	no := false
	want := &Provider{
		Name: "p", DisplayName: "P", Vendor: "p", Enabled: true, Protocols: []llm.Protocol{llm.OpenAI}, BaseURL: "https://p.test", Pool: "eu",
		KeyHeader: "Authorization", KeyFormat: "Bearer {api_key}", KeyPatterns: defaultKeyPatterns,
		Paths: p.Paths, ModelsPath: "/models", File: p.File,
		Headers: Headers{"X-Team": "blue-x"}, ForwardHeaders: []string{"X-Mock-*"},
		MaxRetries: 2, RetryOnStatus: map[int]bool{500: true, 529: true}, Required: []string{"max_tokens"},
		DefaultParameters:    map[string]json.RawMessage{},
		KeyRequestsPerMinute: 30, CooldownSeconds: &seven,
		Errors:         map[int]ErrorRule{429: {"provider_cooldown", &zero}, 500: {"", &seven}},
		ModelOverrides: map[string]ModelOverride{"big": {&seven, &llm.Capabilities{MaxOutputTokens: 99}}},
		ModelMapping:   map[string]string{"a": "b"},
		Quirks:         llm.Quirks{StreamOptions: &no, ToolSchemaStrip: []string{"$schema"}, AllowExtra: []string{"top_k"}},
	}
	if diff := cmp.Diff(want, p); diff != "" {
		t.Errorf("provider (-want +got):\n%s", diff)
	}
	if p := provider(t, `, "rate_limiting": {"enabled": false, "requests_per_minute": 30}`); p.KeyRequestsPerMinute != 0 {
		t.Errorf("limits not enabled: got %d, want 0", p.KeyRequestsPerMinute)
	}
}
