package provider

import (
	"bytes"
	"io"
	"slices"

	"model-proxy/internal/llm"
)

const (
	firstBuffer = 8 << 10  // a new reader's buffer
	keptBuffer  = 64 << 10 // the largest buffer that goes back to the pool
	readAtMost  = 64 << 10 // for one read of an event that outgrew the buffer
	readAtLeast = 512
)

var bom = []byte("\xef\xbb\xbf")

// reader cuts an event stream into events (WHATWG, "Server-sent events") and
// keeps every byte: the Raw of all events put together are the bytes read.
// However the bytes are cut by the reads, the same events come out.
//
// Lines end in LF, CRLF or CR. A CR at the end of what was read waits for the
// byte behind it, with one exception that keeps streams of bare CRs prompt: an
// empty line whose CR follows a bare CR ends its event at once, and an LF
// behind it opens the next one. Empty lines before an event belong to its Raw.
type reader struct {
	src   io.Reader
	limit int // bytes of one event
	err   error

	// Positions in buf. first ≤ line ≤ scan ≤ end and scan ≤ lf ≤ end, but
	// that lf may lag behind scan until the next line is looked for.
	buf   []byte
	first int // the event under way
	line  int // its line under way
	scan  int // no line end in [line, scan)
	lf    int // no LF in [scan, lf)
	end   int // of the bytes read

	// The event under way.
	filled bool   // it has a line that is not empty
	typed  bool   // it has an event field
	kind   span   // that field's value
	data   []span // the values of its data fields

	begun  bool // the first line, which may begin with a BOM, is behind us
	bareCR bool // the last line ended in a CR without LF

	events []llm.Event // of the last call of next
	joined []byte      // their data of several lines
}

// span is a part of reader.buf.
type span struct{ from, to int }

func newReader() *reader { return &reader{buf: make([]byte, firstBuffer)} }

// reset prepares a used reader for another source.
func (r *reader) reset(src io.Reader, limit int) {
	*r = reader{src: src, limit: limit, buf: r.buf, data: r.data[:0], events: r.events[:0], joined: r.joined[:0]}
}

// reusable reports whether r is small enough to be kept.
func (r *reader) reusable() bool {
	r.src = nil
	return cap(r.buf) <= keptBuffer && cap(r.joined) <= keptBuffer
}

// next returns at least one event, or an error: the source's own or
// ErrEventTooLarge. The events are valid until the next call.
func (r *reader) next() ([]llm.Event, error) {
	r.compact()
	r.events, r.joined = r.events[:0], r.joined[:0]
	for {
		r.parse()
		switch {
		case len(r.events) > 0:
			return r.events, nil
		case r.err == io.EOF && r.first < r.end:
			r.flush()
			return r.events, nil
		case r.err != nil:
			return nil, r.err
		}
		r.fill()
	}
}

// rest returns the bytes not yet given out and all that follow, and io.EOF at
// the source's end. size is a guess at their number, 0 if there is none.
func (r *reader) rest(limit, size int) ([]byte, error) {
	body := append(make([]byte, 0, max(size+1, len(r.pending()))), r.pending()...)
	r.drop()
	for r.err == nil && len(body) <= limit {
		if len(body) == cap(body) {
			body = slices.Grow(body, readAtLeast)
		}
		var n int
		n, r.err = r.src.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
	}
	if len(body) > limit {
		return body[:limit], ErrBodyTooLarge
	}
	return body, r.err
}

// pending are the bytes read but not given out.
func (r *reader) pending() []byte { return r.buf[r.first:r.end] }

// drop forgets the pending bytes.
func (r *reader) drop() {
	r.first, r.line, r.scan, r.lf = r.end, r.end, r.end, r.end
}

// compact moves the event under way to the front of the buffer.
func (r *reader) compact() {
	n := r.first
	if n == 0 {
		return
	}
	copy(r.buf, r.buf[n:r.end])
	r.first, r.line, r.scan, r.end = 0, r.line-n, r.scan-n, r.end-n
	r.lf = max(r.lf-n, 0)
	r.kind = span{r.kind.from - n, r.kind.to - n}
	for i, s := range r.data {
		r.data[i] = span{s.from - n, s.to - n}
	}
}

