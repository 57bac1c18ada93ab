package transcript

import (
	"errors"
	"fmt"
	"strings"
)

// chat is Chat Completions as a host speaks it that reasons, shows it as
// reasoning_content and wants to see it again.
var chat = protocol{
	path: "/chat/completions", turns: chatTurns, answer: chatAnswer, stream: chatStream,
	wire: wire{name: "openai", id: chatID, sign: func(int) string { return "" }},
	refuse: func(message string) any {
		return object{"error": object{"message": message, "type": "invalid_request_error", "param": nil, "code": nil}}
	},
}

const chatFields = "model messages tools tool_choice parallel_tool_calls max_tokens max_completion_tokens reasoning_effort temperature " +
	"stream stream_options stop store user metadata"

// chatID spells every other id as some hosts do, which no other protocol takes.
func chatID(round, i int) string {
	if round%2 == 1 {
		return fmt.Sprintf("functions.%d:%d", round, i)
	}
	return fmt.Sprintf("call_%02d_%02d", round, i)
}

// chatTurns reads the history. Calls must be answered at once, each once, and
// in their order.
func chatTurns(request object) ([]turn, error) {
	if err := unknown(request, chatFields); err != nil {
		return nil, err
	}
	if request["stream_options"] != nil && request["stream"] != true {
		return nil, errors.New("stream_options without stream")
	}
	var turns []turn
	open := 0 // calls without a result
	for i, m := range list(request["messages"]) {
		role := text(m["role"])
		if open > 0 && role != "tool" {
			return nil, fmt.Errorf("messages[%d]: tool calls must be followed by tool messages", i)
		}
		content, err := textOf(m["content"])
		if err != nil {
			return nil, fmt.Errorf("messages[%d]: %w", i, err)
		}
		switch role {
		case "system", "user":
			if i > 1 || content == "" {
				return nil, fmt.Errorf("messages[%d]: no %s message was expected here", i, role)
			}
		case "assistant":
			t := turn{text: content}
			if s := text(m["reasoning_content"]); s != "" {
				t.thinking = []thought{{text: s}}
			}
			for _, c := range list(m["tool_calls"]) {
				f, _ := c["function"].(object)
				t.calls = append(t.calls, call{text(c["id"]), text(f["name"]), text(f["arguments"])})
			}
			turns, open = append(turns, t), len(t.calls)
		case "tool":
			if open == 0 {
				return nil, fmt.Errorf("messages[%d]: a tool message must follow a message with tool_calls", i)
			}
			last := &turns[len(turns)-1]
			last.results = append(last.results, result{id: text(m["tool_call_id"]), text: content})
			open--
		default:
			return nil, fmt.Errorf("messages[%d]: unknown role %q", i, role)
		}
	}
	if open > 0 {
		return nil, errors.New("the last calls have no results")
	}
	return turns, nil
}

func chatUsage(n int) object {
	return object{"prompt_tokens": 100 + n, "completion_tokens": 20, "total_tokens": 120 + n, "prompt_tokens_details": object{"cached_tokens": n}}
}

func chatFinish(r Round) string {
	if len(r.Calls) > 0 {
		return "tool_calls"
	}
	return "stop"
}

func chatAnswer(n int, r Round, request object) []byte {
	m := object{"role": "assistant", "content": nil, "refusal": nil}
	if r.Text != "" {
		m["content"] = r.Text
	}
	if r.Thinking != "" {
		m["reasoning_content"] = r.Thinking
	}
	var calls []object
	for i, c := range r.Calls {
		calls = append(calls, object{"id": chatID(n, i), "type": "function", "function": object{"name": c.Name, "arguments": c.Arguments}})
	}
	if calls != nil {
		m["tool_calls"] = calls
	}
	return encode(object{"id": fmt.Sprintf("chatcmpl-%d", n), "object": "chat.completion", "created": 1, "model": request["model"],
		"choices": []object{{"index": 0, "message": m, "finish_reason": chatFinish(r), "logprobs": nil}}, "usage": chatUsage(n)})
}

// chatStream tells parallel calls one after the other, and mixed in rounds
// whose number divides by three.
func chatStream(n int, r Round, request object) []byte {
	var b strings.Builder
	chunk := func(choices any, usage any) {
		o := object{"id": fmt.Sprintf("chatcmpl-%d", n), "object": "chat.completion.chunk", "created": 1, "model": request["model"], "choices": choices}
		if options, _ := request["stream_options"].(object); options["include_usage"] == true {
			o["usage"] = usage
		}
		fmt.Fprintf(&b, "data: %s\n\n", encode(o))
	}
	delta := func(d object) { chunk([]object{{"index": 0, "delta": d, "finish_reason": nil}}, nil) }
	delta(object{"role": "assistant", "content": ""})
	for _, s := range pieces(r.Thinking, 7) {
		delta(object{"reasoning_content": s})
	}
	for _, s := range pieces(r.Text, 5) {
		delta(object{"content": s})
	}
	for _, d := range chatCallDeltas(n, r.Calls) {
		delta(object{"tool_calls": []object{d}})
	}
	chunk([]object{{"index": 0, "delta": object{}, "finish_reason": chatFinish(r)}}, nil)
	if options, _ := request["stream_options"].(object); options["include_usage"] == true {
		chunk([]object{}, chatUsage(n))
	}
	b.WriteString("data: [DONE]\n\n")
	return []byte(b.String())
}

func chatCallDeltas(n int, calls []Call) (deltas []object) {
	var mixed []object
	for i, c := range calls {
		deltas = append(deltas, object{"index": i, "id": chatID(n, i), "type": "function", "function": object{"name": c.Name, "arguments": ""}})
		for k, s := range pieces(c.Arguments, 6) {
			d := object{"index": i, "function": object{"arguments": s}}
			if n%3 == 0 && k > 0 {
				mixed = append(mixed, d)
				continue
			}
			deltas = append(deltas, d)
		}
	}
	return append(deltas, mixed...)
}
