package seed_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"model-proxy/config"
	"model-proxy/e2e/gatewaytest"
	"model-proxy/internal/provider/mock"
)

// Every endpoint takes the key in every form and answers in its own protocol.
func TestEndpointsAndAuthentication(t *testing.T) {
	t.Parallel()
	g := start(t, nil)
	chat := `{"model":"gpt-5.2","messages":[{"role":"user","content":"Hello!"}],"temperature":0.7,"max_tokens":100}`
	messages := `{"model":"claude-4.5-opus","messages":[{"role":"user","content":"Hello!"}],"max_tokens":100,"temperature":0.7}`
	for _, e := range []struct{ path, body, want, failure string }{
		{"/v1/chat/completions", chat, `"object":"chat.completion"`, `{"error":{"message":`},
		{"/v1/chat/completions-stream", chat, "data: [DONE]\n\n", `{"error":{"message":`},
		{"/v1/messages", messages, `"type":"message"`, `"type":"error"`},
		{"/v1/messages-stream", messages, "event: message_stop\n", `"type":"error"`},
	} {
		for _, key := range [][2]string{{"Authorization", "Bearer " + clientKey}, {"Authorization", "bearer " + clientKey},
			{"Authorization", "BEARER " + clientKey}, {"Authorization", clientKey}, {"x-api-key", clientKey}} {
			a := g.do("POST", e.path, e.body, key[0], key[1]).want(t, 200, e.want)
			if got, want := strings.HasPrefix(a.header.Get("Content-Type"), "text/event-stream"), strings.HasSuffix(e.path, "-stream"); got != want {
				t.Errorf("%s: got a stream: %v, want %v", e.path, got, want)
			}
		}
		g.do("POST", e.path, e.body).want(t, 401, e.failure)
		g.do("POST", e.path, e.body, "Authorization", "Bearer wrong").want(t, 401, e.failure)
	}
}

// The same model answers clients of either protocol, converted where its
// provider speaks the other one.
func TestFormatConversion(t *testing.T) {
	t.Parallel()
	g := start(t, nil)
	g.chat("claude-4.5-opus").want(t, 200, `"chat.completion"`, "Hello!")
	g.do("POST", "/v1/messages", `{"model":"gpt-5.2","max_tokens":100,"messages":[{"role":"user","content":"Hello!"}]}`, "Authorization", clientKey).
		want(t, 200, `"type":"message"`, "Hello!")
	for i, want := range []string{"/v1/messages", "/v1/chat/completions"} {
		if got := g.upstream.Requests()[i].Path; got != want {
			t.Errorf("call %d: got %s, want %s", i+1, got, want)
		}
	}
}

// A request that lacks one of the provider's required_parameters is told so,
// unless its default_parameters have it.
func TestRequiredParameters(t *testing.T) {
	t.Parallel()
	const bare = `{"model":"claude-4.5-opus","messages":[{"role":"user","content":"Hello!"}]}`
	g := prepare(t)
	file := files(g.upstream.URL)["providers/anthropic.json"]
	g.write("config/providers/anthropic.json", strings.Replace(file, `"max_retries": 3,`, `"max_retries": 3, "required_parameters": ["max_tokens"],`, 1))
	g.launch(environment)
	g.awaitAddress()
	g.do("POST", "/v1/messages", bare, "Authorization", clientKey).want(t, 400, `"invalid_request_error"`, "max_tokens is missing")
	g.do("POST", "/v1/messages/count_tokens", bare, "Authorization", clientKey).want(t, 200)
	g.chat("claude-4.5-opus").want(t, 200)
	if got := g.upstream.Requests(); len(got) != 2 {
		t.Errorf("the provider got %d requests, want the two that had all they need: %+v", len(got), got)
	}

	g.write("config/providers/anthropic.json", strings.Replace(strings.Replace(file, `"n": 1`, `"max_tokens": 1024`, 1),
		`"max_retries": 3,`, `"max_retries": 3, "required_parameters": ["max_tokens"],`, 1))
	g.Signal(syscall.SIGHUP)
	g.AwaitLog(`"msg":"configuration reloaded"`, soon)
	g.do("POST", "/v1/messages", bare, "Authorization", clientKey).want(t, 200)
}

