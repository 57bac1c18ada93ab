package mock

import "fmt"

// chatPlain is a Chat Completions answer.
func chatPlain(r *reply, p *prompt) []byte {
	dst := appendf(nil, `{"id":"chatcmpl-mock%06d","object":"chat.completion","created":%d,"model":%s,"choices":[{"index":0,"message":{"role":"assistant",`,
		r.seq, r.created.Unix(), quoted(p.model))
	if r.thought != "" {
		dst = appendf(dst, `"reasoning_content":%s,`, quoted(r.thought))
	}
	if r.call != nil {
		dst = appendf(dst, `"content":null,"refusal":null,"annotations":[],"tool_calls":[{"id":%q,"type":"function","function":{"name":%s,"arguments":%s}}]`,
			r.callID("call"), quoted(r.call.name), quoted(r.call.arguments))
	} else {
		dst = appendf(dst, `"content":%s,"refusal":null,"annotations":[]`, quoted(r.text))
	}
	return appendf(dst, `},"logprobs":null,"finish_reason":%q}],"usage":%s,"service_tier":"default","system_fingerprint":"fp_mock"}`,
		chatFinish(r, p), chatUsage(r, p))
}

// chatStream is a Chat Completions stream: the role, reasoning, text or a
// call, the finish reason, usage where asked for, and [DONE].
func chatStream(fr *frames, r *reply, p *prompt) {
	head := string(appendf(nil, `{"id":"chatcmpl-mock%06d","object":"chat.completion.chunk","created":%d,"model":%s,"service_tier":"default","system_fingerprint":"fp_mock",`,
		r.seq, r.created.Unix(), quoted(p.model)))
	usage := ""
	if p.includeUsage {
		usage = `,"usage":null`
	}
	delta := head + `"choices":[{"index":0,"delta":`
	tail := `,"logprobs":null,"finish_reason":null}]` + usage + `}`

	if r.call != nil {
		fr.add("", `%s{"role":"assistant","content":null,"tool_calls":[{"index":0,"id":%q,"type":"function","function":{"name":%s,"arguments":""}}],"refusal":null}%s`,
			delta, r.callID("call"), quoted(r.call.name), tail)
		fr.addTexts("", delta+`{"tool_calls":[{"index":0,"function":{"arguments":`, `}}]}`+tail, divide(r.call.arguments, 4))
	} else {
		fr.add("", `%s{"role":"assistant","content":"","refusal":null}%s`, delta, tail)
		if r.thought != "" {
			fr.addTexts("", delta+`{"reasoning_content":`, `}`+tail, divide(r.thought, 4))
		}
		fr.addTexts("", delta+`{"content":`, `}`+tail, r.pieces)
	}
	fr.add("", `%s{},"logprobs":null,"finish_reason":%q}]%s}`, delta, chatFinish(r, p), usage)
	if p.includeUsage {
		fr.add("", `%s"choices":[],"usage":%s}`, head, chatUsage(r, p))
	}
	fr.add("", "[DONE]")
}

// chatFinish is the finish reason; a function forced by name finishes with
// stop, as OpenAI's does.
func chatFinish(r *reply, p *prompt) string {
	switch {
	case r.call != nil && r.call.name == p.choice:
		return "stop"
	case r.call != nil:
		return "tool_calls"
	case r.cut:
		return "length"
	}
	return "stop"
}

func chatUsage(r *reply, p *prompt) []byte {
	return appendf(nil, `{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d,"prompt_tokens_details":{"cached_tokens":%d,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":%d,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}`,
		p.tokens, r.completion, p.tokens+r.completion, p.cached, r.reasoning)
}

// callID is the id of the reply's call, with the protocol's own prefix.
func (r *reply) callID(prefix string) string { return fmt.Sprintf("%s_mock%06d", prefix, r.seq) }
