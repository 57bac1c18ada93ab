package convert

import (
	"bytes"
	"strconv"

	"model-proxy/internal/llm"
	"model-proxy/internal/rawjson"
)

// callState is one tool call as far as it is known.
type callState struct {
	id, name string
	custom   bool
	extra    []byte // extra_content
	args     []byte
	opened   bool
	closed   bool
	encoded  bool // the arguments are a JSON string with the object in it
}

// whole reports whether the call's arguments are complete.
func (s *callState) whole() bool { return rawjson.Valid(s.args) }

// fragment reads one piece of a tool call.
func (r *chatReader) fragment(dst []llm.Chunk, position int, f []byte) ([]llm.Chunk, *llm.Error) {
	s := r.find(position, f)
	piece := r.note(s, f)
	switch {
	case s.closed:
		if !blank(piece) {
			return dst, cutError("the provider sent more of a tool call that had ended", nil)
		}
		return dst, nil
	case r.call == s:
		if piece != "" && !s.encoded {
			dst = append(dst, llm.Chunk{Kind: llm.ChunkText, Text: piece})
		}
		if len(r.waiting) > 0 || r.pending() != nil {
			return r.drain(dst), nil
		}
		return dst, nil
	case r.call != nil && !r.call.whole(), s.name == "":
		return dst, nil // its pieces wait in s.args
	}
	return r.openCall(dst, s), nil
}

// find returns the call a piece belongs to: by index, else by id, else by its
// place. Another id at a known index is another call: some hosts number all 0.
func (r *chatReader) find(position int, f []byte) *callState {
	id := str(rawjson.Get(f, "id"))
	key := "p" + strconv.Itoa(position)
	if n, ok := rawjson.Int(rawjson.Get(f, "index")); ok {
		key = "i" + strconv.FormatInt(n, 10)
	} else if id != "" {
		key = "id" + id
	}
	s := r.byKey[key]
	if s != nil && (id == "" || s.id == "" || s.id == id) {
		return s
	}
	s = &callState{}
	r.calls = append(r.calls, s)
	r.byKey[key] = s
	if id != "" && key[0] != 'p' { // later pieces may come without id or index
		r.byKey["p"+strconv.Itoa(position)] = s
	}
	return s
}

// note adds what a piece tells to its call and returns the piece's arguments.
func (r *chatReader) note(s *callState, f []byte) string {
	s.id = firstOf(s.id, str(rawjson.Get(f, "id")))
	fn := rawjson.Get(f, "function")
	args := argsText(rawjson.Get(fn, "arguments"))
	if c := rawjson.Get(f, "custom"); object(c) != nil {
		fn, args, s.custom = c, str(rawjson.Get(c, "input")), true
	}
	s.name = firstOf(s.name, str(rawjson.Get(fn, "name")))
	if x := object(rawjson.Get(f, "extra_content")); x != nil {
		s.extra = bytes.Clone(x)
	}
	s.args = append(s.args, args...)
	s.encoded = !s.custom && len(s.args) > 0 && s.args[0] == '"'
	return args
}

// decodedArgs undoes one encoding too many.
func decodedArgs(args []byte) string {
	input, fair := argsObject(nil, string(args))
	if !fair {
		return string(args)
	}
	return string(input)
}

func (r *chatReader) openCall(dst []llm.Chunk, s *callState) []llm.Chunk {
	if s.id == "" {
		s.id = "call_" + hash(r.id+"/"+strconv.Itoa(len(r.calls)), 16)
	}
	if s.extra != nil { // it must come back with the call, and only thinking has room for it
		dst = r.openBlock(dst, llm.Block{Kind: llm.BlockThinking})
		r.form, r.details = "extra_content", [][]byte{s.extra}
		dst = r.closeBlock(dst)
	}
	dst = r.openBlock(dst, llm.Block{Kind: llm.BlockCall, ID: s.id, Name: s.name, Custom: s.custom})
	r.call, s.opened = s, true
	if len(s.args) > 0 && !s.encoded {
		dst = append(dst, llm.Chunk{Kind: llm.ChunkText, Text: string(s.args)})
	}
	return dst
}

// pending is the first call that waits to be opened.
func (r *chatReader) pending() *callState {
	for _, s := range r.calls {
		if !s.opened && s.name != "" {
			return s
		}
	}
	return nil
}

// drain opens what waited, as long as the open call is whole.
func (r *chatReader) drain(dst []llm.Chunk) []llm.Chunk {
	for r.call != nil && r.call.whole() {
		if s := r.pending(); s != nil {
			dst = r.openCall(dst, s)
			continue
		}
		if len(r.waiting) == 0 {
			return dst
		}
		dst = r.flushText(dst)
	}
	return dst
}
