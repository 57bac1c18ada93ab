package convert

import (
	"model-proxy/internal/llm"
	"model-proxy/internal/rawjson"
)

// messagesReader reads a Messages answer into chunks.
type messagesReader struct {
	c         *conversion
	started   bool
	shown     bool // some block was opened
	open      bool
	kind      llm.BlockKind
	whole     bool   // the block came complete in its start
	signature string // of the open block
	notes     []llm.Annotation
	stop      llm.Stop
}

func newMessagesReader(c *conversion) chunkReader { return &messagesReader{c: c} }

func (r *messagesReader) read(dst []llm.Chunk, data []byte) ([]llm.Chunk, *llm.Error) {
	switch string(rawjson.Get(data, "type")) {
	case `"message_start"`:
		return r.start(dst, rawjson.Get(data, "message"))
	case `"content_block_start"`:
		return r.openBlock(dst, rawjson.Get(data, "content_block")), nil
	case `"content_block_delta"`:
		return r.delta(dst, rawjson.Get(data, "delta")), nil
	case `"content_block_stop"`:
		return r.closeBlock(dst), nil
	case `"message_delta"`:
		r.readStop(rawjson.Get(data, "delta"))
	}
	return dst, nil
}

// steady: pieces go through as they come, unless they are recorded.
func (r *messagesReader) steady() bool { return r.open && !r.whole && r.c.record == nil }

func (r *messagesReader) passed([]byte) {}

// start begins the message. A second start is an upstream's own retry: harmless
// as long as nothing of the first was shown.
func (r *messagesReader) start(dst []llm.Chunk, m []byte) ([]llm.Chunk, *llm.Error) {
	if p := r.c.pause; p != nil && p.continued {
		p.continued = false
	} else if r.started {
		if r.shown {
			return dst, cutError("the provider began its answer again", nil)
		}
		return dst, nil
	}
	dst = r.begin(dst, m)
	for b := range rawjson.Array(rawjson.Get(m, "content")) { // results that were deferred
		dst = r.openBlock(dst, b)
		dst = r.closeBlock(dst)
	}
	r.readStop(m)
	return dst, nil
}

// begin tells the start once; a stream may lack its own.
func (r *messagesReader) begin(dst []llm.Chunk, m []byte) []llm.Chunk {
	if r.started {
		return dst
	}
	r.started = true
	return append(dst, llm.Chunk{Kind: llm.ChunkStart, ID: str(rawjson.Get(m, "id")), Model: str(rawjson.Get(m, "model"))})
}

func (r *messagesReader) readStop(v []byte) {
	if s := str(rawjson.Get(v, "stop_reason")); s != "" {
		r.stop.Reason = llm.StopReason(s)
	}
	r.stop.Sequence = firstOf(str(rawjson.Get(v, "stop_sequence")), r.stop.Sequence)
	r.stop.Explanation = firstOf(str(rawjson.Get(v, "stop_details", "explanation")), r.stop.Explanation)
}

// openBlock begins a block. What only the vendor's own tools use is opaque.
func (r *messagesReader) openBlock(dst []llm.Chunk, v []byte) []llm.Chunk {
	dst = r.closeBlock(r.begin(dst, nil))
	b, text := r.block(v)
	r.open, r.shown, r.kind, r.whole = true, true, b.Kind, text != "" && b.Kind == llm.BlockCall
	if r.c.record != nil {
		r.c.record.block.open(v)
	}
	r.signature, r.notes = b.Signature, b.Annotations
	b.Annotations = nil
	if b.Kind == llm.BlockThinking {
		b.Signature = ""
	}
	dst = append(dst, llm.Chunk{Kind: llm.ChunkOpen, Block: b})
	if text != "" {
		dst = append(dst, llm.Chunk{Kind: llm.ChunkText, Text: text})
	}
	return dst
}

