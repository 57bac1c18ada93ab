// Package seed_test keeps the predecessor's promises: each sentence of its
// README on a real process with its own kind of files. docs/seed-parity.md lists
// which test shows which sentence.
package seed_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"model-proxy/e2e/gatewaytest"
	"model-proxy/internal/provider/mock"
)

func TestMain(m *testing.M) { os.Exit(gatewaytest.Main(m)) }

// Bounds of waiting.
const soon = time.Minute

// Keys of the .env file. OPENAI_API_KEY_1 repeats the first and counts once.
const (
	clientKey = "ck-seed-3d1f0a9b7c55"
	dotEnv    = `# a user's own file
CLIENT_API_KEY=` + clientKey + `
OPENAI_API_KEY="sk-seed-openai-aaaa1111"
OPENAI_API_KEY_1=sk-seed-openai-aaaa1111
OPENAI_API_KEY_2=sk-seed-openai-bbbb2222
OPENAI_API_KEY_7=sk-seed-openai-cccc3333
ANTHROPIC_API_KEY_1=sk-ant-seed-dddd4444
`
)

// files are a user's configuration. The providers' addresses are their own; the
// override, by which proxies are set, leads to the simulated provider.
func files(upstream string) map[string]string {
	provider := func(name, base, format, path, auth string) string {
		return `{
  "name": "` + name + `", "display_name": "` + name + `", "enabled": true,
  "api_keys": {"env_var_pattern": "{PROVIDER}_API_KEY", "env_var_patterns": ["{PROVIDER}_API_KEY", "{PROVIDER}_API_KEY_{INDEX}"]},
  "endpoints": {"base_url": "` + base + `", "completions": "` + path + `", "streaming": "` + path + `", "compatible_format": "` + format + `"},
  "authentication": ` + auth + `,
  "request_config": {"timeout_seconds": 60, "max_retries": 3, "retry_on_status": [429, 500, 502, 503, 504],
    "default_parameters": {"temperature": 1.0, "top_p": 1.0, "n": 1}},
  "rate_limiting": {"enabled": false, "requests_per_minute": null, "tokens_per_minute": null},
  "models": {}, "error_handling": {"401": {"action": "global_key_failure"}, "429": {"action": "model_key_failure"}},
  "proxy_support": {"enabled": true, "base_url_override": "` + upstream + `/v1"}
}`
	}
	return map[string]string{
		"providers/openai.json": provider("openai", "https://api.openai.com/v1", "openai", "/chat/completions",
			`{"type": "bearer", "header_name": "Authorization", "header_format": "Bearer {api_key}"}`),
		"providers/anthropic.json": provider("anthropic", "https://api.anthropic.com/v1", "anthropic", "/messages",
			`{"type": "x-api-key", "header_name": "x-api-key", "header_format": "{api_key}", "additional_headers": {"anthropic-version": "2023-06-01"}}`),
		"models/gpt-5-2.json": `{
  "logical_name": "gpt-5.2", "timeout_seconds": 60,
  "model_routings": [{"id": "primary", "provider": "openai", "model": "gpt-5.2"}, {"id": "secondary", "provider": "azure", "model": "gpt-5.2"}],
  "fallback_model_routings": ["gpt-5.1"]
}`,
		"models/gpt-5-1.json": `{"logical_name": "gpt-5.1", "model_routings": [
  {"id": "primary", "wire_protocol": "openai", "provider": "openai", "model": "gpt-5.1", "api_key_env": ["OPENAI_API_KEY_7"]}]}`,
		"models/claude-4.5-opus.json": `{"logical_name": "claude-4.5-opus", "timeout_seconds": 60, "model_routings": [
  {"id": "primary", "provider": "anthropic", "model": "claude-opus-4-5-20251101"}], "fallback_model_routings": []}`,
	}
}

// gateway is a process with a user's config/ and .env.
type gateway struct {
	*gatewaytest.Process
	t        testing.TB
	url      string
	dir      string // holds config/, .env and data/
	upstream *gatewaytest.Upstream
}

// prepare writes a user's folder; more lines are added to the .env file.
func prepare(t testing.TB, more ...string) *gateway {
	t.Helper()
	g := &gateway{t: t, dir: t.TempDir(), upstream: gatewaytest.NewUpstream(t, mock.Options{})}
	for name, text := range files(g.upstream.URL) {
		g.write("config/"+name, text)
	}
	g.write(".env", dotEnv+strings.Join(more, "\n")+"\n")
	return g
}

func (g *gateway) write(name, text string) {
	g.t.Helper()
	path := filepath.Join(g.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		g.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		g.t.Fatal(err)
	}
}

// environment turns both limits off; .env has no word on them.
var environment = []string{"RATE_LIMIT_REQUESTS_PER_MINUTE=0", "RATE_LIMIT_TOKENS_PER_MINUTE=0"}

// launch starts `run` without waiting for anything.
func (g *gateway) launch(env []string, flags ...string) {
	g.t.Helper()
	args := append([]string{"run", "--host", "127.0.0.1", "--port", "0", "--config", g.dir + "/config", "--env-file", g.dir + "/.env",
		"--data", g.dir + "/data", "--log-format", "json"}, flags...)
	g.Process = gatewaytest.Start(g.t, "run", env, args...)
}

// start starts `run` and waits until it listens.
func start(t testing.TB, env []string, flags ...string) *gateway {
	t.Helper()
	g := prepare(t)
	g.launch(append(append([]string{}, environment...), env...), flags...)
	g.awaitAddress()
	return g
}

func (g *gateway) awaitAddress() {
	g.t.Helper()
	var line struct{ Address string }
	if err := json.Unmarshal([]byte(g.AwaitLog(`"msg":"listening"`, soon)), &line); err != nil {
		g.t.Fatal(err)
	}
	g.url = "http://" + line.Address
}

// answer is one answer, read whole.
type answer struct {
	status int
	header http.Header
	body   string
}

// do sends a request; header lines come as name, value, …
func (g *gateway) do(method, path, body string, header ...string) answer {
	g.t.Helper()
	ctx, stop := context.WithTimeout(g.t.Context(), soon)
	defer stop()
	req, err := http.NewRequestWithContext(ctx, method, g.url+path, strings.NewReader(body))
	if err != nil {
		g.t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		g.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(text)}
}

// chat asks a model in OpenAI's protocol.
func (g *gateway) chat(model string) answer {
	g.t.Helper()
	return g.do("POST", "/v1/chat/completions", `{"model":"`+model+`","messages":[{"role":"user","content":"Hello!"}],"temperature":0.7,"max_tokens":100}`,
		"Authorization", "Bearer "+clientKey)
}

func (a answer) want(t testing.TB, status int, parts ...string) answer {
	t.Helper()
	if a.status != status {
		t.Errorf("status: got %d, want %d: %s", a.status, status, a.body)
	}
	for _, p := range parts {
		if !strings.Contains(a.body, p) {
			t.Errorf("got %s, want %s in it", a.body, p)
		}
	}
	return a
}
