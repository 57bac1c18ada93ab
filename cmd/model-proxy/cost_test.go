package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// meteredUpstream answers every request with the usage that its model's name
// calls for.
func meteredUpstream(t *testing.T) string {
	t.Helper()
	chat := func(usage string) string {
		return `{"id":"c1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}],"usage":` + usage + `}`
	}
	cached := `{"prompt_tokens":10000,"completion_tokens":500,"total_tokens":10500,"prompt_tokens_details":{"cached_tokens":9000},"completion_tokens_details":{"reasoning_tokens":320}}`
	claude := `{"input_tokens":7,"cache_read_input_tokens":10000,"cache_creation_input_tokens":20,"cache_creation":{"ephemeral_5m_input_tokens":15,"ephemeral_1h_input_tokens":5},"output_tokens":42}`
	answers := map[string]string{
		"gpt-5.2-2025-12-11": chat(cached),
		"claude-opus-4-5":    `{"id":"m1","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"hi"}],"stop_reason":"end_turn","stop_sequence":null,"usage":` + claude + `}`,
		"gemini-2.5-pro":     chat(`{"prompt_tokens":200001,"completion_tokens":1000,"total_tokens":201001,"prompt_tokens_details":{"cached_tokens":100000}}`),
		"gpt-oss:20b":        chat(cached),
		"mystery-1":          chat(cached),
	}
	stream := fmt.Sprintf("data: %s\n\ndata: %s\n\ndata: [DONE]\n\n",
		`{"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":"hi"},"finish_reason":"stop"}]}`,
		`{"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","choices":[],"usage":`+cached+`}`)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		for model, answer := range answers {
			if !strings.Contains(string(body), `"`+model+`"`) {
				continue
			}
			switch {
			case strings.HasSuffix(r.URL.Path, "/count_tokens"):
				w.Header().Set("Content-Type", "application/json")
				fmt.Fprint(w, `{"input_tokens":2095}`)
			case strings.Contains(string(body), "say no"):
				w.WriteHeader(http.StatusInternalServerError)
			case strings.Contains(string(body), "half"): // costs its prompt, and the next route is asked
				w.Header().Set("Content-Type", "application/json")
				fmt.Fprint(w, `{"choices":[`)
			case strings.Contains(string(body), `"stream":true`):
				w.Header().Set("Content-Type", "text/event-stream")
				fmt.Fprint(w, strings.Replace(stream, `"choices":[],`, `"choices":[],`+servedIn(string(body)), 1))
			default:
				w.Header().Set("Content-Type", "application/json")
				fmt.Fprint(w, "{"+servedIn(string(body))+answer[1:])
			}
			return
		}
		w.WriteHeader(http.StatusNotFound)
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}

// servedIn is the service tier of an answer, as the request asked for it.
func servedIn(body string) string {
	if strings.Contains(body, "at once") {
		return `"service_tier":"priority",`
	}
	return `"service_tier":"default",`
}

// startMeteredGateway runs the program in front of meteredUpstream, with the
// prices in the binary.
func startMeteredGateway(t *testing.T) *gateway {
	t.Helper()
	url := meteredUpstream(t)
	home := t.TempDir()
	for name, protocol := range map[string]string{"openai": "openai", "anthropic": "anthropic", "gemini": "gemini", "ollama": "openai", "acme": "openai"} {
		writeFile(t, filepath.Join(home, ".model-proxy/config/providers", name+".json"),
			fmt.Sprintf(`{"name":%q,"endpoints":{"base_url":"%s/v1","compatible_format":%q}}`, name, url, protocol))
	}
	for name, routes := range map[string][]string{"gpt": {"openai/gpt-5.2-2025-12-11"}, "claude": {"anthropic/claude-opus-4-5"}, "gemini": {"gemini/gemini-2.5-pro"},
		"free": {"ollama/gpt-oss:20b"}, "mystery": {"acme/mystery-1"}, "chain": {"gemini/gemini-2.5-pro", "openai/gpt-5.2-2025-12-11"}, "mixed": {"acme/mystery-1", "openai/gpt-5.2-2025-12-11"}} {
		var list []string
		for i, r := range routes {
			provider, model, _ := strings.Cut(r, "/")
			list = append(list, fmt.Sprintf(`{"id":"r%d","provider":%q,"model":%q}`, i, provider, model))
		}
		writeFile(t, filepath.Join(home, ".model-proxy/config/models", name+".json"), fmt.Sprintf(`{"logical_name":%q,"model_routings":[%s]}`, name, strings.Join(list, ",")))
	}
	return startGatewayWith(t, []string{"HOME=" + home, "ADMIN_API_KEY=" + adminKey, "OPENAI_API_KEY=k", "ANTHROPIC_API_KEY=k", "GEMINI_API_KEY=k", "OLLAMA_API_KEY=k", "ACME_API_KEY=k"})
}

