package convert

import (
	"bytes"

	"model-proxy/internal/llm"
	"model-proxy/internal/rawjson"
)

// fitIDs gives the calls of a history of Chat Completions ids that the host
// takes, where its file says which those are: another host may have made them.
// All other bytes stay.
func (x *Exchange) fitIDs(body []byte) []byte {
	if x.in.Endpoint != llm.ChatCompletions {
		return body
	}
	var rule func(string) string
	fair := 0 // bytes of an id that fits whatever they are
	switch x.target.Quirks.ToolCallID {
	case "openai40":
		rule, fair = openAIID, 40
	case "mistral9":
		rule = mistralID
	default:
		return body
	}
	if !hasUnfitID(body, fair, rule) {
		return body
	}
	found, err := rawjson.Check(nil, body, &rawjson.Fields{Want: []string{"messages"}})
	m, ok := found.Find("messages")
	if err != nil || !ok {
		return body
	}
	var o build
	o.open('[')
	for v := range rawjson.Array(body[m.Start:m.End]) {
		o.raw(withFitIDs(v, rule))
	}
	o.close(']')
	var e rawjson.Edits
	e.Replace(m, o.b)
	return e.Append(nil, body)
}

// hasUnfitID reports whether a result in body answers a call whose id the rule
// would change; those of up to fair bytes it would not. It does not take the body
// apart: a quote within a string is escaped.
func hasUnfitID(body []byte, fair int, rule func(string) string) bool {
	for name := []byte(`"tool_call_id"`); ; {
		i := bytes.Index(body, name)
		if i < 0 {
			return false
		}
		body = bytes.TrimLeft(body[i+len(name):], " \t\r\n:")
		if len(body) == 0 || body[0] != '"' {
			continue
		}
		end, ok := rawjson.StringEnd(body, 0)
		if !ok {
			return false
		}
		if end-len(`""`) <= fair {
			continue
		}
		if id := str(body[:end]); id != "" && rule(id) != id {
			return true
		}
	}
}

var (
	idFields     = rawjson.Fields{Want: []string{"tool_call_id", "tool_calls"}}
	callIDFields = rawjson.Fields{Want: []string{"id"}}
)

// withFitIDs is a message with the ids of its calls, or of the call it answers,
// as rule has them.
func withFitIDs(message []byte, rule func(string) string) []byte {
	found, err := rawjson.Check(nil, message, &idFields)
	if err != nil {
		return message
	}
	var e rawjson.Edits
	if m, ok := found.Find("tool_call_id"); ok {
		fitID(&e, message, m, rule)
	}
	if m, ok := found.Find("tool_calls"); ok && rawjson.First(message[m.Start:m.End]) != nil {
		var o build
		o.open('[')
		for call := range rawjson.Array(message[m.Start:m.End]) {
			var inner rawjson.Edits
			if found, err := rawjson.Check(nil, call, &callIDFields); err == nil {
				if id, ok := found.Find("id"); ok {
					fitID(&inner, call, id, rule)
				}
			}
			o.raw(inner.Append(nil, call))
		}
		o.close(']')
		e.Replace(m, o.b)
	}
	return e.Append(nil, message)
}

func fitID(e *rawjson.Edits, data []byte, m rawjson.Member, rule func(string) string) {
	if id := str(data[m.Start:m.End]); id != "" {
		e.Replace(m, rawjson.AppendString(nil, rule(id)))
	}
}
