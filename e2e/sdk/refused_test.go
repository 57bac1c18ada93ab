package sdk_test

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/anthropics/anthropic-sdk-go"
	"github.com/anthropics/anthropic-sdk-go/option"
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
	attempts := g.AwaitAttempts(t, "refused-hint", 2, 5*time.Second)
	if attempts[0].Status != 400 || attempts[0].Action != "auto_fix_parameters" || !attempts[1].Answered() {
		t.Errorf("attempts: got %+v, want a refused one and a good one", attempts)
	}
}
