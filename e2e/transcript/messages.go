package transcript

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// messages is Messages as Anthropic speaks it: thinking is signed, and where a
// budget is set it must come back in a turn whose calls are being answered.
var messages = protocol{
	path: "/messages", turns: messagesTurns, answer: messagesAnswer, stream: messagesStream,
	wire: wire{name: "anthropic", id: messagesID, sign: signature},
	refuse: func(message string) any {
		e := object{"type": "invalid_request_error", "message": message}
		if message == errThread.Error() { // Anthropic's libraries go on without a thread
			e["details"] = object{"error_code": "thread_unsupported_request", "unsupported": []string{"thread"}}
		}
		return object{"type": "error", "error": e}
	},
}

// errThread refuses to keep the conversation, as hosts do that are not Anthropic.
var errThread = errors.New("threads are not supported")

const messagesFields = "model messages max_tokens system tools tool_choice thinking output_config stream metadata temperature stop_sequences"

func messagesID(round, i int) string { return fmt.Sprintf("toolu_%02d_%02d", round, i) }

// signature looks like one: base64 with padding, and longer than a line.
func signature(round int) string { return fmt.Sprintf("EqoBCkgIARAB%064d+/%02d==", round, round) }

func messagesTurns(request object) ([]turn, error) {
	if request["thread"] != nil {
		return nil, errThread
	}
	if err := unknown(request, messagesFields); err != nil {
		return nil, err
	}
	if err := messagesLimits(request); err != nil {
		return nil, err
	}
	var turns []turn
	role := "assistant"
	for i, m := range list(request["messages"]) {
		if text(m["role"]) == role {
			return nil, fmt.Errorf("messages.%d: two turns of the %s in a row", i, role)
		}
		role = text(m["role"])
		blocks := list(m["content"])
		if s, ok := m["content"].(string); ok {
			blocks = []object{{"type": "text", "text": s}}
		}
		var err error
		if role == "assistant" {
			turns, err = messagesAssistant(turns, blocks)
		} else {
			err = messagesUser(turns, blocks)
		}
		if err != nil {
			return nil, fmt.Errorf("messages.%d: %w", i, err)
		}
	}
	if role != "user" {
		return nil, errors.New("the conversation must end with a user message")
	}
	return turns, messagesThinking(request, turns)
}

func messagesLimits(request object) error {
	limit, _ := request["max_tokens"].(json.Number)
	most, err := limit.Int64()
	if err != nil || most < 1 {
		return errors.New("max_tokens: required")
	}
	thinking, _ := request["thinking"].(object)
	budget, _ := thinking["budget_tokens"].(json.Number)
	if n, _ := budget.Int64(); thinking["type"] == "enabled" && (n < 1024 || n >= most) {
		return fmt.Errorf("thinking.budget_tokens: %d with max_tokens %d", n, most)
	}
	for i, tool := range list(request["tools"]) {
		if schema, _ := tool["input_schema"].(object); schema["type"] != "object" {
			return fmt.Errorf("tools.%d.input_schema.type: must be object", i)
		}
	}
	return nil
}

func messagesAssistant(turns []turn, blocks []object) ([]turn, error) {
	t := turn{}
	for k, b := range blocks {
		switch kind := text(b["type"]); {
		case kind == "thinking" && k == 0:
			t.thinking = append(t.thinking, thought{text(b["thinking"]), text(b["signature"])})
		case kind == "text" && len(t.calls) == 0:
			if strings.TrimSpace(text(b["text"])) == "" {
				return nil, errors.New("text content blocks must be non-empty")
			}
			t.text += text(b["text"])
		case kind == "tool_use":
			if !plainID(text(b["id"])) {
				return nil, fmt.Errorf("tool_use.id: %q has characters that may not be in it", b["id"])
			}
			if _, ok := b["input"].(object); !ok {
				return nil, errors.New("tool_use.input: should be an object")
			}
			t.calls = append(t.calls, call{text(b["id"]), text(b["name"]), string(encode(b["input"]))})
		default:
			return nil, fmt.Errorf("content.%d: a block of the type %s may not stand here", k, kind)
		}
	}
	return append(turns, t), nil
}

