package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"model-proxy/internal/provider/mock"
)

// gateway is `model-proxy run` inside the test, in front of a simulated provider.
type gateway struct {
	url, data string
	conf      string   // its configuration directory
	environ   []string // its whole environment
	mock      *mock.Mock
	stop      func() int // ends it and returns the exit code
}

const clientKey = "sk-client-of-the-test"

// startGateway runs the whole program, so that the race detector sees it all.
func startGateway(t *testing.T, args ...string) *gateway {
	t.Helper()
	return startChangedGateway(t, "", nil, args...)
}

// startGatewayWith is startGateway with more variables in its environment.
func startGatewayWith(t *testing.T, environ []string, args ...string) *gateway {
	t.Helper()
	return startChangedGateway(t, "", environ, args...)
}

// startChangedGateway also adds fields to the providers' files.
func startChangedGateway(t *testing.T, providerFields string, environ []string, args ...string) *gateway {
	t.Helper()
	g := &gateway{mock: mock.New(mock.Options{}), data: t.TempDir(), conf: t.TempDir()}
	upstream := httptest.NewServer(g.mock)
	t.Cleanup(func() { g.mock.Close(); upstream.Close() })
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(g.conf, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range []string{"openai", "anthropic"} {
		write("providers/sim-"+p+".json", fmt.Sprintf(`{"name":"sim-%s","api_keys":{"env_var_patterns":["SIM_API_KEY","SIM_API_KEY_{INDEX}"]},
			"endpoints":{"base_url":"%s/v1","compatible_format":"%s"},"forward_headers":["X-Mock-*"]%s}`, p, upstream.URL, p, providerFields))
		write("models/"+p+".json", fmt.Sprintf(`{"logical_name":"m-%s","model_routings":[{"id":"a","provider":"sim-%s","model":"up-%s"}]}`, p, p, p))
	}
	g.environ = append([]string{"HOME=" + t.TempDir(), "CLIENT_API_KEY=" + clientKey, "SIM_API_KEY=sk-up-1", "SIM_API_KEY_2=sk-up-2",
		"RATE_LIMIT_REQUESTS_PER_MINUTE=0", "RATE_LIMIT_TOKENS_PER_MINUTE=0"}, environ...)
	g.start(t, append([]string{"run", "--host", "127.0.0.1", "--port", "0", "--config", g.conf, "--data", g.data}, args...)...)
	return g
}

// start runs the program until it listens, a role of its own for metrics. It is
// stopped with the test.
func (g *gateway) start(t *testing.T, args ...string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	logs, w := io.Pipe()
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, args, g.environ, io.Discard, w)
		w.Close()
	}()
	address := make(chan string, 1)
	go func() {
		listening := regexp.MustCompile(`msg=(?:listening|metrics) address=(\S+)`)
		for lines := bufio.NewScanner(logs); lines.Scan(); {
			if m := listening.FindStringSubmatch(lines.Text()); m != nil {
				address <- m[1]
			}
		}
	}()
	select {
	case a := <-address:
		g.url = "http://" + a
	case c := <-code:
		t.Fatalf("the gateway ended with %d before it listened", c)
	case <-time.After(time.Minute):
		t.Fatal("the gateway did not listen within a minute")
	}
	g.stop = sync.OnceValue(func() int { cancel(); return <-code })
	t.Cleanup(func() { g.stop() })
}

func (g *gateway) post(t *testing.T, ctx context.Context, path, body string, header ...string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, g.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+clientKey)
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

// rows runs `model-proxy records` and decodes what it prints.
func (g *gateway) rows(t *testing.T, args ...string) []map[string]any {
	t.Helper()
	var out, errs bytes.Buffer
	all := append([]string{"records", "--data", g.data, "--format", "json", "--limit", "100000"}, args...)
	if code := run(context.Background(), all, []string{"HOME=" + t.TempDir()}, &out, &errs); code != 0 {
		t.Fatalf("records: exit code %d, %s", code, errs.String())
	}
	var rows []map[string]any
	for line := range bytes.Lines(out.Bytes()) {
		var row map[string]any
		if err := json.Unmarshal(line, &row); err != nil {
			t.Fatalf("records: %v in %s", err, line)
		}
		rows = append(rows, row)
	}
	return rows
}

