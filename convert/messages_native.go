package convert

import (
	"slices"

	"model-proxy/internal/llm"
)

// keepNative settles which of the assistant's turns are sent as Messages once
// had them (content_blocks), and reads those into the shared form. The blocks go
// before what else the message says, but only where they fit the turns around
// them: a turn of its own, with the very calls that the client knows of.
func (b *messagesBuilder) keepNative(turns []llm.Turn) {
	if !slices.ContainsFunc(turns, func(t llm.Turn) bool { return t.Native != nil }) {
		return
	}
	joined, called := joinedTurns(turns), map[string]bool{}
	for i := range turns {
		t := &turns[i]
		if t.Native != nil {
			blocks := nativeBlocks(t)
			if joined[i] || len(blocks) == 0 || !sameCalls(blocks, t.Blocks, called) {
				b.n.dropped(t.Path + ".content_blocks")
				t.Native = nil
			} else {
				t.Blocks, t.Prefix = blocks, false
			}
		}
		for _, k := range t.Blocks {
			if k.Kind == llm.BlockCall {
				called[k.ID] = true
			}
		}
	}
}

// joinedTurns are the assistant's turns that become one with a neighbour: those
// between which nobody says anything.
func joinedTurns(turns []llm.Turn) map[int]bool {
	joined, last := map[int]bool{}, -1
	for i, t := range turns {
		if t.Role != llm.RoleAssistant && len(visible(t.Blocks)) == 0 {
			continue
		}
		if t.Role == llm.RoleAssistant && last >= 0 && turns[last].Role == llm.RoleAssistant {
			joined[last], joined[i] = true, true
		}
		last = i
	}
	return joined
}

// nativeBlocks reads a turn's own blocks, nil if they are none of Messages'.
func nativeBlocks(t *llm.Turn) []llm.Block {
	if len(t.Native) == 0 || t.Native[0] != '[' {
		return nil
	}
	var unused notes // what other protocols would make of the blocks
	p := &messagesParser{arena: newArena(len(t.Native)), n: &unused, r: &llm.Request{}}
	blocks := p.content(t.Path+".content_blocks", t.Native)
	for _, k := range blocks {
		if k.Kind == llm.BlockOpaque && k.Name == "" || k.Kind == llm.BlockThinking && !native(k.Signature) {
			return nil
		}
	}
	return blocks
}

// sameCalls reports whether native blocks make the calls that the turn is known
// for, by ids that need no change and that were not used before; they are now.
func sameCalls(native, known []llm.Block, called map[string]bool) bool {
	if countCalls(native) != countCalls(known) {
		return false
	}
	i := 0
	for _, k := range native {
		if k.Kind != llm.BlockCall {
			continue
		}
		for known[i].Kind != llm.BlockCall {
			i++
		}
		if k.ID != known[i].ID || messagesID(k.ID) != k.ID || called[k.ID] {
			return false
		}
		called[k.ID] = true
		i++
	}
	return true
}

// native writes the content of a turn as it came.
func (b *messagesBuilder) native(t llm.Turn) {
	for _, k := range t.Blocks {
		if k.Kind == llm.BlockCall {
			b.ids.call(k.ID) // results will ask for it
		}
	}
	b.o.key("content").raw(t.Native)
}
