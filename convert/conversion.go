package convert

import (
	"bytes"

	"model-proxy/internal/llm"
	"model-proxy/internal/rawjson"
)

// protocol is what convert knows of one wire format: how to read requests and
// answers into the shared form, and how to write them from it. A new format is
// one more of these, whatever others there are.
type protocol struct {
	parseRequest func(body []byte, n *notes) *llm.Request
	buildRequest func(c *conversion, r *llm.Request) []byte
	parseAnswer  func(c *conversion, body []byte) (*llm.Answer, *llm.Error)
	buildAnswer  func(c *conversion, dst []byte, a *llm.Answer) []byte
	newReader    func(c *conversion) chunkReader
	newWriter    func(c *conversion) chunkWriter
	// restream tells a whole answer of this protocol as a stream of it, where the
	// shared form would lose what only this protocol has; nil where it does not.
	restream func(c *conversion, dst, body []byte) []byte

	// fields are this protocol's names for what builders of requests call
	// otherwise; errors and warnings name fields as the client does.
	fields map[string]string
	// unanswered and orphan say that a call lacks its result and a result its call.
	unanswered, orphan string
}

// protocols is the table of wire formats.
var protocols = map[llm.Protocol]protocol{
	llm.OpenAI: {
		parseRequest: parseChatRequest, buildRequest: buildChatRequest,
		parseAnswer: parseChatAnswer, buildAnswer: buildChatAnswer,
		newReader: newChatReader, newWriter: newChatWriter,
		fields: map[string]string{
			"thinking": "reasoning_effort", "output_config.effort": "reasoning_effort",
			"metadata.user_id": "user", "stop_sequences": "stop",
		},
		unanswered: "an assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'",
		orphan:     "messages with role 'tool' must be a response to a preceding message with 'tool_calls'",
	},
	llm.Anthropic: {
		parseRequest: parseMessagesRequest, buildRequest: buildMessagesRequest,
		parseAnswer: parseMessagesAnswer, buildAnswer: buildMessagesAnswer,
		newReader: newMessagesReader, newWriter: newMessagesWriter,
		fields:     map[string]string{"response_format": "output_config.format"},
		unanswered: "each tool_use must have a tool_result in the next user message",
		orphan:     "the tool_result answers no tool_use of the turn before",
	},
	llm.Responses: {
		parseRequest: parseResponsesRequest, buildRequest: buildResponsesRequest,
		parseAnswer: parseResponsesAnswer, buildAnswer: buildResponsesAnswer,
		newReader: newResponsesReader, newWriter: newResponsesWriter, restream: restream,
		fields: map[string]string{
			"thinking": "reasoning.effort", "output_config.effort": "reasoning.effort", "reasoning_effort": "reasoning.effort",
			"response_format": "text.format", "max_tokens": "max_output_tokens", "metadata.user_id": "safety_identifier",
			"messages": "input", "verbosity": "text.verbosity",
		},
		unanswered: "a function_call must be followed by its function_call_output",
		orphan:     "a function_call_output must answer a function_call before it",
	},
}

// chunkReader turns an upstream's events into chunks. data is valid JSON and no
// error event. finish is called once, when the upstream's terminal event or a
// legal end was seen.
type chunkReader interface {
	read(dst []llm.Chunk, data []byte) ([]llm.Chunk, *llm.Error)
	finish(dst []llm.Chunk) ([]llm.Chunk, *llm.Error)
}

// chunkWriter turns chunks into a client's events. It counts them in n.
type chunkWriter interface {
	write(dst []byte, c llm.Chunk, n *int) []byte
	// splice writes the next piece of the open block like the last one, in one
	// event. The piece is a JSON string of which every byte is as AppendString
	// would have it. ok is false where it takes write to do so.
	splice(dst, quoted []byte) (out []byte, ok bool)
}

