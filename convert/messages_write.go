package convert

import (
	"model-proxy/internal/llm"
)

// messagesWriter writes chunks as the events of Messages.
type messagesWriter struct {
	c      *conversion
	index  int
	kind   llm.BlockKind
	hidden bool // the open block has no place in Messages
	pieces int  // of the open block
	custom bool // the open block is a call that takes free text
	text   []byte
	next   template // of the open block's next piece
}

func newMessagesWriter(c *conversion) chunkWriter { return &messagesWriter{c: c} }

// event writes one event whose data body fills.
func (w *messagesWriter) event(dst []byte, n *int, name string, body func(o *build)) []byte {
	*n++
	dst = append(dst, "event: "...)
	dst = append(dst, name...)
	dst = append(dst, "\ndata: "...)
	o := build{b: dst}
	o.b = append(o.b, '{')
	o.key("type").str(name)
	body(&o)
	o.close('}')
	return append(o.b, "\n\n"...)
}

func (w *messagesWriter) write(dst []byte, c llm.Chunk, n *int) []byte {
	switch c.Kind {
	case llm.ChunkStart:
		dst = w.event(dst, n, "message_start", func(o *build) { w.start(o, c) })
		return w.event(dst, n, "ping", func(*build) {})
	case llm.ChunkOpen:
		return w.open(dst, c.Block, n)
	case llm.ChunkText:
		if w.hidden {
			return dst
		}
		w.pieces++
		if w.custom { // only whole it can be put into an object
			w.text = append(w.text, c.Text...)
			return dst
		}
		return w.piece(dst, n, c.Text)
	case llm.ChunkClose:
		return w.close(dst, c.Block, n)
	}
	dst = w.event(dst, n, "message_delta", func(o *build) {
		o.key("delta").open('{')
		appendStop(o, c.Stop)
		o.close('}')
		o.key("usage")
		appendMessagesUsage(o, w.c.x.Whole(w.c.x.Usage()))
	})
	return w.event(dst, n, "message_stop", func(*build) {})
}

// start writes the message that is to be filled. Its usage is a guess, because
// Chat Completions tells at the end only and some clients show what is there.
func (w *messagesWriter) start(o *build, c llm.Chunk) {
	o.key("message").open('{')
	messagesHead(o, w.c, c.ID)
	o.key("content").lit("[]")
	o.key("stop_reason").lit("null")
	o.key("stop_sequence").lit("null")
	o.key("stop_details").lit("null")
	o.key("container").lit("null")
	o.key("usage")
	appendMessagesUsage(o, llm.Usage{Prompt: w.c.prompt})
	o.close('}')
}

func messagesHead(o *build, c *conversion, id string) {
	o.key("id").str("msg_" + messagesID(id))
	o.key("type").str("message")
	o.key("role").str("assistant")
	o.key("model").str(c.x.in.Model)
}

func appendStop(o *build, s llm.Stop) {
	o.key("stop_reason").str(string(s.Reason))
	o.key("stop_sequence").strOrNull(s.Sequence)
	o.key("stop_details")
	if s.Reason != llm.StopRefusal {
		o.lit("null")
		return
	}
	o.open('{')
	o.key("type").str("refusal")
	o.key("category").lit("null")
	o.key("explanation").strOrNull(s.Explanation)
	o.close('}')
}

// appendMessagesUsage writes a usage whose input leaves cached tokens out.
func appendMessagesUsage(o *build, u llm.Usage) {
	o.open('{')
	o.key("input_tokens").int(max(0, u.Prompt-u.CachedRead-u.CachedWrite))
	o.key("cache_creation_input_tokens").int(u.CachedWrite)
	o.key("cache_read_input_tokens").int(u.CachedRead)
	o.key("output_tokens").int(u.Completion)
	if u.Reasoning > 0 {
		o.key("output_tokens_details").open('{')
		o.key("thinking_tokens").int(u.Reasoning)
		o.close('}')
	}
	o.close('}')
}

func (w *messagesWriter) open(dst []byte, b llm.Block, n *int) []byte {
	w.kind, w.pieces = b.Kind, 0
	w.next.clear()
	w.hidden, w.custom, w.text = b.Kind == llm.BlockOpaque, b.Custom, w.text[:0]
	if w.hidden {
		return dst
	}
	return w.event(dst, n, "content_block_start", func(o *build) {
		o.key("index").int(int64(w.index))
		o.key("content_block").open('{')
		appendMessagesBlock(o, b, "{}")
		o.close('}')
	})
}

