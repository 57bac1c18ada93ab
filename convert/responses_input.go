package convert

import (
	"model-proxy/internal/llm"
)

// input writes the turns as items: results first, then what the user says; of
// the assistant's each block in its place.
func (b *responsesBuilder) input() {
	before := len(b.o.b)
	for i, t := range b.r.Turns {
		switch {
		case t.Role == llm.RoleSystem:
			b.system(t)
		case t.Role == llm.RoleUser:
			b.userTurn(t)
		case t.Prefix && i == len(b.r.Turns)-1 && countCalls(t.Blocks) == 0:
			b.prefill(t)
		default:
			b.assistant(t)
		}
	}
	if b.ids.waiting > 0 {
		b.n.invalid(b.lastCalls(), b.c.client.unanswered)
	}
	if len(b.o.b) == before {
		b.n.invalid("messages", "messages hold no content")
	}
}

// lastCalls is where calls were made last.
func (b *responsesBuilder) lastCalls() string {
	path := "input"
	for _, t := range b.r.Turns {
		if countCalls(t.Blocks) > 0 {
			path = t.Path
		}
	}
	return path
}

func (b *responsesBuilder) system(t llm.Turn) {
	blocks := visible(t.Blocks)
	for _, k := range blocks {
		if k.Kind != llm.BlockText {
			b.n.refuse(k.Path, "the target does not take this in a system message")
			return
		}
	}
	role := "system"
	if b.cap.SystemRole == "developer" && b.c.x.target.Quirks.DeveloperRole != "system" {
		role = "developer"
	}
	b.message(role, blocks)
}

// message writes a message of a user or of the system; nothing if it is empty.
func (b *responsesBuilder) message(role string, blocks []llm.Block) {
	if len(blocks) == 0 {
		return
	}
	b.o.open('{')
	b.o.key("role").str(role)
	b.o.key("content")
	b.content(blocks)
	b.o.close('}')
}

// content writes blocks as a string where that says as much, else as parts.
func (b *responsesBuilder) content(blocks []llm.Block) {
	blocks = b.n.texts(blocks)
	if len(blocks) == 1 && blocks[0].Kind == llm.BlockText {
		b.o.str(blocks[0].Text)
		return
	}
	b.o.open('[')
	for _, k := range blocks {
		b.part(k)
	}
	b.o.close(']')
}

func (b *responsesBuilder) userTurn(t llm.Turn) {
	b.rest = b.rest[:0]
	for _, k := range t.Blocks {
		switch {
		case k.Kind == llm.BlockResult:
			b.result(k)
		case k.Kind == llm.BlockText && k.Text == "":
		default:
			b.rest = append(b.rest, k)
		}
	}
	b.message("user", b.rest)
}

func (b *responsesBuilder) result(k llm.Block) {
	id, ok := b.ids.result(k.ID)
	if !ok {
		b.n.invalid(k.Path, b.c.client.orphan)
		return
	}
	b.o.open('{')
	if b.custom[id] {
		b.o.key("type").str("custom_tool_call_output")
	} else {
		b.o.key("type").str("function_call_output")
	}
	b.o.key("call_id").str(id)
	b.o.key("output")
	b.output(k)
	b.o.close('}')
}

// output writes what a tool answered: a text, or parts where there are media.
func (b *responsesBuilder) output(k llm.Block) {
	k.Content = b.n.texts(k.Content)
	if !onlyText(k.Content) {
		content := k.Content
		if text := b.n.errorText("", k); text != "" {
			content = append([]llm.Block{{Text: text}}, content...)
		}
		b.o.open('[')
		for _, c := range content {
			b.part(c)
		}
		b.o.close(']')
		return
	}
	b.o.str(b.n.errorText(joinTexts(k.Content, "\n"), k))
}

// assistant writes an assistant's turn. Reasoning stands before what it led to
// and is left out where nothing follows, which OpenAI refuses.
func (b *responsesBuilder) assistant(t llm.Turn) {
	if t.Native != nil {
		b.n.dropped(t.Path + ".content_blocks")
	}
	var thoughts, said []llm.Block
	lead := func() {
		for _, k := range thoughts {
			b.reasoningItem(k)
		}
		thoughts = nil
	}
	speak := func() {
		if said != nil {
			lead()
			b.spoken(said)
		}
		said = nil
	}
	for _, k := range t.Blocks {
		switch k.Kind {
		case llm.BlockText, llm.BlockRefusal:
			if k.Text != "" {
				said = append(said, k)
			}
		case llm.BlockThinking, llm.BlockRedacted:
			speak()
			thoughts = append(thoughts, k)
		case llm.BlockCall:
			speak()
			lead()
			b.call(k)
		case llm.BlockOpaque:
			if text := b.n.opaqueText(k); text != "" {
				said = append(said, llm.Block{Text: text})
			}
		default:
			b.n.refuse(k.Path, "the target does not take this from an assistant")
		}
	}
	speak()
}

// spoken writes what an assistant said as one message.
func (b *responsesBuilder) spoken(said []llm.Block) {
	b.o.open('{')
	b.o.key("role").str("assistant")
	b.o.key("content")
	if len(said) == 1 && said[0].Kind == llm.BlockText {
		b.o.str(said[0].Text)
		b.o.close('}')
		return
	}
	b.o.open('[')
	for _, k := range said {
		b.o.open('{')
		if k.Kind == llm.BlockRefusal {
			b.o.key("type").str("refusal")
			b.o.key("refusal").str(k.Text)
		} else {
			b.o.key("type").str("output_text")
			b.o.key("text").str(k.Text)
		}
		b.o.close('}')
	}
	b.o.close(']')
	b.o.close('}')
}

// reasoningItem writes reasoning that this host made; that of others is dropped.
func (b *responsesBuilder) reasoningItem(k llm.Block) {
	kind, data, ok := unseal(k.Signature, b.c.x.target.Provider)
	if !ok || kind != sealResponses {
		b.n.dropped(firstOf(k.Path, "messages.thinking"))
		return
	}
	appendReasoningReplay(&b.o, k.Text, data)
}

func (b *responsesBuilder) call(k llm.Block) {
	id := b.ids.call(k.ID)
	native := k.Custom && b.c.x.openAI()
	b.custom[id] = native
	b.o.open('{')
	if native {
		b.o.key("type").str("custom_tool_call")
	} else {
		b.o.key("type").str("function_call")
	}
	b.o.key("call_id").str(id)
	b.o.key("name").str(b.c.rename(k.Name))
	switch {
	case native:
		b.o.key("input").str(k.Args)
	case k.Custom:
		b.o.key("arguments").str(string(customArgs(k.Args)))
	default:
		b.o.key("arguments").str(firstOf(k.Args, "{}"))
	}
	b.o.close('}')
}
