package convert

import "model-proxy/internal/rawjson"

// chatChoice are the members of a choice that are read.
type chatChoice struct {
	index, finish  []byte
	delta, message []byte
	matched        [2][]byte // the stop sequence, as vLLM and SGLang tell it
}

func readChatChoice(v []byte) (c chatChoice) {
	for name, v := range rawjson.Quoted(v) {
		switch string(name) {
		case `"index"`:
			c.index = v
		case `"delta"`:
			c.delta = v
		case `"message"`:
			c.message = v
		case `"finish_reason"`:
			c.finish = v
		case `"stop_reason"`:
			c.matched[0] = v
		case `"matched_stop"`:
			c.matched[1] = v
		}
	}
	return c
}

// chatDelta are the members of a delta, or of a message, that are read.
type chatDelta struct {
	content, refusal, calls, call, details, annotations []byte
	reasoning                                           [2][]byte // reasoning_content, reasoning
}

func readChatDelta(v []byte) (d chatDelta) {
	for name, v := range rawjson.Quoted(v) {
		switch string(name) {
		case `"content"`:
			d.content = v
		case `"refusal"`:
			d.refusal = v
		case `"tool_calls"`:
			d.calls = v
		case `"function_call"`:
			d.call = v
		case `"reasoning_content"`:
			d.reasoning[0] = v
		case `"reasoning"`:
			d.reasoning[1] = v
		case `"reasoning_details"`:
			d.details = v
		case `"annotations"`:
			d.annotations = v
		}
	}
	return d
}
