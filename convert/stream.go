package convert

import (
	"bytes"

	"model-proxy/internal/llm"
	"model-proxy/internal/rawjson"
)

// Emitted says what one call added to the client's stream.
type Emitted struct {
	Content bool // the first content of the answer is in it
	Events  int  // whole events added; comments are not counted
	Done    bool // the stream has had its proper end; nothing may follow
}

// Stream is the state of one streamed answer. A client that asked for a plain
// answer gets it whole from End.
type Stream struct {
	x    *Exchange
	read reader
	conv *streamConversion // nil where bytes pass through

	held     []byte // comments before the first event: they must not commit the answer
	buf      []byte // an event's data while it is changed
	content  bool   // the first content has been told
	finished bool   // every answer has its finish_reason
	ended    uint64 // the choices that have, a bit each
	done     bool
	failed   *llm.Error
	repeat   repeat
}

// Stream returns the state that reads the upstream's event stream.
func (x *Exchange) Stream() *Stream {
	s := &Stream{x: x}
	switch x.target.Protocol.Wire() {
	case llm.Anthropic:
		s.read = readMessagesEvent
	case llm.Responses:
		s.read = readResponsesEvent
	default:
		s.read = readChatEvent
	}
	if x.conv != nil || !x.in.Stream {
		s.conv = newStreamConversion(x)
	}
	return s
}

// A reader looks at one event's data, which is valid JSON, and tells what it
// means without keeping any of it.
type reader func(s *Stream, e llm.Event, data []byte) reading

// reading is what one event means to a stream that passes through.
type reading struct {
	content  bool
	finished bool // the answer is whole but for the terminal event
	done     bool // this is the terminal event
	err      *llm.Error
	edit     edit
	piece    []byte // of an event that repeats the last one: the string it tells
}

// edit is what has to be changed in an event that passes through.
type edit uint8

const (
	asIs    edit = iota
	cleaned      // s.buf holds the data to send in its place
	dropped      // the client must not see it
)

// Event reads one upstream event and appends the client events it becomes. The
// error is a *llm.Error that ends the stream: the upstream sent an error, or
// (ErrCut) the event cannot be understood. After an error every call fails.
func (s *Stream) Event(dst []byte, e llm.Event) ([]byte, Emitted, error) {
	if s.failed != nil {
		return dst, Emitted{}, s.failed
	}
	if s.done { // a whole answer is still to come from End
		return dst, Emitted{Done: s.conv == nil || s.conv.writer != nil}, nil
	}
	if e.Data == nil {
		return s.comment(dst, e), Emitted{}, nil
	}
	s.x.seen.begun = true
	data := bytes.TrimSpace(e.Data)
	if len(data) == 0 {
		return s.comment(dst, e), Emitted{}, nil
	}
	r := s.look(e, data)
	if r.err != nil {
		s.failed = r.err
		return dst, Emitted{}, r.err
	}
	s.finished = s.finished || r.finished
	if s.conv != nil {
		return s.convert(dst, data, r)
	}
	var out Emitted
	if r.content && !s.content {
		s.content, out.Content = true, true
	}
	s.done, out.Done = r.done, r.done
	if r.edit == dropped {
		return dst, out, nil
	}
	out.Events = 1
	dst = append(dst, s.held...)
	s.held = nil
	if r.edit == cleaned {
		return appendWithData(dst, e, s.buf), out, nil
	}
	return appendWhole(dst, e.Raw), out, nil
}

var doneMark = []byte("[DONE]")

// look tells what an event means; errors are those of Event.
func (s *Stream) look(e llm.Event, data []byte) reading {
	if bytes.Equal(data, doneMark) && s.x.target.Protocol.Wire() == llm.OpenAI {
		return reading{done: true}
	}
	if r, ok := s.again(e, data); ok {
		return r
	}
	before := s.x.seen.content
	s.repeat.tells = 0
	r := s.read(s, e, data)
	s.remember(e, data, r, before)
	return r
}

func malformed(cause error) reading {
	return reading{err: cutError("the provider sent an event that is not valid JSON", cause)}
}

// maxHeld bounds the comments kept back before the first event.
const maxHeld = 64 << 10

// comment passes on what is no event. Before the first event it is kept back,
// because nothing may reach the client while another provider can still be
// tried.
func (s *Stream) comment(dst []byte, e llm.Event) []byte {
	if s.conv != nil {
		return dst
	}
	if s.x.seen.begun {
		return append(dst, e.Raw...)
	}
	if len(s.held)+len(e.Raw) <= maxHeld {
		s.held = append(s.held, e.Raw...)
	}
	return dst
}

// End closes the stream when the upstream's bytes have ended. It adds the
// terminal event where only that is missing, and for a client that wants no
// stream the whole answer. The error (ErrCut) says that the answer was not
// complete.
func (s *Stream) End(dst []byte) ([]byte, error) {
	if s.failed != nil {
		return dst, s.failed
	}
	if s.conv != nil {
		return s.endConversion(dst)
	}
	if s.done {
		return dst, nil
	}
	if s.finished && s.x.target.Protocol.Wire() == llm.OpenAI {
		s.done = true
		return append(dst, "data: [DONE]\n\n"...), nil
	}
	s.failed = cutError("the provider's stream ended before the answer was complete", nil)
	return dst, s.failed
}

// appendWhole appends an event as received. Only the last one of a stream can
// lack its empty line.
func appendWhole(dst, raw []byte) []byte {
	dst = append(dst, raw...)
	switch {
	case bytes.HasSuffix(raw, []byte("\n\n")), bytes.HasSuffix(raw, []byte("\r\n\r\n")), bytes.HasSuffix(raw, []byte("\r\r")),
		bytes.HasSuffix(raw, []byte("\n\r\n")), bytes.HasSuffix(raw, []byte("\n\r")):
		return dst
	case bytes.HasSuffix(raw, []byte("\n")), bytes.HasSuffix(raw, []byte("\r")):
		return append(dst, '\n')
	}
	return append(dst, "\n\n"...)
}

// appendWithData appends an event with other data. Where the old data stood in
// one line everything around it stays.
func appendWithData(dst []byte, e llm.Event, data []byte) []byte {
	if at := bytes.Index(e.Raw, e.Data); at >= 0 {
		dst = append(dst, e.Raw[:at]...)
		dst = append(dst, data...)
		return appendWhole(dst, e.Raw[at+len(e.Data):])
	}
	if e.Type != nil {
		dst = append(dst, "event: "...)
		dst = append(dst, e.Type...)
		dst = append(dst, '\n')
	}
	for line := range bytes.SplitSeq(data, []byte("\n")) {
		dst = append(dst, "data: "...)
		dst = append(dst, line...)
		dst = append(dst, '\n')
	}
	return append(dst, '\n')
}

// told is tell, and keeps in mind which string it was.
func (s *Stream) told(raw []byte) bool {
	if !s.tell(raw) {
		return false
	}
	s.repeat.told = raw
	s.repeat.tells++
	return true
}

// tell counts the bytes of a raw JSON string as content and reports whether
// there are any.
func (s *Stream) tell(raw []byte) bool {
	if len(raw) <= 2 || raw[0] != '"' {
		return false
	}
	s.x.seen.content += int64(len(raw) - 2)
	return true
}

// jsonError reports whether raw holds an error: present and neither null nor
// an empty placeholder.
func jsonError(raw []byte) bool {
	return !rawjson.IsNull(raw) && string(raw) != `""` && string(raw) != `{}` && string(raw) != `false`
}
