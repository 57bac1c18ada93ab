package convert

import (
	"bytes"
	"unicode/utf8"

	"model-proxy/internal/llm"
)

// chatWriter writes chunks as those of Chat Completions.
type chatWriter struct {
	c      *conversion
	id     string
	kind   llm.BlockKind // of the open block
	last   llm.BlockKind // of the block before it
	any    bool          // some block came before
	text   bool          // text was told
	runes  int           // characters of text told
	start  int           // of them before the open block, for annotations
	custom bool          // the open call is one of a custom tool
	call   int           // index of the open call
	calls  int
	detail int // index in reasoning_details
	pieces int

	shown   thinkingFields
	thought bool     // text of thinking was told
	refused bool     // a refusal was told
	next    template // of a piece of text
	other   template // of the next piece of the open block, where that is no text
}

func newChatWriter(c *conversion) chunkWriter {
	return &chatWriter{c: c, detail: -1, shown: c.thinkingFields()}
}

func (w *chatWriter) write(dst []byte, c llm.Chunk, n *int) []byte {
	switch c.Kind {
	case llm.ChunkStart:
		w.id = chatID(c.ID)
		return w.chunk(dst, n, "", func(o *build) {
			o.key("role").str("assistant")
			o.key("content").str("")
		})
	case llm.ChunkOpen:
		return w.open(dst, c.Block, n)
	case llm.ChunkText:
		return w.piece(dst, c.Text, n)
	case llm.ChunkClose:
		return w.close(dst, c.Block, n)
	}
	return w.stop(dst, c.Stop, n)
}

// head writes what all chunks of a stream share.
func (w *chatWriter) head(o *build) {
	o.key("id").str(w.id)
	o.key("object").str("chat.completion.chunk")
	o.key("created").int(w.c.x.in.Created)
	o.key("model").str(w.c.x.in.Model)
}

// chunk writes one chunk whose delta body fills.
func (w *chatWriter) chunk(dst []byte, n *int, finish string, delta func(o *build)) []byte {
	*n++
	o := build{b: append(dst, "data: {"...)}
	w.head(&o)
	o.key("choices").open('[')
	o.open('{')
	o.key("index").int(0)
	o.key("delta").open('{')
	delta(&o)
	o.close('}')
	o.key("logprobs").lit("null")
	o.key("finish_reason").strOrNull(finish)
	o.close('}')
	o.close(']')
	if w.c.includeUsage {
		o.key("usage").lit("null")
	}
	o.close('}')
	return append(o.b, "\n\n"...)
}

func (w *chatWriter) open(dst []byte, b llm.Block, n *int) []byte {
	w.last, w.kind, w.pieces = w.kind, b.Kind, 0
	w.other.clear()
	apart := w.any && w.last != llm.BlockText
	w.any = true
	switch b.Kind {
	case llm.BlockText:
		if w.text && apart && !w.c.same {
			dst = w.content(dst, "\n\n", n)
		}
		w.start = w.runes
	case llm.BlockThinking:
		w.detail++
	case llm.BlockRedacted:
		w.detail++
		return w.details(dst, b, n)
	case llm.BlockCall:
		w.call, w.custom = w.calls, b.Custom
		w.calls++
		return w.chunk(dst, n, "", func(o *build) { w.openCall(o, b) })
	}
	return dst
}

func (w *chatWriter) openCall(o *build, b llm.Block) {
	if w.c.legacy {
		o.key("function_call").open('{')
		o.key("name").str(b.Name)
		o.key("arguments").str("")
		o.close('}')
		return
	}
	o.key("tool_calls").open('[')
	o.open('{')
	o.key("index").int(int64(w.call))
	o.key("id").str(b.ID)
	appendChatCall(o, b, "")
	o.close('}')
	o.close(']')
}

func (w *chatWriter) content(dst []byte, text string, n *int) []byte {
	w.text = true
	w.runes += utf8.RuneCountInString(text)
	if w.next.empty() {
		w.prepare(&w.next, func(o *build, at *[2]int) {
			o.key("content")
			at[0] = len(o.b)
			o.str("")
		})
	}
	*n++
	return w.next.append(dst, 0, text)
}

// prepare makes a template of a chunk whose delta body fills; at is where the
// text belongs.
func (w *chatWriter) prepare(t *template, delta func(o *build, at *[2]int)) {
	var none int
	var at [2]int
	event := w.chunk(nil, &none, "", func(o *build) { delta(o, &at) })
	t.made(event, 0, at[0])
	t.twiceAt = at[1]
}

func (w *chatWriter) splice(dst, quoted []byte) ([]byte, bool) {
	t := &w.next
	if w.kind != llm.BlockText {
		t = &w.other
	}
	if t.empty() {
		return dst, false
	}
	if w.kind == llm.BlockText {
		w.runes += utf8.RuneCount(quoted) - len(`""`) - escapes(quoted)
	}
	return t.splice(dst, 0, quoted), true
}