// A credential in additional_headers that the provider repeats in its errors reaches
// neither the client nor the records.
func TestHeaderCredentialsAreConcealed(t *testing.T) {
	t.Parallel()
	const token = "gw-seed-0a1b2c3d4e5f"
	g := prepare(t, "GATEWAY_TOKEN="+token)
	g.write("config/providers/anthropic.json", strings.Replace(files(g.upstream.URL)["providers/anthropic.json"],
		`"anthropic-version": "2023-06-01"`, `"X-Gateway-Auth": "Bearer ${GATEWAY_TOKEN}"`, 1))
	g.upstream.Instead(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(400)
		fmt.Fprintf(w, `{"type":"error","error":{"type":"invalid_request_error","message":"wrong: %s"}}`, r.Header.Get("X-Gateway-Auth"))
	}))
	g.launch(environment)
	g.awaitAddress()
	for _, body := range []string{g.chat("claude-4.5-opus").want(t, 400, "wrong: Bearer [redacted]").body,
		g.do("POST", "/v1/messages", `{"model":"claude-4.5-opus","max_tokens":9,"messages":[{"role":"user","content":"x"}]}`, "Authorization", clientKey).
			want(t, 400, "wrong: Bearer [redacted]").body, g.Output()} {
		if strings.Contains(body, token) {
			t.Errorf("the token is in %s", body)
		}
	}
}

// Keys come from every variable of the pattern, gaps and repeats do not matter,
// and a route may name its own.
func TestKeysFromTheEnvironment(t *testing.T) {
	t.Parallel()
	g := start(t, nil)
	for range 9 {
		g.chat("gpt-5.2").want(t, 200)
	}
	used := map[string]int{}
	for _, e := range g.upstream.Requests() {
		used[e.KeyFP]++
	}
	for _, key := range []string{"sk-seed-openai-aaaa1111", "sk-seed-openai-bbbb2222", "sk-seed-openai-cccc3333"} {
		if got := used[config.NewSecret(key).Fingerprint()]; got != 3 {
			t.Errorf("key ending %s: got %d of 9 requests, want 3", key[len(key)-4:], got)
		}
	}
	g.chat("gpt-5.1").want(t, 200)
	if got, want := g.upstream.Requests()[9].KeyFP, config.NewSecret("sk-seed-openai-cccc3333").Fingerprint(); got != want {
		t.Errorf("api_key_env: got key %s, want %s", got, want)
	}
}

// A key that fails makes way for the next one and rests for
// KEY_COOLDOWN_SECONDS; the client sees nothing of it.
func TestKeyFallbackAndCooldown(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status int
		env    []string
		rests  bool
	}{
		{429, []string{"KEY_COOLDOWN_SECONDS=300"}, true},
		{401, []string{"KEY_COOLDOWN_SECONDS=300"}, true},
		{429, []string{"KEY_COOLDOWN_SECONDS=0"}, false},
	} {
		t.Run(fmt.Sprint(c.status, c.env), func(t *testing.T) {
			t.Parallel()
			g := start(t, c.env)
			var bad atomic.Int64
			g.upstream.Script(func(r *mock.Request) *mock.Fault {
				if r.Key != "sk-seed-openai-bbbb2222" {
					return nil
				}
				bad.Add(1)
				return &mock.Fault{Status: c.status}
			})
			for range 12 {
				g.chat("gpt-5.2").want(t, 200)
			}
			if got := bad.Load(); got == 0 || c.rests != (got == 1) {
				t.Errorf("the failing key was used %d times; rests: want %v", got, c.rests)
			}
		})
	}
	g := start(t, []string{"KEY_COOLDOWN_SECONDS=1"})
	var bad atomic.Int64
	g.upstream.Script(func(r *mock.Request) *mock.Fault {
		if r.Key == "sk-seed-openai-bbbb2222" && bad.Add(1) == 1 {
			return &mock.Fault{Status: 429}
		}
		return nil
	})
	gatewaytest.Await(t, soon, "the key's return after its rest", func() bool { g.chat("gpt-5.2").want(t, 200); return bad.Load() > 1 })
}

// A model whose routes fail is answered by its fallback.
func TestFallbackModel(t *testing.T) {
	t.Parallel()
	g := start(t, nil)
	g.upstream.Script(func(r *mock.Request) *mock.Fault {
		if r.Model == "gpt-5.2" {
			return &mock.Fault{Status: 503}
		}
		return nil
	})
	a := g.chat("gpt-5.2").want(t, 200)
	if got := a.header.Get("X-Model-Proxy-Model"); got != "gpt-5.1" {
		t.Errorf("answered by %q, want gpt-5.1", got)
	}
}

