//go:build linux

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
)

type object map[string]any

// writeConfig writes two providers that speak at upstream, one at a port where
// nobody listens, and the models of the load.
func writeConfig(dir, upstream string) error {
	provider := func(name, base, format, completions string) object {
		return object{
			"name":            name,
			"endpoints":       object{"base_url": base, "completions": completions, "compatible_format": format},
			"api_keys":        object{"env_var_patterns": []string{"{PROVIDER}_API_KEY", "{PROVIDER}_API_KEY_{INDEX}"}},
			"forward_headers": []string{"X-Mock-*"},
		}
	}
	files := map[string]object{
		"providers/soak-openai.json":    provider("soak-openai", upstream, "openai", "/chat/completions"),
		"providers/soak-anthropic.json": provider("soak-anthropic", upstream, "anthropic", "/messages"),
		"providers/soak-dead.json":      provider("soak-dead", "http://127.0.0.1:1/v1", "openai", "/chat/completions"),
		"models/openai.json":            model("soak-openai", 60, route("soak-openai", "soak")),
		"models/anthropic.json":         model("soak-anthropic", 60, route("soak-anthropic", "soak")),
		"models/failover.json":          model("soak-failover", 60, route("soak-dead", "soak"), route("soak-openai", "soak")),
		"models/failing.json":           model("soak-failing", 60, route("soak-openai", "failing")),
		"models/limited.json":           model("soak-limited", 60, route("soak-anthropic", "limited")),
		"models/cut.json":               model("soak-cut", 60, route("soak-openai", "cut")),
	}
	for name, content := range files {
		if err := write(filepath.Join(dir, name), content); err != nil {
			return err
		}
	}
	return nil
}

func model(name string, timeout int, routes ...object) object {
	return object{"logical_name": name, "timeout_seconds": timeout, "model_routings": routes}
}

func route(provider, model string) object {
	return object{"id": provider, "provider": provider, "model": model}
}

// write replaces a file in one step, for the gateway may read it at any time.
func write(path string, content object) error {
	b, err := json.MarshalIndent(content, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(path+".new", b, 0o644); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
