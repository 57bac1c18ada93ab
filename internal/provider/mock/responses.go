package mock

// responsesPlain is a Responses answer.
func responsesPlain(r *reply, p *prompt) []byte {
	dst := append(responseHead(r, p, responseStatus(r)), `,"output":[`...)
	dst = appendOutput(dst, r)
	return appendf(dst, `],"usage":%s}`, responsesUsage(r, p))
}

// responseHead is a response up to its output.
func responseHead(r *reply, p *prompt, status string) []byte {
	details := "null"
	if status == "incomplete" {
		details = `{"reason":"max_output_tokens"}`
	}
	return appendf(nil, `{"id":"resp_mock%06d","object":"response","created_at":%d,"status":%q,"error":null,"incomplete_details":%s,"instructions":null,"metadata":{},"model":%s,"parallel_tool_calls":true,"temperature":1,"tool_choice":"auto","tools":[],"top_p":1`,
		r.seq, r.created.Unix(), status, details, quoted(p.model))
}

func responseStatus(r *reply) string {
	if r.cut {
		return "incomplete"
	}
	return "completed"
}

func responsesUsage(r *reply, p *prompt) []byte {
	return appendf(nil, `{"input_tokens":%d,"input_tokens_details":{"cached_tokens":%d},"output_tokens":%d,"output_tokens_details":{"reasoning_tokens":%d},"total_tokens":%d}`,
		p.tokens, p.cached, r.completion, r.reasoning, p.tokens+r.completion)
}

// appendOutput writes the items of the whole answer.
func appendOutput(dst []byte, r *reply) []byte {
	if r.thought != "" {
		dst = append(append(dst, reasoningItem(r)...), ',')
	}
	if r.call != nil {
		return append(dst, callItem(r, r.call.arguments, "completed")...)
	}
	return append(dst, messageItem(r, textPart(r.text), responseStatus(r))...)
}

func reasoningItem(r *reply) []byte {
	return appendf(nil, `{"id":"rs_mock%06d","type":"reasoning","summary":[{"type":"summary_text","text":%s}],"encrypted_content":%q}`, r.seq, quoted(r.thought), r.seal)
}

func callItem(r *reply, arguments, status string) []byte {
	return appendf(nil, `{"id":"fc_mock%06d","type":"function_call","status":%q,"call_id":%q,"name":%s,"arguments":%s}`,
		r.seq, status, r.callID("call"), quoted(r.call.name), quoted(arguments))
}

func messageItem(r *reply, content []byte, status string) []byte {
	return appendf(nil, `{"id":"msg_mock%06d","type":"message","status":%q,"role":"assistant","content":[%s]}`, r.seq, status, content)
}

func textPart(text string) []byte {
	return appendf(nil, `{"type":"output_text","annotations":[],"logprobs":[],"text":%s}`, quoted(text))
}

// sequence writes the events of a Responses stream, whose sequence_number counts them.
type sequence struct {
	*frames
	next int
}

// event writes one event; body are its fields behind type and sequence_number.
func (s *sequence) event(kind, body string, args ...any) {
	args = append([]any{kind, s.next}, args...)
	s.add(kind, `{"type":%q,"sequence_number":%d,`+body+`}`, args...)
	s.next++
}

// texts writes one event a piece.
func (s *sequence) texts(kind, before string, pieces []string) {
	for _, piece := range pieces {
		head := appendf(nil, `{"type":%q,"sequence_number":%d,%s"delta":`, kind, s.next, before)
		s.addTexts(kind, string(head), `}`, []string{piece})
		s.next++
	}
}

// responsesStream is a Responses stream: the response created, each item added,
// filled and done, and the response completed or incomplete.
func responsesStream(fr *frames, r *reply, p *prompt) {
	s := &sequence{frames: fr}
	for _, kind := range [...]string{"response.created", "response.in_progress"} {
		s.event(kind, `"response":%s,"output":[],"usage":null}`, responseHead(r, p, "in_progress"))
	}
	index := 0
	if r.thought != "" {
		s.reasoning(r)
		index++
	}
	if r.call != nil {
		s.call(r, index)
	} else {
		s.message(r, index)
	}
	status := responseStatus(r)
	s.event("response."+status, `"response":%s`, responsesPlain(r, p))
}

func (s *sequence) reasoning(r *reply) {
	id := appendf(nil, `"item_id":"rs_mock%06d","output_index":0,"summary_index":0,`, r.seq)
	s.event("response.output_item.added", `"output_index":0,"item":{"id":"rs_mock%06d","type":"reasoning","summary":[]}`, r.seq)
	s.event("response.reasoning_summary_part.added", `%s"part":{"type":"summary_text","text":""}`, id)
	s.texts("response.reasoning_summary_text.delta", string(id), divide(r.thought, 4))
	s.event("response.reasoning_summary_text.done", `%s"text":%s`, id, quoted(r.thought))
	s.event("response.reasoning_summary_part.done", `%s"part":{"type":"summary_text","text":%s}`, id, quoted(r.thought))
	s.event("response.output_item.done", `"output_index":0,"item":%s`, reasoningItem(r))
}

func (s *sequence) call(r *reply, index int) {
	id := appendf(nil, `"item_id":"fc_mock%06d","output_index":%d,`, r.seq, index)
	s.event("response.output_item.added", `"output_index":%d,"item":%s`, index, callItem(r, "", "in_progress"))
	s.texts("response.function_call_arguments.delta", string(id), divide(r.call.arguments, 4))
	s.event("response.function_call_arguments.done", `%s"arguments":%s`, id, quoted(r.call.arguments))
	s.event("response.output_item.done", `"output_index":%d,"item":%s`, index, callItem(r, r.call.arguments, "completed"))
}

func (s *sequence) message(r *reply, index int) {
	id := appendf(nil, `"item_id":"msg_mock%06d","output_index":%d,"content_index":0,`, r.seq, index)
	s.event("response.output_item.added", `"output_index":%d,"item":%s`, index, messageItem(r, nil, "in_progress"))
	s.event("response.content_part.added", `%s"part":%s`, id, textPart(""))
	s.texts("response.output_text.delta", string(id)+`"logprobs":[],`, r.pieces)
	s.event("response.output_text.done", `%s"logprobs":[],"text":%s`, id, quoted(r.text))
	s.event("response.content_part.done", `%s"part":%s`, id, textPart(r.text))
	s.event("response.output_item.done", `"output_index":%d,"item":%s`, index, messageItem(r, textPart(r.text), responseStatus(r)))
}
