package convert

import (
	"strings"

	"model-proxy/internal/llm"
)

// arrange makes the turns that Messages demands of whatever order the client
// used: user and assistant by turns, results first in the user turn after their
// calls, calls last in theirs, nothing empty. The leading system turns become
// the system prompt; later ones stay at their place.
func (b *messagesBuilder) arrange() {
	turns := b.r.Turns
	b.turns = make([]llm.Turn, 0, len(turns)+1)
	if b.c.x.target.Quirks.MidSystem == "hoist" {
		turns = b.hoist(turns)
	}
	b.keepNative(turns)
	for len(turns) > 0 && turns[0].Role == llm.RoleSystem {
		b.system = append(b.system, visible(turns[0].Blocks)...)
		turns = turns[1:]
	}
	for len(turns) > 0 {
		n := 0
		if turns[0].Role == llm.RoleAssistant {
			for n < len(turns) && turns[n].Role == llm.RoleAssistant {
				n++
			}
			b.assistantTurn(turns[:n])
		} else {
			for n < len(turns) && turns[n].Role != llm.RoleAssistant {
				n++
			}
			b.userTurn(turns[:n])
		}
		turns = turns[n:]
	}
	b.ends()
}

// hoist moves every system turn to the head. It costs the prompt cache whenever
// one comes in, so the operator has to ask for it.
func (b *messagesBuilder) hoist(turns []llm.Turn) []llm.Turn {
	var system, rest []llm.Turn
	for _, t := range turns {
		if t.Role != llm.RoleSystem {
			rest = append(rest, t)
			continue
		}
		if rest != nil {
			b.n.emulated(t.Path)
		}
		system = append(system, t)
	}
	return append(system, rest...)
}

// push adds a turn, joining it with the last one if that has the same role. A
// system turn that stands between two of the user, because what the assistant
// said was empty, stays behind both.
func (b *messagesBuilder) push(role llm.Role, path string, blocks []llm.Block) {
	if len(blocks) == 0 {
		return
	}
	n := len(b.turns) - 1
	if role == llm.RoleUser && n > 0 && b.turns[n].Role == llm.RoleSystem && b.turns[n-1].Role == role {
		n--
	}
	if n >= 0 && b.turns[n].Role == role {
		b.turns[n].Blocks = append(b.turns[n].Blocks, blocks...)
		return
	}
	b.turns = append(b.turns, llm.Turn{Role: role, Path: path, Blocks: blocks})
}

func (b *messagesBuilder) assistantTurn(turns []llm.Turn) {
	last := turns[len(turns)-1]
	if len(turns) == 1 && last.Native != nil {
		b.turns = append(b.turns, last)
		return
	}
	if len(turns) == 1 && inOrder(last.Blocks) {
		b.push(llm.RoleAssistant, last.Path, last.Blocks)
		b.turns[len(b.turns)-1].Prefix = last.Prefix
		return
	}
	var thoughts, rest, calls []llm.Block
	for _, t := range turns {
		for _, k := range visible(t.Blocks) {
			switch k.Kind {
			case llm.BlockCall:
				calls = append(calls, k)
			case llm.BlockThinking, llm.BlockRedacted:
				if native(k.Signature) { // what Anthropic has not signed it would refuse
					thoughts = append(thoughts, k)
				} else if k.Signature != "" {
					b.n.dropped(firstOf(k.Path, "messages.thinking"))
				}
			default:
				rest = append(rest, k)
			}
		}
	}
	if len(rest)+len(calls) == 0 {
		return
	}
	b.push(llm.RoleAssistant, last.Path, append(append(thoughts, rest...), calls...))
	b.turns[len(b.turns)-1].Prefix = last.Prefix
}

// inOrder reports whether an assistant's blocks are as Messages wants them:
// thinking first, calls last, nothing blank or unsigned.
func inOrder(blocks []llm.Block) bool {
	order := 0
	for _, k := range blocks {
		rank := 1
		switch {
		case isBlank(k):
			return false
		case k.Kind == llm.BlockCall:
			rank = 2
		case k.Kind == llm.BlockThinking || k.Kind == llm.BlockRedacted:
			rank = 0
			if !native(k.Signature) {
				return false
			}
		}
		if rank < order {
			return false
		}
		order = rank
	}
	return order > 0
}

