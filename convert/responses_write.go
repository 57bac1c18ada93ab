package convert

import (
	"unicode/utf8"

	"model-proxy/internal/llm"
	"model-proxy/internal/rawjson"
)

// responsesWriter writes chunks as the events of Responses. The last event
// repeats the whole answer, so the items stay here until then.
type responsesWriter struct {
	c       *conversion
	seq     int
	id      string
	out     responsesOutput
	hidden  bool     // the open block has no place in Responses
	text    []byte   // of the open block
	refused bool     // a refusal was told
	next    template // of the open block's next piece
}

func newResponsesWriter(c *conversion) chunkWriter { return &responsesWriter{c: c} }

func (w *responsesWriter) write(dst []byte, c llm.Chunk, n *int) []byte {
	switch c.Kind {
	case llm.ChunkStart:
		w.id = c.ID
		w.out = responsesOutput{c: w.c, base: w.c.itemBase(c.ID)}
		dst = w.response(dst, n, "response.created", "in_progress", llm.Stop{})
		return w.response(dst, n, "response.in_progress", "in_progress", llm.Stop{})
	case llm.ChunkOpen:
		return w.open(dst, c.Block, n)
	case llm.ChunkText:
		if w.hidden {
			return dst
		}
		return w.piece(dst, c.Text, n)
	case llm.ChunkClose:
		if w.hidden {
			return dst
		}
		return w.close(dst, c.Block, n)
	}
	return w.stop(dst, c.Stop, n)
}

// event writes one event whose data body fills.
func (w *responsesWriter) event(dst []byte, n *int, name string, body func(o *build)) []byte {
	*n++
	dst = append(dst, "event: "...)
	dst = append(dst, name...)
	dst = append(dst, "\ndata: "...)
	o := build{b: dst}
	o.b = append(o.b, '{')
	o.key("type").str(name)
	o.key("sequence_number").int(int64(w.seq))
	w.seq++
	body(&o)
	o.close('}')
	return append(o.b, "\n\n"...)
}

func (w *responsesWriter) response(dst []byte, n *int, name, status string, s llm.Stop) []byte {
	return w.event(dst, n, name, func(o *build) {
		o.key("response")
		w.c.appendResponse(o, w.id, status, w.out.done, s)
	})
}

// itemEvent writes an event about an item as a whole.
func (w *responsesWriter) itemEvent(dst []byte, n *int, name, status string) []byte {
	return w.event(dst, n, name, func(o *build) {
		o.key("output_index").int(int64(w.out.index))
		o.key("item")
		w.out.item(o, status)
	})
}

// within writes an event about the inside of the open item.
func (w *responsesWriter) within(dst []byte, n *int, name string, body func(o *build)) []byte {
	return w.event(dst, n, name, func(o *build) {
		o.key("item_id").str(w.out.id)
		o.key("output_index").int(int64(w.out.index))
		switch w.block().Kind {
		case llm.BlockThinking:
			o.key("summary_index").int(0)
		case llm.BlockText, llm.BlockRefusal:
			o.key("content_index").int(int64(len(w.out.open) - 1))
		}
		body(o)
	})
}

// block is the open block.
func (w *responsesWriter) block() *llm.Block { return &w.out.open[len(w.out.open)-1] }

func (w *responsesWriter) open(dst []byte, b llm.Block, n *int) []byte {
	if w.hidden = !w.c.shown(b); w.hidden {
		return dst
	}
	if len(w.out.open) > 0 && !(isPart(b.Kind) && isPart(w.out.open[0].Kind)) {
		dst = w.endItem(dst, n, "completed")
	}
	w.text = w.text[:0]
	w.next.clear()
	w.out.add(b)
	if len(w.out.open) == 1 {
		dst = w.itemEvent(dst, n, "response.output_item.added", "in_progress")
	}
	if isPart(b.Kind) {
		w.refused = w.refused || b.Kind == llm.BlockRefusal
		dst = w.part(dst, n, "response.content_part.added")
	}
	return dst
}

func (w *responsesWriter) part(dst []byte, n *int, name string) []byte {
	return w.within(dst, n, name, func(o *build) {
		o.key("part")
		appendPart(o, *w.block())
	})
}

func (w *responsesWriter) summaryPart(dst []byte, n *int, name, text string) []byte {
	return w.within(dst, n, name, func(o *build) {
		o.key("part").open('{')
		o.key("type").str("summary_text")
		o.key("text").str(text)
		o.close('}')
	})
}

