package router

import (
	"encoding/json"
	"strconv"
)

// wireError is what the many shapes of error bodies have in common.
type wireError struct {
	tokens     []string // code, type, status and reasons, the most special first
	message    string
	status     int    // a numeric code or status inside the body; 0 if there is none
	retryDelay string // google.rpc.RetryInfo, such as "34s"
}

// maxErrorBody bounds what is read of an error body; the telling words stand
// at its beginning.
const maxErrorBody = 64 << 10

// readError reads an error body: OpenAI's and Anthropic's objects with or
// without the outer one, {"detail":…}, {"error":"text"}, [{"error":…}], an
// event's {"response":{"error":…}}. What is not JSON gives the zero value.
func readError(body []byte) wireError {
	var e wireError
	if len(body) == 0 || len(body) > maxErrorBody {
		return e
	}
	var v any
	if json.Unmarshal(body, &v) != nil {
		return e
	}
	e.read(v, 0)
	return e
}

// read takes what it knows from v, inner objects before outer ones, since the
// outer type of Anthropic's is only "error".
func (e *wireError) read(v any, depth int) {
	if depth > 4 {
		return
	}
	switch v := v.(type) {
	case []any:
		if len(v) > 0 {
			e.read(v[0], depth+1)
		}
	case string:
		e.setMessage(v, depth)
	case map[string]any:
		for _, k := range []string{"response", "error", "innererror", "inner_error", "detail"} {
			if inner, ok := v[k]; ok {
				e.read(inner, depth+1)
			}
		}
		for _, k := range []string{"code", "type", "status", "status_code", "reason"} {
			e.word(v[k])
		}
		if m, ok := v["message"].(string); ok {
			e.setMessage(m, depth)
		}
		e.readDetails(v["details"])
		e.readModeration(v["metadata"])
	}
}

// setMessage keeps the innermost message; one that is itself an error object,
// as aggregators send, is unwrapped.
func (e *wireError) setMessage(m string, depth int) {
	if len(m) > 1 && m[0] == '{' {
		var v map[string]any
		if json.Unmarshal([]byte(m), &v) == nil {
			e.read(v, depth+1)
			return
		}
	}
	if e.message == "" {
		e.message = m
	}
}

func (e *wireError) word(v any) {
	switch v := v.(type) {
	case string:
		if n, err := strconv.Atoi(v); err == nil {
			e.word(float64(n))
			return
		}
		if v != "" {
			e.tokens = append(e.tokens, v)
		}
	case float64:
		if e.status == 0 && v >= 400 && v < 600 {
			e.status = int(v)
		}
	}
}

// readDetails reads Google's list of typed details.
func (e *wireError) readDetails(v any) {
	list, _ := v.([]any)
	for _, d := range list {
		m, _ := d.(map[string]any)
		e.word(m["reason"])
		if s, ok := m["retryDelay"].(string); ok {
			e.retryDelay = s
		}
	}
}

// readModeration reads OpenRouter's sign of a flagged prompt, which comes
// with a 403 (openrouter.ai/docs, "Errors": metadata.reasons, flagged_input).
func (e *wireError) readModeration(v any) {
	m, _ := v.(map[string]any)
	if _, ok := m["flagged_input"]; ok {
		e.tokens = append([]string{"moderation_blocked"}, e.tokens...)
	}
}