// block reads a block of an answer; text is what it holds already: text,
// thinking, or arguments.
func (r *messagesReader) block(v []byte) (b llm.Block, text string) {
	switch kind := str(rawjson.Get(v, "type")); kind {
	case "text":
		return llm.Block{Kind: llm.BlockText, Annotations: r.citations(rawjson.Get(v, "citations"))}, str(rawjson.Get(v, "text"))
	case "thinking":
		return llm.Block{Kind: llm.BlockThinking, Signature: str(rawjson.Get(v, "signature"))}, str(rawjson.Get(v, "thinking"))
	case "redacted_thinking":
		return llm.Block{Kind: llm.BlockRedacted, Signature: str(rawjson.Get(v, "data"))}, ""
	case "tool_use":
		b := llm.Block{Kind: llm.BlockCall, ID: str(rawjson.Get(v, "id")), Name: str(rawjson.Get(v, "name"))}
		input := rawjson.Get(v, "input")
		if object(input) == nil || emptyObject(input) {
			return b, ""
		}
		return b, string(input)
	default:
		return llm.Block{Kind: llm.BlockOpaque, Name: kind, Raw: v}, ""
	}
}

func emptyObject(v []byte) bool {
	for range rawjson.Quoted(v) {
		return false
	}
	return true
}

// citations reads those of web pages, which are all that OpenAI's protocols can
// tell.
func (r *messagesReader) citations(list []byte) []llm.Annotation {
	var notes []llm.Annotation
	for c := range rawjson.Array(list) {
		if n, ok := r.citation(c); ok {
			notes = append(notes, n)
		}
	}
	return notes
}

func (r *messagesReader) citation(c []byte) (llm.Annotation, bool) {
	if str(rawjson.Get(c, "type")) != "web_search_result_location" {
		r.c.notes.lost("content.citations")
		return llm.Annotation{}, false
	}
	return llm.Annotation{URL: str(rawjson.Get(c, "url")), Title: str(rawjson.Get(c, "title"))}, true
}

func (r *messagesReader) delta(dst []llm.Chunk, d []byte) []llm.Chunk {
	if !r.open {
		return dst
	}
	if r.c.record != nil {
		r.c.record.block.delta(d)
	}
	var text string
	switch str(rawjson.Get(d, "type")) {
	case "text_delta":
		text = str(rawjson.Get(d, "text"))
	case "thinking_delta":
		text = str(rawjson.Get(d, "thinking"))
	case "signature_delta":
		r.signature += str(rawjson.Get(d, "signature"))
	case "input_json_delta":
		if r.kind == llm.BlockCall && !r.whole {
			text = str(rawjson.Get(d, "partial_json"))
		}
	case "citations_delta":
		if n, ok := r.citation(rawjson.Get(d, "citation")); ok {
			r.notes = append(r.notes, n)
		}
	}
	if text == "" {
		return dst
	}
	return append(dst, llm.Chunk{Kind: llm.ChunkText, Text: text})
}

func (r *messagesReader) closeBlock(dst []llm.Chunk) []llm.Chunk {
	if !r.open {
		return dst
	}
	r.open = false
	if r.c.record != nil {
		r.c.record.close()
	}
	return append(dst, llm.Chunk{Kind: llm.ChunkClose, Block: llm.Block{Signature: r.signature, Annotations: r.notes}})
}

func (r *messagesReader) finish(dst []llm.Chunk) ([]llm.Chunk, *llm.Error) {
	dst = r.closeBlock(r.begin(dst, nil))
	if r.c.pause.take(r.stop, r.c.record) {
		r.stop = llm.Stop{}
		return dst, nil
	}
	if finishOf[r.stop.Reason] == "" && r.stop.Reason != "" {
		r.c.notes.mapped("stop_reason")
	}
	return append(dst, llm.Chunk{Kind: llm.ChunkStop, Stop: r.stop}), nil
}

// parseMessagesAnswer reads a whole answer, which looks like a message_start
// that is complete already.
func parseMessagesAnswer(c *conversion, body []byte) (*llm.Answer, *llm.Error) {
	if rawjson.Get(body, "content") == nil {
		return nil, cutError("the provider's answer holds no content", nil)
	}
	r := &messagesReader{c: c}
	chunks, err := r.start(nil, body)
	if err == nil {
		chunks, err = r.finish(chunks)
	}
	if err != nil {
		return nil, err
	}
	return assembled(chunks), nil
}
