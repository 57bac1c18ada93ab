package convert

import (
	"bytes"
	"strings"

	"model-proxy/internal/llm"
	"model-proxy/internal/rawjson"
)

// responsesReader reads a Responses answer into chunks. Items may come at the
// same time, told apart by their output_index; out comes one after another:
//
//   - the events of the item that began first are read at once;
//   - those of later items wait until it is done, or until the end.
type responsesReader struct {
	c       *conversion
	started bool
	items   []*outputItem         // in the order they began
	byIndex map[int64]*outputItem // the latest of each output_index
	now     *outputItem           // whose events are read

	open  bool
	kind  llm.BlockKind    // of the open block
	notes []llm.Annotation // of the open block
	calls int
	stop  llm.Stop

	refusal []byte // the text of refusals
}

// outputItem is one item of an answer as far as it is known.
type outputItem struct {
	index   int64
	waiting [][]byte // events to be read when it is its turn
	done    bool

	call  bool           // its block was opened as a call
	told  map[int64]bool // the parts of which some text was told
	part  int64          // the part told last
	field string         // of reasoning: summary or content, whichever came first
}

func newResponsesReader(c *conversion) chunkReader {
	return &responsesReader{c: c, byIndex: map[int64]*outputItem{}}
}

func (r *responsesReader) read(dst []llm.Chunk, data []byte) ([]llm.Chunk, *llm.Error) {
	kind := str(rawjson.Get(data, "type"))
	switch kind {
	case "response.created", "response.in_progress", "response.queued":
		return r.start(dst, rawjson.Get(data, "response")), nil
	case "response.completed", "response.incomplete":
		return r.whole(dst, rawjson.Get(data, "response"), strings.TrimPrefix(kind, "response."))
	}
	index, ok := rawjson.Int(rawjson.Get(data, "output_index"))
	if !ok {
		return dst, nil // about nothing that is shown
	}
	dst = r.start(dst, nil)
	it := r.byIndex[index]
	if it == nil || kind == "response.output_item.added" {
		it = r.begin(index)
	}
	if r.now == nil {
		r.now = it
	}
	if it != r.now {
		it.waiting = append(it.waiting, bytes.Clone(data))
		return dst, nil
	}
	dst = r.event(dst, it, kind, data)
	return r.drain(dst), nil
}

// steady: the pieces of the open block go through as they come, but for a
// refusal's, which are kept.
func (r *responsesReader) steady() bool {
	return r.open && r.now != nil && !r.now.done && r.kind != llm.BlockRefusal
}

func (r *responsesReader) passed([]byte) {}

// start tells the start once; a stream may lack its own.
func (r *responsesReader) start(dst []llm.Chunk, response []byte) []llm.Chunk {
	if r.started {
		return dst
	}
	r.started = true
	return append(dst, llm.Chunk{Kind: llm.ChunkStart, ID: str(rawjson.Get(response, "id")), Model: str(rawjson.Get(response, "model"))})
}

func (r *responsesReader) begin(index int64) *outputItem {
	it := &outputItem{index: index, told: map[int64]bool{}}
	r.items = append(r.items, it)
	r.byIndex[index] = it
	return it
}

// drain reads what waited, item by item, as long as they are done.
func (r *responsesReader) drain(dst []llm.Chunk) []llm.Chunk {
	for r.now != nil && r.now.done {
		r.now = nil
		for _, it := range r.items {
			if !it.done {
				dst = r.turn(dst, it)
				break
			}
		}
	}
	return dst
}

// turn makes an item the one whose events are read.
func (r *responsesReader) turn(dst []llm.Chunk, it *outputItem) []llm.Chunk {
	r.now = it
	waiting := it.waiting
	it.waiting = nil
	for _, data := range waiting {
		if !it.done {
			dst = r.event(dst, it, str(rawjson.Get(data, "type")), data)
		}
	}
	return dst
}

// textOf are the events that tell pieces of text, and what of.
var textOf = map[string]llm.BlockKind{
	"response.output_text.delta":            llm.BlockText,
	"response.refusal.delta":                llm.BlockRefusal,
	"response.reasoning_summary_text.delta": llm.BlockThinking,
	"response.reasoning_text.delta":         llm.BlockThinking,
}

