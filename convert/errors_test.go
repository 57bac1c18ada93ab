package convert

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"model-proxy/internal/llm"
)

func TestUpstreamErrors(t *testing.T) {
	const hidden = `{"error":{"message":"the provider refuses the gateway's credentials or account","type":"server_error","param":null,"code":"upstream_auth_failed"}}`
	for _, c := range []struct {
		name     string
		protocol llm.Protocol // of upstream and client
		status   int
		body     string
		kind     llm.Kind // as the upstream meant it
		told     int      // status for the client
		want     string   // body for the client
	}{
		{"unchanged", llm.OpenAI, 400, `{ "error":{"message":"no","type":"invalid_request_error","param":"x","code":null},"extra":1}`, llm.BadRequest, 400,
			`{ "error":{"message":"no","type":"invalid_request_error","param":"x","code":null},"extra":1}`},
		{"odd status unchanged", llm.OpenAI, 418, `{"error":{"message":"tea"}}`, llm.BadRequest, 418, `{"error":{"message":"tea"}}`},
		{"organisation scrubbed", llm.OpenAI, 429, `{"error":{"message":"limit for organization org-Ab12Cd34Ef56 reached","code":"rate_limit_exceeded"}}`, llm.RateLimited, 429,
			`{"error":{"message":"limit for organization [redacted] reached","code":"rate_limit_exceeded"}}`},
		{"401 is ours", llm.OpenAI, 401, `{"error":{"message":"Incorrect API key provided: sk-abc"}}`, llm.Unauthorized, 502, hidden},
		{"quota is ours", llm.OpenAI, 429, `{"error":{"message":"You exceeded your current quota","type":"insufficient_quota","code":"insufficient_quota"}}`, llm.QuotaSpent, 502, hidden},
		{"empty account at Anthropic", llm.Anthropic, 400, `{"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low to access the API"}}`, llm.QuotaSpent, 502,
			`{"type":"error","error":{"type":"api_error","message":"the provider refuses the gateway's credentials or account"},"request_id":"r1"}`},
		{"wrong key at xAI", llm.OpenAI, 400, `{"code":"invalid-argument","error":"Incorrect API key provided."}`, llm.Unauthorized, 502, hidden},
		{"text under error", llm.OpenAI, 400, `{"code":"invalid-argument","error":"bad model"}`, llm.BadRequest, 400,
			`{"error":{"message":"bad model","type":"invalid_request_error","param":null,"code":"invalid-argument"}}`},
		{"detail", llm.OpenAI, 422, `{"detail":[{"loc":["body"],"msg":"field required"}]}`, llm.BadRequest, 422,
			`{"error":{"message":"field required","type":"invalid_request_error","param":null,"code":null}}`},
		{"object error", llm.OpenAI, 400, `{"object":"error","message":"bad","type":"invalid_request_error","param":null,"code":"1510"}`, llm.BadRequest, 400,
			`{"error":{"message":"bad","type":"invalid_request_error","param":null,"code":"1510"}}`},
		{"array", llm.OpenAI, 400, `[{"error":{"code":400,"message":"bad","status":"INVALID_ARGUMENT"}}]`, llm.BadRequest, 400,
			`{"error":{"message":"bad","type":"invalid_request_error","param":null,"code":null}}`},
		{"success false", llm.OpenAI, 500, `{"success":false,"error":{"message":"boom","code":"429"}}`, llm.ServerError, 500, `{"success":false,"error":{"message":"boom","code":"429"}}`},
		{"html", llm.OpenAI, 502, `<html><body>nginx</body></html>`, llm.ServerError, 502,
			`{"error":{"message":"the provider answered 502 Bad Gateway","type":"server_error","param":null,"code":null}}`},
		{"redirect", llm.OpenAI, 307, ``, llm.ServerError, 502,
			`{"error":{"message":"the provider answered 307 Temporary Redirect","type":"server_error","param":null,"code":null}}`},
		{"no answer at all", llm.OpenAI, 101, ``, llm.ServerError, 502,
			`{"error":{"message":"the provider answered 101 Switching Protocols","type":"server_error","param":null,"code":null}}`},
		{"empty", llm.Anthropic, 529, ``, llm.Overloaded, 529,
			`{"type":"error","error":{"type":"overloaded_error","message":"the provider answered 529"},"request_id":"r1"}`},
		{"no outer type", llm.Anthropic, 413, `{"error":{"type":"request_too_large","message":"Request exceeds the maximum size"}}`, llm.TooLarge, 413,
			`{"type":"error","error":{"type":"request_too_large","message":"Request exceeds the maximum size"},"request_id":"r1"}`},
		{"nested message", llm.OpenAI, 400, `{"message":"{\"error\":{\"message\":\"inner\"}}"}`, llm.BadRequest, 400,
			`{"error":{"message":"inner","type":"invalid_request_error","param":null,"code":null}}`},
		{"model not found by 400", llm.Responses, 400, `{"error":{"code":"model_not_found","message":"no such model","param":"model","type":"invalid_request_error"}}`, llm.NotFound, 400,
			`{"error":{"code":"model_not_found","message":"no such model","param":"model","type":"invalid_request_error"}}`},
		{"overloaded by code", llm.OpenAI, 500, `{"error":{"code":"server_is_overloaded","message":"busy"}}`, llm.Overloaded, 500, `{"error":{"code":"server_is_overloaded","message":"busy"}}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := exchange(t, Input{Client: c.protocol, Body: []byte(`{"model":"up"}`)}, Target{Protocol: c.protocol, Model: "up"})
			e := x.Error(c.status, http.Header{}, []byte(c.body))
			if got := Upstream(e).Kind; got != c.kind {
				t.Errorf("upstream meant %s, want %s", got, c.kind)
			}
			if got := e.HTTPStatus(c.protocol); got != c.told {
				t.Errorf("status %d, want %d", got, c.told)
			}
			if got := string(AppendError(nil, c.protocol, e, "r1")); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			if hidden := e.Kind == llm.BadGateway; hidden != e.Final {
				t.Errorf("final %v, want %v for kind %s", e.Final, hidden, e.Kind)
			}
		})
	}
}

// Every kind has words in both protocols, and the bodies are what clients parse.
func TestOwnErrors(t *testing.T) {
	closed := "invalid_request_error authentication_error billing_error permission_error not_found_error request_too_large rate_limit_error api_error timeout_error overloaded_error conflict_error"
	for kind := range wordsOf {
		e := llm.NewError(kind, `say "why" <now>`)
		e.Param = "messages[0].content"
		var c struct {
			Error map[string]any `json:"error"`
		}
		if err := json.Unmarshal(AppendError(nil, llm.OpenAI, e, "r1"), &c); err != nil || len(c.Error) != 4 || c.Error["message"] != e.Message || c.Error["param"] != e.Param {
			t.Errorf("%s for openai: %v, error %v; want four keys", kind, c.Error, err)
		}
		var m struct {
			Type, RequestID string
			Error           struct{ Type, Message string }
		}
		body := AppendError(nil, llm.Anthropic, e, "r1")
		if err := json.Unmarshal(body, &m); err != nil || m.Type != "error" || !strings.Contains(closed, m.Error.Type) || !strings.HasSuffix(string(body), `,"request_id":"r1"}`) {
			t.Errorf("%s for anthropic: %s, error %v", kind, body, err)
		}
		var r struct {
			Type, Code, Message string
		}
		event := string(AppendErrorEvent(nil, llm.Responses, e, "r1", 0))
		data, ok := strings.CutPrefix(event, "event: error\ndata: ")
		if err := json.Unmarshal([]byte(data), &r); !ok || err != nil || r.Type != "error" || r.Code == "" {
			t.Errorf("%s for responses: %q, error %v", kind, event, err)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	const date = "Fri, 20 Nov 2026 10:00:00 GMT"
	for _, c := range []struct {
		status int
		header map[string]string
		want   time.Duration
	}{
		{429, map[string]string{"Retry-After": "7"}, 7 * time.Second},
		{429, map[string]string{"Retry-After": "7", "Retry-After-Ms": "1500"}, 1500 * time.Millisecond},
		{503, map[string]string{"Retry-After": "Fri, 20 Nov 2026 10:01:00 GMT", "Date": date}, time.Minute},
		{503, map[string]string{"Retry-After": "Fri, 20 Nov 2026 10:01:00 GMT"}, 0},
		{429, map[string]string{"X-Ratelimit-Reset-Tokens": "6m0s", "X-Ratelimit-Reset-Requests": "12ms", "X-Ratelimit-Remaining-Requests": "0", "X-Ratelimit-Remaining-Tokens": "9"}, 12 * time.Millisecond},
		{429, map[string]string{"X-Ratelimit-Reset-Tokens": "6m0s", "X-Ratelimit-Reset-Requests": "12ms"}, 6 * time.Minute},
		{429, map[string]string{"Anthropic-Ratelimit-Tokens-Reset": "2026-11-20T10:00:30Z", "Date": date}, 30 * time.Second},
		{500, map[string]string{"X-Ratelimit-Reset-Tokens": "6m0s"}, 0},
		{200, map[string]string{"Retry-After": "7"}, 0},
		{429, map[string]string{"Retry-After": "-5"}, 0},
		{429, map[string]string{"Retry-After": "soon"}, 0},
	} {
		h := http.Header{}
		for k, v := range c.header {
			h.Set(k, v)
		}
		if got := RetryAfter(c.status, h); got != c.want {
			t.Errorf("RetryAfter(%d, %v) = %v, want %v", c.status, c.header, got, c.want)
		}
	}
}

func TestAppendWarnings(t *testing.T) {
	got := string(AppendWarnings(nil, []Warning{{Action: Dropped, Param: "seed"}, {Action: Clamped, Param: "temperature", From: "1.7", To: "1"}, {Action: Emulated, Param: "a\"b\r\n"}}))
	if want := `dropped;param="seed", clamped;param="temperature";from=1.7;to=1, emulated;param="a_b__"`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	many := make([]Warning, 25)
	for i := range many {
		many[i] = Warning{Action: Dropped, Param: "x"}
	}
	if got := string(AppendWarnings(nil, many)); strings.Count(got, "dropped") != 20 || !strings.HasSuffix(got, ", more;count=5") {
		t.Errorf("25 warnings = %s", got)
	}
}
