package convert

import (
	"model-proxy/internal/llm"
)

// messages writes the turns as messages: what tools answered first, directly
// behind their calls, then what the user says.
func (b *chatBuilder) messages() {
	before := len(b.o.b)
	turns := joinSplitResults(b.r.Turns)
	for _, t := range turns {
		b.replays = b.replays || t.Role == llm.RoleAssistant && b.replayable(t.Blocks)
	}
	pending := 0
	for i, t := range turns {
		if t.Role != llm.RoleUser && pending > 0 {
			b.unanswered(turns[i-1].Path)
			return
		}
		switch t.Role {
		case llm.RoleSystem:
			b.systemMessage(t)
		case llm.RoleUser:
			if pending = b.userTurn(t, pending); pending > 0 {
				b.unanswered(t.Path)
				return
			}
		default:
			if t.Prefix && i == len(turns)-1 && countCalls(t.Blocks) == 0 {
				b.prefill(t)
				return
			}
			b.assistant(t, "")
			pending = countCalls(t.Blocks)
		}
	}
	if pending > 0 {
		b.unanswered(turns[len(turns)-1].Path)
	}
	if len(b.o.b) == before {
		b.n.invalid("messages", "messages hold no content")
	}
}

func (b *chatBuilder) unanswered(path string) {
	b.n.invalid(path, b.c.client.unanswered)
}

// joinSplitResults joins user turns where a later one still brings results, so
// that all of them can stand directly behind their calls.
func joinSplitResults(turns []llm.Turn) []llm.Turn {
	var out []llm.Turn
	for _, t := range turns {
		n := len(out) - 1
		if n >= 0 && t.Role == llm.RoleUser && out[n].Role == llm.RoleUser && hasResults(t.Blocks) {
			out[n].Blocks = append(append([]llm.Block(nil), out[n].Blocks...), t.Blocks...)
			continue
		}
		out = append(out, t)
	}
	return out
}

// systemMessage writes a system turn where it stood.
func (b *chatBuilder) systemMessage(t llm.Turn) {
	blocks := visible(t.Blocks)
	if len(blocks) == 0 {
		return
	}
	for _, k := range blocks {
		if k.Kind != llm.BlockText {
			b.n.refuse(k.Path, "the target does not take this in a system message")
			return
		}
	}
	role := "system"
	if b.cap.SystemRole == "developer" && b.q.DeveloperRole != "system" {
		role = "developer"
	}
	b.o.open('{')
	b.o.key("role").str(role)
	b.o.key("content")
	b.content(blocks)
	b.o.close('}')
}

// content writes blocks as one string where that says as much, else as parts.
func (b *chatBuilder) content(blocks []llm.Block) {
	blocks = b.n.texts(blocks)
	if len(blocks) == 1 && blocks[0].Kind == llm.BlockText && !b.marks(blocks[0].Cache) {
		b.o.str(blocks[0].Text)
		return
	}
	if b.q.SystemContent == "string" && onlyText(blocks) {
		b.o.str(joinTexts(blocks, "\n\n"))
		return
	}
	b.o.open('[')
	for _, k := range blocks {
		b.part(k)
	}
	b.o.close(']')
}

// userTurn writes results as tool messages and the rest as one user message. It
// returns how many calls are still without a result.
func (b *chatBuilder) userTurn(t llm.Turn, pending int) int {
	rest := b.rest[:0]
	var attached []llm.Block
	for _, k := range t.Blocks {
		switch {
		case k.Kind == llm.BlockResult:
			id, ok := b.ids.result(k.ID)
			if !ok {
				b.n.invalid(k.Path, b.c.client.orphan)
				return 0
			}
			pending--
			attached = append(attached, b.toolMessage(k, id)...)
		case k.Kind == llm.BlockText && k.Text == "":
		default:
			rest = append(rest, k)
		}
	}
	b.rest = rest
	if attached != nil {
		rest = append(attached, rest...)
	}
	if len(rest) == 0 {
		return pending
	}
	b.o.open('{')
	b.o.key("role").str("user")
	b.o.key("content")
	b.content(rest)
	b.o.close('}')
	return pending
}

// toolMessage writes one result and returns the media in it, which a tool
// message cannot hold and the user's message takes.
func (b *chatBuilder) toolMessage(k llm.Block, id string) []llm.Block {
	said, media := k.Content, []llm.Block(nil)
	if !onlyText(said) {
		said, media = b.apart(said)
	}
	text := b.n.errorText(joinTexts(said, "\n"), k)
	if media != nil {
		b.n.emulated(k.Path + ".content")
		if text == "" {
			text = "[see attached " + kindName(media[0].Kind) + "]"
		}
		media = append([]llm.Block{{Text: "Attachment of tool call " + id + ":"}}, media...)
	}
	b.o.open('{')
	b.o.key("role").str("tool")
	b.o.key("tool_call_id").str(id)
	b.o.key("content").str(text)
	b.o.close('}')
	return media
}

// apart sorts what a result holds into texts and media.
func (b *chatBuilder) apart(content []llm.Block) (said, media []llm.Block) {
	for _, c := range content {
		switch c.Kind {
		case llm.BlockText:
			said = append(said, c)
		case llm.BlockImage, llm.BlockDocument:
			media = append(media, c)
		default:
			b.n.refuse(c.Path, "the target does not take this in a tool's result")
		}
	}
	return said, media
}

func kindName(k llm.BlockKind) string {
	if k == llm.BlockImage {
		return "image"
	}
	return "document"
}
