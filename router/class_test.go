package router

import "testing"

// The bodies are shaped after recorded ones.
func TestClassify(t *testing.T) {
	for _, tt := range []struct {
		name   string
		status int
		body   string
		want   Class
	}{
		{"no body", 400, ``, BadRequest},
		{"html", 502, `<html><h1>Bad Gateway</h1></html>`, ServerError},
		{"html 403", 403, `<html>Access denied</html>`, Denied},
		{"422", 422, `{"detail":[{"loc":["body"],"msg":"field required"}]}`, BadRequest},
		{"413", 413, `{"type":"error","error":{"type":"request_too_large","message":"Request exceeds the maximum size"}}`, TooLarge},
		{"404 openai", 404, `{"error":{"code":"model_not_found","message":"The model does not exist","type":"invalid_request_error"}}`, ModelMissing},
		{"404 azure", 404, `{"error":{"type":"invalid_request_error","code":"DeploymentNotFound","message":"…"}}`, ModelMissing},
		{"400 model missing", 400, `{"error":{"code":"model_not_found","message":"The requested model 'x' does not exist.","param":"model","type":"invalid_request_error"}}`, ModelMissing},
		{"403 model missing", 403, `{"error":{"code":"model_not_found","message":"Project has no access to model"}}`, ModelDenied},
		{"408", 408, ``, Other},
		{"409", 409, `{"type":"error","error":{"type":"conflict_error"}}`, Other},
		{"418", 418, ``, Other},
		{"redirect", 302, ``, Other},

		{"401 openai", 401, `{"error":{"message":"Incorrect API key provided: sk-.","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}`, Auth},
		{"401 mistral", 401, `{"detail":"Invalid API Key"}`, Auth},
		{"401 deepseek", 401, `{"error":{"message":"Authentication Fails","type":"authentication_error","param":null,"code":"invalid_request_error"}}`, Auth},
		{"400 bad key xai", 400, `{"code":"invalid-argument","error":"Incorrect API key provided. You can obtain an API key from https://console.x.ai."}`, Auth},
		{"400 bad key gemini", 400, `[{"error":{"code":400,"message":"API key not valid. Please pass a valid API key.","status":"INVALID_ARGUMENT","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"API_KEY_INVALID"}]}}]`, Auth},
		{"403 anthropic", 403, `{"type":"error","error":{"type":"permission_error","message":"no"}}`, Denied},

		{"429 openai", 429, `{"error":{"message":"Rate limit reached","type":"tokens","param":null,"code":"rate_limit_exceeded"}}`, RateLimit},
		{"429 anthropic", 429, `{"type":"error","error":{"type":"rate_limit_error","message":"Number of request tokens has exceeded your per-minute rate limit"}}`, RateLimit},
		{"429 azure", 429, `{"error":{"code":"RateLimitReached","message":"…"}}`, RateLimit},
		{"429 gemini", 429, `{"error":{"code":429,"message":"You exceeded your current quota, please check your plan and billing details.","status":"RESOURCE_EXHAUSTED"}}`, RateLimit},
		{"429 aggregator", 429, `{"error":{"code":429,"message":"Provider returned error","metadata":{"raw":"temporarily rate-limited upstream"}}}`, RateLimit},
		{"429 empty", 429, ``, RateLimit},
		{"429 overloaded", 429, `{"error":{"type":"engine_overloaded_error","message":"The engine is currently overloaded"}}`, Overloaded},
		{"429 over the whole limit", 429, `{"error":{"message":"Request too large for gpt-4o on tokens per min (TPM): Limit 10000, Requested 12000","type":"tokens","code":"rate_limit_exceeded"}}`, TooLargeHere},

		{"429 quota openai", 429, `{"error":{"message":"You exceeded your current quota, please check your plan and billing details.","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}`, Quota},
		{"429 quota moonshot", 429, `{"error":{"type":"exceeded_current_quota_error","message":"…"}}`, Quota},
		{"402", 402, `{"error":{"message":"Insufficient Balance","type":"unknown_error","code":"invalid_request_error"}}`, Quota},
		{"402 empty", 402, ``, Quota},
		{"400 quota anthropic", 400, `{"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing"}}`, Quota},
		{"400 billing", 400, `{"error":{"code":"billing_hard_limit_reached","type":"invalid_request_error","message":"Billing hard limit has been reached"}}`, Quota},
		{"400 usage limit anthropic", 400, `{"type":"error","error":{"type":"invalid_request_error","message":"You have reached your specified API usage limits. You will regain access on 2026-06-01 at 00:00 UTC."}}`, Quota},
		{"403 quota", 403, `{"error":{"code":"insufficient_quota","message":"…"}}`, Quota},

		{"400 content filter azure", 400, `{"error":{"message":"The response was filtered due to the prompt triggering Azure OpenAI's content management policy.","type":null,"param":"prompt","code":"content_filter","status":400,"innererror":{"code":"ResponsibleAIPolicyViolation"}}}`, ContentFilter},
		{"400 output blocked", 400, `{"type":"error","error":{"type":"invalid_request_error","message":"Output blocked by content filtering policy"}}`, ContentFilter},
		{"403 moderation", 403, `{"error":{"code":403,"message":"Your chosen model requires moderation and your input was flagged","metadata":{"reasons":["violence"],"flagged_input":"…","provider_name":"x"}}}`, ContentFilter},
		{"400 context anthropic", 400, `{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 3333404 tokens > 200000 maximum"}}`, ContextLength},
		{"400 context openai", 400, `{"error":{"message":"Your input exceeds the context window of this model.","type":"invalid_request_error","param":"input","code":"context_length_exceeded"}}`, ContextLength},
		{"400 context deepseek", 400, `{"error":{"message":"This model's maximum context length is 1048565 tokens.","type":"invalid_request_error","param":null,"code":"invalid_request_error"}}`, ContextLength},
		{"400 tool use groq", 400, `{"error":{"code":"tool_use_failed","failed_generation":"maybe","message":"Tool choice is required, but model did not call a tool","type":"invalid_request_error"}}`, ToolUse},
		{"400 unsupported", 400, `{"error":{"code":"unsupported_parameter","message":"Unsupported parameter: 'max_tokens'","param":"max_tokens","type":"invalid_request_error"}}`, BadRequest},
		{"400 nested json", 400, `{"error":{"message":"{\"error\":{\"code\":\"context_length_exceeded\",\"message\":\"too long\"}}"}}`, ContextLength},

		{"500", 500, `{"type":"error","error":{"type":"api_error","message":"Internal server error"}}`, ServerError},
		{"500 with telling words", 500, `{"error":{"code":"insufficient_quota"}}`, ServerError},
		{"503", 503, ``, Overloaded},
		{"529", 529, `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`, Overloaded},

		{"the client's words do not count", 400, `{"error":{"message":"Invalid value: 'Your credit balance is too low'. Incorrect API key provided","type":"invalid_request_error"}}`, BadRequest},
	} {
		if got, status := classify(tt.status, readError([]byte(tt.body))); got != tt.want || status != tt.status {
			t.Errorf("%s: got %s for %d, want %s for %d", tt.name, got, status, tt.want, tt.status)
		}
	}
}

