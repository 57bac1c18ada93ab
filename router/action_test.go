package router

import (
	"testing"

	"model-proxy/config"
)

// Where the provider's file is silent.
func TestDecideByDefault(t *testing.T) {
	for _, tt := range []struct {
		status int
		body   string
		want   Action
	}{
		{400, ``, ReturnToClient},
		{401, ``, GlobalKeyFailure},
		{402, ``, GlobalKeyFailure},
		{403, ``, GlobalKeyFailure},
		{404, ``, FallbackNoCooldown},
		{408, ``, FallbackNoCooldown},
		{409, ``, FallbackNoCooldown},
		{413, ``, ReturnToClient},
		{422, ``, ReturnToClient},
		{429, ``, ModelKeyFailure},
		{429, `{"error":{"code":"insufficient_quota"}}`, GlobalKeyFailure},
		{400, `{"error":{"message":"Your credit balance is too low to go on"}}`, GlobalKeyFailure},
		{400, `{"error":{"code":"content_filter"}}`, ReturnToClient},
		{403, `{"error":{"code":"content_filter"}}`, ReturnToClient},
		{403, `{"error":{"code":"model_not_found"}}`, ModelKeyFailure},
		{400, `{"error":{"code":"model_not_found"}}`, FallbackNoCooldown},
		{400, `{"error":{"code":"tool_use_failed"}}`, FallbackNoCooldown},
		{429, `{"error":{"message":"Request too large for m"}}`, FallbackNoCooldown},
		{500, ``, FallbackNoCooldown},
		{502, ``, FallbackNoCooldown},
		{503, ``, FallbackNoCooldown},
		{504, ``, FallbackNoCooldown},
		{529, ``, FallbackNoCooldown},
	} {
		c, status := classify(tt.status, readError([]byte(tt.body)))
		if got := decide(provider("p", 1), status, c); got != tt.want {
			t.Errorf("%d %s: got %s, want %s", tt.status, tt.body, got, tt.want)
		}
	}
}

// The provider's file wins, but for the exceptions.
func TestDecideByFile(t *testing.T) {
	const quota, filter, long = `{"error":{"code":"insufficient_quota"}}`, `{"error":{"code":"content_filter"}}`, `{"error":{"code":"context_length_exceeded"}}`
	for _, tt := range []struct {
		status int
		body   string
		file   Action
		want   Action
	}{
		{429, ``, GlobalKeyFailure, GlobalKeyFailure},
		{429, ``, ProviderCooldown, ProviderCooldown},
		{429, ``, FallbackNoCooldown, FallbackNoCooldown},
		{400, ``, FallbackNoCooldown, FallbackNoCooldown},
		{422, ``, FixToolResponses, FixToolResponses},
		{500, ``, ModelKeyFailure, ModelKeyFailure},
		{500, ``, ReturnToClient, ReturnToClient},
		{401, ``, FallbackNoCooldown, FallbackNoCooldown},
		{401, ``, "no_such_action", GlobalKeyFailure},
		{429, quota, ModelKeyFailure, GlobalKeyFailure},
		{400, quota, FallbackNoCooldown, GlobalKeyFailure},
		{403, quota, FallbackNoCooldown, FallbackNoCooldown},
		{403, filter, GlobalKeyFailure, ReturnToClient},
		{400, filter, ProviderCooldown, ReturnToClient},
		{400, filter, FallbackNoCooldown, FallbackNoCooldown},
		{422, long, FixToolResponses, ReturnToClient},
	} {
		p := provider("p", 1)
		p.Errors[tt.status] = config.ErrorRule{Action: string(tt.file)}
		c, status := classify(tt.status, readError([]byte(tt.body)))
		if got := decide(p, status, c); got != tt.want {
			t.Errorf("%d %s with %s: got %s, want %s", tt.status, tt.body, tt.file, got, tt.want)
		}
	}
}
