package main

import (
	"strconv"
	"testing"
	"time"

	"model-proxy/e2e/gatewaytest"
)

// A request's attempts are the calls to upstreams, each of which has a row: a
// request that was turned away before any call has none.
func TestAttemptsAreCallsToUpstreams(t *testing.T) {
	g := startGatewayWith(t, []string{"KEY_COOLDOWN_SECONDS=300"})
	chat := func(model string) string {
		return `{"model":"` + model + `","messages":[{"role":"user","content":"hello"}]}`
	}
	for _, c := range []struct {
		id, path, body string
		mock           string // X-Mock-Status
		status, want   int
	}{
		{"answered", "/v1/chat/completions", chat("m-openai"), "", 200, 1},
		{"converted", "/v1/chat/completions", chat("m-anthropic"), "", 200, 1},
		{"refused-upstream", "/v1/chat/completions", chat("m-openai"), "400", 400, 1},
		{"refused-by-conversion", "/v1/chat/completions", `{"model":"m-anthropic","messages":[]}`, "", 400, 0},
		{"no-endpoint", "/v1/embeddings", `{"model":"m-anthropic","input":"hello"}`, "", 400, 0},
		{"estimated", "/v1/messages/count_tokens", chat("m-openai"), "", 200, 0},
		{"both-keys-fail", "/v1/chat/completions", chat("m-openai"), "401", 502, 2},
		{"both-keys-rest", "/v1/chat/completions", chat("m-openai"), "", 502, 0},
	} {
		header := []string{"X-Request-Id", c.id}
		if c.mock != "" {
			header = append(header, "X-Mock-Status", c.mock)
		}
		resp := g.post(t, t.Context(), c.path, c.body, header...)
		resp.Body.Close()
		if got := resp.Header.Get("X-Model-Proxy-Attempts"); resp.StatusCode != c.status || got != strconv.Itoa(c.want) {
			t.Errorf("%s: got %d after %s attempts, want %d after %d", c.id, resp.StatusCode, got, c.status, c.want)
		}
		gatewaytest.Await(t, time.Minute, "the record of "+c.id, func() bool { return len(g.rows(t, "--request-id", c.id)) == 1 })
		gatewaytest.Await(t, time.Minute, "its attempts", func() bool { return len(g.rows(t, "--request-id", c.id, "--attempts")) == c.want })
		if got := g.rows(t, "--request-id", c.id)[0]["attempts"]; got != float64(c.want) {
			t.Errorf("%s: the record has %v attempts, want %d", c.id, got, c.want)
		}
	}
}