// Errors inside a 200: a stream's first event, or the body.
func TestClassifyInside200(t *testing.T) {
	for _, tt := range []struct {
		name   string
		body   string
		want   Class
		status int
	}{
		{"anthropic overloaded", `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`, Overloaded, 503},
		{"anthropic rate limit", `{"type":"error","error":{"type":"rate_limit_error","message":"…"}}`, RateLimit, 429},
		{"anthropic bad request", `{"type":"error","error":{"type":"invalid_request_error","message":"…"}}`, BadRequest, 400},
		{"groq", `{"error":{"message":"…","type":"invalid_request_error","code":"tool_use_failed","failed_generation":"x","status_code":400}}`, ToolUse, 400},
		{"openrouter", `{"error":{"code":502,"message":"Upstream error"}}`, ServerError, 502},
		{"openrouter 429", `{"id":"x","error":{"code":429,"message":"Rate limited"},"choices":[]}`, RateLimit, 429},
		{"code as text", `{"error":{"code":"402","message":"x"}}`, Quota, 402},
		{"responses", `{"type":"response.failed","response":{"status":"failed","error":{"code":"server_error","message":"x"}}}`, ServerError, 500},
		{"responses quota", `{"type":"error","code":"insufficient_quota","message":"x"}`, Quota, 429},
		{"unknown", `{"error":"something went wrong"}`, ServerError, 502},
		{"empty", ``, ServerError, 502},
	} {
		if got, status := classify(200, readError([]byte(tt.body))); got != tt.want || status != tt.status {
			t.Errorf("%s: got %s for %d, want %s for %d", tt.name, got, status, tt.want, tt.status)
		}
	}
}

func FuzzReadError(f *testing.F) {
	f.Add([]byte(`{"error":{"code":429,"message":"x","details":[{"reason":"R","retryDelay":"34s"}]}}`))
	f.Add([]byte(`[{"error":{"metadata":{"flagged_input":""}}}]`))
	f.Fuzz(func(t *testing.T, body []byte) {
		e := readError(body)
		for _, status := range []int{200, 400, 403, 429, 500} {
			c, stands := classify(status, e)
			if byClass[c] == "" {
				t.Errorf("classify(%d, %q) = %q, which has no action", status, body, c)
			}
			if stands < 400 || status >= 300 && stands != status {
				t.Errorf("classify(%d, %q) stands for %d", status, body, stands)
			}
		}
	})
}
