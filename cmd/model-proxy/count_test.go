package main

import (
	"fmt"
	"io"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"model-proxy/internal/provider/mock"
)

// A provider of Responses whose file says where it counts tokens is asked, by
// clients of Messages too; where it cannot say the count is an estimate.
func TestTokensCountedByResponses(t *testing.T) {
	m := mock.New(mock.Options{})
	upstream := httptest.NewServer(m)
	t.Cleanup(func() { m.Close(); upstream.Close() })
	home := t.TempDir()
	writeFile(t, filepath.Join(home, ".model-proxy/config/providers/acme.json"), fmt.Sprintf(`{"name":"acme","endpoints":{"base_url":"%s/v1",
		"compatible_format":"openai","count_tokens":"/responses/input_tokens"},"protocols":["openai","openai-responses"],"forward_headers":["X-Mock-*"]}`, upstream.URL))
	writeFile(t, filepath.Join(home, ".model-proxy/config/models/gpt.json"), `{"logical_name":"gpt","model_routings":[{"id":"a","provider":"acme","model":"up"}]}`)
	g := startGatewayWith(t, []string{"HOME=" + home, "ACME_API_KEY=k"})

	const messages = `"messages":[{"role":"user","content":"twelve bytes"}]`
	for _, c := range []struct{ name, body, mock, by, want, attempts string }{
		{"counted", `{"model":"gpt",` + messages + `}`, "", "provider", `{"input_tokens":3}`, "1"},
		{"refused upstream", `{"model":"gpt",` + messages + `}`, "404", "estimated", `{"input_tokens":8}`, "1"},
		{"a tool that no request could have", `{"model":"gpt",` + messages + `,"tools":[{"type":"computer_20250124","name":"computer"}]}`, "", "estimated", `{"input_tokens":`, "0"},
	} {
		var header []string
		if c.mock != "" {
			header = []string{"X-Mock-Status", c.mock}
		}
		resp := g.post(t, t.Context(), "/v1/messages/count_tokens", c.body, header...)
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		by, attempts := resp.Header.Get("X-Model-Proxy-Token-Count"), resp.Header.Get("X-Model-Proxy-Attempts")
		if resp.StatusCode != 200 || by != c.by || attempts != c.attempts || !strings.HasPrefix(string(body), c.want) {
			t.Errorf("%s: got %d %s, %s after %s attempts; want %s, %s after %s", c.name, resp.StatusCode, body, by, attempts, c.want, c.by, c.attempts)
		}
	}
}