// messagesUser reads the results of the turn before; they stand first.
func messagesUser(turns []turn, blocks []object) error {
	due := 0
	if len(turns) > 0 {
		due = len(turns[len(turns)-1].calls)
	}
	for k, b := range blocks {
		if kind := text(b["type"]); (kind == "tool_result") != (k < due) {
			return fmt.Errorf("content.%d: %d tool results belong first, found %s", k, due, kind)
		}
		if k >= due {
			continue
		}
		said, err := textOf(b["content"])
		if err != nil {
			return err
		}
		last := &turns[len(turns)-1]
		last.results = append(last.results, result{text(b["tool_use_id"]), said, b["is_error"] == true})
	}
	if len(blocks) < max(due, 1) {
		return errors.New("each tool_use must have a tool_result in the next message")
	}
	return nil
}

// messagesThinking wants the thinking of every turn back where a budget is set:
// the turns since the user's own words are one answer.
func messagesThinking(request object, turns []turn) error {
	if thinking, _ := request["thinking"].(object); thinking["type"] != "enabled" || len(turns) == 0 {
		return nil
	}
	if len(turns[0].thinking) == 0 {
		return errors.New("expected `thinking` or `redacted_thinking`, but found `tool_use`")
	}
	return nil
}

func messagesBlocks(n int, r Round, request object) (blocks []object) {
	thinking, _ := request["thinking"].(object)
	if r.Thinking != "" && (thinking["type"] == "enabled" || thinking["type"] == "adaptive") {
		blocks = append(blocks, object{"type": "thinking", "thinking": r.Thinking, "signature": signature(n)})
	}
	if r.Text != "" {
		blocks = append(blocks, object{"type": "text", "text": r.Text})
	}
	for i, c := range r.Calls {
		blocks = append(blocks, object{"type": "tool_use", "id": messagesID(n, i), "name": c.Name, "input": json.RawMessage(c.Arguments)})
	}
	return blocks
}

func messagesStop(r Round) string {
	if len(r.Calls) > 0 {
		return "tool_use"
	}
	return "end_turn"
}

func messagesAnswer(n int, r Round, request object) []byte {
	return encode(object{"id": fmt.Sprintf("msg_%d", n), "type": "message", "role": "assistant", "model": request["model"],
		"content": messagesBlocks(n, r, request), "stop_reason": messagesStop(r), "stop_sequence": nil,
		"usage": object{"input_tokens": 100, "cache_read_input_tokens": n, "cache_creation_input_tokens": 0, "output_tokens": 20}})
}

func messagesStream(n int, r Round, request object) []byte {
	var b strings.Builder
	event := func(name string, o object) {
		o["type"] = name
		fmt.Fprintf(&b, "event: %s\ndata: %s\n\n", name, encode(o))
	}
	event("message_start", object{"message": object{"id": fmt.Sprintf("msg_%d", n), "type": "message", "role": "assistant", "model": request["model"],
		"content": []object{}, "stop_reason": nil, "stop_sequence": nil,
		"usage": object{"input_tokens": 100, "cache_read_input_tokens": n, "cache_creation_input_tokens": 0, "output_tokens": 1}}})
	event("ping", object{})
	calls := r.Calls
	for i, block := range messagesBlocks(n, r, request) {
		delta := func(kind, field, piece string) {
			event("content_block_delta", object{"index": i, "delta": object{"type": kind, field: piece}})
		}
		switch block["type"] {
		case "thinking":
			event("content_block_start", object{"index": i, "content_block": object{"type": "thinking", "thinking": "", "signature": ""}})
			for _, s := range pieces(r.Thinking, 7) {
				delta("thinking_delta", "thinking", s)
			}
			delta("signature_delta", "signature", signature(n))
		case "text":
			event("content_block_start", object{"index": i, "content_block": object{"type": "text", "text": ""}})
			for _, s := range pieces(r.Text, 5) {
				delta("text_delta", "text", s)
			}
		default:
			block["input"] = object{}
			event("content_block_start", object{"index": i, "content_block": block})
			delta("input_json_delta", "partial_json", "")
			if calls[0].Arguments != "{}" {
				for _, s := range pieces(calls[0].Arguments, 6) {
					delta("input_json_delta", "partial_json", s)
				}
			}
			calls = calls[1:]
		}
		event("content_block_stop", object{"index": i})
	}
	event("message_delta", object{"delta": object{"stop_reason": messagesStop(r), "stop_sequence": nil}, "usage": object{"output_tokens": 20}})
	event("message_stop", object{})
	return []byte(b.String())
}