// Each request's row has the exact cost of its tokens, null where the model has
// no price; so have its attempts' rows, and the request's is their sum.
func TestCosts(t *testing.T) {
	g := startMeteredGateway(t)
	const (
		gpt    = 1_000*1_750 + 9_000*175 + 500*14_000
		claude = 7*5_000 + 10_000*500 + 15*6_250 + 5*10_000 + 42*25_000
		gemini = 100_001*2_500 + 100_000*250 + 1_000*15_000
	)
	const unknown, someSum = -1, -2 // null; whatever its attempts add up to
	tests := []struct {
		id, path, model, text string
		status                int
		want                  int // the request's cost in nano-dollars
	}{
		{"gpt", "/v1/chat/completions", "gpt", "hello", 200, gpt},
		{"gpt-stream", "/v1/chat/completions/stream", "gpt", "hello", 200, gpt},
		{"gpt-messages", "/v1/messages", "gpt", "hello", 200, gpt},
		{"claude", "/v1/messages", "claude", "hello", 200, claude},
		{"claude-chat", "/v1/chat/completions", "claude", "hello", 200, claude},
		{"claude-count", "/v1/messages/count_tokens", "claude", "hello", 200, 0},
		{"gemini", "/v1/chat/completions", "gemini", "hello", 200, gemini},
		{"free", "/v1/chat/completions", "free", "hello", 200, 0},
		{"unknown", "/v1/chat/completions", "mystery", "hello", 200, unknown},
		{"refused", "/v1/chat/completions", "gpt", "say no", 500, 0},
		{"refused-unknown", "/v1/chat/completions", "mystery", "say no", 500, unknown},
		{"mixed-refused", "/v1/chat/completions", "mixed", "say no", 500, 0},
		{"chain-half", "/v1/chat/completions", "chain", "half", 502, someSum},
		{"priority", "/v1/chat/completions", "gpt", "at once", 200, unknown},
		{"priority-stream", "/v1/messages-stream", "gpt", "at once", 200, unknown},
		{"mixed-half", "/v1/chat/completions", "mixed", "half", 502, unknown},
	}
	for _, c := range tests {
		a := g.do(t, "POST", c.path, clientKey, fmt.Sprintf(`{"model":%q,"max_tokens":500,"messages":[{"role":"user","content":%q}]}`, c.model, c.text), "X-Request-Id", c.id)
		if a.status != c.status {
			t.Errorf("%s: got %d, want %d: %s", c.id, a.status, c.status, a.body)
		}
	}
	metrics := g.do(t, "GET", "/metrics", "", "").body
	for _, line := range []string{`model_proxy_unpriced_total{model="mystery"} 1`, `model_proxy_unpriced_total{model="mixed"} 1`,
		`model_proxy_unpriced_total{model="gpt"} 2`} {
		if !strings.Contains(metrics, line+"\n") {
			t.Errorf("/metrics lacks %s", line)
		}
	}
	if strings.Contains(metrics, `model_proxy_unpriced_total{model="claude"}`) {
		t.Error("/metrics counts a model that has a price")
	}
	command(t, g.environ, "prices", "reprice", "--from", "1h", "--data", g.data, "--config", g.conf).want(t, exitOK, " requests, ") // beside the running gateway
	g.stop()
	for _, c := range tests {
		requests := g.rows(t, "--request-id", c.id)
		if len(requests) != 1 {
			t.Errorf("%s: got %d requests", c.id, len(requests))
			continue
		}
		r := requests[0]
		cost, known := r["cost_nano_usd"].(float64)
		if known != (c.want != unknown) || known && c.want >= 0 && int(cost) != c.want {
			t.Errorf("%s: got cost %v, want %d", c.id, r["cost_nano_usd"], c.want)
		}
		if tokens := r["prompt_tokens"].(float64); strings.HasSuffix(c.path, "/count_tokens") && (tokens != 0 || r["usage_source"] != "none") {
			t.Errorf("%s: counting used %v tokens, by %v; want none", c.id, tokens, r["usage_source"])
		}
		if v := r["price_version"].(string); !strings.HasPrefix(v, "2026-07-02-") {
			t.Errorf("%s: got price version %q", c.id, v)
		}
		if sum := g.attemptCosts(t, c.id); known && sum != cost || c.want == someSum && sum == 0 {
			t.Errorf("%s: got cost %v, that of its attempts is %v", c.id, cost, sum)
		}
	}
	command(t, nil, "usage", "--data", g.data, "--by", "model", "--format", "json").want(t, exitOK,
		fmt.Sprintf(`"model":"gpt","requests":6,"errors":1,"prompt_tokens":50000,"cached_read_tokens":45000,"cached_write_tokens":0,"completion_tokens":2500,"reasoning_tokens":1600,"cost_nano_usd":%d`, 3*gpt),
		`"model":"mystery","requests":2,"errors":1,"prompt_tokens":10000,"cached_read_tokens":9000,"cached_write_tokens":0,"completion_tokens":500,"reasoning_tokens":320,"cost_nano_usd":null`, `"unpriced":1}`)
	g.repriced(t, gpt)
}