// conversion is what one exchange between two protocols keeps.
type conversion struct {
	x      *Exchange
	notes  notes
	client protocol
	target protocol

	same         bool              // both ends speak one protocol, only whole and stream are exchanged
	names        map[string]string // tool names sent in place of the client's → the client's
	custom       map[string]bool   // tools that the client called custom and that went as functions
	legacy       bool              // the client speaks of functions, not tools
	includeUsage bool              // the client wants a stream's usage
	signatures   bool              // llm.Request.Signatures
	echo         []byte            // settings of the request that answers of Responses repeat
	jsonTool     bool              // calls of jsonToolName are the answer's text
	unfence      bool              // a code fence around the whole answer is to go
	response     []byte            // of Responses, as the last event told it to a client of the same protocol
	prompt       int64             // estimated tokens of the request
	prefill      string            // what the answer may repeat at its start
	search       *llm.Tool         // the web search that the target is to do
	pause        *pause            // nil where the upstream pauses no answers
	record       *record           // of the upstream's own blocks, nil where nobody needs it
	needs        *NeedsThinking    // nil where the request can be made
}

// unsupported refuses a pair of protocols that cannot be converted.
func unsupported(x *Exchange) error {
	return &llm.Error{
		Kind: llm.BadRequest, Param: "model", Code: "unsupported_by_target",
		Message: "the model's provider cannot serve " + string(x.in.Endpoint),
	}
}

func (x *Exchange) newConversion() (*conversion, bool) {
	client, ok1 := protocols[x.in.Client.Wire()]
	target, ok2 := protocols[x.target.Protocol.Wire()]
	return &conversion{x: x, client: client, target: target, notes: notes{mode: x.in.Mode, fields: client.fields}}, ok1 && ok2
}

// convertRequest writes the client's request in the target's protocol.
func (x *Exchange) convertRequest() ([]byte, error) {
	c, ok := x.newConversion()
	if !ok || x.in.Endpoint == llm.Embeddings || x.in.Endpoint == llm.CountTokens && x.target.Protocol != llm.Responses {
		return nil, unsupported(x)
	}
	if err := rawjson.Validate(x.in.Body); err != nil {
		return nil, llm.NewError(llm.BadRequest, "the request body is not valid JSON: "+err.Error())
	}
	x.conv = c
	r := c.client.parseRequest(x.in.Body, &c.notes)
	if c.notes.err != nil {
		return nil, c.notes.err
	}
	c.includeUsage = r.IncludeUsage
	c.legacy = r.Choice.Legacy
	c.signatures = r.Signatures
	c.prompt = promptTokens(r)
	if err := c.fetched(r); err != nil {
		return nil, err
	}
	c.vendorTools(r)
	c.speakers(r)
	body := c.target.buildRequest(c, r)
	if c.notes.err != nil {
		return nil, c.notes.err
	}
	if c.needs != nil {
		return nil, c.needs
	}
	if x.counts() {
		return countRequest(body), nil
	}
	var e rawjson.Edits
	addDefaults(&e, body, x.Endpoint(), x.target.Defaults)
	if !e.Empty() {
		body = e.Append(nil, body)
	}
	if c.search != nil || x.target.Defaults["tools"] != nil { // no other tool of the vendor's can be in there
		c.pause = newPause(x, body)
	}
	c.record = c.newRecord()
	return body, nil
}

// room is a buffer for the converted request, which is about as long as the
// client's own.
func (c *conversion) room() build {
	n := len(c.x.in.Body)
	return build{b: make([]byte, 0, n+n/8+512)}
}

// answer writes a whole answer of the upstream as the client wants it.
func (c *conversion) answer(dst []byte, body []byte) ([]byte, error) {
	a, err := c.target.parseAnswer(c, body)
	if err != nil {
		return dst, err
	}
	if a = c.pause.join(a); a == nil {
		return dst, nil
	}
	c.mendAnswer(a)
	return c.writeAnswer(dst, a), nil
}

func (c *conversion) writeAnswer(dst []byte, a *llm.Answer) []byte {
	if !c.x.in.Stream {
		return c.client.buildAnswer(c, dst, a)
	}
	w, events := c.client.newWriter(c), 0
	for _, chunk := range answerChunks(a) {
		dst = w.write(dst, chunk, &events)
	}
	return dst
}

// streamFromAnswer gives a whole answer of the client's own protocol to a client
// that asked for a stream.
func (x *Exchange) streamFromAnswer(dst, body []byte) ([]byte, error) {
	c, ok := x.newConversion()
	if !ok {
		return dst, cutError("the provider sent no event stream", nil)
	}
	c.same, c.includeUsage = true, !x.hideUsage
	a, err := c.target.parseAnswer(c, body)
	if err != nil {
		return dst, err
	}
	if c.target.restream != nil {
		return c.target.restream(c, dst, body), nil
	}
	return c.writeAnswer(dst, a), nil
}

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
