package convert

import (
	"model-proxy/internal/llm"
	"model-proxy/internal/rawjson"
)

// missingResult stands for a tool's answer that a client did not send.
const missingResult = "The tool gave no result."

// SupplyToolResults adds a result for every tool call of a request that lacks
// one (the action auto_fix_tool_responses). All other bytes stay. ok is false if
// nothing was missing, or if the protocol has no such rule.
func SupplyToolResults(p llm.Protocol, body []byte) (fixed []byte, ok bool) {
	if !rawjson.Valid(body) {
		return body, false
	}
	var list []byte
	field := "messages"
	switch p.Wire() {
	case llm.OpenAI:
		list, ok = supplyChat(rawjson.Get(body, "messages"))
	case llm.Anthropic:
		list, ok = supplyMessages(rawjson.Get(body, "messages"))
	case llm.Responses:
		field = "input"
		list, ok = supplyItems(rawjson.Get(body, field))
	}
	if !ok {
		return body, false
	}
	found, err := rawjson.Check(nil, body, &rawjson.Fields{Want: []string{field}})
	m, has := found.Find(field)
	if err != nil || !has {
		return body, false
	}
	var e rawjson.Edits
	e.Replace(m, list)
	return e.Append(nil, body), true
}

// supplyChat puts a tool message behind each call that has none.
func supplyChat(messages []byte) (list []byte, changed bool) {
	var o build
	var waiting []string
	flush := func() {
		for _, id := range waiting {
			changed = true
			o.open('{')
			o.key("role").str("tool")
			o.key("tool_call_id").str(id)
			o.key("content").str(missingResult)
			o.close('}')
		}
		waiting = nil
	}
	o.open('[')
	for m := range rawjson.Array(messages) {
		if str(rawjson.Get(m, "role")) == "tool" {
			waiting = without(waiting, str(rawjson.Get(m, "tool_call_id")))
		} else {
			flush()
		}
		o.raw(m)
		for c := range rawjson.Array(rawjson.Get(m, "tool_calls")) {
			waiting = append(waiting, str(rawjson.Get(c, "id")))
		}
	}
	flush()
	o.close(']')
	return o.b, changed
}

func without(list []string, s string) []string {
	var keep []string
	for _, v := range list {
		if v != s {
			keep = append(keep, v)
		}
	}
	return keep
}

// supplyMessages puts missing results first into the user turn behind their
// calls, or makes such a turn.
func supplyMessages(messages []byte) (list []byte, changed bool) {
	var o build
	var waiting []string
	o.open('[')
	for m := range rawjson.Array(messages) {
		isUser := str(rawjson.Get(m, "role")) == "user"
		content := rawjson.Get(m, "content")
		for b := range rawjson.Array(content) {
			if isUser && str(rawjson.Get(b, "type")) == "tool_result" {
				waiting = without(waiting, str(rawjson.Get(b, "tool_use_id")))
			}
		}
		switch {
		case len(waiting) == 0:
			o.raw(m)
		case isUser:
			changed = true
			o.raw(withResults(m, content, waiting))
		default:
			changed = true
			o.raw(withResults([]byte(`{"role":"user"}`), nil, waiting))
			o.raw(m)
		}
		waiting = nil
		for b := range rawjson.Array(content) {
			if !isUser && str(rawjson.Get(b, "type")) == "tool_use" {
				waiting = append(waiting, str(rawjson.Get(b, "id")))
			}
		}
	}
	if len(waiting) > 0 {
		changed = true
		o.raw(withResults([]byte(`{"role":"user"}`), nil, waiting))
	}
	o.close(']')
	return o.b, changed
}

// supplyItems puts an output behind each call of Responses that has none
// anywhere: outputs need not stand next to their calls there.
func supplyItems(input []byte) (list []byte, changed bool) {
	answered := map[string]bool{}
	for item := range rawjson.Array(input) {
		if kind := str(rawjson.Get(item, "type")); kind == "function_call_output" || kind == "custom_tool_call_output" {
			answered[str(rawjson.Get(item, "call_id"))] = true
		}
	}
	var o build
	o.open('[')
	for item := range rawjson.Array(input) {
		o.raw(item)
		kind, id := str(rawjson.Get(item, "type")), str(rawjson.Get(item, "call_id"))
		if !callKinds[kind] || answered[id] {
			continue
		}
		changed = true
		o.open('{')
		o.key("type").str(kind + "_output")
		o.key("call_id").str(id)
		o.key("output").str(missingResult)
		o.close('}')
	}
	o.close(']')
	return o.b, changed
}

// withResults is message m with results for ids before its content.
func withResults(m, content []byte, ids []string) []byte {
	var o build
	o.open('[')
	for _, id := range ids {
		o.open('{')
		o.key("type").str("tool_result")
		o.key("tool_use_id").str(id)
		o.key("content").str(missingResult)
		o.key("is_error").lit("true")
		o.close('}')
	}
	if s, ok := rawjson.Unquote(content); ok && !blank(s) {
		o.open('{')
		o.key("type").str("text")
		o.key("text").str(s)
		o.close('}')
	}
	for b := range rawjson.Array(content) {
		o.raw(b)
	}
	o.close(']')
	rest := rawjson.AppendWithout(nil, m, func(name, _ []byte) bool { return rawjson.EqualString(name, "content") })
	var e rawjson.Edits
	e.Add("content", o.b)
	return e.Append(nil, rest)
}
