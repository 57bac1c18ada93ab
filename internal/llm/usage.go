package llm

// Usage counts the tokens of one attempt. Prompt includes CachedRead and
// CachedWrite; Completion includes Reasoning. Anthropic leaves cached tokens
// out of input_tokens, so convert adds them (anthropic-sdk-go, message.go:
// "Total input tokens in a request is the summation of …").
type Usage struct {
	Prompt, CachedRead, CachedWrite int64
	CachedWrite1h                   int64 // the part of CachedWrite kept for an hour
	Completion, Reasoning           int64
	Source                          UsageSource
	Tier                            string `json:",omitempty"` // service tier that has a price of its own, such as flex; "" for the standard one
}

// UsageSource says where the numbers of a Usage come from. The zero value
// means that there are none.
type UsageSource string

const (
	UsageNone      UsageSource = "none"
	UsageProvider  UsageSource = "provider"  // the provider said so
	UsageCounted   UsageSource = "counted"   // counted here from what was delivered
	UsageEstimated UsageSource = "estimated" // guessed from lengths
)
