package main

import (
	"io"
	"testing"
	"time"

	"model-proxy/e2e/gatewaytest"
)

// LOG_BODIES=errors keeps what the client of a failed request was told, to its
// last byte, and nothing of the others.
func TestBodiesOfErrorsAreWhatClientsGot(t *testing.T) {
	g := startGatewayWith(t, []string{"LOG_BODIES=errors"})
	for _, c := range []struct {
		id, stream, fault, value string
		outcome                  string
	}{
		{"answered", "false", "X-Mock-Chunks", "3", "ok"},
		{"refused", "false", "X-Mock-Status", "400", "error"},
		{"refused-stream", "true", "X-Mock-Status", "400", "error"},
		{"cut-stream", "true", "X-Mock-Cut-After", "2", "incomplete"},
	} {
		resp := g.post(t, t.Context(), "/v1/chat/completions", `{"model":"m-openai","stream":`+c.stream+`,"messages":[{"role":"user","content":"hello"}]}`,
			"X-Request-Id", c.id, c.fault, c.value)
		got, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		want := string(got)
		if c.outcome == "ok" {
			want = ""
		}
		gatewaytest.Await(t, time.Minute, "the record of "+c.id, func() bool {
			rows := g.rows(t, "--request-id", c.id)
			return len(rows) == 1 && (want == "" || rows[0]["response_body"] != "") // which may be stored a moment later
		})
		row := g.rows(t, "--request-id", c.id)[0]
		if row["outcome"] != c.outcome || row["response_body"] != want {
			t.Errorf("%s: got %v with the body %q, want %s with %q", c.id, row["outcome"], row["response_body"], c.outcome, want)
		}
	}
}
