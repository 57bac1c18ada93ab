package transcript

import (
	"fmt"
	"strings"
)

// responses is Responses as OpenAI speaks it to clients that keep the state
// themselves: reasoning items carry encrypted_content if asked to, and come back
// right before what they led to.
var responses = protocol{
	path: "/responses", turns: responsesTurns, answer: responsesAnswer, stream: responsesStream,
	wire: wire{name: "openai-responses", id: responsesID, sign: encrypted},
	refuse: func(message string) any {
		return object{"error": object{"message": message, "type": "invalid_request_error", "param": nil, "code": nil}}
	},
}

const responsesFields = "model input instructions tools tool_choice parallel_tool_calls max_output_tokens reasoning include store " +
	"temperature stream text safety_identifier user metadata"

func responsesID(round, i int) string { return fmt.Sprintf("call_r%02d_%02d", round, i) }

func encrypted(round int) string { return fmt.Sprintf("gAAAAABo%048d-_%02d==", round, round) }

// responsesReader reads the items of a history.
type responsesReader struct {
	turns []turn
	fresh bool // the next item of the assistant begins a turn
	lone  bool // the last item was reasoning
	open  map[string]int
}

func responsesTurns(request object) ([]turn, error) {
	if err := unknown(request, responsesFields); err != nil {
		return nil, err
	}
	r := responsesReader{fresh: true, open: map[string]int{}}
	for i, item := range list(request["input"]) {
		if err := r.read(item); err != nil {
			return nil, fmt.Errorf("input[%d]: %w", i, err)
		}
	}
	if len(r.open) > 0 {
		return nil, fmt.Errorf("no tool output found for function calls %v", r.open)
	}
	if r.lone {
		return nil, fmt.Errorf("an item of the type 'reasoning' was provided without its required following item")
	}
	return r.turns, nil
}

// last is the turn that an item of the assistant belongs to.
func (r *responsesReader) last() *turn {
	if r.fresh {
		r.turns, r.fresh = append(r.turns, turn{}), false
	}
	return &r.turns[len(r.turns)-1]
}

func (r *responsesReader) read(item object) error {
	kind := text(item["type"])
	if kind == "" || kind == "message" {
		return r.message(item)
	}
	switch kind {
	case "reasoning":
		if len(r.open) > 0 || r.lone {
			return fmt.Errorf("reasoning may not stand here")
		}
		summary, err := textOf(item["summary"])
		if err != nil {
			return err
		}
		t := r.last()
		t.thinking = append(t.thinking, thought{summary, text(item["encrypted_content"])})
		r.lone = true
		return nil
	case "function_call":
		t := r.last()
		c := call{text(item["call_id"]), text(item["name"]), text(item["arguments"])}
		t.calls = append(t.calls, c)
		r.open[c.id]++
	case "function_call_output":
		r.fresh = true
		id := text(item["call_id"])
		if r.open[id]--; r.open[id] != 0 {
			return fmt.Errorf("no function call of the id %q", id)
		}
		delete(r.open, id)
		said, err := textOf(item["output"])
		if err != nil {
			return err
		}
		t := &r.turns[len(r.turns)-1]
		t.results = append(t.results, result{id: id, text: said})
	default:
		return fmt.Errorf("unknown item %q", kind)
	}
	if r.lone && kind == "function_call_output" {
		return fmt.Errorf("reasoning without its required following item")
	}
	r.lone = false
	return nil
}

func (r *responsesReader) message(item object) error {
	said, err := textOf(item["content"])
	if err != nil {
		return err
	}
	switch role := text(item["role"]); {
	case role == "assistant":
		r.last().text += said
		r.lone = false
		return nil
	case len(r.turns) > 0 || said == "":
		return fmt.Errorf("no message of the %s was expected here", role)
	}
	return nil
}

