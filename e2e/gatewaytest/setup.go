package gatewaytest

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// Keys of the gateway under test. They are long and odd so that one found in a
// log is no accident.
const (
	ClientKey      = "ck-e2e-9f21c7a4d0be4431"
	SecondClient   = "ck-e2e-second-77ab10c3e9f2"
	OpenAIKey      = "sk-e2e-openai-5d0c1f6e2b7a"
	AnthropicKey   = "sk-ant-e2e-1b9e8d7c6f5a"
	workerIDHeader = "X-Served-By" // tells in the ledger which worker called
)

// JSON is an object of a configuration file.
type JSON = map[string]any

// Setup is what a gateway is started with. The zero value serves the model
// "gpt" by the OpenAI and "claude" by the Anthropic protocol, both by the
// simulated provider, without limits.
type Setup struct {
	Files   map[string]JSON // by path under the configuration folder; one replaces the default of its name
	Clients []JSON          // of clients.json
	Env     []string        // NAME=value, after the default ones
	Flags   []string        // of run, or of every role
}

// Provider describes a provider at the simulated one's address.
func Provider(name, protocol, url string) JSON {
	return JSON{"name": name, "vendor": protocol, "enabled": true, "forward_headers": []string{"X-Mock-*"},
		"endpoints": JSON{"base_url": url + "/v1", "compatible_format": protocol}}
}

// Model describes a model with a route to the same model of each provider.
func Model(name string, providers ...string) JSON {
	var routes []JSON
	for _, p := range providers {
		routes = append(routes, JSON{"id": p, "provider": p, "model": name + "-upstream"})
	}
	return JSON{"logical_name": name, "model_routings": routes}
}

// With returns a copy of base with the members of extra set.
func With(base, extra JSON) JSON {
	out := maps.Clone(base)
	maps.Copy(out, extra)
	return out
}

// environment is the whole environment of a process besides HOME and PATH.
func (s Setup) environment() []string {
	env := []string{"CLIENT_API_KEY=" + ClientKey, "OPENAI_API_KEY=" + OpenAIKey, "ANTHROPIC_API_KEY=" + AnthropicKey,
		"RATE_LIMIT_REQUESTS_PER_MINUTE=0", "RATE_LIMIT_TOKENS_PER_MINUTE=0"}
	return append(env, s.Env...)
}

// write writes the configuration folder. What servedBy names is told to the
// provider, so that its ledger shows which process has called.
func (s Setup) write(t testing.TB, url, servedBy string) string {
	t.Helper()
	files := map[string]JSON{
		"providers/openai.json":    Provider("openai", "openai", url),
		"providers/anthropic.json": Provider("anthropic", "anthropic", url),
		"models/gpt.json":          Model("gpt", "openai"),
		"models/claude.json":       Model("claude", "anthropic"),
	}
	maps.Copy(files, s.Files)
	dir := t.TempDir()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		content := files[name]
		if servedBy != "" && filepath.Dir(name) == "providers" {
			content = With(content, JSON{"authentication": JSON{"additional_headers": JSON{workerIDHeader: servedBy}}})
		}
		if err := writeJSON(filepath.Join(dir, name), content); err != nil {
			t.Fatal(err)
		}
	}
	if s.Clients != nil {
		if err := writeJSON(filepath.Join(dir, "clients.json"), s.Clients); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func writeJSON(path string, content any) error {
	b, err := json.Marshal(content)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, b, 0o600)
}

// Add returns a setup with what both have.
func (s Setup) Add(more Setup) Setup {
	files := maps.Clone(s.Files)
	if files == nil {
		files = map[string]JSON{}
	}
	maps.Copy(files, more.Files)
	return Setup{Files: files, Env: slices.Concat(s.Env, more.Env), Flags: slices.Concat(s.Flags, more.Flags)}
}