// Limits are each client's, per minute; health is exempt.
func TestRateLimits(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		env string
		ok  int // requests that pass
	}{{"RATE_LIMIT_REQUESTS_PER_MINUTE=3", 3}, {"RATE_LIMIT_TOKENS_PER_MINUTE=150", 1}} {
		t.Run(c.env, func(t *testing.T) {
			t.Parallel()
			g := start(t, []string{c.env})
			for range c.ok {
				g.chat("gpt-5.2").want(t, 200)
			}
			if strings.Contains(c.env, "TOKENS") { // admitted while less than the limit is used, so this one takes the rest
				g.do("POST", "/v1/chat/completions", `{"model":"gpt-5.2","messages":[{"role":"user","content":"`+strings.Repeat("word ", 400)+`"}]}`,
					"Authorization", clientKey).want(t, 200)
			}
			a := g.chat("gpt-5.2").want(t, 429, `"error"`)
			if a.header.Get("Retry-After") == "" {
				t.Error("no Retry-After")
			}
			for range 5 {
				g.do("GET", "/health", "").want(t, 200, `"status":"ok"`)
			}
		})
	}
}

func TestCORS(t *testing.T) {
	t.Parallel()
	preflight := []string{"Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization,content-type", "Origin"}
	for env, want := range map[string]map[string]string{
		"CORS_ORIGINS=": {"https://any.example": "*"},
		"CORS_ORIGINS=https://a.example, https://b.example": {"https://b.example": "https://b.example", "https://evil.example": ""},
	} {
		g := start(t, []string{env})
		for origin, allowed := range want {
			a := g.do("OPTIONS", "/v1/chat/completions", "", append(preflight, origin)...)
			if got := a.header.Get("Access-Control-Allow-Origin"); got != allowed {
				t.Errorf("%s: %s: got %q, want %q", env, origin, got, allowed)
			}
		}
	}
}

// What was asked and answered stands in SQLite, readable while it runs; with
// LOG_BODIES word for word.
func TestRecords(t *testing.T) {
	t.Parallel()
	g := start(t, []string{"LOG_BODIES=all"})
	asked := `{"model":"gpt-5.2","messages":[{"role":"user","content":"Hello!"}]}`
	answered := g.do("POST", "/v1/chat/completions", asked, "Authorization", clientKey).want(t, 200)
	if _, err := os.Stat(g.dir + "/data/records.db"); err != nil {
		t.Error(err)
	}
	of := &gatewaytest.Gateway{Data: g.dir + "/data"}
	gatewaytest.Await(t, soon, "the record", func() bool {
		rows := of.Requests(t, "")
		return len(rows) == 1 && rows[0].Outcome == "ok" && rows[0].Provider == "openai" && rows[0].PromptTokens > 0
	})
	row := struct {
		BytesIn      int    `json:"bytes_in"`
		RequestBody  string `json:"request_body"`
		ResponseBody string `json:"response_body"`
	}{}
	gatewaytest.Await(t, soon, "the bodies", func() bool {
		p := gatewaytest.Start(t, "records", nil, "records", "--data", g.dir+"/data", "--format", "json")
		if code := p.ExitCode(soon); code != 0 {
			t.Fatalf("records: exit code %d: %s", code, p.Output())
		}
		if err := json.Unmarshal([]byte(p.Output()), &row); err != nil {
			t.Fatal(err)
		}
		return row.ResponseBody != ""
	})
	if row.RequestBody != asked || row.BytesIn != len(asked) || row.ResponseBody != answered.body {
		t.Errorf("got %+v, want the request %s (%d bytes) and the answer %s", row, asked, len(asked), answered.body)
	}
}

// The flags of the predecessor's command line.
func TestFlags(t *testing.T) {
	t.Parallel()
	port := strconv.Itoa(gatewaytest.FreePort(t))
	g := prepare(t)
	g.launch(environment, "--host", "localhost", "--port", port, "--workers", "4", "--log-level", "debug", "--reload")
	g.awaitAddress()
	if !strings.HasSuffix(g.url, ":"+port) {
		t.Errorf("listens on %s, want port %s", g.url, port)
	}
	gatewaytest.Await(t, soon, "four workers", func() bool {
		return strings.Contains(g.do("GET", "/health/detailed", "", "Authorization", clientKey).body, `"workers":{"status":"ok","detail":{"seen":4}}`)
	})
	for path, want := range map[string]string{"/docs": "<title>", "/redoc": "<title>", "/openapi.json": `"openapi": "3.1.0"`, "/metrics": "go_goroutines", "/health": `"ok"`} {
		g.do("GET", path, "").want(t, 200, want)
	}
}

