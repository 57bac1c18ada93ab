package router

// byToken reads the words that providers put into code, type, status or
// reason of an error object, in lower case. The names are OpenAI's and
// Anthropic's where no other is given.
var byToken = map[string]Class{
	"insufficient_quota":           Quota,
	"billing_hard_limit_reached":   Quota,
	"billing_not_active":           Quota,
	"billing_error":                Quota,
	"credit_balance_exhausted":     Quota,
	"credit_balance_too_low":       Quota,
	"insufficient_balance":         Quota, // DeepSeek, Moonshot
	"insufficient_credits":         Quota,
	"exceeded_current_quota_error": Quota, // Moonshot
	"payment_required":             Quota,

	"invalid_api_key":        Auth,
	"authentication_error":   Auth,
	"invalid_authentication": Auth,
	"account_deactivated":    Auth,
	"api_key_invalid":        Auth, // Gemini
	"unauthenticated":        Auth, // Gemini

	"permission_error":  Denied,
	"permission_denied": Denied, // Gemini

	"content_filter":                 ContentFilter,
	"content_policy_violation":       ContentFilter,
	"responsibleaipolicyviolation":   ContentFilter, // Azure
	"data_inspection_failed":         ContentFilter, // DashScope
	"moderation_blocked":             ContentFilter,
	"context_length_exceeded":        ContextLength,
	"model_max_prompt_tokens_exceed": ContextLength,
	"string_above_max_length":        ContextLength,
	"request_too_large":              TooLarge,
	"tool_use_failed":                ToolUse, // Groq
	"model_not_found":                ModelMissing,
	"not_found_error":                ModelMissing,
	"deploymentnotfound":             ModelMissing, // Azure
	"model_not_available":            ModelMissing,

	"overloaded_error":        Overloaded,
	"server_is_overloaded":    Overloaded,
	"engine_overloaded_error": Overloaded, // Moonshot
	"engine_overloaded":       Overloaded,
	"slow_down":               Overloaded,
	"unavailable":             Overloaded, // Gemini

	"rate_limit_error":          RateLimit,
	"rate_limit_exceeded":       RateLimit,
	"rate_limit_reached_error":  RateLimit, // Moonshot
	"ratelimitreached":          RateLimit, // Azure
	"resource_exhausted":        RateLimit, // Gemini
	"too_many_requests":         RateLimit,
	"tokens":                    RateLimit, // the type of OpenAI's and Groq's token limits
	"requests":                  RateLimit,
	"invalid_request_error":     BadRequest,
	"invalid_argument":          BadRequest, // Gemini
	"invalid-argument":          BadRequest, // xAI
	"unsupported_parameter":     BadRequest,
	"unsupported_value":         BadRequest,
	"api_error":                 ServerError,
	"server_error":              ServerError,
	"internal_server_error":     ServerError,
	"internal":                  ServerError, // Gemini
	"timeout_error":             ServerError,
	"internal_error":            ServerError,
	"service_unavailable":       Overloaded,
	"service_unavailable_error": Overloaded,
}

// byOpening reads messages where the object has no telling word. A message
// may quote the client's own text, so only its beginning counts: nobody can
// make a key rest by what he writes into a prompt.
var byOpening = []struct {
	opening string // lower case
	class   Class
}{
	{"your credit balance is too low", Quota},                   // Anthropic, 400
	{"you have reached your specified api usage limits", Quota}, // Anthropic, 400
	{"insufficient balance", Quota},                             // DeepSeek
	{"insufficient credits", Quota},                             // OpenRouter
	{"your account is not active, please check your billing", Quota},
	{"incorrect api key provided", Auth}, // xAI, 400
	{"api key not valid", Auth},          // Gemini, 400
	{"invalid api key", Auth},
	{"request too large for", TooLargeHere}, // OpenAI and Groq, 429: over the whole limit per minute
	{"prompt is too long", ContextLength},   // Anthropic
	{"this model's maximum context length", ContextLength},
	{"input is too long", ContextLength}, // Bedrock
	{"your input exceeds the context window", ContextLength},
	{"the input token count", ContextLength}, // Gemini
	{"the response was filtered due to the prompt", ContentFilter},
	{"output blocked by content filtering policy", ContentFilter}, // Anthropic
	{"overloaded", Overloaded},
}
