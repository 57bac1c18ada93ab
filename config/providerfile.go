package config

import (
	"encoding/json"

	"model-proxy/internal/llm"
)

// providerFile is the form of providers/<name>.json.
type providerFile struct {
	Name          string   `json:"name"`
	DisplayName   string   `json:"display_name"`
	Description   note     `json:"description"`
	ProviderNotes note     `json:"provider_notes"`
	Enabled       *bool    `json:"enabled"`
	Vendor        string   `json:"vendor"`
	Protocols     []string `json:"protocols"`
	Pool          string   `json:"pool"`
	APIKeys       struct {
		Pattern     string   `json:"env_var_pattern"`
		Patterns    []string `json:"env_var_patterns"`
		Description note     `json:"description"`
	} `json:"api_keys"`
	LegacyPatterns []string          `json:"api_key_env_patterns"`
	Endpoints      endpointsFile     `json:"endpoints"`
	Authentication authFile          `json:"authentication"`
	ForwardHeaders []string          `json:"forward_headers"`
	RequestConfig  requestConfigFile `json:"request_config"`
	RateLimiting   struct {
		Enabled           bool   `json:"enabled"`
		RequestsPerMinute *int64 `json:"requests_per_minute"`
		TokensPerMinute   *int64 `json:"tokens_per_minute"`
		CooldownSeconds   *int64 `json:"cooldown_seconds"`
		Description       note   `json:"description"`
	} `json:"rate_limiting"`
	Models        map[string]overrideFile  `json:"models"`
	ErrorHandling map[string]errorRuleFile `json:"error_handling"`
	ProxySupport  struct {
		Enabled         bool   `json:"enabled"`
		BaseURLOverride string `json:"base_url_override"`
		Description     note   `json:"description"`
	} `json:"proxy_support"`
	ModelMapping map[string]string `json:"model_mapping"`
	Quirks       *llm.Quirks       `json:"quirks"`
}

type endpointsFile struct {
	BaseURL          string `json:"base_url"`
	CompatibleFormat string `json:"compatible_format"`
	Completions      string `json:"completions"`
	Streaming        string `json:"streaming"`
	Messages         string `json:"messages"`
	Responses        string `json:"responses"`
	Embeddings       string `json:"embeddings"`
	CountTokens      string `json:"count_tokens"`
	Models           string `json:"models"`
}

type authFile struct {
	Type              string            `json:"type"`
	HeaderName        *string           `json:"header_name"`
	HeaderFormat      string            `json:"header_format"`
	AdditionalHeaders map[string]string `json:"additional_headers"`
}

// timersFile may stand in a provider's request_config, a model and a route.
type timersFile struct {
	TimeoutSeconds        *float64 `json:"timeout_seconds"`
	ConnectTimeoutSeconds *float64 `json:"connect_timeout_seconds"`
	IdleTimeoutSeconds    *float64 `json:"idle_timeout_seconds"`
	TotalTimeoutSeconds   *float64 `json:"total_timeout_seconds"`
}

type requestConfigFile struct {
	timersFile
	MaxRetries         int                        `json:"max_retries"`
	RetryOnStatus      []int                      `json:"retry_on_status"`
	DefaultParameters  map[string]json.RawMessage `json:"default_parameters"`
	RequiredParameters []string                   `json:"required_parameters"`
}

type errorRuleFile struct {
	Action          string `json:"action"`
	CooldownSeconds *int64 `json:"cooldown_seconds"`
	Description     note   `json:"description"`
}

type overrideFile struct {
	CooldownSeconds *int64 `json:"cooldown_seconds"`
	Description     note   `json:"description"`
	llm.Capabilities
}