// event reads one event about an item whose turn it is.
func (r *responsesReader) event(dst []llm.Chunk, it *outputItem, kind string, data []byte) []llm.Chunk {
	if text, ok := textOf[kind]; ok {
		delta := str(rawjson.Get(data, "delta"))
		if text == llm.BlockThinking {
			field, index := "content", "content_index"
			if kind == "response.reasoning_summary_text.delta" {
				field, index = "summary", "summary_index"
			}
			n, _ := rawjson.Int(rawjson.Get(data, index))
			return r.thought(dst, it, field, n, delta)
		}
		n, _ := rawjson.Int(rawjson.Get(data, "content_index"))
		return r.say(dst, it, text, n, delta)
	}
	switch kind {
	case "response.output_item.added":
		if item := rawjson.Get(data, "item"); callKinds[str(rawjson.Get(item, "type"))] {
			return r.openCall(dst, it, item)
		}
	case "response.function_call_arguments.delta", "response.custom_tool_call_input.delta":
		if s := str(rawjson.Get(data, "delta")); it.call && s != "" {
			it.told[0] = true
			return append(dst, llm.Chunk{Kind: llm.ChunkText, Text: s})
		}
	case "response.output_text.annotation.added":
		if n, ok := r.urlCitation(rawjson.Get(data, "annotation")); ok {
			r.notes = append(r.notes, n)
		}
	case "response.output_item.done":
		return r.done(dst, it, rawjson.Get(data, "item"))
	}
	return dst
}

// urlCitation reads a citation of a web page.
func (r *responsesReader) urlCitation(v []byte) (llm.Annotation, bool) {
	if str(rawjson.Get(v, "type")) != "url_citation" {
		r.c.notes.lost("output.annotations")
		return llm.Annotation{}, false
	}
	start, _ := rawjson.Int(rawjson.Get(v, "start_index"))
	end, _ := rawjson.Int(rawjson.Get(v, "end_index"))
	return llm.Annotation{URL: str(rawjson.Get(v, "url")), Title: str(rawjson.Get(v, "title")), Start: int(start), End: int(end)}, true
}

// callKinds are the items that are calls of the client's tools.
var callKinds = map[string]bool{"function_call": true, "custom_tool_call": true}

func (r *responsesReader) openCall(dst []llm.Chunk, it *outputItem, item []byte) []llm.Chunk {
	r.calls++
	it.call = true
	id := str(rawjson.Get(item, "call_id"))
	if id == "" {
		id = firstOf(str(rawjson.Get(item, "id")), "call_"+hash(r.c.x.seen.id+"/"+number64(int64(r.calls)), 16))
	}
	return r.openBlock(dst, llm.Block{Kind: llm.BlockCall, ID: id, Name: str(rawjson.Get(item, "name")), Custom: str(rawjson.Get(item, "type")) == "custom_tool_call"})
}

func (r *responsesReader) openBlock(dst []llm.Chunk, b llm.Block) []llm.Chunk {
	dst = r.closeBlock(dst, "")
	r.open, r.kind = true, b.Kind
	return append(dst, llm.Chunk{Kind: llm.ChunkOpen, Block: b})
}

func (r *responsesReader) closeBlock(dst []llm.Chunk, signature string) []llm.Chunk {
	if !r.open {
		return dst
	}
	r.open = false
	end := llm.Block{Signature: signature, Annotations: r.notes}
	r.notes = nil
	return append(dst, llm.Chunk{Kind: llm.ChunkClose, Block: end})
}

// say tells a piece of part n of a message. Each part is a block.
func (r *responsesReader) say(dst []llm.Chunk, it *outputItem, kind llm.BlockKind, n int64, text string) []llm.Chunk {
	if text == "" {
		return dst
	}
	if !r.open || r.kind != kind || it.part != n {
		dst = r.openBlock(dst, llm.Block{Kind: kind})
	}
	if kind == llm.BlockRefusal {
		r.refusal = append(r.refusal, text...)
	}
	it.part, it.told[n] = n, true
	return append(dst, llm.Chunk{Kind: llm.ChunkText, Text: text})
}

// thought tells a piece of reasoning: of its summary or of its full text, not of
// both. All parts are one block.
func (r *responsesReader) thought(dst []llm.Chunk, it *outputItem, field string, n int64, text string) []llm.Chunk {
	it.field = firstOf(it.field, field)
	if text == "" || it.field != field {
		return dst
	}
	if !r.open {
		dst = r.openBlock(dst, llm.Block{Kind: llm.BlockThinking})
	} else if it.part != n {
		text = "\n\n" + text
	}
	it.part, it.told[n] = n, true
	return append(dst, llm.Chunk{Kind: llm.ChunkText, Text: text})
}

// done reads an item that is complete: what its events have not told, and the
// end of its block.
func (r *responsesReader) done(dst []llm.Chunk, it *outputItem, item []byte) []llm.Chunk {
	it.done = true
	switch kind := str(rawjson.Get(item, "type")); {
	case callKinds[kind]:
		if !it.call {
			dst = r.openCall(dst, it, item)
		}
		args := argsText(rawjson.Get(item, "arguments"))
		if kind == "custom_tool_call" {
			args = str(rawjson.Get(item, "input"))
		}
		if args != "" && !it.told[0] {
			dst = append(dst, llm.Chunk{Kind: llm.ChunkText, Text: args})
		}
	case kind == "message":
		return r.doneMessage(dst, it, item)
	case kind == "reasoning":
		return r.doneReasoning(dst, it, item)
	}
	return r.closeBlock(dst, "")
}

