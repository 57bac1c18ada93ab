// Package llm holds the words every other package shares: protocols and
// endpoints, events off the wire, token usage and errors. It imports only the
// standard library and does no I/O.
package llm

// Protocol is a wire format, named as in configuration files and records.
type Protocol string

const (
	OpenAI    Protocol = "openai"           // Chat Completions
	Responses Protocol = "openai-responses" // OpenAI Responses
	Anthropic Protocol = "anthropic"        // Messages
	Azure     Protocol = "azure"            // Chat Completions at Azure's addresses; upstream only
	Gemini    Protocol = "gemini"           // Gemini's OpenAI-compatible endpoint; upstream only
)

// Wire returns the format of the bytes: azure and gemini speak Chat Completions.
func (p Protocol) Wire() Protocol {
	if p == Azure || p == Gemini {
		return OpenAI
	}
	return p
}

// Valid reports whether p is one of the constants.
func (p Protocol) Valid() bool {
	switch p {
	case OpenAI, Responses, Anthropic, Azure, Gemini:
		return true
	}
	return false
}

// Endpoint is the canonical path a client called.
type Endpoint string

const (
	ChatCompletions Endpoint = "/v1/chat/completions"
	Messages        Endpoint = "/v1/messages"
	CountTokens     Endpoint = "/v1/messages/count_tokens"
	ResponsesAPI    Endpoint = "/v1/responses"
	Embeddings      Endpoint = "/v1/embeddings"

	// ResponsesTokens is where OpenAI counts the tokens of a request for
	// Responses. Only upstreams have it: clients call CountTokens.
	ResponsesTokens Endpoint = "/v1/responses/input_tokens"
)

// UsesTokens is false for the endpoints that only count them. Their answers hold the
// count where others have their usage.
func (e Endpoint) UsesTokens() bool { return e != CountTokens && e != ResponsesTokens }

// Protocol is the format that clients of the endpoint speak.
func (e Endpoint) Protocol() Protocol {
	switch e {
	case Messages, CountTokens:
		return Anthropic
	case ResponsesAPI, ResponsesTokens:
		return Responses
	}
	return OpenAI
}

// Event is one server-sent event off the wire. All slices point into the
// reader's buffer and are valid until its next call.
type Event struct {
	// Raw is the event as received, from the end of the one before it to its
	// own empty line inclusive: comments, field order and line ends survive.
	Raw []byte
	// Type is the value of the event field, nil if there was none.
	Type []byte
	// Data is the value of the data field, several lines joined with LF; nil
	// if there was none (a comment, say), which is then not an event to act on.
	Data []byte
}
