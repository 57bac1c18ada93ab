package convert

import (
	"bytes"

	"model-proxy/internal/llm"
	"model-proxy/internal/rawjson"
)

// repeat remembers the last event that brought nothing but a piece of content.
// Most events of a stream differ from the one before in that piece alone, and in
// what counts or pads them: for those it is enough to compare the rest and to
// check the piece, a tenth of the work of reading the event.
type repeat struct {
	kind  []byte // the event field
	data  []byte // of the event; empty: none is remembered
	holes [3]hole
	n     int // of holes

	edit    edit
	cleaned []byte // what is sent in place of data, where edit says so
	at      int    // of the piece in cleaned
	size    int    // of the piece there

	told  []byte // the raw string told last
	tells int    // how many since look began
}

// hole is where events may differ: data[start:end].
type hole struct {
	start, end int
	what       filling
}

type filling uint8

const (
	piece   filling = iota // the string the event tells
	padding                // a string without meaning
	digits                 // the event's number
)

// holesOf are members that differ from event to event besides the piece: OpenAI
// pads events so that their lengths tell nothing about their text, and Responses
// numbers them.
var holesOf = []struct {
	name []byte
	what filling
}{{[]byte(`"obfuscation":`), padding}, {[]byte(`"sequence_number":`), digits}}

// forgetAll drops the event kept for again.
func (p *repeat) forgetAll() { p.data = p.data[:0] }

// again reads an event that repeats the one remembered.
func (s *Stream) again(e llm.Event, data []byte) (reading, bool) {
	p := &s.repeat
	if len(p.data) == 0 || !bytes.Equal(e.Type, p.kind) {
		return reading{}, false
	}
	told, ok := p.match(data)
	if !ok {
		return reading{}, false
	}
	if p.edit == cleaned {
		s.buf = append(s.buf[:0], p.cleaned[:p.at]...)
		s.buf = append(s.buf, told...)
		s.buf = append(s.buf, p.cleaned[p.at+p.size:]...)
	}
	return reading{content: s.tell(told), edit: p.edit, piece: told}, true
}

// match returns the piece of an event that differs from the one remembered in
// its holes alone, and in blanks before the last brace, which Anthropic adds.
func (p *repeat) match(data []byte) (told []byte, ok bool) {
	from, i := 0, 0
	for _, h := range p.holes[:p.n] {
		fixed := p.data[from:h.start]
		if !bytes.HasPrefix(data[i:], fixed) {
			return nil, false
		}
		i += len(fixed)
		end, ok := h.fill(data, i)
		if !ok {
			return nil, false
		}
		if h.what == piece {
			told = data[i:end]
		}
		from, i = h.end, end
	}
	rest, own := data[i:], p.data[from:]
	if bytes.Equal(rest, own) {
		return told, true
	}
	if p.edit == cleaned { // the blanks in p.cleaned are the old ones
		return nil, false
	}
	return told, bytes.HasSuffix(rest, []byte("}")) && bytes.Equal(withoutBlanks(rest), withoutBlanks(own))
}

// fill returns the end of what fills the hole in data at i.
func (h *hole) fill(data []byte, i int) (end int, ok bool) {
	if h.what != digits {
		return rawjson.StringEnd(data, i)
	}
	end = i
	for end < len(data) && data[end]-'0' <= 9 {
		end++
	}
	return end, end > i && (data[i] != '0' || end == i+1)
}

// withoutBlanks is the end of an object without its last brace and the blanks
// before that.
func withoutBlanks(rest []byte) []byte { return bytes.TrimRight(rest[:len(rest)-1], " ") }

// findHoles notes the holes of an event whose piece stands at start. Quotes
// inside of strings have a backslash before them, so what is found is a member's
// name.
func (p *repeat) findHoles(start, end int) {
	p.holes[0], p.n = hole{start, end, piece}, 1
	if p.edit == cleaned { // the others in p.cleaned are the old ones
		return
	}
	for _, known := range holesOf {
		i := bytes.Index(p.data, known.name)
		if i < 0 {
			continue
		}
		h := hole{start: i + len(known.name), what: known.what}
		var ok bool
		if h.end, ok = h.fill(p.data, h.start); !ok || h.start < end && h.end > start {
			continue
		}
		p.insert(h)
	}
}

// insert keeps the holes in the order of the text.
func (p *repeat) insert(h hole) {
	i := p.n
	for ; i > 0 && p.holes[i-1].start > h.start; i-- {
		p.holes[i] = p.holes[i-1]
	}
	p.holes[i] = h
	p.n++
}

// steady is what readers of a converted stream say after an event: the next one
// that differs from it in nothing but its text tells one piece of text and does
// nothing else than what passed does.
type steady interface {
	steady() bool
	passed(quoted []byte)
}

// forget drops the event kept for again where converting it did more than to
// pass its piece on.
func (s *Stream) forget(chunks []llm.Chunk) {
	p := &s.repeat
	if len(p.data) == 0 {
		return
	}
	r, ok := s.conv.reader.(steady)
	if ok && r.steady() && len(chunks) == 1 && chunks[0].Kind == llm.ChunkText && rawjson.EqualString(p.piece(), chunks[0].Text) {
		return
	}
	p.forgetAll()
}

// piece is the piece of the event remembered.
func (p *repeat) piece() []byte {
	for _, h := range p.holes[:p.n] {
		if h.what == piece {
			return p.data[h.start:h.end]
		}
	}
	return nil
}

// remember keeps an event for again, if a piece of content is all it brought.
// before is how much content had been counted until then.
func (s *Stream) remember(e llm.Event, data []byte, r reading, before int64) {
	p := &s.repeat
	p.forgetAll()
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
		p.cleaned, p.size = append(p.cleaned[:0], s.buf...), len(p.told)
	}
	p.kind, p.data, p.edit = append(p.kind[:0], e.Type...), append(p.data[:0], data...), r.edit
	p.findHoles(start, end)
}
