package convert

import (
	"bytes"

	"model-proxy/internal/llm"
	"model-proxy/internal/rawjson"
)

// streamConversion turns an upstream's stream into a client's, or into a whole
// answer for a client that wants no stream.
type streamConversion struct {
	c      *conversion
	reader chunkReader
	writer chunkWriter // nil: the answer is assembled
	mend   *mender
	chunks []llm.Chunk
	whole  assembly
	half   string // of a character whose other half is still to come
	err    *llm.Error
}

func newStreamConversion(x *Exchange) *streamConversion {
	c := x.conv
	if c == nil {
		same, ok := x.newConversion()
		if !ok {
			return &streamConversion{err: cutError("the provider sent an event stream for a plain request", nil)}
		}
		c = same
		c.same = true
	}
	s := &streamConversion{c: c, reader: c.target.newReader(c), mend: newMender(c)}
	if x.in.Stream {
		s.writer = c.client.newWriter(c)
	}
	return s
}

// convert passes one event through reader and writer.
func (s *Stream) convert(dst []byte, data []byte, r reading) ([]byte, Emitted, error) {
	v := s.conv
	if v.err != nil {
		s.failed = v.err
		return dst, Emitted{}, v.err
	}
	if r.piece != nil && v.passes(r.piece) {
		if dst, ok := v.writer.splice(dst, r.piece); ok {
			v.reader.(steady).passed(r.piece) // forget has left it steady
			return dst, Emitted{Events: 1}, nil
		}
	}
	return s.convertEvent(dst, data, r)
}

func (s *Stream) convertEvent(dst []byte, data []byte, r reading) ([]byte, Emitted, error) {
	v := s.conv
	var out Emitted
	var err *llm.Error
	v.chunks = v.chunks[:0]
	switch {
	case r.piece != nil:
		v.reader.(steady).passed(r.piece)
		v.chunks = append(v.chunks, llm.Chunk{Kind: llm.ChunkText, Text: str(r.piece)})
	case data[0] == '{':
		v.chunks, err = v.reader.read(v.chunks, data)
		s.forget(v.chunks)
	}
	if err == nil && r.done {
		v.chunks, err = v.reader.finish(v.chunks)
		s.done = !s.x.Paused()
		s.finished = s.finished && s.done
	}
	dst = s.emit(dst, &out)
	if err != nil {
		s.failed = err
		return dst, out, err
	}
	return dst, out, nil
}

// passes reports whether a piece of text gets to the writer as it is, and not as
// the first of its kind.
func (v *streamConversion) passes(quoted []byte) bool {
	return len(quoted) > len(`""`) && v.writer != nil && v.half == "" && v.mend.idle() && plainly(quoted)
}

// plainly reports whether a JSON string is spelled as AppendString would: with
// no escapes but those that stand for one byte in two.
func plainly(quoted []byte) bool {
	for {
		i := bytes.IndexByte(quoted, '\\')
		if i < 0 {
			return true
		}
		switch quoted[i+1] {
		case '"', '\\', 'n', 'r', 't':
			quoted = quoted[i+2:]
		default:
			return false
		}
	}
}

// emit writes the chunks that are ready.
func (s *Stream) emit(dst []byte, out *Emitted) []byte {
	v := s.conv
	for _, chunk := range v.mend.pass(v.chunks) {
		if v.writer == nil {
			v.whole.add(chunk)
			continue
		}
		if chunk.Kind == llm.ChunkText {
			if chunk.Text = v.mendHalves(chunk.Text); chunk.Text == "" {
				continue
			}
		} else if v.half != "" { // the other half never came
			dst = v.writer.write(dst, llm.Chunk{Kind: llm.ChunkText, Text: v.half}, &out.Events)
			v.half = ""
		}
		dst = v.writer.write(dst, chunk, &out.Events)
		if !s.content && (chunk.Kind == llm.ChunkText || chunk.Kind == llm.ChunkOpen && chunk.Block.Kind == llm.BlockCall) {
			s.content, out.Content = true, true
		}
		out.Done = out.Done || chunk.Kind == llm.ChunkStop
	}
	return dst
}

// mendHalves keeps the first half of a surrogate pair back for the next piece:
// told apart, both would turn into replacement characters.
func (v *streamConversion) mendHalves(text string) string {
	if v.half == "" && rawjson.HeldBack(text) == 0 {
		return text
	}
	text = v.half + text
	n := len(text) - rawjson.HeldBack(text)
	v.half = text[n:]
	return text[:n]
}

// endConversion is End for a stream that is converted or assembled.
func (s *Stream) endConversion(dst []byte) ([]byte, error) {
	v := s.conv
	if !s.done {
		if !s.finished || s.x.target.Protocol.Wire() != llm.OpenAI {
			s.failed = cutError("the provider's stream ended before the answer was complete", nil)
			return dst, s.failed
		}
		s.done = true
		var err *llm.Error
		if v.chunks, err = v.reader.finish(v.chunks[:0]); err != nil {
			s.failed = err
			return dst, err
		}
		var out Emitted
		dst = s.emit(dst, &out)
	}
	if v.writer == nil {
		return v.c.client.buildAnswer(v.c, dst, &v.whole.Answer), nil
	}
	return dst, nil
}
