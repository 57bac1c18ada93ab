//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

const clientKey = "bench-client-key"

// gatewayEnv is the gateway's whole environment: limits that are on but never
// reached, so that they cost what they cost.
func gatewayEnv() []string {
	return []string{
		"CLIENT_API_KEY=" + clientKey,
		"BENCH_OPENAI_API_KEY=bench-provider-key-1",
		"BENCH_ANTHROPIC_API_KEY=bench-provider-key-2",
		"RATE_LIMIT_REQUESTS_PER_MINUTE=1000000000",
		"RATE_LIMIT_TOKENS_PER_MINUTE=1000000000",
	}
}

type object map[string]any

// writeConfig writes a configuration with one provider and one model for each
// protocol, both served by the upstream at url.
func writeConfig(dir, url string) error {
	files := map[string]object{
		"providers/bench-openai.json": provider("bench-openai", object{
			"base_url": url + "/v1", "completions": "/chat/completions", "compatible_format": "openai",
		}, object{"header_name": "Authorization", "header_format": "Bearer {api_key}"}),
		"providers/bench-anthropic.json": provider("bench-anthropic", object{
			"base_url": url + "/v1", "completions": "/messages", "compatible_format": "anthropic",
		}, object{"header_name": "x-api-key", "header_format": "{api_key}"}),
		"models/openai.json":    model(endpoints["openai"].model, "bench-openai"),
		"models/anthropic.json": model(endpoints["anthropic"].model, "bench-anthropic"),
		"models/converted.json": model("converted-mock", "bench-openai"),
	}
	for name, content := range files {
		b, err := json.MarshalIndent(content, "", "  ")
		if err != nil {
			return err
		}
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, b, 0o644); err != nil {
			return fmt.Errorf("write configuration: %w", err)
		}
	}
	return nil
}

func provider(name string, endpoints, authentication object) object {
	return object{
		"name": name, "enabled": true, "endpoints": endpoints, "authentication": authentication,
		"api_keys": object{"env_var_patterns": []string{"{PROVIDER}_API_KEY"}},
	}
}

func model(name, provider string) object {
	return object{"logical_name": name, "model_routings": []object{{"id": "bench", "provider": provider, "model": name}}}
}
