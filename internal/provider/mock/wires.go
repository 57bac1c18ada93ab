package mock

import (
	"net/http"
	"strings"

	"model-proxy/internal/llm"
)

// wireForm writes a reply in one protocol's form.
type wireForm struct {
	plain  func(*reply, *prompt) []byte
	stream func(*frames, *reply, *prompt) // its last event ends the stream
}

// wires are the endpoints that answer with text. It is never changed.
var wires = map[llm.Endpoint]wireForm{
	llm.ChatCompletions: {chatPlain, chatStream},
	llm.Messages:        {messagesPlain, messagesStream},
	llm.ResponsesAPI:    {responsesPlain, responsesStream},
}

// errorTypes are the error types of OpenAI and Anthropic by status.
var errorTypes = map[int][2]string{
	400: {"invalid_request_error", "invalid_request_error"},
	401: {"invalid_request_error", "authentication_error"},
	402: {"insufficient_quota", "billing_error"},
	403: {"permission_error", "permission_error"},
	404: {"invalid_request_error", "not_found_error"},
	413: {"invalid_request_error", "request_too_large"},
	422: {"invalid_request_error", "invalid_request_error"},
	429: {"rate_limit_error", "rate_limit_error"},
	504: {"server_error", "timeout_error"},
	529: {"server_error", "overloaded_error"},
}

// errorBody is an error in the form of protocol p, its message padded to f.BodySize.
func errorBody(p llm.Protocol, f Fault) []byte {
	types, ok := errorTypes[f.Status]
	if !ok {
		types = [2]string{"server_error", "api_error"}
	}
	kind := types[0]
	if p == llm.Anthropic {
		kind = types[1]
	}
	if f.ErrorType != "" {
		kind = f.ErrorType
	}
	message := f.ErrorMessage
	if message == "" {
		message = "simulated error: " + strings.ToLower(statusText(f.Status))
	}
	if f.BodySize > len(message) {
		message = repeated(message, f.BodySize)
	}
	if p == llm.Anthropic {
		return appendf(nil, `{"type":"error","error":{"type":%s,"message":%s},"request_id":"req_mock"}`, quoted(kind), quoted(message))
	}
	return appendf(nil, `{"error":{"message":%s,"type":%s,"param":null,"code":null}}`, quoted(message), quoted(kind))
}

func statusText(status int) string {
	if status == 0 {
		status = http.StatusInternalServerError
	}
	if text := http.StatusText(status); text != "" {
		return text
	}
	return "overloaded"
}

// errorEvent is the name of the event that carries an error in a stream.
func errorEvent(p llm.Protocol) string {
	if p == llm.OpenAI {
		return ""
	}
	return "error"
}
