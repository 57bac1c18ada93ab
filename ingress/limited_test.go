package ingress

import (
	"net/http"
	"testing"
	"time"

	"model-proxy/internal/limit"
	"model-proxy/internal/llm"
)

// Only a limit that is reached looks like one: a bus that is away is nothing that
// the client has used up.
func TestLimited(t *testing.T) {
	for _, tt := range []struct {
		reason limit.Reason
		status int
		code   string
	}{
		{limit.RPM, http.StatusTooManyRequests, "rate_limit_exceeded"},
		{limit.TPM, http.StatusTooManyRequests, "rate_limit_exceeded"},
		{limit.Parallel, http.StatusTooManyRequests, "rate_limit_exceeded"},
		{limit.Bus, http.StatusServiceUnavailable, ""},
	} {
		no := limited(&limit.Denied{Reason: tt.reason, RetryAfter: 3 * time.Second})
		if got := no.HTTPStatus(llm.OpenAI); got != tt.status || no.Code != tt.code || no.reason != string(tt.reason) || no.RetryAfter != 3*time.Second || no.Message == "" {
			t.Errorf("%s: got %d, code %q, reason %q, after %v, message %q; want %d, code %q, after 3s", tt.reason, got, no.Code, no.reason, no.RetryAfter, no.Message, tt.status, tt.code)
		}
	}
}
