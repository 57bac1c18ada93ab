package convert

import (
	"fmt"
	"regexp"
	"strings"

	"model-proxy/internal/llm"
	"model-proxy/internal/rawjson"
)

// The hard rules of the two protocols: what their vendors answer with 400, and
// what their official SDKs stumble over.

var (
	safeName   = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
	safeCallID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
)

// messagesRequestFaults lists which rules of Messages a request breaks.
func messagesRequestFaults(body []byte) (faults []string) {
	bad := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	if !rawjson.Valid(body) {
		return []string{"not JSON"}
	}
	if n, ok := rawjson.Int(rawjson.Get(body, "max_tokens")); !ok || n < 1 {
		bad("max_tokens %d", n)
	}
	thinks := str(rawjson.Get(body, "thinking", "type"))
	choice := str(rawjson.Get(body, "tool_choice", "type"))
	if (thinks == "enabled" || thinks == "adaptive") && (choice == "any" || choice == "tool") {
		bad("forced tool while thinking")
	}
	tools := map[string]bool{}
	for t := range rawjson.Array(rawjson.Get(body, "tools")) {
		name := str(rawjson.Get(t, "name"))
		tools[name] = true
		schema := rawjson.Get(t, "input_schema")
		if !safeName.MatchString(name) || str(rawjson.Get(schema, "type")) != "object" {
			bad("tool %s, schema %s", name, schema)
		}
		for _, w := range []string{"anyOf", "oneOf", "allOf"} {
			if rawjson.Get(schema, w) != nil {
				bad("tool %s has %s at its root", name, w)
			}
		}
	}
	if choice != "" && len(tools) == 0 {
		bad("tool_choice without tools")
	}
	if marks := strings.Count(string(body), `"cache_control":`); marks > 4 {
		bad("%d cache marks", marks)
	}
	last, seen := "", map[string]bool{}
	var waiting []string
	for m := range rawjson.Array(rawjson.Get(body, "messages")) {
		role := str(rawjson.Get(m, "role"))
		if role == last || last == "" && role != "user" {
			bad("turn of %s after %q", role, last)
		}
		faults = append(faults, messagesTurnFaults(role, rawjson.Get(m, "content"), tools, seen, &waiting)...)
		last = role
	}
	if last == "" || len(waiting) > 0 {
		bad("ends with %q and calls %v unanswered", last, waiting)
	}
	return faults
}

func messagesTurnFaults(role string, content []byte, tools, seen map[string]bool, waiting *[]string) (faults []string) {
	bad := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	if s, ok := rawjson.Unquote(content); ok {
		if blank(s) {
			bad("blank content")
		}
		if len(*waiting) > 0 {
			bad("calls %v unanswered", *waiting)
		}
		return faults
	}
	blocks, others := 0, false
	for b := range rawjson.Array(content) {
		blocks++
		switch kind := str(rawjson.Get(b, "type")); kind {
		case "tool_use":
			id := str(rawjson.Get(b, "id"))
			if !safeCallID.MatchString(id) || seen[id] || !tools[str(rawjson.Get(b, "name"))] && len(tools) > 0 && !safeName.MatchString(str(rawjson.Get(b, "name"))) || object(rawjson.Get(b, "input")) == nil {
				bad("tool_use %s", b)
			}
			seen[id] = true
			*waiting = append(*waiting, id)
		case "tool_result":
			if others {
				bad("tool_result behind other blocks")
			}
			id := str(rawjson.Get(b, "tool_use_id"))
			rest := (*waiting)[:0]
			for _, w := range *waiting {
				if w != id {
					rest = append(rest, w)
				}
			}
			if len(rest) == len(*waiting) {
				bad("tool_result %s answers nothing", id)
			}
			*waiting = rest
		default:
			others = others || role == "user"
			if kind == "text" && blank(str(rawjson.Get(b, "text"))) {
				bad("blank text block")
			}
			if kind == "thinking" && str(rawjson.Get(b, "signature")) == "" {
				bad("unsigned thinking")
			}
		}
	}
	if blocks == 0 {
		bad("no blocks")
	}
	if role == "user" && len(*waiting) > 0 {
		bad("calls %v unanswered", *waiting)
	}
	return faults
}

