package sdk_test

import (
	"bytes"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/anthropics/anthropic-sdk-go"
	"github.com/anthropics/anthropic-sdk-go/option"

	"model-proxy/e2e/gatewaytest"
	"model-proxy/internal/provider/mock"
)

// A hint that the model turns out not to take costs a second call, not the
// answer; the records show both.
func TestRefusedHints(t *testing.T) {
	g := start(t)
	g.upstream.Instead(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the gateway has gone
		}
		if strings.Contains(string(body), `"temperature"`) {
			http.Error(w, `{"error":{"message":"Unsupported value: 'temperature' does not support 0.3 with this model.","type":"invalid_request_error",`+
				`"param":"temperature","code":"unsupported_value"}}`, http.StatusBadRequest)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		g.upstream.ServeHTTP(w, r)
	}))
	p := message("e2e-openai", said("Hello"))
	p.Temperature = anthropic.Float(0.3)
	var head http.Header
	id := option.WithHeader("X-Request-Id", "refused-hint")
	got := g.send(t, p, id, option.WithMiddleware(func(r *http.Request, next option.MiddlewareNext) (*http.Response, error) {
		resp, err := next(r)
		if err == nil {
			head = resp.Header
		}
		return resp, err
	}))
	if text(got) != "You said: Hello" || !strings.Contains(head.Get("X-Model-Proxy-Warnings"), `dropped;param="temperature"`) {
		t.Errorf("got %q with the warnings %q, want an answer without temperature", text(got), head.Get("X-Model-Proxy-Warnings"))
	}
	attempts := g.AwaitAttempts(t, "refused-hint", 2, soon)
	if attempts[0].Status != 400 || attempts[0].Action != "auto_fix_parameters" || !attempts[1].Answered() {
		t.Errorf("attempts: got %+v, want a refused one and a good one", attempts)
	}
}

// What a conversion has changed is told with an error too, and what it lost of a
// stream stands in the record.
func TestWarningsComeWithEveryAnswer(t *testing.T) {
	g := start(t)
	answers := map[string]string{
		"e2e-anthropic": `{"type":"error","error":{"type":"rate_limit_error","message":"slow down"}}`,
		"e2e-openai": "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\",\"annotations\":[{\"type\":\"url_citation\",\"url_citation\":{\"url\":\"https://example.com\"}}]}}]}\n\n" +
			"data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n",
	}
	g.upstream.Instead(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/messages") {
			http.Error(w, answers["e2e-anthropic"], http.StatusTooManyRequests)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, answers["e2e-openai"]) // the gateway may have gone
	}))
	got := g.Do(t, gatewaytest.Request{Path: "/v1/chat/completions", Body: `{"model":"e2e-anthropic","seed":1,"messages":[{"role":"user","content":"x"}]}`})
	if got.Status != http.StatusTooManyRequests || got.Header.Get("X-Model-Proxy-Warnings") != `dropped;param="seed"` || got.Header.Get("X-Model-Proxy-Conversion") != "openai; target=anthropic" {
		t.Errorf("got %d with the headers %v, want 429 with a warning of seed", got.Status, got.Header)
	}
	g.Do(t, gatewaytest.Request{Path: "/v1/messages", Header: map[string]string{"X-Request-Id": "lost-citation"}, Body: `{"model":"e2e-openai","max_tokens":9,"stream":true,"messages":[{"role":"user","content":"x"}]}`})
	row := g.AwaitRow(t, "lost-citation", soon)
	if want := []string{`dropped;param="content.annotations"`}; !slices.Equal(row.Warnings, want) {
		t.Errorf("warnings in the record: got %q, want %q", row.Warnings, want)
	}
}

// Where the operator lets files be fetched, an address that is not the public
// internet's is refused before anything is connected to.
func TestFilesAreFetchedFromOutsideOnly(t *testing.T) {
	u := gatewaytest.NewUpstream(t, mock.Options{})
	setup := gatewaytest.EachProtocol(u.URL)
	setup.Files["providers/e2e-openai.json"]["quirks"] = gatewaytest.JSON{"fetch_files": true}
	g := &gateway{gatewaytest.Run(t, u, setup), u}
	inside := "https" + strings.TrimPrefix(u.URL, "http") + "/a.pdf"
	got := g.Do(t, gatewaytest.Request{Path: "/v1/messages", Body: `{"model":"e2e-openai","max_tokens":9,"messages":[{"role":"user","content":[{"type":"document","source":{"type":"url","url":"` + inside + `"}}]}]}`})
	if got.Status != http.StatusBadRequest || !strings.Contains(got.Body, "messages[0].content[0]") || !strings.Contains(got.Body, "public internet") {
		t.Errorf("got %d %s, want 400 that names the document", got.Status, got.Body)
	}
	if n := len(u.Requests()); n != 0 {
		t.Errorf("upstream: got %d requests, want none", n)
	}
}
