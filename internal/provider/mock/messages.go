package mock

// messagesPlain is a Messages answer.
func messagesPlain(r *reply, p *prompt) []byte {
	dst := appendf(nil, `{"id":"msg_mock%06d","type":"message","role":"assistant","model":%s,"content":[`, r.seq, quoted(p.model))
	if r.thought != "" {
		dst = appendf(dst, `{"type":"thinking","thinking":%s,"signature":%q},`, quoted(shownThought(r, p)), r.seal)
	}
	if r.call != nil {
		dst = appendf(dst, `{"type":"tool_use","id":%q,"name":%s,"input":%s}`, r.callID("toolu"), quoted(r.call.name), r.call.arguments)
	} else {
		dst = appendf(dst, `{"type":"text","text":%s}`, quoted(r.text))
	}
	return appendf(dst, `],"stop_reason":%q,"stop_sequence":null,"usage":%s}`, stopReason(r), messagesUsage(p, r.completion))
}

// messagesStream is a Messages stream: message_start, a thinking block where
// asked for, a text or tool_use block, message_delta and message_stop.
func messagesStream(fr *frames, r *reply, p *prompt) {
	fr.add("message_start", `{"type":"message_start","message":{"id":"msg_mock%06d","type":"message","role":"assistant","model":%s,"content":[],"stop_reason":null,"stop_sequence":null,"usage":%s}}`,
		r.seq, quoted(p.model), messagesUsage(p, 1))
	index := 0
	if r.thought != "" {
		thinkingBlock(fr, r, p)
		index++
	}
	before := string(appendf(nil, `{"type":"content_block_delta","index":%d,"delta":`, index))
	if r.call != nil {
		fr.add("content_block_start", `{"type":"content_block_start","index":%d,"content_block":{"type":"tool_use","id":%q,"name":%s,"input":{}}}`,
			index, r.callID("toolu"), quoted(r.call.name))
		fr.add("content_block_delta", `%s{"type":"input_json_delta","partial_json":""}}`, before)
		fr.addTexts("content_block_delta", before+`{"type":"input_json_delta","partial_json":`, `}}`, divide(r.call.arguments, 4))
	} else {
		fr.add("content_block_start", `{"type":"content_block_start","index":%d,"content_block":{"type":"text","text":""}}`, index)
		if index == 0 {
			fr.add("ping", `{"type":"ping"}`)
		}
		fr.addTexts("content_block_delta", before+`{"type":"text_delta","text":`, `}}`, r.pieces)
	}
	fr.add("content_block_stop", `{"type":"content_block_stop","index":%d}`, index)
	fr.add("message_delta", `{"type":"message_delta","delta":{"stop_reason":%q,"stop_sequence":null},"usage":%s}`, stopReason(r), messagesUsage(p, r.completion))
	fr.add("message_stop", `{"type":"message_stop"}`)
}

// thinkingBlock is block 0.
func thinkingBlock(fr *frames, r *reply, p *prompt) {
	const before = `{"type":"content_block_delta","index":0,"delta":`
	fr.add("content_block_start", `{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}`)
	fr.addTexts("content_block_delta", before+`{"type":"thinking_delta","thinking":`, `}}`, divide(shownThought(r, p), 4))
	fr.add("content_block_delta", before+`{"type":"signature_delta","signature":%q}}`, r.seal)
	fr.add("content_block_stop", `{"type":"content_block_stop","index":0}`)
}

// shownThought is the reasoning as far as the client wants to see it.
func shownThought(r *reply, p *prompt) string {
	if p.hideReason {
		return ""
	}
	return r.thought
}

func stopReason(r *reply) string {
	switch {
	case r.call != nil:
		return "tool_use"
	case r.cut:
		return "max_tokens"
	}
	return "end_turn"
}

// messagesUsage counts input_tokens without those read from the cache, as Anthropic does.
func messagesUsage(p *prompt, completion int64) []byte {
	return appendf(nil, `{"input_tokens":%d,"cache_creation_input_tokens":0,"cache_read_input_tokens":%d,"cache_creation":{"ephemeral_5m_input_tokens":0,"ephemeral_1h_input_tokens":0},"output_tokens":%d,"service_tier":"standard"}`,
		p.tokens-p.cached, p.cached, completion)
}
