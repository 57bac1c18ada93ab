package config

import (
	"testing"

	"model-proxy/internal/llm"
)

func TestAddresses(t *testing.T) {
	for _, test := range []struct {
		name      string
		endpoints string // fields of endpoints
		protocol  string // wire_protocol, "" for none
		model     string
		endpoint  llm.Endpoint
		want      string
		stream    string // "" means as want
	}{
		{"usual", `"base_url": "https://a.test/v1", "completions": "/chat/completions"`, "", "m", llm.ChatCompletions, "https://a.test/v1/chat/completions", ""},
		{"slash at the end, none at the beginning", `"base_url": "https://a.test/v1/", "completions": "chat/completions"`, "", "m", llm.ChatCompletions, "https://a.test/v1/chat/completions", ""},
		{"slashes at both", `"base_url": "https://a.test/v1/", "completions": "/chat/completions"`, "", "m", llm.ChatCompletions, "https://a.test/v1/chat/completions", ""},
		{"nothing given", `"base_url": "https://a.test"`, "", "m", llm.ChatCompletions, "https://a.test/chat/completions", ""},
		{"streams elsewhere", `"base_url": "https://a.test", "completions": "/c", "streaming": "/s"`, "", "m", llm.ChatCompletions, "https://a.test/c", "https://a.test/s"},
		{"embeddings beside completions", `"base_url": "https://a.test", "completions": "/v1/chat/completions"`, "", "m", llm.Embeddings, "https://a.test/v1/embeddings", ""},
		{"embeddings given", `"base_url": "https://a.test", "embeddings": "/e"`, "", "m", llm.Embeddings, "https://a.test/e", ""},
		{"responses beside completions", `"base_url": "https://a.test", "completions": "/v1/chat/completions"`, "openai-responses", "m", llm.ResponsesAPI, "https://a.test/v1/responses", ""},
		{"an unusual path tells nothing of its neighbours", `"base_url": "https://a.test", "completions": "/generate"`, "", "m", llm.Embeddings, "https://a.test/embeddings", ""},
		{"messages", `"base_url": "https://a.test", "completions": "/v1/messages", "compatible_format": "anthropic"`, "", "m", llm.Messages, "https://a.test/v1/messages", ""},
		{"counting beside messages", `"base_url": "https://a.test", "completions": "/v1/messages", "compatible_format": "anthropic"`, "", "m", llm.CountTokens, "https://a.test/v1/messages/count_tokens", ""},
		{"counting of responses", `"base_url": "https://a.test/v1", "compatible_format": "openai-responses", "count_tokens": "/responses/input_tokens"`, "", "m", llm.ResponsesTokens, "https://a.test/v1/responses/input_tokens", ""},
		{"another protocol on one route", `"base_url": "https://a.test", "completions": "/v1/chat/completions"`, "anthropic", "m", llm.Messages, "https://a.test/v1/messages", ""},
		{"responses as the first protocol", `"base_url": "https://a.test", "compatible_format": "openai-responses"`, "", "m", llm.ResponsesAPI, "https://a.test/responses", ""},
		{"azure", `"base_url": "https://a.openai.azure.com/", "compatible_format": "azure", "completions": "/openai/deployments/{model}/chat/completions?api-version=2024-02-15-preview"`, "", "gpt 4/x", llm.ChatCompletions,
			"https://a.openai.azure.com/openai/deployments/gpt%204%2Fx/chat/completions?api-version=2024-02-15-preview", ""},
		{"azure embeddings", `"base_url": "https://a.openai.azure.com", "compatible_format": "azure", "completions": "/openai/deployments/{model}/chat/completions?api-version=2024-02-15-preview"`, "", "e", llm.Embeddings,
			"https://a.openai.azure.com/openai/deployments/e/embeddings?api-version=2024-02-15-preview", ""},
		{"azure without a path", `"base_url": "https://a.openai.azure.com", "compatible_format": "azure"`, "openai", "m", llm.ChatCompletions,
			"https://a.openai.azure.com/openai/deployments/m/chat/completions?api-version=" + azureVersion, ""},
		{"a query in the base", `"base_url": "https://a.test/v1?team=x", "completions": "/chat/completions?v=1"`, "", "m", llm.ChatCompletions, "https://a.test/v1/chat/completions?team=x&v=1", ""},
		{"a path that is a whole address", `"base_url": "https://a.test/v1", "completions": "https://b.test/run/{model}"`, "", "m", llm.ChatCompletions, "https://b.test/run/m", ""},
		{"a model in the base", `"base_url": "https://a.test/{model}/v1"`, "", "a/b", llm.ChatCompletions, "https://a.test/a%2Fb/v1/chat/completions", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			wire := ""
			if test.protocol != "" {
				wire = `, "wire_protocol": "` + test.protocol + `"`
			}
			s := load(t, map[string]string{
				"providers/p.json": `{"endpoints": {` + test.endpoints + `}}`,
				"models/m.json":    `{"model_routings": [{"provider": "p", "model": "` + test.model + `"` + wire + `}]}`,
			}, "P_API_KEY=k")
			if len(s.Models["m"].Routes) != 1 {
				t.Fatalf("no route: %v", lines(s.Problems))
			}
			r := s.Models["m"].Routes[0]
			if got := r.URL(test.endpoint); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
			want := test.stream
			if want == "" {
				want = test.want
			}
			if got := r.StreamURL(test.endpoint); got != want {
				t.Errorf("stream: got %s, want %s", got, want)
			}
		})
	}
}

func TestModelsAddress(t *testing.T) {
	for _, test := range []struct{ endpoints, want string }{
		{`"base_url": "https://a.test/v1/"`, "https://a.test/v1/models"},
		{`"base_url": "https://a.test", "completions": "/v1/chat/completions"`, "https://a.test/v1/models"},
		{`"base_url": "https://a.test", "completions": "/v1/messages", "compatible_format": "anthropic"`, "https://a.test/v1/models"},
		{`"base_url": "https://a.test", "models": "list"`, "https://a.test/list"},
		{`"base_url": "https://a.test", "compatible_format": "azure", "completions": "/d/{model}/chat/completions?api-version=1"`, "https://a.test/openai/models?api-version=1"},
	} {
		s := load(t, map[string]string{"providers/p.json": `{"endpoints": {` + test.endpoints + `}}`})
		if got := s.Providers["p"].ModelsURL(); got != test.want {
			t.Errorf("%s: got %s, want %s", test.endpoints, got, test.want)
		}
	}
}

func TestProxyOverride(t *testing.T) {
	s := load(t, map[string]string{
		"providers/p.json": `{"endpoints": {"base_url": "https://a.test/v1"}, "proxy_support": {"enabled": true, "base_url_override": "https://proxy.test/p/"}}`,
		"models/m.json":    `{"model_routings": [{"id": "a", "provider": "p", "model": "m"}, {"id": "b", "provider": "p", "model": "m", "base_url": "https://own.test"}]}`,
	}, "P_API_KEY=k")
	for i, want := range []string{"https://proxy.test/p/chat/completions", "https://own.test/chat/completions"} {
		if got := s.Models["m"].Routes[i].URL(llm.ChatCompletions); got != want {
			t.Errorf("route %d: got %s, want %s", i, got, want)
		}
	}
}
