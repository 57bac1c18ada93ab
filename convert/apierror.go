package convert

import (
	"bytes"
	"strconv"
	"strings"

	"model-proxy/internal/llm"
	"model-proxy/internal/rawjson"
)

// errorWords are the words of the protocols for one kind of error. code is what
// Chat Completions and Responses say where the error brings no code of its own.
type errorWords struct {
	openAI, code string
	anthropic    string // one of the closed set
}

var wordsOf = map[llm.Kind]errorWords{
	llm.BadRequest:   {"invalid_request_error", "", "invalid_request_error"},
	llm.Unauthorized: {"invalid_request_error", "invalid_api_key", "authentication_error"},
	llm.Forbidden:    {"permission_error", "", "permission_error"},
	llm.NotFound:     {"invalid_request_error", "", "not_found_error"},
	llm.Conflict:     {"invalid_request_error", "conflict", "conflict_error"},
	llm.TooLarge:     {"invalid_request_error", "request_too_large", "request_too_large"},
	llm.RateLimited:  {"rate_limit_error", "rate_limit_exceeded", "rate_limit_error"},
	llm.QuotaSpent:   {"insufficient_quota", "insufficient_quota", "billing_error"},
	llm.ServerError:  {"server_error", "", "api_error"},
	llm.BadGateway:   {"server_error", "", "api_error"},
	llm.Unavailable:  {"server_error", "", "overloaded_error"},
	llm.Overloaded:   {"server_error", "overloaded", "overloaded_error"},
	llm.TimedOut:     {"server_error", "timeout", "timeout_error"},
	llm.ClientGone:   {"server_error", "", "api_error"},
}

func errorWordsOf(k llm.Kind) errorWords {
	if w, ok := wordsOf[k]; ok {
		return w
	}
	return wordsOf[llm.ServerError]
}

// AppendError appends the body of an HTTP error answer for clients of protocol
// client. An upstream's own body (e.Body) is passed on as it is.
func AppendError(dst []byte, client llm.Protocol, e *llm.Error, requestID string) []byte {
	if e.Body != nil && rightShape(client.Wire(), e.Body) {
		return append(dst, e.Body...)
	}
	if client.Wire() == llm.Anthropic {
		return appendMessagesError(dst, e, requestID)
	}
	dst = append(dst, `{"error":`...)
	dst = appendOpenAIError(dst, e)
	return append(dst, '}')
}

// AppendErrorEvent appends the event, framing included, that ends a stream for
// clients of protocol client. before is how many events they have got: those of
// Responses are numbered from 0.
func AppendErrorEvent(dst []byte, client llm.Protocol, e *llm.Error, requestID string, before int64) []byte {
	name := ""
	switch client.Wire() {
	case llm.Anthropic:
		name = "error"
	case llm.Responses:
		name = "error"
		if t, ok := rawjson.Unquote(rawjson.Get(e.Body, "type")); ok {
			name = t
		}
	}
	if name != "" {
		dst = append(dst, "event: "...)
		dst = append(dst, name...)
		dst = append(dst, '\n')
	}
	dst = append(dst, "data: "...)
	dst = appendErrorData(dst, client.Wire(), e, requestID, before)
	return append(dst, "\n\n"...)
}

func appendErrorData(dst []byte, wire llm.Protocol, e *llm.Error, requestID string, before int64) []byte {
	oneLine := e.Body != nil && bytes.IndexByte(e.Body, '\n') < 0 && bytes.IndexByte(e.Body, '\r') < 0
	if wire != llm.Responses {
		if oneLine {
			return AppendError(dst, wire, e, requestID)
		}
		return AppendError(dst, wire, withoutBody(e), requestID)
	}
	if oneLine && rawjson.Get(e.Body, "type") != nil {
		return append(dst, e.Body...)
	}
	w := errorWordsOf(e.Kind)
	dst = append(dst, `{"type":"error","code":`...)
	dst = appendOrNull(dst, firstOf(e.Code, w.code, w.openAI))
	dst = append(dst, `,"message":`...)
	dst = rawjson.AppendString(dst, e.Message)
	dst = append(dst, `,"param":`...)
	dst = appendOrNull(dst, e.Param)
	dst = append(dst, `,"sequence_number":`...)
	dst = strconv.AppendInt(dst, before, 10)
	return append(dst, '}')
}

func withoutBody(e *llm.Error) *llm.Error {
	c := *e
	c.Body = nil
	return &c
}

// AppendKeepAlive appends what keeps a silent stream open and means nothing: a
// comment, or a ping for clients of Messages.
func AppendKeepAlive(dst []byte, client llm.Protocol) []byte {
	if client.Wire() == llm.Anthropic {
		return append(dst, "event: ping\ndata: {\"type\": \"ping\"}\n\n"...)
	}
	return append(dst, ": keep-alive\n\n"...)
}

func appendOpenAIError(dst []byte, e *llm.Error) []byte {
	w := errorWordsOf(e.Kind)
	dst = append(dst, `{"message":`...)
	dst = rawjson.AppendString(dst, e.Message)
	dst = append(dst, `,"type":`...)
	dst = rawjson.AppendString(dst, w.openAI)
	dst = append(dst, `,"param":`...)
	dst = appendOrNull(dst, e.Param)
	dst = append(dst, `,"code":`...)
	dst = appendOrNull(dst, firstOf(e.Code, w.code))
	return append(dst, '}')
}

// contextCode is OpenAI's code for a prompt that the model has no room for.
// Errors of Messages have no code: its clients, such as Claude Code, which then
// shortens the conversation, know one by the words promptTooLong.
const (
	contextCode   = "context_length_exceeded"
	promptTooLong = "prompt is too long"
)

func appendMessagesError(dst []byte, e *llm.Error, requestID string) []byte {
	message := e.Message
	if e.Param != "" && !strings.Contains(message, e.Param) {
		message = e.Param + ": " + message
	}
	if e.Code == contextCode && !strings.Contains(strings.ToLower(message), promptTooLong) {
		message = promptTooLong + ": " + message
	}
	dst = append(dst, `{"type":"error","error":{"type":`...)
	dst = rawjson.AppendString(dst, errorWordsOf(e.Kind).anthropic)
	dst = append(dst, `,"message":`...)
	dst = rawjson.AppendString(dst, message)
	if e.Code == threadCode {
		dst = append(dst, `,"details":{"error_code":"`+threadCode+`","unsupported":["thread"]}`...)
	}
	dst = append(dst, `},"request_id":`...)
	dst = appendOrNull(dst, requestID)
	return append(dst, '}')
}

func appendOrNull(dst []byte, s string) []byte {
	if s == "" {
		return append(dst, "null"...)
	}
	return rawjson.AppendString(dst, s)
}

func firstOf(words ...string) string {
	for _, w := range words {
		if w != "" {
			return w
		}
	}
	return ""
}