// userTurn joins what stands between two assistant turns: results in the order
// of their calls, then everything else in its own order.
func (b *messagesBuilder) userTurn(turns []llm.Turn) {
	results, rest := b.results[:0], b.rest[:0]
	var system []llm.Block
	inPlace := b.cap.MidSystem != nil && *b.cap.MidSystem && hasUser(turns)
	for _, t := range turns {
		for _, k := range visible(t.Blocks) {
			switch {
			case t.Role == llm.RoleSystem && inPlace:
				system = append(system, k)
			case t.Role == llm.RoleSystem:
				k.Text = "<system>\n" + k.Text + "\n</system>"
				rest = append(rest, k)
				b.n.emulated(t.Path)
			case k.Kind == llm.BlockResult:
				results = append(results, k)
			default:
				rest = append(rest, k)
			}
		}
	}
	b.results, b.rest = results, rest
	path := turns[len(turns)-1].Path
	b.push(llm.RoleUser, path, append(b.matchResults(results, len(rest)), rest...))
	if len(system) > 0 {
		b.push(llm.RoleSystem, path, system)
	}
}

func hasUser(turns []llm.Turn) bool {
	for _, t := range turns {
		if t.Role == llm.RoleUser && len(visible(t.Blocks)) > 0 {
			return true
		}
	}
	return false
}

// matchResults puts results into the order of the calls they answer, with room
// for more blocks behind them, and refuses calls without result and results
// without call.
func (b *messagesBuilder) matchResults(results []llm.Block, more int) []llm.Block {
	ordered := make([]llm.Block, 0, len(results)+more)
	var few [16]bool
	used := append(few[:0], make([]bool, len(results))...)
	if n := len(b.turns) - 1; n >= 0 && b.turns[n].Role == llm.RoleAssistant {
		for _, call := range b.turns[n].Blocks {
			if call.Kind != llm.BlockCall {
				continue
			}
			i := 0
			for i < len(results) && (used[i] || results[i].ID != call.ID) {
				i++
			}
			if i == len(results) {
				b.n.invalid(b.turns[n].Path, b.c.client.unanswered)
				return nil
			}
			used[i] = true
			ordered = append(ordered, results[i])
		}
	}
	for i, r := range results {
		if !used[i] {
			b.n.invalid(r.Path, b.c.client.orphan)
			return nil
		}
	}
	return ordered
}

// ends sees to the first and the last turn. In Chat Completions a trailing
// assistant message is history, where Messages would continue it.
func (b *messagesBuilder) ends() {
	if b.n.err != nil {
		return
	}
	if len(b.turns) == 0 {
		b.n.invalid("messages", "messages hold no content")
		return
	}
	asked := b.r.Turns[len(b.r.Turns)-1]
	if asked.Role == llm.RoleUser && len(visible(asked.Blocks)) == 0 {
		b.n.invalid(asked.Path+".content", "the last message is empty")
		return
	}
	if b.turns[0].Role != llm.RoleUser {
		b.turns = append([]llm.Turn{{Role: llm.RoleUser, Blocks: []llm.Block{{Text: "."}}}}, b.turns...)
		b.n.emulated(b.turns[1].Path)
	}
	last := &b.turns[len(b.turns)-1]
	if last.Role != llm.RoleAssistant {
		return
	}
	end := &last.Blocks[len(last.Blocks)-1]
	if end.Kind == llm.BlockCall {
		b.n.invalid(last.Path, b.c.client.unanswered)
		return
	}
	if last.Prefix && b.cap.Prefill != nil && *b.cap.Prefill {
		end.Text = strings.TrimRight(end.Text, " \t\r\n")
		return
	}
	b.n.emulated(last.Path)
	b.push(llm.RoleUser, last.Path, []llm.Block{{Text: "Continue."}})
}