// fill reads once, and grows the buffer if it is nearly full.
func (r *reader) fill() {
	room := r.limit - (r.end - r.first)
	if room <= 0 {
		r.err = ErrEventTooLarge
		return
	}
	if len(r.buf)-r.end < readAtLeast {
		r.buf = append(r.buf, make([]byte, len(r.buf))...)
	}
	free := r.buf[r.end:]
	n, err := r.src.Read(free[:min(len(free), readAtMost, room)])
	r.end += n
	r.err = err
}

// parse takes all whole lines, and with them all whole events.
func (r *reader) parse() {
	for {
		line, ok := r.cut()
		if !ok {
			return
		}
		r.take(line)
	}
}

// cut returns the next line as a part of buf without its end, and moves on.
func (r *reader) cut() (span, bool) {
	at := r.lineEnd()
	if at < 0 {
		return span{}, false
	}
	next, bare := at+1, false
	if r.buf[at] == '\r' {
		switch {
		case at == r.line && r.bareCR, next == r.end && r.err != nil:
			bare = true
		case next == r.end:
			return span{}, false
		case r.buf[next] == '\n':
			next++
		default:
			bare = true
		}
	}
	line := span{r.line, at}
	r.line, r.scan, r.bareCR = next, next, bare
	return line, true
}

// lineEnd finds the next CR or LF, -1 if there is none. No byte is looked at
// twice for either of them, however long the line and however many the reads.
func (r *reader) lineEnd() int {
	from := max(r.lf, r.scan)
	if i := bytes.IndexByte(r.buf[from:r.end], '\n'); i >= 0 {
		r.lf = from + i
	} else {
		r.lf = r.end
	}
	if i := bytes.IndexByte(r.buf[r.scan:r.lf], '\r'); i >= 0 {
		r.scan += i
		return r.scan
	}
	r.scan = r.lf
	if r.lf == r.end {
		return -1
	}
	return r.lf
}

// take adds one line to the event under way; an empty one ends it.
func (r *reader) take(s span) {
	if !r.begun {
		r.begun = true
		if bytes.HasPrefix(r.buf[s.from:s.to], bom) {
			s.from += len(bom)
		}
	}
	if s.from == s.to {
		if r.filled {
			r.emit()
		}
		return
	}
	r.filled = true
	line := r.buf[s.from:s.to]
	colon := bytes.IndexByte(line, ':')
	value := span{s.to, s.to}
	switch {
	case colon == 0:
		return // a comment
	case colon > 0:
		value.from = s.from + colon + 1
		line = line[:colon]
	}
	if value.from < value.to && r.buf[value.from] == ' ' {
		value.from++
	}
	switch string(line) {
	case "data":
		r.data = append(r.data, value)
	case "event":
		r.kind, r.typed = value, true
	}
}

// emit ends the event under way where the next line begins.
func (r *reader) emit() {
	e := llm.Event{Raw: r.buf[r.first:r.line:r.line], Data: r.joinData()}
	if r.typed {
		e.Type = r.buf[r.kind.from:r.kind.to:r.kind.to]
	}
	r.events = append(r.events, e)
	r.first, r.filled, r.typed, r.data = r.line, false, false, r.data[:0]
}

// flush ends the event under way at the end of the stream.
func (r *reader) flush() {
	if r.line < r.end {
		r.take(span{r.line, r.end})
	}
	r.line, r.scan = r.end, r.end
	r.emit()
}

// joinData returns the event's data: one line as it lies in the buffer,
// several joined with LF.
func (r *reader) joinData() []byte {
	switch len(r.data) {
	case 0:
		return nil
	case 1:
		return r.buf[r.data[0].from:r.data[0].to:r.data[0].to]
	}
	from := len(r.joined)
	for i, s := range r.data {
		if i > 0 {
			r.joined = append(r.joined, '\n')
		}
		r.joined = append(r.joined, r.buf[s.from:s.to]...)
	}
	return r.joined[from:len(r.joined):len(r.joined)]
}
