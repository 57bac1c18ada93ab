package convert

import (
	"strings"

	"model-proxy/internal/llm"
	"model-proxy/internal/rawjson"
)

// assistant writes an assistant's turn; extra is a member to add, as raw JSON. Of
// a turn that held another vendor's thinking alone there is nothing to write, and
// hosts refuse an empty message.
func (b *chatBuilder) assistant(t llm.Turn, extra string) {
	text := b.assistantText(t.Blocks)
	calls := countCalls(t.Blocks)
	if text == "" && calls == 0 && len(t.Blocks) > 0 && !b.replayable(t.Blocks) {
		b.foreignThoughts(t.Blocks)
		return
	}
	b.o.open('{')
	b.o.key("role").str("assistant")
	parts := b.replay(t.Blocks)
	switch {
	case parts != nil: // Mistral wants its thinking where it put it
		b.o.key("content").open('[')
		b.o.raw(parts)
		if text != "" {
			b.textPart(text, nil)
		}
		b.o.close(']')
	case text != "" || calls == 0:
		b.o.key("content").str(text)
	case b.q.AssistantContentWhenTools == "empty" || b.q.AssistantContentWhenTools == `""`:
		b.o.key("content").str("")
	case b.q.AssistantContentWhenTools != "omit":
		b.o.key("content").lit("null")
	}
	if calls > 0 {
		b.o.key("tool_calls").open('[')
		b.calls(t.Blocks)
		b.o.close(']')
	}
	if extra != "" {
		b.o.key(extra).lit("true")
	}
	b.o.close('}')
}

// assistantText joins an assistant's texts: adjacent ones without a gap, those
// with another kind of block between them with an empty line.
func (b *chatBuilder) assistantText(blocks []llm.Block) string {
	text, apart := "", false
	for _, k := range blocks {
		piece := ""
		switch k.Kind {
		case llm.BlockText, llm.BlockRefusal:
			piece = k.Text
		case llm.BlockOpaque:
			piece = b.n.opaqueText(k)
			apart = true
		default:
			apart = true
			continue
		}
		if piece == "" {
			continue
		}
		if text != "" && apart {
			text += "\n\n"
		}
		text += piece
		apart = k.Kind == llm.BlockOpaque
	}
	return text
}

// calls writes an assistant's tool calls. A seal right before a call may hold
// what the host attached to it.
func (b *chatBuilder) calls(blocks []llm.Block) {
	var extra []byte
	for _, k := range blocks {
		if k.Kind == llm.BlockThinking {
			if kind, data, ok := unseal(k.Signature, b.c.x.target.Provider); ok && kind == "extra_content" {
				extra = rawjson.First(data)
			}
			continue
		}
		if k.Kind != llm.BlockCall {
			continue
		}
		b.o.open('{')
		b.o.key("id").str(b.ids.call(k.ID))
		b.call(k)
		if extra != nil {
			b.o.key("extra_content").raw(extra)
			extra = nil
		}
		b.o.close('}')
	}
}

// call writes type and function of a call of the history.
func (b *chatBuilder) call(k llm.Block) {
	k.Name = b.c.rename(k.Name)
	args := firstOf(k.Args, "{}")
	switch {
	case k.Custom && b.c.x.openAI():
		args = k.Args
	case k.Custom:
		args, k.Custom = string(customArgs(k.Args)), false
	}
	appendChatCall(&b.o, k, args)
}

// prefill writes a last turn of the assistant that is to be continued.
func (b *chatBuilder) prefill(t llm.Turn) {
	text := strings.TrimRight(b.assistantText(t.Blocks), " \t\r\n")
	if text == "" {
		return
	}
	t.Blocks = []llm.Block{{Text: text}}
	switch b.q.PrefixField {
	case "prefix":
		b.assistant(t, "prefix")
	case "continue_final_message":
		b.assistant(t, "")
		b.c.prefill = text
	default:
		b.o.open('{')
		b.o.key("role").str("user")
		b.o.key("content").str(b.c.continuePrefill(t, text))
		b.o.close('}')
	}
}