// escapes counts the backslashes in a string that begin an escape of two bytes.
func escapes(quoted []byte) (n int) {
	for {
		i := bytes.IndexByte(quoted, '\\')
		if i < 0 {
			return n
		}
		n, quoted = n+1, quoted[i+2:]
	}
}

func (w *chatWriter) details(dst []byte, b llm.Block, n *int) []byte {
	text := b.Text
	if w.pieces == 1 && w.thought && text != "" { // of another block than the last one
		text = "\n\n" + text
	}
	w.thought = w.thought || text != ""
	if !w.shown.details && (text == "" || !w.shown.content) {
		return dst
	}
	return w.chunk(dst, n, "", func(o *build) {
		if text != "" && w.shown.content {
			o.key("reasoning_content").str(text)
		}
		if w.shown.details {
			o.key("reasoning_details").open('[')
			appendDetail(o, b, w.detail)
			o.close(']')
		}
	})
}

func (w *chatWriter) piece(dst []byte, text string, n *int) []byte {
	w.pieces++
	switch w.kind {
	case llm.BlockText:
		return w.content(dst, text, n)
	case llm.BlockThinking:
		return w.thinking(dst, text, n)
	case llm.BlockRefusal:
		w.refused = true
		return w.chunk(dst, n, "", func(o *build) { o.key("refusal").str(text) })
	case llm.BlockCall:
		return w.arguments(dst, text, n)
	}
	return dst
}

// thinking writes a piece of thinking. The first of a block may differ in what
// is told of it where.
func (w *chatWriter) thinking(dst []byte, text string, n *int) []byte {
	if w.pieces == 1 || !w.shown.content {
		return w.details(dst, llm.Block{Kind: llm.BlockThinking, Text: text}, n)
	}
	if w.other.empty() {
		w.prepare(&w.other, func(o *build, at *[2]int) {
			o.key("reasoning_content")
			at[0] = len(o.b)
			o.str("")
			if w.shown.details {
				o.key("reasoning_details").open('[')
				start := len(o.b)
				appendDetail(o, llm.Block{Kind: llm.BlockThinking}, w.detail)
				at[1] = start + bytes.Index(o.b[start:], []byte(`""`))
				o.close(']')
			}
		})
	}
	*n++
	return w.other.append(dst, 0, text)
}

// arguments writes a piece of the open call's arguments.
func (w *chatWriter) arguments(dst []byte, text string, n *int) []byte {
	if w.other.empty() {
		w.prepare(&w.other, w.argumentsDelta)
	}
	*n++
	return w.other.append(dst, 0, text)
}

func (w *chatWriter) argumentsDelta(o *build, at *[2]int) {
	kind, field := "function", "arguments"
	if w.custom {
		kind, field = "custom", "input"
	}
	if w.c.legacy {
		o.key("function_call")
	} else {
		o.key("tool_calls").open('[')
		o.open('{')
		o.key("index").int(int64(w.call))
		o.key(kind)
	}
	o.open('{')
	o.key(field)
	at[0] = len(o.b)
	o.str("")
	o.close('}')
	if !w.c.legacy {
		o.close('}')
		o.close(']')
	}
}

func (w *chatWriter) close(dst []byte, b llm.Block, n *int) []byte {
	switch {
	case w.kind == llm.BlockCall && w.pieces == 0 && !w.custom:
		return w.arguments(dst, "{}", n)
	case w.kind == llm.BlockThinking && b.Signature != "":
		return w.details(dst, llm.Block{Kind: llm.BlockThinking, Signature: b.Signature}, n)
	case w.kind == llm.BlockText && len(b.Annotations) > 0:
		return w.chunk(dst, n, "", func(o *build) { appendAnnotations(o, placed(b.Annotations, w.start, w.runes)) })
	}
	return dst
}

func (w *chatWriter) stop(dst []byte, s llm.Stop, n *int) []byte {
	if s.Reason == llm.StopRefusal && s.Explanation != "" && !w.refused {
		dst = w.chunk(dst, n, "", func(o *build) { o.key("refusal").str(s.Explanation) })
	}
	if blocks := w.c.contentBlocks(); blocks != nil { // all at once: libraries cannot join pieces of what they do not know
		dst = w.chunk(dst, n, "", func(o *build) { o.key("content_blocks").raw(blocks) })
	}
	dst = w.chunk(dst, n, w.c.finishReason(s), func(*build) {})
	if w.c.includeUsage {
		*n++
		o := build{b: append(dst, "data: {"...)}
		w.head(&o)
		o.key("choices").lit("[]")
		o.key("usage")
		appendChatUsage(&o, w.c.x.Whole(w.c.x.Usage()))
		o.close('}')
		dst = append(o.b, "\n\n"...)
	}
	*n++
	return append(dst, "data: [DONE]\n\n"...)
}
