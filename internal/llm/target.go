package llm

// Capabilities are the facts about one upstream model that conversion needs.
// They are data: config reads them from config/catalog.json and from a
// provider's models.<upstream model>. A zero field means "not known".
type Capabilities struct {
	MaxOutputTokens       int64    `json:"max_output_tokens,omitempty"`
	MaxTokensField        string   `json:"max_tokens_field,omitempty"`  // max_tokens | max_completion_tokens
	Structured            string   `json:"structured_output,omitempty"` // native | tool | none
	Thinking              string   `json:"thinking,omitempty"`          // none | budget | adaptive
	EffortLevels          []string `json:"effort_levels,omitempty"`     // Messages' output_config.effort
	ThinkingCanBeDisabled *bool    `json:"thinking_can_be_disabled,omitempty"`
	Sampling              string   `json:"sampling,omitempty"` // all | one_of | none
	Prefill               *bool    `json:"prefill,omitempty"`
	MidSystem             *bool    `json:"mid_system,omitempty"`
	StopSupported         *bool    `json:"stop_supported,omitempty"`
	ReasoningEffortLevels []string `json:"reasoning_effort_levels,omitempty"` // Chat Completions' reasoning_effort
	SystemRole            string   `json:"system_role,omitempty"`             // system | developer | none
	WebSearch             string   `json:"web_search,omitempty"`              // how its own web search is asked for: the tool's type, or web_search_options
	TokenCounter          string   `json:"token_counter,omitempty"`
	SupportsVision        *bool    `json:"supports_vision,omitempty"`
	SupportsPDF           *bool    `json:"supports_pdf,omitempty"`
	SupportsImageURL      *bool    `json:"supports_image_url,omitempty"`
	SupportsTools         *bool    `json:"supports_tools,omitempty"`
	SupportsParallelTools *bool    `json:"supports_parallel_tools,omitempty"`
	SupportsStrictTools   *bool    `json:"supports_strict_tools,omitempty"`
}

// Quirks are the switches for hosts that differ from the protocol they speak
// (a provider file's "quirks"). The zero value is the protocol's own behaviour.
type Quirks struct {
	MaxTokensField            string   `json:"max_tokens_field,omitempty"`
	MaxTokensCap              int64    `json:"max_tokens_cap,omitempty"`
	StreamOptions             *bool    `json:"stream_options,omitempty"`               // nil and true: the host takes stream_options
	AssistantContentWhenTools string   `json:"assistant_content_when_tools,omitempty"` // null | "" (written "empty") | omit
	ToolCallID                string   `json:"tool_call_id,omitempty"`                 // openai40 | mistral9 | any
	SystemContent             string   `json:"system_content,omitempty"`               // parts | string
	DeveloperRole             string   `json:"developer_role,omitempty"`               // keep | system
	ToolSchemaStrip           []string `json:"tool_schema_strip,omitempty"`
	ReasoningIn               string   `json:"reasoning_in,omitempty"`     // reasoning_content | reasoning | reasoning_details | content-thinking-parts | none
	ReasoningReplay           string   `json:"reasoning_replay,omitempty"` // required | allowed | forbidden
	PrefixField               string   `json:"prefix_field,omitempty"`     // prefix | continue_final_message | none
	CacheControlPassthrough   bool     `json:"cache_control_passthrough,omitempty"`
	FetchFiles                bool     `json:"fetch_files,omitempty"`       // images and PDFs given by address are fetched where the model takes no addresses
	ReasoningFields           string   `json:"reasoning_fields,omitempty"`  // where Chat Completions clients are shown thinking: both | content | details | none
	MidSystem                 string   `json:"mid_system,omitempty"`        // hoist: system messages amid the conversation join those at its head
	NamePrefix                bool     `json:"name_prefix,omitempty"`       // a message's name goes before its text where the target has no field for it
	CacheBreakpoints          bool     `json:"cache_breakpoints,omitempty"` // the host takes prompt_cache_breakpoint; cache_control becomes one
	ReasoningCache            bool     `json:"reasoning_cache,omitempty"`   // thinking that led to calls is kept for clients that do not send it back
	UsageStyle                string   `json:"usage_style,omitempty"`
	AllowExtra                []string `json:"allow_extra,omitempty"`               // unknown request fields that may pass cross-protocol
	ClientToolsAsFunctions    bool     `json:"client_tools_as_functions,omitempty"` // Anthropic's bash, text editor and memory tools may go as functions
	BlockBetas                []string `json:"block_betas,omitempty"`               // anthropic-beta flags never forwarded
}