// Plain answers, streams, refusals and clients that hang up, all at once: each
// gets what it should, and each leaves one record of each kind.
func TestManyAtOnce(t *testing.T) {
	g := startGateway(t, "--workers", "2")
	const each = 25
	var wg sync.WaitGroup
	for i := range each {
		wg.Go(func() {
			resp := g.post(t, t.Context(), "/v1/chat/completions", fmt.Sprintf(`{"model":"m-openai","messages":[{"role":"user","content":"nr %d"}]}`, i))
			defer resp.Body.Close()
			if b, _ := io.ReadAll(resp.Body); resp.StatusCode != 200 || !strings.Contains(string(b), fmt.Sprintf("nr %d", i)) {
				t.Errorf("plain %d: status %d, %s", i, resp.StatusCode, b)
			}
		})
		wg.Go(func() {
			resp := g.post(t, t.Context(), "/v1/messages", fmt.Sprintf(`{"model":"m-anthropic","stream":true,"max_tokens":50,"messages":[{"role":"user","content":"nr %d"}]}`, i))
			defer resp.Body.Close()
			if b, _ := io.ReadAll(resp.Body); resp.StatusCode != 200 || !strings.Contains(string(b), "event: message_stop") {
				t.Errorf("stream %d: status %d, %s", i, resp.StatusCode, b)
			}
		})
		wg.Go(func() {
			resp := g.post(t, t.Context(), "/v1/chat/completions", `{"model":"m-openai","messages":[]}`, "X-Mock-Status", "400")
			defer resp.Body.Close()
			if b, _ := io.ReadAll(resp.Body); resp.StatusCode != 400 {
				t.Errorf("refusal %d: status %d, %s", i, resp.StatusCode, b)
			}
		})
		wg.Go(func() {
			ctx, hangUp := context.WithCancel(t.Context())
			resp := g.post(t, ctx, "/v1/chat/completions", `{"model":"m-openai","stream":true,"messages":[{"role":"user","content":"long"}]}`, "X-Mock-Stall-After", "2")
			defer resp.Body.Close()
			if _, err := resp.Body.Read(make([]byte, 10)); err != nil {
				t.Errorf("abort %d: no first bytes: %v", i, err)
			}
			hangUp()
		})
	}
	wg.Wait()
	if code := g.stop(); code != 0 {
		t.Errorf("exit code %d after a drain, want 0", code)
	}
	got := map[string]int{}
	for _, row := range g.rows(t) {
		got[row["outcome"].(string)]++
	}
	want := map[string]int{"ok": 2 * each, "error": each, "client_gone": each}
	for outcome, n := range want {
		if got[outcome] != n {
			t.Errorf("requests with outcome %s: got %d, want %d (all: %v)", outcome, got[outcome], n, got)
		}
	}
	if n := len(g.rows(t, "--attempts")); n != 4*each {
		t.Errorf("attempts: got %d, want %d", n, 4*each)
	}
}

// A provider's rate_limiting bounds each of its keys: the next key takes over,
// and when none has room the client is told how long to wait.
func TestKeysHaveLimitsOfTheirOwn(t *testing.T) {
	g := startChangedGateway(t, `,"rate_limiting":{"enabled":true,"requests_per_minute":2}`, nil)
	for i := range 5 {
		resp := g.post(t, t.Context(), "/v1/chat/completions", `{"model":"m-openai","messages":[{"role":"user","content":"hi"}]}`)
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		want := 200
		if i == 4 {
			want = 429
		}
		if resp.StatusCode != want {
			t.Errorf("request %d: status %d, want %d: %s", i, resp.StatusCode, want, b)
		}
		if want == 429 && resp.Header.Get("Retry-After") == "" {
			t.Error("429 without Retry-After")
		}
	}
	used := map[string]int{}
	for _, r := range g.mock.Requests() {
		used[r.KeyFP]++
	}
	if len(used) != 2 {
		t.Errorf("keys used: %v, want two", used)
	}
	for fp, n := range used {
		if n != 2 {
			t.Errorf("key %s: used %d times, want 2", fp, n)
		}
	}
}