func responsesItems(n int, r Round, request object) (items []object) {
	if r.Thinking != "" {
		item := object{"type": "reasoning", "id": fmt.Sprintf("rs_%02d", n), "summary": []object{{"type": "summary_text", "text": r.Thinking}}}
		include, _ := request["include"].([]any)
		for _, what := range include {
			if what == "reasoning.encrypted_content" {
				item["encrypted_content"] = encrypted(n)
			}
		}
		items = append(items, item)
	}
	if r.Text != "" {
		items = append(items, object{"type": "message", "id": fmt.Sprintf("msg_%02d", n), "role": "assistant", "status": "completed",
			"content": []object{{"type": "output_text", "text": r.Text, "annotations": []any{}, "logprobs": []any{}}}})
	}
	for i, c := range r.Calls {
		items = append(items, object{"type": "function_call", "id": fmt.Sprintf("fc_%02d_%02d", n, i), "status": "completed",
			"call_id": responsesID(n, i), "name": c.Name, "arguments": c.Arguments})
	}
	return items
}

func response(n int, status string, items []object, request object) object {
	return object{"id": fmt.Sprintf("resp_%02d", n), "object": "response", "created_at": 1, "status": status, "model": request["model"],
		"output": items, "error": nil, "incomplete_details": nil, "instructions": nil, "metadata": object{}, "parallel_tool_calls": true,
		"tool_choice": "auto", "tools": []any{}, "temperature": 1, "top_p": 1,
		"usage": object{"input_tokens": 100 + n, "input_tokens_details": object{"cached_tokens": n}, "output_tokens": 20,
			"output_tokens_details": object{"reasoning_tokens": 0}, "total_tokens": 120 + n}}
}

func responsesAnswer(n int, r Round, request object) []byte {
	return encode(response(n, "completed", responsesItems(n, r, request), request))
}

// responsesEvents numbers events and writes them.
type responsesEvents struct {
	strings.Builder
	n int
}

func (b *responsesEvents) event(name string, o object) {
	o["type"], o["sequence_number"] = name, b.n
	b.n++
	fmt.Fprintf(b, "event: %s\ndata: %s\n\n", name, encode(o))
}

func responsesStream(n int, r Round, request object) []byte {
	b := &responsesEvents{}
	b.event("response.created", object{"response": response(n, "in_progress", []object{}, request)})
	b.event("response.in_progress", object{"response": response(n, "in_progress", []object{}, request)})
	items := responsesItems(n, r, request)
	for i, item := range items {
		at := func(o object) object {
			o["output_index"], o["item_id"] = i, item["id"]
			return o
		}
		begun := object{"type": item["type"], "id": item["id"], "status": "in_progress"}
		switch item["type"] {
		case "reasoning":
			begun["summary"] = []object{}
		case "message":
			begun["role"], begun["content"] = "assistant", []object{}
		default:
			begun["call_id"], begun["name"], begun["arguments"] = item["call_id"], item["name"], ""
		}
		b.event("response.output_item.added", object{"output_index": i, "item": begun})
		b.content(r, item, at)
		b.event("response.output_item.done", object{"output_index": i, "item": item})
	}
	b.event("response.completed", object{"response": response(n, "completed", items, request)})
	return []byte(b.String())
}

// content tells what an item holds in pieces.
func (b *responsesEvents) content(r Round, item object, at func(object) object) {
	switch item["type"] {
	case "reasoning":
		part := func(text string) object {
			return object{"summary_index": 0, "part": object{"type": "summary_text", "text": text}}
		}
		b.event("response.reasoning_summary_part.added", at(part("")))
		for _, s := range pieces(r.Thinking, 7) {
			b.event("response.reasoning_summary_text.delta", at(object{"summary_index": 0, "delta": s}))
		}
		b.event("response.reasoning_summary_text.done", at(object{"summary_index": 0, "text": r.Thinking}))
		b.event("response.reasoning_summary_part.done", at(part(r.Thinking)))
	case "message":
		part := func(text string) object {
			return object{"content_index": 0, "part": object{"type": "output_text", "text": text, "annotations": []any{}}}
		}
		b.event("response.content_part.added", at(part("")))
		for _, s := range pieces(r.Text, 5) {
			b.event("response.output_text.delta", at(object{"content_index": 0, "delta": s, "logprobs": []any{}}))
		}
		b.event("response.output_text.done", at(object{"content_index": 0, "text": r.Text, "logprobs": []any{}}))
		b.event("response.content_part.done", at(part(r.Text)))
	default:
		arguments := text(item["arguments"])
		for _, s := range pieces(arguments, 6) {
			b.event("response.function_call_arguments.delta", at(object{"delta": s}))
		}
		b.event("response.function_call_arguments.done", at(object{"arguments": arguments}))
	}
}