// streamed are the events that tell a block's text, by the block's kind: their
// name up to .delta and .done, and the member of .done that repeats the text.
var streamed = map[llm.BlockKind][2]string{
	llm.BlockText:     {"response.output_text", "text"},
	llm.BlockRefusal:  {"response.refusal", "refusal"},
	llm.BlockThinking: {"response.reasoning_summary_text", "text"},
	llm.BlockCall:     {"response.function_call_arguments", "arguments"},
}

func streamedAs(b *llm.Block) [2]string {
	if b.Custom {
		return [2]string{"response.custom_tool_call_input", "input"}
	}
	return streamed[b.Kind]
}

func (w *responsesWriter) piece(dst []byte, text string, n *int) []byte {
	b := w.block()
	if b.Kind == llm.BlockThinking && len(w.text) == 0 {
		dst = w.summaryPart(dst, n, "response.reasoning_summary_part.added", "")
	}
	w.text = append(w.text, text...)
	if w.next.empty() {
		w.prepare(b)
	}
	*n++
	w.seq++
	return w.next.append(dst, w.seq-1, text)
}

func (w *responsesWriter) splice(dst, quoted []byte) ([]byte, bool) {
	if w.hidden || w.next.empty() {
		return dst, false
	}
	w.text = rawjson.AppendUnquoted(w.text, quoted)
	w.seq++
	return w.next.splice(dst, w.seq-1, quoted), true
}

// prepare makes the template of the events that tell a block's text.
func (w *responsesWriter) prepare(b *llm.Block) {
	var none, at int
	seq, name := w.seq, streamedAs(b)[0]+".delta"
	w.seq = 0
	event := w.within(nil, &none, name, func(o *build) {
		o.key("delta")
		at = len(o.b)
		o.str("")
		if b.Kind == llm.BlockText {
			o.key("logprobs").lit("[]")
		}
	})
	w.seq = seq
	w.next.made(event, len("event: "+name+"\ndata: {\"type\":\""+name+"\",\"sequence_number\":"), at)
}

// close ends the open block. A message stays open: more text may follow.
func (w *responsesWriter) close(dst []byte, end llm.Block, n *int) []byte {
	b := w.block()
	if b.Kind == llm.BlockCall && len(w.text) == 0 && !b.Custom {
		dst = w.piece(dst, "{}", n)
	}
	text := string(w.text)
	if b.Kind == llm.BlockCall {
		b.Args = text
	} else if b.Kind != llm.BlockRedacted {
		b.Text = text
	}
	if end.Signature != "" {
		b.Signature = end.Signature
	}
	b.Annotations = end.Annotations
	for i, a := range placed(b.Annotations, 0, utf8.RuneCountInString(text)) {
		dst = w.within(dst, n, "response.output_text.annotation.added", func(o *build) {
			o.key("annotation_index").int(int64(i))
			o.key("annotation")
			appendURLCitation(o, a)
		})
	}
	switch b.Kind {
	case llm.BlockText, llm.BlockRefusal:
		return w.part(w.told(dst, n), n, "response.content_part.done")
	case llm.BlockThinking:
		if text != "" {
			dst = w.summaryPart(w.told(dst, n), n, "response.reasoning_summary_part.done", text)
		}
	case llm.BlockCall:
		dst = w.told(dst, n)
	}
	return w.endItem(dst, n, "completed")
}

// told writes the event that repeats the block's whole text.
func (w *responsesWriter) told(dst []byte, n *int) []byte {
	b := w.block()
	as := streamedAs(b)
	return w.within(dst, n, as[0]+".done", func(o *build) {
		o.key(as[1]).str(string(w.text))
		switch {
		case b.Kind == llm.BlockText:
			o.key("logprobs").lit("[]")
		case b.Kind == llm.BlockCall && !b.Custom:
			o.key("name").str(w.c.ungrouped(b.Name).name)
		}
	})
}

func (w *responsesWriter) endItem(dst []byte, n *int, status string) []byte {
	if len(w.out.open) == 0 {
		return dst
	}
	dst = w.itemEvent(dst, n, "response.output_item.done", status)
	w.out.end(status)
	return dst
}

func (w *responsesWriter) stop(dst []byte, s llm.Stop, n *int) []byte {
	if s.Reason == llm.StopRefusal && s.Explanation != "" && !w.refused {
		dst = w.open(dst, llm.Block{Kind: llm.BlockRefusal}, n)
		dst = w.piece(dst, s.Explanation, n)
		dst = w.close(dst, llm.Block{}, n)
	}
	dst = w.endItem(dst, n, responseStatus(s))
	status := responseStatus(s)
	return w.response(dst, n, "response."+status, status, s)
}
