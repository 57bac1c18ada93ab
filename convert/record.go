package convert

import (
	"bytes"

	"model-proxy/internal/llm"
	"model-proxy/internal/rawjson"
)

// record keeps the blocks of an answer of Messages as its upstream wrote them,
// for those who need more of them than the shared form can say: the vendor
// itself, to go on with a paused answer, and a client that is to send them back
// (content_blocks), or whoever keeps thinking for it (recall.go).
type record struct {
	content []byte // the blocks that are whole, as JSON, without the brackets
	block   blockRecord
}

// newRecord returns nil where nobody needs one.
func (c *conversion) newRecord() *record {
	if c.pause == nil && !c.toldBlocks() && !c.recalls() {
		return nil
	}
	return &record{}
}

// toldBlocks reports whether the client is told the upstream's own blocks.
func (c *conversion) toldBlocks() bool {
	return c.x.in.ContentBlocks && c.x.in.Client.Wire() == llm.OpenAI && c.x.target.Protocol.Wire() == llm.Anthropic
}

// contentBlocks are the answer's own blocks in one line, nil where the client is
// not told them.
func (c *conversion) contentBlocks() []byte {
	if c.record == nil || !c.toldBlocks() {
		return nil
	}
	return oneLine(c.record.list())
}

// list is all blocks so far as a list.
func (r *record) list() []byte { return []byte("[" + string(r.content) + "]") }

func (r *record) close() { r.content = r.block.appendTo(r.content) }

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
