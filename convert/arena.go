package convert

import (
	"bytes"
	"strconv"
	"strings"

	"model-proxy/internal/llm"
	"model-proxy/internal/rawjson"
)

// arena holds the strings and blocks of a request that is being read. A
// conversation has thousands of them, which live and die together: they share a
// few allocations. An arena must not be copied.
type arena struct {
	text    strings.Builder // what str and at have returned is a part of it
	least   int             // bytes that text is made for
	scratch []byte
	blocks  []llm.Block // what list has returned is a part of it
	stack   []llm.Block // of the lists that are being read
	fields  members     // of the objects that are being read

	fewBlocks [2]llm.Block // the first room of stack
	fewFields [12]member   // of fields
}

// newArena returns one for a request of n bytes.
func newArena(n int) *arena {
	a := &arena{least: min(max(n/4, 256), 32<<10)}
	a.stack, a.fields = a.fewBlocks[:0], a.fewFields[:0]
	return a
}

// turns is room for those of a request of n bytes.
func turns(n int) []llm.Turn { return make([]llm.Turn, 0, 2+n/1024) }

// str is the decoded string, "" if raw is none.
func (a *arena) str(raw []byte) string {
	s, _ := a.unquote(raw)
	return s
}

// unquote is rawjson.Unquote.
func (a *arena) unquote(raw []byte) (s string, ok bool) {
	if !isString(raw) {
		return "", false
	}
	if bytes.IndexByte(raw, '\\') < 0 {
		return a.keep(raw[1 : len(raw)-1]), true
	}
	a.scratch = rawjson.AppendUnquoted(a.scratch[:0], raw)
	return a.keep(a.scratch), true
}

// at is the path of element i.
func (a *arena) at(path string, i int) string {
	a.scratch = append(append(a.scratch[:0], path...), '[')
	a.scratch = append(strconv.AppendInt(a.scratch, int64(i), 10), ']')
	return a.keep(a.scratch)
}

// under is the path of a member, such as .content.
func (a *arena) under(path, member string) string {
	a.scratch = append(append(a.scratch[:0], path...), member...)
	return a.keep(a.scratch)
}

// keep copies text into the arena.
func (a *arena) keep(text []byte) string {
	if len(text) == 0 {
		return ""
	}
	if a.text.Cap()-a.text.Len() < len(text) {
		a.text = strings.Builder{} // strings that were returned keep the old one
		a.text.Grow(max(a.least, len(text)))
	}
	start := a.text.Len()
	a.text.Write(text)
	return a.text.String()[start:]
}

// open begins a list of blocks; push adds to it, and list, with what open has
// returned, ends it. Lists within lists are ended first.
func (a *arena) open() int { return len(a.stack) }

func (a *arena) push(b llm.Block) { a.stack = append(a.stack, b) }

// list returns the blocks pushed since open, nil if there are none.
func (a *arena) list(open int) []llm.Block {
	list := a.stack[open:]
	if len(list) == 0 {
		return nil
	}
	if cap(a.blocks)-len(a.blocks) < len(list) {
		const most = 64
		a.blocks = make([]llm.Block, 0, max(len(list), min(max(2*cap(a.blocks), 1), most)))
	}
	start := len(a.blocks)
	a.blocks = append(a.blocks, list...)
	clear(list)
	a.stack = a.stack[:open]
	return a.blocks[start:len(a.blocks):len(a.blocks)]
}

// one is a list of one block.
func (a *arena) one(b llm.Block) []llm.Block {
	open := a.open()
	a.push(b)
	return a.list(open)
}

// split returns the members of a checked object, until done.
func (a *arena) split(data []byte) members {
	start := len(a.fields)
	for name, v := range rawjson.Quoted(data) {
		a.fields = append(a.fields, member{name, v})
	}
	return a.fields[start:]
}

// done ends the use of members that split has returned last.
func (a *arena) done(m members) { a.fields = a.fields[:len(a.fields)-len(m)] }

// words are the strings that say of which kind something is.
var words = func() map[string]string {
	known := map[string]string{}
	for _, w := range []string{
		"user", "assistant", "system", "developer", "tool", "function", "text", "thinking", "redacted_thinking", "tool_use", "tool_result", "image", "document",
		"image_url", "file", "message", "function_call", "function_call_output", "reasoning", "input_text", "output_text", "input_image", "input_file",
		"base64", "url", "custom",
	} {
		known[w] = w
	}
	return known
}()

// word is str for a string that is likely one of words.
func (a *arena) word(raw []byte) string {
	if !isString(raw) {
		return ""
	}
	if w, ok := words[string(raw[1:len(raw)-1])]; ok {
		return w
	}
	return a.str(raw)
}
