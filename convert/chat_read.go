package convert

import (
	"bytes"
	"strings"

	"model-proxy/internal/llm"
	"model-proxy/internal/rawjson"
)

// chatReader reads a Chat Completions answer into chunks. Hosts mix text,
// reasoning and the pieces of several calls in any order; out comes one block
// after another:
//
//   - the open call streams its arguments at once;
//   - pieces of another call, and text, wait until the open call's arguments are
//     whole, or until the end;
//   - any other change of kind closes the open block first.
type chatReader struct {
	c       *conversion
	whole   bool // it is one answer, no stream
	started bool
	id      string

	kind    llm.BlockKind // of the open block
	open    bool
	call    *callState // the open block where it is a call
	calls   []*callState
	byKey   map[string]*callState
	waiting []held // what came while the open call was incomplete

	form    string           // the field reasoning came in
	details [][]byte         // reasoning_details since the thinking block was opened
	notes   []llm.Annotation // of the text told last
	refusal []byte
	reason  string // finish_reason
	matched string // the stop sequence, where a host tells it
}

// held is text that has to wait for a call to end.
type held struct {
	kind llm.BlockKind
	text string
}

func newChatReader(c *conversion) chunkReader {
	return &chatReader{c: c, byKey: map[string]*callState{}}
}

func (r *chatReader) read(dst []llm.Chunk, data []byte) ([]llm.Chunk, *llm.Error) {
	for v := range rawjson.Array(rawjson.Get(data, "choices")) {
		c := readChatChoice(v)
		if n, _ := rawjson.Int(c.index); n != 0 {
			continue // only the first answer was asked for
		}
		dst = r.start(dst, data)
		var err *llm.Error
		if dst, err = r.delta(dst, r.piece(c)); err != nil {
			return dst, err
		}
		r.reason = firstOf(str(c.finish), r.reason)
		for _, stop := range c.matched {
			r.matched = firstOf(r.matched, str(stop))
		}
	}
	return dst, nil
}

// piece is what a choice tells: in a stream its delta, in a whole answer its
// message. Perplexity gives both: streams repeat as a message all there was
// before, and a whole answer has an empty delta.
func (r *chatReader) piece(c chatChoice) []byte {
	if object(c.message) != nil && (r.whole || object(c.delta) == nil) {
		return c.message
	}
	return c.delta
}

// steady: text and thinking go through as they come, but for thinking that comes
// with details to keep; so do the arguments of a call that nothing waits for.
func (r *chatReader) steady() bool {
	if r.call != nil {
		return !r.call.encoded && len(r.waiting) == 0 && r.pending() == nil
	}
	return r.open && len(r.details) == 0 && (r.kind == llm.BlockText || r.kind == llm.BlockThinking)
}

func (r *chatReader) passed(quoted []byte) {
	if r.call != nil {
		r.call.args = rawjson.AppendUnquoted(r.call.args, quoted)
	}
}

func (r *chatReader) start(dst []llm.Chunk, data []byte) []llm.Chunk {
	if r.started {
		return dst
	}
	r.started = true
	r.id = str(rawjson.Get(data, "id"))
	return append(dst, llm.Chunk{Kind: llm.ChunkStart, ID: r.id, Model: str(rawjson.Get(data, "model"))})
}

// delta reads the pieces of one chunk, or a whole message.
func (r *chatReader) delta(dst []llm.Chunk, v []byte) ([]llm.Chunk, *llm.Error) {
	d := readChatDelta(v)
	dst = r.reasoning(dst, d)
	if isString(d.content) {
		dst = r.text(dst, llm.BlockText, str(d.content))
	}
	for part := range rawjson.Array(d.content) { // Mistral
		dst = r.part(dst, part)
	}
	if s := str(d.refusal); s != "" {
		r.refusal = append(r.refusal, s...)
		dst = r.text(dst, llm.BlockRefusal, s)
	}
	for a := range rawjson.Array(d.annotations) {
		r.cite(a)
	}
	position := 0
	for call := range rawjson.Array(d.calls) {
		var err *llm.Error
		if dst, err = r.fragment(dst, position, call); err != nil {
			return dst, err
		}
		position++
	}
	if f := object(d.call); f != nil {
		var o build
		o.open('{')
		o.key("index").int(0)
		o.key("function").raw(f)
		o.close('}')
		return r.fragment(dst, 0, o.b)
	}
	return dst, nil
}

