package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"model-proxy/internal/provider/mock"
)

// Demo models, by the protocol their simulated provider speaks.
var demoModels = map[string]string{"demo-gpt": "openai", "demo-claude": "anthropic"}

// demo runs the gateway in front of the simulated provider, with a
// configuration of its own.
func (a *app) demo(cmd *cobra.Command, f *flags) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("simulated provider: %w", err)
	}
	dir, err := os.MkdirTemp("", "model-proxy-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := writeDemoConfig(dir, "http://"+listener.Addr().String()+"/v1"); err != nil {
		return err
	}
	key, adminKey := "sk-demo-"+strings.ToLower(rand.Text()), "sk-demo-admin-"+strings.ToLower(rand.Text())
	if err := cmd.Flags().Set("config", dir); err != nil {
		return err
	}
	demo := *a
	demo.environ = append(append([]string{}, a.environ...), "DEMO_API_KEY=simulated", "CLIENT_API_KEY="+key, "ADMIN_API_KEY="+adminKey,
		"RATE_LIMIT_REQUESTS_PER_MINUTE=0", "RATE_LIMIT_TOKENS_PER_MINUTE=0")
	n, err := demo.newNode(cmd, f)
	if err != nil {
		return err
	}
	n.start(cmd.Context(), "simulated provider", func(ctx context.Context) error { return serveUntil(ctx, listener, mock.New(mock.Options{})) })
	return demo.gateway(cmd.Context(), n, func(addr net.Addr) { a.greet(addr, key, adminKey, again(os.Args[0])) })
}

// again is how a newcomer calls this program another time, in the same folder.
func again(arg0 string) string {
	if strings.Contains(arg0, "go-build") { // where go run puts what it has built
		return "go run ./cmd/model-proxy"
	}
	return arg0
}

// greet tells a newcomer what to type.
func (a *app) greet(addr net.Addr, key, adminKey, program string) {
	_, port, _ := net.SplitHostPort(addr.String())
	fmt.Fprintf(a.stdout, `
model-proxy is running in front of a simulated provider: nothing leaves this machine.
Rate limits are off in the demo and prices are made up. Models: demo-gpt (OpenAI), demo-claude (Anthropic).

  client key: %[2]s

Try it:

  curl -s http://localhost:%[1]s/v1/chat/completions -H 'Authorization: Bearer %[2]s' -H 'Content-Type: application/json' -d '{"model":"demo-gpt","messages":[{"role":"user","content":"Hello!"}]}'

  curl -sN http://localhost:%[1]s/v1/messages -H 'x-api-key: %[2]s' -H 'Content-Type: application/json' -d '{"model":"demo-claude","max_tokens":100,"stream":true,"messages":[{"role":"user","content":"Hello!"}]}'

Then look at http://localhost:%[1]s/console (admin key: %[3]s),
or, in another terminal: %[4]s records; %[4]s usage --by client,model

`, port, key, adminKey, program)
}

func writeDemoConfig(dir, base string) error {
	prices := map[string]any{}
	for model, protocol := range demoModels {
		name := "demo-" + protocol
		provider := map[string]any{"name": name, "display_name": "Simulated " + protocol, "enabled": true, "vendor": protocol,
			"api_keys":        map[string]any{"env_var_patterns": []string{"DEMO_API_KEY"}},
			"endpoints":       map[string]any{"base_url": base, "compatible_format": protocol},
			"forward_headers": []string{"X-Mock-*"}}
		if err := writeJSONFile(filepath.Join(dir, "providers", name+".json"), provider); err != nil {
			return err
		}
		route := map[string]any{"logical_name": model, "model_routings": []any{map[string]any{"id": "primary", "provider": name, "model": "simulated-" + protocol}}}
		if err := writeJSONFile(filepath.Join(dir, "models", model+".json"), route); err != nil {
			return err
		}
		prices[name] = map[string]any{"simulated-" + protocol: map[string]float64{"input": 1, "output": 10}}
	}
	return writeJSONFile(filepath.Join(dir, "prices.json"), map[string]any{"date": "2026-01-01", "source": "made up for the demo", "providers": prices})
}

func writeJSONFile(name string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return os.WriteFile(name, append(b, '\n'), 0o644)
}
