package convert

import (
	"bytes"

	"model-proxy/internal/llm"
	"model-proxy/internal/rawjson"
)

// repeat remembers the last event that brought nothing but a piece of content.
// Most events of a stream differ from the one before in that piece alone: for
// them it is enough to compare the rest and to check the piece, a tenth of the
// work of reading the event.
type repeat struct {
	kind       []byte // the event field
	data       []byte
	start, end int // the piece, quotes included
	pad        int // where padding begins behind it, that differs too; 0 for none
	padEnd     int
	edit       edit
	cleaned    []byte // what is sent in place of data, where edit says so
	at         int    // of the piece in cleaned

	told  []byte // the raw string told last
	tells int    // how many since look began
}

// again reads an event that repeats the one remembered.
func (s *Stream) again(e llm.Event, data []byte) (reading, bool) {
	p := &s.repeat
	if p.end == 0 || len(data) <= p.start || !bytes.Equal(data[:p.start], p.data[:p.start]) || !bytes.Equal(e.Type, p.kind) {
		return reading{}, false
	}
	end, ok := rawjson.StringEnd(data, p.start)
	if !ok || !p.endsWith(data[end:]) {
		return reading{}, false
	}
	piece := data[p.start:end]
	if p.edit == cleaned {
		s.buf = append(s.buf[:0], p.cleaned[:p.at]...)
		s.buf = append(s.buf, piece...)
		s.buf = append(s.buf, p.cleaned[p.at+p.end-p.start:]...)
	}
	return reading{content: s.tell(piece), edit: p.edit, piece: piece}, true
}

// padding is a member that OpenAI fills so that the lengths of events tell
// nothing about their text.
var padding = []byte(`"obfuscation":`)

// endsWith reports whether rest differs from what stands behind the piece in
// padding at most: OpenAI's, or the blanks that Anthropic puts before the last
// brace.
func (p *repeat) endsWith(rest []byte) bool {
	own := p.data[p.end:]
	switch {
	case bytes.Equal(rest, own):
		return true
	case p.edit == cleaned:
		return false // the padding in p.cleaned is the old one
	case p.pad == 0:
		return bytes.HasSuffix(rest, []byte("}")) && bytes.Equal(withoutBlanks(rest), withoutBlanks(own))
	}
	before := p.data[p.end:p.pad]
	if !bytes.HasPrefix(rest, before) {
		return false
	}
	end, ok := rawjson.StringEnd(rest, len(before))
	return ok && bytes.Equal(rest[end:], p.data[p.padEnd:])
}

// withoutBlanks is the end of an object without its last brace and the blanks
// before that.
func withoutBlanks(rest []byte) []byte { return bytes.TrimRight(rest[:len(rest)-1], " ") }

// findPadding notes where the event has padding. Quotes inside of strings have
// a backslash before them, so what is found is a member's name.
func (p *repeat) findPadding() {
	p.pad, p.padEnd = 0, 0
	if i := bytes.Index(p.data[p.end:], padding); i >= 0 {
		at := p.end + i + len(padding)
		if end, ok := rawjson.StringEnd(p.data, at); ok {
			p.pad, p.padEnd = at, end
		}
	}
}

// steady is what readers of a converted stream say after an event: the next one
// that differs from it in nothing but its text tells one piece of text and does
// nothing else.
type steady interface{ steady() bool }

// forget drops the event kept for again where converting it did more than to
// pass its piece on.
func (s *Stream) forget(chunks []llm.Chunk) {
	p := &s.repeat
	if p.end == 0 {
		return
	}
	r, ok := s.conv.reader.(steady)
	if ok && r.steady() && len(chunks) == 1 && chunks[0].Kind == llm.ChunkText && rawjson.EqualString(p.data[p.start:p.end], chunks[0].Text) {
		return
	}
	p.end = 0
}

// remember keeps an event for again, if a piece of content is all it brought.
// before is how much content had been counted until then.
func (s *Stream) remember(e llm.Event, data []byte, r reading, before int64) {
	p := &s.repeat
	p.end = 0
	if !r.content || r.finished || r.done || r.err != nil || r.edit == dropped || p.tells != 1 || s.x.seen.content-before != int64(len(p.told)-2) {
		return
	}
	start := cap(data) - cap(p.told) // told is a part of data
	if start <= 0 || start+len(p.told) > len(data) || &data[start] != &p.told[0] {
		return
	}
	end := start + len(p.told)
	if r.edit == cleaned {
		shift := len(data) - len(s.buf)
		switch {
		case end <= len(s.buf) && bytes.Equal(data[:end], s.buf[:end]):
			p.at = start
		case start >= shift && bytes.Equal(data[start:], s.buf[start-shift:]):
			p.at = start - shift
		default:
			return
		}
		p.cleaned = append(p.cleaned[:0], s.buf...)
	}
	p.kind, p.data = append(p.kind[:0], e.Type...), append(p.data[:0], data...)
	p.start, p.end, p.edit = start, end, r.edit
	p.findPadding()
}
