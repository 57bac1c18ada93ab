package main

import (
	"io"
	"strings"
	"sync/atomic"
	"testing"

	"model-proxy/internal/provider/mock"
)

// Clients of Chat Completions are told the blocks of an answer of Messages where
// they ask for them, and send them back.
func TestContentBlocks(t *testing.T) {
	g := startGateway(t)
	var last atomic.Value // body of the newest request upstream
	g.mock.Script(func(r *mock.Request) *mock.Fault { last.Store(string(r.Body)); return nil })
	const question = `{"model":"m-anthropic","messages":[{"role":"user","content":"hello"}]}`
	const told = `"content_blocks":[{"type":"text","text":"`
	for _, c := range []struct {
		name, path, body, asked string
		want                    bool
	}{
		{"asked", "/v1/chat/completions", question, "1", true},
		{"asked of a stream", "/v1/chat/completions/stream", question, "1", true},
		{"not asked", "/v1/chat/completions", question, "", false},
		{"asked of another protocol", "/v1/chat/completions", strings.ReplaceAll(question, "anthropic", "openai"), "1", false},
		{"sent back", "/v1/chat/completions", strings.Replace(question, `}]`, `},{"role":"assistant","content":"hi","content_blocks":[{"type":"text","text":"native"}]},{"role":"user","content":"so?"}]`, 1), "", false},
	} {
		var header []string
		if c.asked != "" {
			header = []string{"X-Model-Proxy-Content-Blocks", c.asked}
		}
		resp := g.post(t, t.Context(), c.path, c.body, header...)
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if got := strings.Contains(string(body), told); err != nil || resp.StatusCode != 200 || got != c.want {
			t.Errorf("%s: got %d %s, %v; blocks told: %v, want %v", c.name, resp.StatusCode, body, err, got, c.want)
		}
	}
	if body := last.Load().(string); !strings.Contains(body, `"content":[{"type":"text","text":"native"}]`) {
		t.Errorf("sent back: the upstream got %s", body)
	}
}
