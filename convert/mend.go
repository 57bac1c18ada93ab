package convert

import (
	"strings"

	"model-proxy/internal/llm"
	"model-proxy/internal/rawjson"
)

// mender undoes in an answer what the request had to do by other means: renamed
// tools get the client's names back, free-text tools their text, the call that
// stood for structured output becomes text, a code fence around JSON goes, and
// so does a repetition of the prefill. It works on chunks, so that whole answers
// and streams cannot differ.
type mender struct {
	c      *conversion
	out    []llm.Chunk
	kind   llm.BlockKind // of the open block, after mending
	custom bool          // the open block is a call whose arguments are held
	held   []byte        // text or arguments not yet passed on
	head   headState
	fenced bool
	calls  int // real ones

	answered bool        // the call that stands for structured output has come
	prose    []llm.Chunk // text, and what came behind it, while it may still come
}

type headState uint8

const (
	headWaiting headState = iota // the answer's text has not begun or may still match
	headDone
)

// jsonToolName is the tool that stands for structured output.
const jsonToolName = "json_response"

func newMender(c *conversion) *mender {
	m := &mender{c: c}
	if !c.unfence && c.prefill == "" {
		m.head = headDone
	}
	return m
}

func (m *mender) idle() bool {
	c := m.c
	return m.head == headDone && len(c.names) == 0 && len(c.custom) == 0 && !c.jsonTool && !m.fenced
}

// pass returns the chunks to write in place of those given. The result is valid
// until the next call.
func (m *mender) pass(chunks []llm.Chunk) []llm.Chunk {
	if m.idle() {
		return chunks
	}
	m.out = m.out[:0]
	for _, c := range chunks {
		m.chunk(c)
	}
	return m.out
}

func (m *mender) chunk(c llm.Chunk) {
	if m.withhold(c) {
		return
	}
	switch c.Kind {
	case llm.ChunkOpen:
		m.open(c)
	case llm.ChunkText:
		m.text(c)
	case llm.ChunkClose:
		m.flush()
		m.out = append(m.out, c)
	case llm.ChunkStop:
		if m.c.jsonTool && m.calls == 0 && c.Stop.Reason == llm.StopTools {
			c.Stop.Reason = llm.StopEnd
		}
		m.out = append(m.out, c)
	default:
		m.out = append(m.out, c)
	}
}

// withhold keeps back what a model says beside structured output: models like to
// announce their calls, and the answer is to be the JSON alone. Only another
// call, or the end, shows that the text is the answer.
func (m *mender) withhold(c llm.Chunk) bool {
	if !m.c.jsonTool {
		return false
	}
	call := c.Kind == llm.ChunkOpen && c.Block.Kind == llm.BlockCall
	if call || c.Kind == llm.ChunkStop {
		m.answered = m.answered || call && c.Block.Name == jsonToolName
		m.release()
		return false
	}
	if len(m.prose) == 0 && !(c.Kind == llm.ChunkOpen && c.Block.Kind == llm.BlockText) {
		return false
	}
	m.prose = append(m.prose, c)
	return true
}

// release passes on what withhold has kept, but for text beside structured output.
func (m *mender) release() {
	text := false
	for _, c := range m.prose {
		if c.Kind == llm.ChunkOpen {
			text = c.Block.Kind == llm.BlockText
		}
		if !text || !m.answered {
			m.out = append(m.out, c)
			continue
		}
		m.c.notes.lost("message.content")
	}
	m.prose = nil
}

func (m *mender) open(c llm.Chunk) {
	m.custom = false
	if c.Block.Kind == llm.BlockCall {
		switch {
		case m.c.jsonTool && c.Block.Name == jsonToolName:
			c.Block = llm.Block{Kind: llm.BlockText}
		default:
			m.calls++
			if name, ok := m.c.names[c.Block.Name]; ok {
				c.Block.Name = name
			}
			m.custom = m.c.custom[c.Block.Name]
			c.Block.Custom = c.Block.Custom || m.custom
		}
	}
	m.kind = c.Block.Kind
	m.out = append(m.out, c)
}

func (m *mender) text(c llm.Chunk) {
	switch {
	case m.custom:
		m.held = append(m.held, c.Text...)
	case m.kind == llm.BlockText && m.head == headWaiting:
		m.held = append(m.held, c.Text...)
		m.lookAtHead()
	case m.kind == llm.BlockText && m.fenced:
		m.held = append(m.held, c.Text...)
		m.keepTail()
	default:
		m.out = append(m.out, c)
	}
}

func (m *mender) emit(text string) {
	if text != "" {
		m.out = append(m.out, llm.Chunk{Kind: llm.ChunkText, Text: text})
	}
}

// lookAtHead decides, as soon as it can, whether the answer begins with a fence
// or with the prefill.
func (m *mender) lookAtHead() {
	text := string(m.held)
	if p := m.c.prefill; p != "" {
		if strings.HasPrefix(p, text) && text != p {
			return
		}
		m.head, m.held = headDone, m.held[:0]
		m.emit(strings.TrimPrefix(text, p))
		return
	}
	trimmed := strings.TrimLeft(text, " \r\n\t")
	if len(trimmed) < len(fence) && strings.HasPrefix(fence, trimmed) {
		return
	}
	if !strings.HasPrefix(trimmed, fence) {
		m.head, m.held = headDone, m.held[:0]
		m.emit(text)
		return
	}
	_, rest, whole := strings.Cut(trimmed, "\n")
	if !whole {
		return // the fence's own line, such as ```json, is not all there
	}
	m.head, m.fenced = headDone, true
	m.held = append(m.held[:0], rest...)
	m.keepTail()
}

const (
	fence   = "```"
	tailMax = 16 // bytes that may belong to the closing fence
)

// keepTail passes on all but what may be the closing fence.
func (m *mender) keepTail() {
	if n := len(m.held) - tailMax; n > 0 {
		for n > 0 && m.held[n]&0xc0 == 0x80 {
			n-- // not inside a character
		}
		m.emit(string(m.held[:n]))
		m.held = append(m.held[:0], m.held[n:]...)
	}
}

// flush passes on what is held when a block ends.
func (m *mender) flush() {
	text := string(m.held)
	m.held = m.held[:0]
	switch {
	case m.custom:
		if args := []byte(text); rawjson.Valid(args) {
			if s, ok := rawjson.Unquote(rawjson.Get(args, "input")); ok {
				text = s
			}
		}
		m.emit(text)
	case m.fenced && m.kind == llm.BlockText:
		if t, ok := strings.CutSuffix(strings.TrimRight(text, " \r\n\t"), fence); ok {
			text = strings.TrimRight(t, " \r\n\t")
		}
		m.emit(text)
		m.fenced = false
	default:
		m.emit(text)
	}
}

// mendAnswer is pass for a whole answer.
func (c *conversion) mendAnswer(a *llm.Answer) {
	m := newMender(c)
	if m.idle() {
		return
	}
	*a = *assembled(m.pass(answerChunks(a)))
}
