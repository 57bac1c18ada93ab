package convert

import (
	"bytes"
	"strings"

	"model-proxy/internal/llm"
	"model-proxy/internal/rawjson"
)

// withoutSeals takes out of a history the reasoning that the gateway has sealed,
// or told a client of Chat Completions in fields of its own: it came from a host
// of another protocol, and the vendor whom it would now reach takes only
// signatures of its own. All other bytes stay.
func (x *Exchange) withoutSeals(body []byte) []byte {
	if !bytes.Contains(body, []byte(`"`+sealPrefix)) && !(x.refusesDetails() && bytes.Contains(body, []byte(`"`+formatMessages+`"`))) {
		return body
	}
	field, drop := "", func([]byte) ([]byte, bool) { return nil, false }
	switch x.in.Endpoint {
	case llm.Messages, llm.CountTokens:
		field, drop = "messages", unsealedMessage
	case llm.ResponsesAPI:
		field, drop = "input", unsealedItem
	case llm.ChatCompletions:
		field, drop = "messages", x.unsealedChat
	}
	found, err := rawjson.Check(nil, body, &rawjson.Fields{Want: []string{field}})
	m, ok := found.Find(field)
	if err != nil || !ok {
		return body
	}
	var o build
	changed := false
	o.open('[')
	for v := range rawjson.Array(body[m.Start:m.End]) {
		rest, cut := drop(v)
		switch {
		case !cut:
			o.raw(v)
		case rest != nil:
			o.raw(rest)
		}
		changed = changed || cut
	}
	o.close(']')
	if !changed {
		return body
	}
	x.warnings = append(x.warnings, Warning{Action: Dropped, Param: field + ".reasoning"})
	var e rawjson.Edits
	e.Replace(m, o.b)
	return e.Append(nil, body)
}

// refusesDetails reports whether the target is a host of Chat Completions that is
// known to take no reasoning_details back.
func (x *Exchange) refusesDetails() bool {
	in := x.target.Quirks.ReasoningIn
	return x.in.Endpoint == llm.ChatCompletions && in != "" && in != "reasoning_details"
}

// unsealedChat is a message of Chat Completions without the reasoning that the
// gateway has told: reasoning_details, and the same as plain text where the host
// does not want that.
func (x *Exchange) unsealedChat(v []byte) (rest []byte, cut bool) {
	for d := range rawjson.Array(rawjson.Get(v, "reasoning_details")) {
		cut = cut || strings.HasPrefix(str(rawjson.Get(d, "signature")), sealPrefix) ||
			x.refusesDetails() && str(rawjson.Get(d, "format")) == formatMessages
	}
	if !cut {
		return nil, false
	}
	return rawjson.AppendWithout(nil, v, func(name, _ []byte) bool {
		return rawjson.EqualString(name, "reasoning_details") ||
			rawjson.EqualString(name, "reasoning_content") && x.target.Quirks.ReasoningIn != "reasoning_content"
	}), true
}

// unsealedItem drops a reasoning item of Responses that holds a seal.
func unsealedItem(v []byte) (rest []byte, cut bool) {
	return nil, strings.HasPrefix(str(rawjson.Get(v, "encrypted_content")), sealPrefix)
}

// unsealedMessage is a message of Messages without its sealed blocks, nil if
// there was nothing else in it.
func unsealedMessage(v []byte) (rest []byte, cut bool) {
	var o build
	left := 0
	o.open('[')
	for b := range rawjson.Array(rawjson.Get(v, "content")) {
		if strings.HasPrefix(str(rawjson.Get(b, "signature")), sealPrefix) {
			cut = true
			continue
		}
		o.raw(b)
		left++
	}
	o.close(']')
	if !cut || left == 0 {
		return nil, cut
	}
	found, err := rawjson.Check(nil, v, &rawjson.Fields{Want: []string{"content"}})
	m, ok := found.Find("content")
	if err != nil || !ok {
		return nil, false
	}
	var e rawjson.Edits
	e.Replace(m, o.b)
	return e.Append(nil, v), true
}

// budgetFields are what withoutBudget reads and changes.
var budgetFields = rawjson.Fields{Want: []string{"thinking", "messages", "context_management"}}

// withoutBudget turns thinking off in a request of Messages for as long as a
// tool loop lasts in which a model of another vendor had a turn. With a budget
// Anthropic takes the results of tools only behind thinking of its own, and
// refuses the request else: the client cannot know who served it before.
func (x *Exchange) withoutBudget(body []byte) []byte {
	known := x.target.Capabilities.Thinking
	if x.in.Client != llm.Anthropic || known != "budget" && known != "adaptive" || !foreignCalls(body) {
		return body
	}
	found, err := rawjson.Check(nil, body, &budgetFields)
	thinking, ok := found.Find("thinking")
	if err != nil || !ok || str(rawjson.Get(found.Value(body, "thinking"), "type")) != "enabled" || !foreignLoop(found.Value(body, "messages")) {
		return body
	}
	x.warnings = append(x.warnings, Warning{Action: Emulated, Param: "thinking"})
	clears := bytes.Contains(found.Value(body, "context_management"), []byte(`"clear_thinking_`))
	body = rawjson.AppendDeleted(nil, body, thinking)
	if !clears { // what clears thinking is refused without any
		return body
	}
	x.warnings = append(x.warnings, Warning{Action: Dropped, Param: "context_management"})
	found, _ = rawjson.Check(found[:0], body, &budgetFields) // valid before and after
	edits, _ := found.Find("context_management")
	return rawjson.AppendDeleted(nil, body, edits)
}

// ownCalls begin the ids of the calls that Anthropic's models make.
const ownCalls = "toolu_"

// foreignCalls reports whether a body of Messages holds the result of a call that
// no model of Anthropic's has made. It does not take the body apart: a quote
// within a string is escaped.
func foreignCalls(body []byte) bool {
	for name := []byte(`"tool_use_id"`); ; {
		i := bytes.Index(body, name)
		if i < 0 {
			return false
		}
		body = body[i+len(name):]
		if !bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n:"), []byte(`"`+ownCalls)) {
			return true
		}
	}
}

// foreignLoop reports whether messages end with the results of tools and, since
// the user last spoke, another vendor's model has made a call without thinking
// before it.
func foreignLoop(messages []byte) bool {
	answering, foreign := false, false
	for m := range rawjson.Array(messages) {
		content := rawjson.Get(m, "content")
		first := str(rawjson.Get(rawjson.First(content), "type"))
		switch role := str(rawjson.Get(m, "role")); {
		case role == "assistant" && first != "thinking" && first != "redacted_thinking":
			for b := range rawjson.Array(content) {
				id := str(rawjson.Get(b, "id"))
				foreign = foreign || str(rawjson.Get(b, "type")) == "tool_use" && !strings.HasPrefix(id, ownCalls)
			}
		case role != "user":
		case first == "tool_result":
			answering = true
		default:
			answering, foreign = false, false
		}
	}
	return answering && foreign
}
