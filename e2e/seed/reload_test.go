package seed_test

import (
	"bufio"
	"io"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"model-proxy/e2e/clock"
	"model-proxy/e2e/gatewaytest"
	"model-proxy/internal/provider/mock"
)

// within bounds what the contract gives a second; the rest is for a busy machine.
const within = 5 * time.Second

// A reload, by signal or by watching, adds a model and revokes a key within a
// second while a stream goes on; an invalid file is refused whole.
func TestReload(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		flags  []string
		reload func(*gateway)
	}{
		"SIGHUP":   {nil, func(g *gateway) { g.Signal(syscall.SIGHUP) }},
		"--reload": {[]string{"--reload"}, func(*gateway) {}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := start(t, nil, c.flags...)
			stream := openSlowStream(t, g)

			g.write("config/models/new.json", `{"logical_name": "new", "model_routings": [{"id": "a", "provider": "openai", "model": "up"}]}`)
			took := g.until(c.reload, "the new model", func() bool { return g.chat("new").status == 200 })
			t.Logf("a new model after %v", took)

			g.write("config/models/new.json", "{\n \"logical_name\": \"new\",\n \"model_routings\": 7\n}")
			c.reload(g)
			g.AwaitLog(`new.json:3: model_routings`, soon)
			g.AwaitLog(`the running configuration stays`, soon)
			g.chat("new").want(t, 200)
			if err := os.Remove(g.dir + "/config/models/new.json"); err != nil {
				t.Fatal(err)
			}

			g.write(".env", strings.Replace(dotEnv, clientKey, clientKey+"-2", 1))
			took = g.until(c.reload, "401 for the revoked key", func() bool { return g.chat("gpt-5.2").status == 401 })
			t.Logf("a revoked key after %v", took)
			g.do("GET", "/v1/models", "", "Authorization", clientKey+"-2").want(t, 200)

			if got := stream(); !strings.HasSuffix(got, "data: [DONE]\n\n") {
				t.Errorf("the stream ended with %q", got[max(0, len(got)-200):])
			}
		})
	}
}

// until reloads and waits until the change shows.
func (g *gateway) until(reload func(*gateway), what string, shows func() bool) time.Duration {
	g.t.Helper()
	had, began := clock.New(g.t), time.Now()
	reload(g)
	gatewaytest.Await(g.t, soon, what, shows)
	took := had.Since(began).Round(time.Millisecond)
	if took > within {
		g.t.Errorf("%s: after %v, want within 1 s", what, took)
	}
	return took
}

// openSlowStream begins a stream that lasts while the rest of the test runs, and
// returns how to read it to its end.
func openSlowStream(t *testing.T, g *gateway) func() string {
	t.Helper()
	g.upstream.Script(func(r *mock.Request) *mock.Fault {
		if r.Stream {
			return &mock.Fault{Delay: 30 * time.Millisecond, Chunks: 100}
		}
		return nil
	})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, g.url+"/v1/chat/completions-stream",
		strings.NewReader(`{"model":"gpt-5.2","messages":[{"role":"user","content":"Hello!"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", clientKey)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	body := bufio.NewReader(resp.Body)
	if _, err := body.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	return func() string {
		defer resp.Body.Close()
		rest, err := io.ReadAll(body)
		if err != nil {
			t.Errorf("the stream broke: %v", err)
		}
		return string(rest)
	}
}