func (r *responsesReader) doneMessage(dst []llm.Chunk, it *outputItem, item []byte) []llm.Chunk {
	parts := rawjson.Get(item, "content")
	n := it.firstPart(parts)
	for part := range rawjson.Array(parts) {
		if !it.told[n] {
			if s := str(rawjson.Get(part, "refusal")); s != "" {
				dst = r.say(dst, it, llm.BlockRefusal, n, s)
			}
			dst = r.say(dst, it, llm.BlockText, n, str(rawjson.Get(part, "text")))
		}
		if r.open && it.part == n && r.notes == nil {
			for a := range rawjson.Array(rawjson.Get(part, "annotations")) {
				if note, ok := r.urlCitation(a); ok {
					r.notes = append(r.notes, note)
				}
			}
		}
		n++
	}
	return r.closeBlock(dst, "")
}

// firstPart is the content_index that the item's events gave to the first of its
// parts. It is 0 but for hosts that go on counting from the item before, as
// Bedrock does: the item then has fewer parts than its events have named.
func (it *outputItem) firstPart(parts []byte) int64 {
	count, last := int64(0), int64(-1)
	for range rawjson.Array(parts) {
		count++
	}
	for n := range it.told {
		last = max(last, n)
	}
	return max(0, last+1-count)
}

// doneReasoning signs the block with what must come back. An item without text
// and without encrypted_content says nothing to anybody.
func (r *responsesReader) doneReasoning(dst []llm.Chunk, it *outputItem, item []byte) []llm.Chunk {
	if len(it.told) == 0 {
		text := reasoningText(item)
		if text == "" && idle(rawjson.Get(item, "encrypted_content")) {
			return r.closeBlock(dst, "")
		}
		dst = r.openBlock(dst, llm.Block{Kind: llm.BlockThinking})
		if text != "" {
			dst = append(dst, llm.Chunk{Kind: llm.ChunkText, Text: text})
		}
	}
	field := it.field
	if field == "" && rawjson.First(rawjson.Get(item, "summary")) == nil && rawjson.First(rawjson.Get(item, "content")) != nil {
		field = "content"
	}
	return r.closeBlock(dst, sealReasoning(r.c.x.target.Provider, item, field))
}

// whole reads the response that the last event repeats: why it ended, and what
// no event before has told.
func (r *responsesReader) whole(dst []llm.Chunk, response []byte, status string) ([]llm.Chunk, *llm.Error) {
	dst = r.start(dst, response)
	if r.c.same {
		r.c.response = bytes.Clone(response)
	}
	n := int64(0)
	for item := range rawjson.Array(rawjson.Get(response, "output")) {
		it := r.byIndex[n]
		if it == nil {
			it = r.begin(n)
		}
		if !it.done {
			dst = r.turn(dst, it)
		}
		if !it.done {
			dst = r.done(dst, it, item)
		}
		n++
	}
	for _, it := range r.items { // begun, and not in what is repeated
		if !it.done {
			dst = r.turn(dst, it)
			dst = r.closeBlock(dst, "")
			it.done = true
		}
	}
	return dst, r.ended(firstOf(str(rawjson.Get(response, "status")), status), response)
}

// unfinished are the states of a response that has no answer yet, or never will.
var unfinished = map[string]bool{"queued": true, "in_progress": true, "cancelled": true, "failed": true}

// ended notes why the answer ended. States of no list complete it.
func (r *responsesReader) ended(status string, response []byte) *llm.Error {
	switch {
	case unfinished[status]:
		return cutError("the provider has not finished its answer", nil)
	case status == "incomplete" && str(rawjson.Get(response, "incomplete_details", "reason")) == "content_filter":
		r.stop.Reason, r.stop.Explanation = llm.StopRefusal, string(r.refusal)
	case status == "incomplete":
		r.stop.Reason = llm.StopLength
	case r.calls > 0:
		r.stop.Reason = llm.StopTools
	default:
		r.stop.Reason = llm.StopEnd
	}
	return nil
}

func (r *responsesReader) finish(dst []llm.Chunk) ([]llm.Chunk, *llm.Error) {
	dst = r.closeBlock(r.start(dst, nil), "")
	return append(dst, llm.Chunk{Kind: llm.ChunkStop, Stop: r.stop}), nil
}

// parseResponsesAnswer reads a whole answer as the last event of a stream that
// told nothing before.
func parseResponsesAnswer(c *conversion, body []byte) (*llm.Answer, *llm.Error) {
	if rawjson.Get(body, "output") == nil {
		return nil, cutError("the provider's answer holds no output", nil)
	}
	r := &responsesReader{c: c, byIndex: map[int64]*outputItem{}}
	chunks, err := r.whole(nil, body, "completed")
	if err == nil {
		chunks, err = r.finish(chunks)
	}
	c.response = nil // it is the answer that is read, not one to pass on
	if err != nil {
		return nil, err
	}
	return assembled(chunks), nil
}