// appendMessagesBlock writes the members of an answer's block.
func appendMessagesBlock(o *build, b llm.Block, input string) {
	switch b.Kind {
	case llm.BlockThinking:
		o.key("type").str("thinking")
		o.key("thinking").str(b.Text)
		o.key("signature").str(b.Signature)
	case llm.BlockRedacted:
		o.key("type").str("redacted_thinking")
		o.key("data").str(b.Signature)
	case llm.BlockCall:
		o.key("type").str("tool_use")
		o.key("id").str(messagesID(b.ID))
		o.key("name").str(b.Name)
		o.key("input").lit(input)
	default:
		o.key("type").str("text")
		o.key("text").str(b.Text)
	}
}

// deltaOf is the delta's type and field for each kind of block.
var deltaOf = map[llm.BlockKind][2]string{
	llm.BlockText:     {"text_delta", "text"},
	llm.BlockRefusal:  {"text_delta", "text"},
	llm.BlockThinking: {"thinking_delta", "thinking"},
	llm.BlockCall:     {"input_json_delta", "partial_json"},
}

// piece writes a piece of the open block.
func (w *messagesWriter) piece(dst []byte, n *int, text string) []byte {
	if w.next.empty() {
		var none int
		event := w.delta(nil, &none, deltaOf[w.kind], "")
		w.next.made(event, 0, len(event)-len("\"\"}}\n\n"))
	}
	*n++
	return w.next.append(dst, 0, text)
}

func (w *messagesWriter) splice(dst, quoted []byte) ([]byte, bool) {
	if w.hidden || w.custom || w.next.empty() {
		return dst, false
	}
	return w.next.splice(dst, 0, quoted), true
}

func (w *messagesWriter) delta(dst []byte, n *int, kind [2]string, text string) []byte {
	return w.event(dst, n, "content_block_delta", func(o *build) {
		o.key("index").int(int64(w.index))
		o.key("delta").open('{')
		o.key("type").str(kind[0])
		o.key(kind[1]).str(text)
		o.close('}')
	})
}

func (w *messagesWriter) close(dst []byte, b llm.Block, n *int) []byte {
	if w.hidden {
		return dst
	}
	w.c.uncited(b.Annotations)
	switch {
	case w.kind == llm.BlockThinking:
		dst = w.delta(dst, n, [2]string{"signature_delta", "signature"}, b.Signature)
	case w.custom:
		dst = w.delta(dst, n, deltaOf[llm.BlockCall], string(customArgs(string(w.text))))
	case w.kind == llm.BlockCall && w.pieces == 0:
		dst = w.delta(dst, n, deltaOf[llm.BlockCall], "")
	}
	dst = w.event(dst, n, "content_block_stop", func(o *build) { o.key("index").int(int64(w.index)) })
	w.index++
	return dst
}

// buildMessagesAnswer writes a whole answer.
func buildMessagesAnswer(c *conversion, dst []byte, a *llm.Answer) []byte {
	o := &build{b: dst}
	o.b = append(o.b, '{')
	messagesHead(o, c, a.ID)
	o.key("content").open('[')
	for _, b := range a.Blocks {
		if b.Kind == llm.BlockOpaque {
			if c.same {
				o.raw(b.Raw)
			}
			continue
		}
		input, fair := argsObject(nil, b.Args)
		if b.Custom {
			input, fair = customArgs(b.Args), true
		}
		if !fair {
			c.notes.mapped("content.input")
		}
		c.uncited(b.Annotations)
		o.open('{')
		appendMessagesBlock(o, b, string(input))
		o.close('}')
	}
	o.close(']')
	appendStop(o, a.Stop)
	o.key("container").lit("null")
	o.key("usage")
	appendMessagesUsage(o, c.toldUsage())
	o.close('}')
	return o.b
}

// uncited notes citations that Messages has no room for: its own need data that
// only its vendor can make.
func (c *conversion) uncited(notes []llm.Annotation) {
	if len(notes) > 0 && !c.same {
		c.notes.lost("content.annotations")
	}
}

// toldUsage is the usage the upstream told: zeros where it told none, because
// Messages demands numbers.
func (c *conversion) toldUsage() llm.Usage {
	if u := c.x.Whole(c.x.Usage()); u.Source == llm.UsageProvider {
		return u
	}
	return llm.Usage{}
}
