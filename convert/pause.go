package convert

import (
	"bytes"

	"model-proxy/internal/llm"
	"model-proxy/internal/rawjson"
)

// maxContinuations is how often an answer that its upstream pauses is continued.
const maxContinuations = 5

// pause is what it takes to continue an answer that ended with pause_turn: the
// upstream wants its own blocks back unchanged and goes on from there. Clients
// of Messages do so themselves; the other protocols have no word for it.
type pause struct {
	request   []byte // the first call's
	content   []byte // all blocks so far as JSON, without the brackets
	block     blockRecord
	rounds    int
	paused    bool        // the answer is to be continued
	blocks    []llm.Block // of the calls before, where the answer is whole
	first     *llm.Answer // its first part
	continued bool        // the message that begins next goes on with the answer
}

// newPause returns nil where no pause can come: vendors pause only for tools
// they run themselves.
func newPause(x *Exchange, body []byte) *pause {
	if x.target.Protocol.Wire() != llm.Anthropic || x.in.Client.Wire() == llm.Anthropic {
		return nil
	}
	for tool := range rawjson.Array(rawjson.Get(body, "tools")) {
		if kind := str(rawjson.Get(tool, "type")); kind != "" && kind != "custom" {
			return &pause{request: body}
		}
	}
	return nil
}

// take reports whether an answer that stopped so is to be continued.
func (p *pause) take(s llm.Stop) bool {
	if p == nil || s.Reason != llm.StopPause || p.rounds >= maxContinuations || len(p.content) == 0 {
		return false
	}
	p.rounds++
	p.paused = true
	return true
}

// Paused reports that the upstream has paused its answer and wants to be called
// again. What the client has got so far is no end: call Continue, then send Body
// to the same upstream, and give the answer to the same Stream or to Answer.
func (x *Exchange) Paused() bool { return x.conv != nil && x.conv.pause != nil && x.conv.pause.paused }

// Continue makes Body the request for the rest of a paused answer. Usage counts
// anew from here.
func (x *Exchange) Continue() {
	p := x.conv.pause
	x.before = x.Whole(x.Usage())
	x.seen.usage, x.seen.content, x.seen.begun = counters{}, 0, false
	p.paused, p.continued = false, true
	var o build
	o.open('[')
	for m := range rawjson.Array(rawjson.Get(p.request, "messages")) {
		o.raw(m)
	}
	o.open('{')
	o.key("role").str("assistant")
	o.key("content").open('[')
	o.b = append(o.b, p.content...)
	o.close(']')
	o.close('}')
	o.close(']')
	var e rawjson.Edits
	if found, err := rawjson.Check(nil, p.request, &rawjson.Fields{Want: []string{"messages"}}); err == nil {
		if m, ok := found.Find("messages"); ok {
			e.Replace(m, o.b)
		}
	}
	x.body = e.Append(nil, p.request)
}

// Whole is what the answer has used over all its calls: those before and last,
// the usage of the last one.
func (x *Exchange) Whole(last llm.Usage) llm.Usage {
	u := x.before
	if u.Source == "" {
		return last
	}
	u.Prompt += last.Prompt
	u.CachedRead += last.CachedRead
	u.CachedWrite += last.CachedWrite
	u.CachedWrite1h += last.CachedWrite1h
	u.Completion += last.Completion
	u.Reasoning += last.Reasoning
	if last.Source != llm.UsageProvider && last.Source != llm.UsageNone {
		u.Source = last.Source
	}
	return u
}

// join puts a whole answer's parts together; it returns nil while there is more
// to come.
func (p *pause) join(a *llm.Answer) *llm.Answer {
	if p == nil {
		return a
	}
	if p.first == nil {
		p.first = a
	}
	p.blocks = append(p.blocks, a.Blocks...)
	if p.paused {
		return nil
	}
	whole := *a
	whole.ID, whole.Model, whole.Blocks = p.first.ID, p.first.Model, p.blocks
	return &whole
}

// blockRecord puts a block of Messages together from its events, byte for byte
// as a client's library would.
type blockRecord struct {
	start     []byte // nil: no block is open
	text      []byte // pieces of the text, the thinking or the input
	signature []byte
	citations [][]byte
}

func (b *blockRecord) open(v []byte) {
	*b = blockRecord{start: bytes.Clone(v), text: b.text[:0], signature: b.signature[:0]}
}

func (b *blockRecord) delta(d []byte) {
	for name, v := range rawjson.Quoted(d) {
		switch string(name) {
		case `"text"`, `"thinking"`, `"partial_json"`:
			b.text = rawjson.AppendUnquoted(b.text, v)
		case `"signature"`:
			b.signature = rawjson.AppendUnquoted(b.signature, v)
		case `"citation"`:
			b.citations = append(b.citations, bytes.Clone(v))
		}
	}
}

// appendTo appends the whole block to a list of such.
func (b *blockRecord) appendTo(content []byte) []byte {
	if b.start == nil {
		return content
	}
	kind := str(rawjson.Get(b.start, "type"))
	var o build
	o.open('{')
	for name, v := range rawjson.Quoted(b.start) {
		field, _ := rawjson.Unquote(name)
		o.key(field)
		switch {
		case field == "input" && rawjson.Valid(b.text):
			o.raw(b.text)
		case field == "text" && kind == "text", field == "thinking" && kind == "thinking":
			o.str(str(v) + string(b.text))
		case field == "signature":
			o.str(str(v) + string(b.signature))
		case field == "citations" && len(b.citations) > 0:
			o.lit("[" + string(bytes.Join(b.citations, []byte(","))) + "]")
		default:
			o.raw(v)
		}
	}
	if len(b.citations) > 0 && rawjson.Get(b.start, "citations") == nil {
		o.key("citations").lit("[" + string(bytes.Join(b.citations, []byte(","))) + "]")
	}
	o.close('}')
	b.start = nil
	if len(content) > 0 {
		content = append(content, ',')
	}
	return append(content, o.b...)
}