// reasoningFields are where hosts have the text of their reasoning.
var reasoningFields = [2]string{"reasoning_content", "reasoning"}

// reasoning reads the thinking of a delta, in whichever field the host has it.
func (r *chatReader) reasoning(dst []llm.Chunk, delta chatDelta) []llm.Chunk {
	text, form := "", ""
	for i, v := range delta.reasoning {
		if s := str(v); s != "" && text == "" {
			text, form = s, reasoningFields[i]
		}
	}
	var details [][]byte
	for d := range rawjson.Array(delta.details) {
		details = append(details, bytes.Clone(d))
		if form == "" {
			text += firstOf(str(rawjson.Get(d, "text")), str(rawjson.Get(d, "summary")))
		}
	}
	if details != nil {
		form = "reasoning_details"
	}
	if form == "" {
		return dst
	}
	dst = r.text(dst, llm.BlockThinking, text)
	if details != nil && !(r.open && r.kind == llm.BlockThinking) && r.call == nil {
		dst = r.openBlock(dst, llm.Block{Kind: llm.BlockThinking})
	}
	r.form = form
	r.details = append(r.details, details...)
	return dst
}

// part reads one part of a content that is a list.
func (r *chatReader) part(dst []llm.Chunk, part []byte) []llm.Chunk {
	switch str(rawjson.Get(part, "type")) {
	case "text":
		return r.text(dst, llm.BlockText, str(rawjson.Get(part, "text")))
	case "thinking":
		r.form = "thinking_parts"
		for t := range rawjson.Array(rawjson.Get(part, "thinking")) {
			dst = r.text(dst, llm.BlockThinking, str(rawjson.Get(t, "text")))
		}
	}
	return dst
}

// text adds to the open block of that kind, or opens one. Empty text opens
// nothing.
func (r *chatReader) text(dst []llm.Chunk, kind llm.BlockKind, s string) []llm.Chunk {
	if s == "" {
		return dst
	}
	if r.call != nil {
		if !r.call.whole() {
			r.waiting = append(r.waiting, held{kind, s})
			return dst
		}
		dst = r.closeBlock(dst)
	}
	if !r.open || r.kind != kind {
		dst = r.openBlock(dst, llm.Block{Kind: kind})
	}
	return append(dst, llm.Chunk{Kind: llm.ChunkText, Text: s})
}

func (r *chatReader) openBlock(dst []llm.Chunk, b llm.Block) []llm.Chunk {
	dst = r.closeBlock(dst)
	r.open, r.kind = true, b.Kind
	return append(dst, llm.Chunk{Kind: llm.ChunkOpen, Block: b})
}

func (r *chatReader) closeBlock(dst []llm.Chunk) []llm.Chunk {
	if !r.open {
		return dst
	}
	r.open = false
	end := llm.Chunk{Kind: llm.ChunkClose}
	if r.kind == llm.BlockText {
		end.Block.Annotations, r.notes = r.notes, nil
	}
	if r.kind == llm.BlockThinking {
		end.Block.Signature = r.seal()
	}
	if r.call != nil {
		if r.call.encoded {
			dst = append(dst, llm.Chunk{Kind: llm.ChunkText, Text: decodedArgs(r.call.args)})
		}
		r.call.closed, r.call = true, nil
	}
	return append(dst, end)
}

