package config

import (
	"encoding/json"
	"time"

	"model-proxy/internal/llm"
)

// Snapshot is one complete, checked configuration. It is immutable and safe
// for concurrent use; a reload makes a new one and swaps it whole.
type Snapshot struct {
	Revision  string // short hash over everything that was read; stands in every record
	Settings  Settings
	Providers map[string]*Provider // by name
	Models    map[string]*Model    // by logical name
	Clients   []*Client            // in configured order
	Problems  []Problem            // what was left out, and warnings
	Prices    PriceList

	// Dormant are the shipped models that no configured key can serve, by
	// logical name. They are not offered; their Unusable says what is missing.
	Dormant map[string]*Model

	forward []string // of all providers; see Forwards
}

// Settings are the values of the environment that a running gateway obeys and
// a reload may change.
type Settings struct {
	KeyCooldown       time.Duration // KEY_COOLDOWN_SECONDS; <= 0 switches every cooldown and the breaker off
	MaxKeyCycles      int           // MAX_KEY_RETRY_CYCLES
	BreakerFailures   int           // BREAKER_FAILURES
	BreakerRest       time.Duration // BREAKER_SECONDS
	KeyAffinity       bool          // KEY_AFFINITY=auto
	RequestsPerMinute int64         // RATE_LIMIT_REQUESTS_PER_MINUTE; 0 means no limit
	TokensPerMinute   int64         // RATE_LIMIT_TOKENS_PER_MINUTE; 0 means no limit
	CORSOrigins       []string      // CORS_ORIGINS
	LogBodies         string        // LOG_BODIES: none | errors | all
	AdminKeySHA256    []byte        // of ADMIN_API_KEY; nil if none
}

// Client is one caller of the gateway, known by the SHA-256 of its key.
type Client struct {
	ID                  string
	KeySHA256           [32]byte
	RequestsPerMinute   int64           // 0 means no limit; already resolved against Settings
	TokensPerMinute     int64           // likewise
	MaxParallelRequests int64           // 0 means no limit
	Models              map[string]bool // nil means all
	Priority            string          // high | normal | low: of requests that ask for none
	MaxPriority         string          // the highest that a request may get; "" means any
	Disabled            bool
}

// Provider is one providers/<name>.json, checked and resolved.
type Provider struct {
	Name        string
	DisplayName string
	Vendor      string // whose API it really is; default Name
	Enabled     bool
	Protocols   []llm.Protocol          // what it speaks, preferred first
	Keys        []Key                   // by env_var_patterns; deduplicated, in order; one zero Secret where none is needed
	BaseURL     string                  // base_url, or base_url_override where enabled
	Paths       map[llm.Endpoint]string // endpoints.completions, messages, responses, …; may hold {model}
	StreamPaths map[llm.Endpoint]string // endpoints.streaming, where it differs
	ModelsPath  string                  // of the list of models; ModelsURL is the whole address

	KeyHeader      string   // authentication.header_name
	KeyFormat      string   // authentication.header_format, holds {api_key}
	Headers        Headers  // additional_headers
	ForwardHeaders []string // further request headers that may reach the upstream; a trailing * is a prefix

	Timers            Timers
	MaxRetries        int
	RetryOnStatus     map[int]bool
	DefaultParameters map[string]json.RawMessage // without those that restate the API's default
	Required          []string                   // required_parameters

	KeyRequestsPerMinute int64 // rate_limiting, 0 where not enabled
	KeyTokensPerMinute   int64
	CooldownSeconds      *int64                   // rate_limiting.cooldown_seconds
	Errors               map[int]ErrorRule        // error_handling by status
	ModelOverrides       map[string]ModelOverride // models.<upstream model>
	ModelMapping         map[string]string
	Quirks               llm.Quirks
	Pool                 string // of models that name none

	File        string   `json:"-"` // where it stands, for messages
	Shipped     bool     `json:"-"` // one of the defaults in the binary
	KeyPatterns []string // the variables its keys may stand in
}

// String is the provider's name.
func (p *Provider) String() string { return p.Name }

// Key is one API key of a provider and the environment variable it came from.
type Key struct {
	Secret Secret
	Env    string
}

// ErrorRule is one error_handling.<status>.
type ErrorRule struct {
	Action          string // router.Action's values
	CooldownSeconds *int64
}

// ModelOverride is one models.<upstream model> of a provider.
type ModelOverride struct {
	CooldownSeconds *int64
	Capabilities    *llm.Capabilities
}

// Timers bound one attempt. Zero means the next source decides, and at the end
// the defaults: connect 5 s, first token 60 s, idle = first token, total 600 s.
type Timers struct {
	Connect    time.Duration
	FirstToken time.Duration
	Idle       time.Duration
	Total      time.Duration
}

// Model is one models/<file>.json, checked and resolved.
type Model struct {
	LogicalName     string
	Routes          []*Route      // usable ones, in configured order
	Fallbacks       []string      // logical names; cycles are cut by the router
	Strategy        string        // ordered | weighted | least_latency
	Pool            string        // default "default"
	CooldownSeconds *int64        // default_cooldown_seconds
	TotalTimeout    time.Duration // the longest deadline a request may have
	Unusable        string        // why neither its routes nor its fallbacks' are usable; "" if one is

	File    string `json:"-"` // where it stands, for messages
	Shipped bool   `json:"-"` // one of the defaults in the binary
}

// Route is one provider and upstream model that can serve a logical model.
type Route struct {
	ID              string
	Provider        *Provider
	Model           string         // upstream model, after model_mapping
	Protocols       []llm.Protocol // wire_protocol alone where given, else the provider's
	BaseURL         string         // the route's own, else the provider's
	Keys            []Key          // api_key_env where given, else the provider's
	Timers          Timers         // fully resolved: route, model, provider, default
	CooldownSeconds *int64
	Weight          int // from 0, last of a weighted model, to 1,000,000
	Capabilities    llm.Capabilities
	Price           *Price `json:"-"` // nil if none is known; the files are in the revision
}
