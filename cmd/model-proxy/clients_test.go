package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"model-proxy/e2e/gatewaytest"
)

// Clients put their base URL and a path together in more ways than one.
func TestUntidyPaths(t *testing.T) {
	g := startGateway(t)
	const chat, messages = `{"model":"m-openai","messages":[{"role":"user","content":"hi"}]}`, `{"model":"m-anthropic","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}`
	for _, tt := range []struct {
		method, path, body string
		status             int
		want               string // in the answer
	}{
		{"POST", "//v1//chat/completions", chat, 200, `"chat.completion"`},
		{"POST", "/v1/chat/completions/", chat, 200, `"chat.completion"`},
		{"POST", "/chat/completions", chat, 200, `"chat.completion"`},
		{"POST", "/v1/v1/messages?beta=true", messages, 200, `"type":"message"`},
		{"POST", "/messages/count_tokens/", messages, 200, `"input_tokens"`},
		{"GET", "/models", "", 200, `"m-openai"`},
		{"GET", "/v1/models/", "", 200, `"m-openai"`},
		{"GET", "/docs/", "", 200, `<!doctype html>`},
		{"GET", "/health/", "", 200, `"status":"ok"`},
		{"GET", "//v1/models/m-openai", "", 200, `"id":"m-openai"`},
		{"GET", "/chat/completions", "", 405, `it takes OPTIONS, POST`},
		{"POST", "/v1//messages/nonsense", "{}", 404, `"type":"not_found_error"`},
		{"GET", "/v1/../health", "", 404, `no such path`},
		{"GET", "/admin//usage", "", 404, `no such path`},
		{"GET", "/v1/v1", "", 404, `no such path`},
	} {
		a := g.do(t, tt.method, tt.path, clientKey, tt.body)
		if a.status != tt.status || !strings.Contains(a.body, tt.want) {
			t.Errorf("%s %s: got %d and %.200s, want %d and %s", tt.method, tt.path, a.status, a.body, tt.status, tt.want)
		}
	}
}

// A client that closes only its sending side looks as if it had hung up. What it
// then gets must not look like a whole answer.
func TestHalfClosedClient(t *testing.T) {
	g := startGateway(t)
	for _, tt := range []struct {
		name, stream, header string
		status               int
		want                 string // the answer's end
	}{
		{"plain", "false", "X-Mock-Ttft: 10s", 499, `"code":null}}`},
		{"before the stream", "true", "X-Mock-Ttft: 10s", 499, `"code":null}}`},
		{"in mid-stream", "true", "X-Mock-Stall-After: 3", 200, "\"code\":null}}\n\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			conn, err := net.Dial("tcp", strings.TrimPrefix(g.url, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			id := strings.ReplaceAll(tt.name, " ", "-")
			body := `{"model":"m-openai","stream":` + tt.stream + `,"messages":[{"role":"user","content":"one two three"}]}`
			fmt.Fprintf(conn, "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nX-Request-Id: %s\r\n%s\r\nContent-Length: %d\r\n\r\n%s",
				clientKey, id, tt.header, len(body), body)
			in := bufio.NewReader(conn)
			if tt.status == http.StatusOK { // so far it has gone well
				if _, err := in.Peek(1); err != nil {
					t.Fatal(err)
				}
			}
			if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			resp, err := http.ReadResponse(in, nil)
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(resp.Body)
			if err != nil || resp.StatusCode != tt.status || !strings.HasSuffix(string(text), tt.want) {
				t.Errorf("got %d, %q, %v; want %d and %q at the end", resp.StatusCode, text, err, tt.status, tt.want)
			}
			gatewaytest.Await(t, time.Minute, "the record", func() bool { return len(g.rows(t, "--request-id", id)) == 1 })
			if got := g.rows(t, "--request-id", id)[0]["outcome"]; got != "client_gone" {
				t.Errorf("got outcome %v, want client_gone", got)
			}
		})
	}
}