// cite notes a citation of a web page; the text it belongs to is told before it.
func (r *chatReader) cite(a []byte) {
	v := rawjson.Get(a, "url_citation")
	if !r.open || r.kind != llm.BlockText || v == nil {
		r.c.notes.lost("message.annotations")
		return
	}
	start, _ := rawjson.Int(rawjson.Get(v, "start_index"))
	end, _ := rawjson.Int(rawjson.Get(v, "end_index"))
	r.notes = append(r.notes, llm.Annotation{URL: str(rawjson.Get(v, "url")), Title: str(rawjson.Get(v, "title")), Start: int(start), End: int(end)})
}

// seal signs a thinking block with what the host wants to see again.
func (r *chatReader) seal() string {
	var data []byte
	if len(r.details) > 0 {
		data = append(data, '[')
		data = append(data, bytes.Join(r.details, []byte(","))...)
		data = append(data, ']')
	}
	r.details = nil
	return seal(r.c.x.target.Provider, r.form, data)
}

func (r *chatReader) flushText(dst []llm.Chunk) []llm.Chunk {
	dst = r.closeBlock(dst)
	waiting := r.waiting
	r.waiting = nil
	for _, h := range waiting {
		dst = r.text(dst, h.kind, h.text)
	}
	return dst
}

func (r *chatReader) finish(dst []llm.Chunk) ([]llm.Chunk, *llm.Error) {
	dst = r.start(dst, []byte("{}"))
	if r.reason == "" && r.call != nil && len(r.call.args) > 0 && !r.call.whole() {
		return dst, cutError("the provider's stream ended inside a tool call", nil)
	}
	switch r.reason {
	case "error", "insufficient_system_resource":
		return dst, llm.NewError(llm.ServerError, "the provider gave up on the answer")
	}
	for s := r.pending(); s != nil; s = r.pending() {
		dst = r.openCall(dst, s)
	}
	for _, s := range r.calls {
		if !s.opened && !blank(string(s.args)) {
			return dst, cutError("the provider sent a tool call without a name", nil)
		}
	}
	dst = r.flushText(dst)
	dst = r.closeBlock(dst)
	return append(dst, llm.Chunk{Kind: llm.ChunkStop, Stop: r.stop()}), nil
}

// stopOf maps a finish_reason; those of no list end the turn.
var stopOf = map[string]llm.StopReason{
	"stop": llm.StopEnd, "eos": llm.StopEnd, "eos_token": llm.StopEnd, "end_turn": llm.StopEnd, "": llm.StopEnd,
	"length": llm.StopLength, "max_tokens": llm.StopLength, "model_length": llm.StopLength,
	"tool_calls": llm.StopTools, "function_call": llm.StopTools, "tool_use": llm.StopTools,
	"content_filter": llm.StopRefusal, "stop_sequence": llm.StopSequence,
}

func (r *chatReader) stop() llm.Stop {
	reason, known := stopOf[strings.ToLower(r.reason)]
	if !known {
		reason = llm.StopEnd
		r.c.notes.mapped("finish_reason")
	}
	if reason == llm.StopEnd && len(r.calls) > 0 {
		reason = llm.StopTools // OpenAI itself says stop where the tool was forced
	}
	stop := llm.Stop{Reason: reason}
	if reason == llm.StopRefusal {
		stop.Explanation = string(r.refusal)
	}
	if reason == llm.StopEnd && r.matched != "" && r.matched != r.reason {
		stop.Reason, stop.Sequence = llm.StopSequence, r.matched
	}
	return stop
}

// parseChatAnswer reads a whole answer as if it were a stream of one chunk.
func parseChatAnswer(c *conversion, body []byte) (*llm.Answer, *llm.Error) {
	if rawjson.First(rawjson.Get(body, "choices")) == nil {
		return nil, cutError("the provider's answer holds no choice", nil)
	}
	r := &chatReader{c: c, whole: true, byKey: map[string]*callState{}}
	chunks, err := r.read(nil, body)
	if err == nil {
		chunks, err = r.finish(chunks)
	}
	if err != nil {
		return nil, err
	}
	return assembled(chunks), nil
}
