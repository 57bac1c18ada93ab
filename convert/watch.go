package convert

import (
	"math/bits"

	"model-proxy/internal/llm"
	"model-proxy/internal/rawjson"
)

var chatEventFields = rawjson.Fields{Want: []string{"id", "model", "choices", "usage", "error"}}

// readChatEvent reads one chunk of Chat Completions.
func readChatEvent(s *Stream, e llm.Event, data []byte) reading {
	var room [6]rawjson.Member
	found, err := rawjson.Check(room[:0], data, &chatEventFields)
	if err != nil {
		if rawjson.Valid(data) && jsonError(rawjson.Get(rawjson.First(data), "error")) {
			return reading{err: s.x.streamError(data)}
		}
		return malformed(err)
	}
	failure := found.Value(data, "error")
	if jsonError(failure) || string(e.Type) == "error" {
		return reading{err: s.x.streamError(data)}
	}
	see := &s.x.seen
	see.note(found.Value(data, "id"), found.Value(data, "model"))
	usage, choices := found.Value(data, "usage"), found.Value(data, "choices")
	see.usage.readChat(usage)
	if len(usage) > 0 && usage[0] == '{' { // once in a stream: it need not be looked for in every chunk
		see.usage.setTier(rawjson.Get(data, "service_tier"))
	}
	var r reading
	any := false
	for choice := range rawjson.Array(choices) {
		any = true
		s.readChoice(choice, &r)
	}
	if s.conv != nil {
		return r
	}
	hide := s.x.hideUsage && usage != nil
	if hide && !any && !rawjson.IsNull(usage) {
		r.edit = dropped
		return r
	}
	if failure != nil || hide && rawjson.IsNull(usage) {
		s.clean(data, found)
		r.edit = cleaned
	}
	return r
}

// clean copies data into s.buf without its error member, empty as it is, and
// without a usage of null that the client did not ask for.
func (s *Stream) clean(data []byte, found rawjson.Members) {
	_, failure := found.Find("error")
	if m, ok := found.Find("usage"); ok && !failure {
		s.buf = rawjson.AppendDeleted(s.buf[:0], data, m)
		return
	}
	s.buf = rawjson.AppendWithout(s.buf[:0], data, func(name, raw []byte) bool {
		return rawjson.EqualString(name, "error") ||
			s.x.hideUsage && rawjson.IsNull(raw) && rawjson.EqualString(name, "usage")
	})
}

// readChoice reads one choice of a chunk: its delta and its finish_reason.
func (s *Stream) readChoice(choice []byte, r *reading) {
	var index int64
	ended := false
	for name, v := range rawjson.Quoted(choice) {
		switch string(name) {
		case `"index"`:
			index, _ = rawjson.Int(v)
		case `"finish_reason"`:
			if len(v) > 2 && v[0] == '"' {
				s.x.seen.setFinish(v)
				ended = true
			}
		case `"delta"`:
			s.readDelta(v, r)
		}
	}
	if ended {
		s.ended |= 1 << min(uint64(index), 63)
		r.finished = s.x.choices <= 1 || int64(bits.OnesCount64(s.ended)) >= s.x.choices
	}
}

func (s *Stream) readDelta(delta []byte, r *reading) {
	for name, v := range rawjson.Quoted(delta) {
		switch string(name) {
		case `"content"`, `"reasoning_content"`, `"reasoning"`, `"refusal"`:
			if s.told(v) {
				r.content = true
			}
			if len(v) > 2 && v[0] == '[' { // Mistral's parts
				s.x.seen.content += int64(len(v))
				r.content = true
			}
		case `"tool_calls"`:
			for call := range rawjson.Array(v) {
				r.content = true
				for _, f := range rawjson.Quoted(call) {
					s.readCall(f)
				}
			}
		case `"function_call"`:
			r.content = r.content || object(v) != nil
			s.readCall(v)
		}
	}
}

// readCall counts what a piece of a tool call tells: its name and arguments.
func (s *Stream) readCall(f []byte) {
	for name, v := range rawjson.Quoted(f) {
		switch string(name) {
		case `"name"`, `"arguments"`, `"input"`:
			if !isString(v) { // some hosts give arguments as the object itself
				s.x.seen.content += int64(len(v))
				continue
			}
			s.told(v)
		}
	}
}

var messagesEventFields = rawjson.Fields{Want: []string{"type", "message", "usage", "delta", "content_block"}}

// readMessagesEvent reads one event of Messages.
func readMessagesEvent(s *Stream, e llm.Event, data []byte) reading {
	var room [6]rawjson.Member
	found, err := rawjson.Check(room[:0], data, &messagesEventFields)
	if err != nil {
		return malformed(err)
	}
	var r reading
	see := &s.x.seen
	switch kind := found.Value(data, "type"); string(kind) {
	case `"error"`:
		r.err = s.x.streamError(data)
	case `"message_start"`:
		m := found.Value(data, "message")
		see.note(rawjson.Get(m, "id"), rawjson.Get(m, "model"))
		see.usage.readMessages(rawjson.Get(m, "usage"))
		r.content = rawjson.First(rawjson.Get(m, "content")) != nil
	case `"content_block_start"`:
		switch string(rawjson.Get(found.Value(data, "content_block"), "type")) {
		case `"text"`, `"thinking"`:
		default:
			r.content = true
		}
	case `"content_block_delta"`:
		for name, v := range rawjson.Quoted(found.Value(data, "delta")) {
			if string(name) != `"type"` && s.told(v) {
				r.content = true
			}
		}
	case `"message_delta"`:
		see.usage.readMessages(found.Value(data, "usage"))
		see.usage.complete = true
		see.setFinish(rawjson.Get(found.Value(data, "delta"), "stop_reason"))
		r.finished = true
	case `"message_stop"`:
		r.done = true
	default:
		if string(e.Type) == "error" {
			r.err = s.x.streamError(data)
		}
	}
	return r
}

var responsesEventFields = rawjson.Fields{Want: []string{"type", "response", "delta"}}

// readResponsesEvent reads one event of Responses.
func readResponsesEvent(s *Stream, e llm.Event, data []byte) reading {
	var room [6]rawjson.Member
	found, err := rawjson.Check(room[:0], data, &responsesEventFields)
	if err != nil {
		return malformed(err)
	}
	var r reading
	see := &s.x.seen
	switch kind := found.Value(data, "type"); string(kind) {
	case `"error"`, `"response.failed"`:
		see.usage.readResponses(rawjson.Get(found.Value(data, "response"), "usage"))
		r.err = s.x.streamError(data)
	case `"response.created"`:
		m := found.Value(data, "response")
		see.note(rawjson.Get(m, "id"), rawjson.Get(m, "model"))
	case `"response.completed"`, `"response.incomplete"`:
		m := found.Value(data, "response")
		see.note(rawjson.Get(m, "id"), rawjson.Get(m, "model"))
		see.usage.readResponses(rawjson.Get(m, "usage"))
		see.usage.setTier(rawjson.Get(m, "service_tier"))
		see.setFinish(rawjson.Get(m, "status"))
		r.finished, r.done = true, true
	default:
		if string(e.Type) == "error" {
			r.err = s.x.streamError(data)
		}
		r.content = s.told(found.Value(data, "delta"))
	}
	return r
}