// repriced reckons the records of TestCosts anew: by the same prices nothing
// changes, and a price that was missing is made up for.
func (g *gateway) repriced(t *testing.T, gpt int) {
	t.Helper()
	reprice := func(args ...string) result {
		t.Helper()
		return command(t, g.environ, append([]string{"prices", "reprice", "--data", g.data, "--config", g.conf}, args...)...)
	}
	reprice("--from", "1h", "--format", "json").want(t, exitOK, `"requests": 16,`, `"changed": 0,`, `"incomplete": 0,`, `"unpriced": 4,`)
	writeFile(t, filepath.Join(g.conf, "prices.json"), `{"date":"2026-10-01","providers":{"acme":{"mystery-1":{"input":1.75,"output":14,"cache_read":0.175}}}}`)
	reprice("--from", "1h", "--dry-run").want(t, exitOK, "16 requests, 3 with another cost now", "by version 2026-10-01-")
	reprice("--from", "1h", "--to", time.Now().Add(-30*time.Minute).Format(time.RFC3339)).want(t, exitOK, "0 requests")
	reprice("--from", "1h").want(t, exitOK, "16 requests, 3 with another cost now", "2 have no price")
	r := g.rows(t, "--request-id", "unknown")[0]
	if cost, _ := r["cost_nano_usd"].(float64); int(cost) != gpt || !strings.HasPrefix(r["price_version"].(string), "2026-10-01-") {
		t.Errorf("got cost %v by version %v, want %d by the new one", r["cost_nano_usd"], r["price_version"], gpt)
	}
	reprice("--from", "yesterday").want(t, exitUsage, `--from "yesterday": want a day`)
	reprice().want(t, exitUsage, "--from")
	command(t, nil, "prices", "reprice", "--from", "1h", "--data", t.TempDir()).want(t, exitFailure, "no records under")
	command(t, []string{"CLICKHOUSE_DSN=clickhouse://localhost"}, "prices", "reprice", "--from", "1h").want(t, exitUsage, "SQLite only")
}

// attemptCosts is what the attempts of a request cost together.
func (g *gateway) attemptCosts(t *testing.T, requestID string) (sum float64) {
	t.Helper()
	for _, a := range g.rows(t, "--attempts", "--request-id", requestID) {
		cost, _ := a["cost_nano_usd"].(float64)
		sum += cost
	}
	return sum
}

// A stream that its client leaves half way costs what it has used until then.
func TestCostOfAnAbandonedStream(t *testing.T) {
	home := t.TempDir()
	writeFile(t, filepath.Join(home, ".model-proxy/config/prices.json"), `{"date":"2026-10-01","providers":{"sim-openai":{"up-openai":{"input":1,"output":10}}}}`)
	g := startGatewayWith(t, []string{"HOME=" + home})
	ctx, hangUp := context.WithCancel(t.Context())
	defer hangUp()
	resp := g.post(t, ctx, "/v1/chat/completions", `{"model":"m-openai","stream":true,"messages":[{"role":"user","content":"long"}]}`, "X-Mock-Stall-After", "3", "X-Request-Id", "left")
	defer resp.Body.Close()
	if _, err := resp.Body.Read(make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	hangUp()
	g.stop()
	rows := g.rows(t, "--request-id", "left")
	if len(rows) != 1 || rows[0]["outcome"] != "client_gone" {
		t.Fatalf("got %v, want one request that its client left", rows)
	}
	r := rows[0]
	want := r["prompt_tokens"].(float64)*1000 + r["completion_tokens"].(float64)*10_000
	if sum := g.attemptCosts(t, "left"); r["cost_nano_usd"] != want || sum != want || want == 0 {
		t.Errorf("got cost %v, that of its attempts %v, want %v for its tokens", r["cost_nano_usd"], sum, want)
	}
}