// chatRequestFaults lists which rules of Chat Completions a request breaks.
func chatRequestFaults(body []byte) (faults []string) {
	bad := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	if !rawjson.Valid(body) {
		return []string{"not JSON"}
	}
	if rawjson.Get(body, "stream_options") != nil && !isTrue(rawjson.Get(body, "stream")) {
		bad("stream_options without stream")
	}
	tools := 0
	for t := range rawjson.Array(rawjson.Get(body, "tools")) {
		tools++
		if !safeName.MatchString(str(rawjson.Get(t, "function", "name"))) || object(rawjson.Get(t, "function", "parameters")) == nil {
			bad("tool %s", t)
		}
	}
	if tools == 0 && (rawjson.Get(body, "tool_choice") != nil || rawjson.Get(body, "parallel_tool_calls") != nil) {
		bad("tool_choice without tools")
	}
	waiting := map[string]bool{}
	n := 0
	for m := range rawjson.Array(rawjson.Get(body, "messages")) {
		n++
		role := str(rawjson.Get(m, "role"))
		if role == "tool" {
			id := str(rawjson.Get(m, "tool_call_id"))
			if !waiting[id] || len(id) > 40 || !isString(rawjson.Get(m, "content")) {
				bad("tool message %s", m)
			}
			delete(waiting, id)
			continue
		}
		if len(waiting) > 0 {
			bad("calls %v unanswered before %s", waiting, role)
		}
		for c := range rawjson.Array(rawjson.Get(m, "tool_calls")) {
			id, args := str(rawjson.Get(c, "id")), rawjson.Get(c, "function", "arguments")
			if waiting[id] || len(id) > 40 || id == "" || !isString(args) {
				bad("tool call %s", c)
			}
			waiting[id] = true
		}
		if role == "user" && idle(rawjson.Get(m, "content")) {
			bad("empty user message")
		}
	}
	if n == 0 || len(waiting) > 0 {
		bad("%d messages, calls %v unanswered", n, waiting)
	}
	return faults
}

var closedStops = map[string]bool{"end_turn": true, "max_tokens": true, "stop_sequence": true, "tool_use": true, "refusal": true}

// messagesStreamFaults plays what the official SDKs do with an event stream of
// Messages. whole says that the stream ended properly.
func messagesStreamFaults(stream string) (faults []string, whole bool) {
	bad := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	next, open, started, signed := 0, "", false, 0
	for _, e := range events(stream) {
		kind := str(rawjson.Get(e.Data, "type"))
		if !rawjson.Valid(e.Data) || string(e.Type) != kind || whole {
			bad("event %q", e.Raw)
			return faults, whole
		}
		index, _ := rawjson.Int(rawjson.Get(e.Data, "index"))
		switch kind {
		case "message_start":
			if started {
				bad("second message_start")
			}
			started = true
		case "content_block_start":
			if !started || open != "" || int(index) != next {
				bad("block %d opens, want %d, open %q", index, next, open)
			}
			open, signed = str(rawjson.Get(e.Data, "content_block", "type")), 0
			if open == "tool_use" && string(rawjson.Get(e.Data, "content_block", "input")) != "{}" {
				bad("input in the start")
			}
		case "content_block_delta":
			if d := str(rawjson.Get(e.Data, "delta", "type")); d == "signature_delta" {
				signed++
			} else if want := map[string]string{"text": "text_delta", "thinking": "thinking_delta", "tool_use": "input_json_delta"}[open]; d != want {
				bad("%s in a block of %s", d, open)
			}
		case "content_block_stop":
			if open == "" || int(index) != next || open == "thinking" && signed != 1 {
				bad("block %d of %q closes with %d signatures", index, open, signed)
			}
			open = ""
			next++
		case "message_delta":
			if object(rawjson.Get(e.Data, "usage")) == nil || open != "" || !closedStops[str(rawjson.Get(e.Data, "delta", "stop_reason"))] {
				bad("message_delta %s", e.Data)
			}
		case "message_stop":
			whole = true
		case "ping":
		default:
			bad("event %s", kind)
		}
	}
	return faults, whole
}

var closedFinish = map[string]bool{"stop": true, "length": true, "tool_calls": true, "content_filter": true, "function_call": true}

// chatStreamFaults plays what the official SDKs do with a stream of chunks.
func chatStreamFaults(stream string) (faults []string, whole bool) {
	bad := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	id, calls, finish, n := "", -1, "", 0
	for _, e := range events(stream) {
		if whole {
			bad("%q behind [DONE]", e.Raw)
			break
		}
		if string(e.Data) == "[DONE]" {
			whole = true
			continue
		}
		n++
		switch c := str(rawjson.Get(e.Data, "id")); {
		case !rawjson.Valid(e.Data) || rawjson.Get(e.Data, "error") != nil:
			bad("chunk %q", e.Raw)
		case id == "":
			id = c
		case id != c:
			bad("id %q changes to %q", id, c)
		}
		choice := rawjson.First(rawjson.Get(e.Data, "choices"))
		if choice == nil {
			continue
		}
		if n == 1 && str(rawjson.Get(choice, "delta", "role")) != "assistant" {
			bad("first chunk has no role")
		}
		if finish != "" {
			bad("chunk behind the finish: %s", e.Data)
		}
		finish = str(rawjson.Get(choice, "finish_reason"))
		for c := range rawjson.Array(rawjson.Get(choice, "delta", "tool_calls")) {
			i, _ := rawjson.Int(rawjson.Get(c, "index"))
			if rawjson.Get(c, "id") != nil {
				calls++
			}
			if int(i) != calls {
				bad("call index %d, want %d", i, calls)
			}
		}
	}
	if whole && !closedFinish[finish] {
		bad("finish_reason %q", finish)
	}
	return faults, whole
}

// streamFaults judges a stream for clients of p.
func streamFaults(p llm.Protocol, stream string) ([]string, bool) {
	switch p {
	case llm.Anthropic:
		return messagesStreamFaults(stream)
	case llm.Responses:
		return responsesStreamFaults(stream)
	}
	return chatStreamFaults(stream)
}