// Help and version, and no running gateway needed for either.
func TestHelpAndVersion(t *testing.T) {
	t.Parallel()
	for want, args := range map[string][]string{"Usage:": {"--help"}, "model-proxy ": {"version"},
		`(default "0.0.0.0")`: {"run", "--help"}, "(default 8000)": {"run", "--help"}, "worker instances (default 1)": {"run", "--help"}, `(default "info")`: {"run", "--help"}} {
		p := gatewaytest.Start(t, strings.Join(args, " "), nil, args...)
		if code := p.ExitCode(soon); code != 0 || !strings.Contains(p.Output(), want) {
			t.Errorf("%v: got %d, %s; want 0 and %q", args, code, p.Output(), want)
		}
	}
}

// The predecessor's flat list of models splits into a file a model.
func TestMigration(t *testing.T) {
	t.Parallel()
	legacy := `{"gpt-4": {"provider": "openai", "provider_model": "gpt-4-turbo"}, "groq/kimi-k2": {"provider": "groq", "provider_model": "moonshotai/kimi-k2"}}`
	if dir := os.Getenv("SEED"); dir != "" {
		b, err := os.ReadFile(dir + "/config/models.legacy.json")
		if err != nil {
			t.Fatal(err)
		}
		legacy = string(b)
	} else {
		t.Log("SEED names no folder; a list of our own stands for its models.legacy.json")
	}
	var flat map[string]struct{ Provider string }
	if err := json.Unmarshal([]byte(legacy), &flat); err != nil {
		t.Fatal(err)
	}
	g := prepare(t)
	g.write("config/models.json", legacy)
	p := gatewaytest.Start(t, "migrate", nil, "config", "migrate", g.dir+"/config/models.json", "--config", g.dir+"/config")
	if code := p.ExitCode(soon); code != 0 {
		t.Fatalf("exit code %d: %s", code, p.Output())
	}
	for name := range flat {
		if _, err := os.Stat(g.dir + "/config/models/" + strings.ReplaceAll(name, "/", "--") + ".json"); err != nil {
			t.Error(err)
		}
	}
	g.launch(environment)
	g.awaitAddress()
	list := g.do("GET", "/v1/models", "", "Authorization", clientKey)
	for name := range flat {
		list.want(t, 200, `"id":"`+name+`"`)
	}
}

// The predecessor's own folder starts a gateway as it is.
func TestPredecessorsFolder(t *testing.T) {
	t.Parallel()
	dir := os.Getenv("SEED")
	if dir == "" {
		t.Log("SEED names no folder: nothing to start")
		return
	}
	g := prepare(t)
	g.launch(append([]string{"CEREBRAS_API_KEY=sk-seed-cerebras-eeee5555", "FAIL_ON_STARTUP_VALIDATION=true"}, environment...), "--config", dir+"/config")
	g.awaitAddress()
	list := g.do("GET", "/v1/models", "", "Authorization", clientKey).want(t, 200)
	for _, name := range []string{"glm-4.5", "glm-4.6", "qwen3-coder"} {
		list.want(t, 200, `"id":"`+name+`"`)
	}
}

// The wrapper runs from anywhere without installing; the caller's directory is
// the program's.
func TestWrapperScript(t *testing.T) {
	t.Parallel()
	script, err := filepath.Abs("../../scripts/model-proxy")
	if err != nil {
		t.Fatal(err)
	}
	g := prepare(t)
	link, linked := filepath.Join(g.dir, "link"), filepath.Join(g.dir, "linked")
	if err := errors.Join(os.Symlink(script, link), os.Symlink("link", linked)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{script, linked} {
		run := exec.CommandContext(t.Context(), name, "models", "list")
		run.Dir = g.dir
		out, err := run.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "claude-4.5-opus") {
			t.Errorf("%s: got %v, %s; want the models of ./config with the keys of ./.env", name, err, out)
		}
	}
}
