package convert

import (
	"strings"

	"model-proxy/internal/llm"
	"model-proxy/internal/rawjson"
)

// chatSeals are the kinds of seals that hold what Chat Completions tells. A
// provider may speak other protocols too, in which it made the rest.
var chatSeals = map[string]bool{
	"": true, "reasoning_content": true, "reasoning": true, "reasoning_details": true, "thinking_parts": true, "extra_content": true,
}

// replayable reports whether a turn carries reasoning this host made.
func (b *chatBuilder) replayable(blocks []llm.Block) bool {
	for _, k := range blocks {
		if kind, _, ok := unseal(k.Signature, b.c.x.target.Provider); ok && chatSeals[kind] && k.Kind == llm.BlockThinking {
			return true
		}
	}
	return false
}

// foreignThoughts warns of the reasoning in a turn that is dropped.
func (b *chatBuilder) foreignThoughts(blocks []llm.Block) {
	for _, k := range blocks {
		if k.Kind == llm.BlockThinking || k.Kind == llm.BlockRedacted {
			b.n.dropped(firstOf(k.Path, "messages.thinking"))
		}
	}
}

// replay writes the reasoning of a turn in the form its host made it, and
// returns content parts where it belongs there. Reasoning of other vendors is
// dropped; it is never turned into text the user could see.
func (b *chatBuilder) replay(blocks []llm.Block) (parts []byte) {
	var texts []string
	var details [][]byte
	form := ""
	for _, k := range blocks {
		if k.Kind != llm.BlockThinking && k.Kind != llm.BlockRedacted {
			continue
		}
		kind, data, ok := unseal(k.Signature, b.c.x.target.Provider)
		if !ok || !chatSeals[kind] {
			b.n.dropped(firstOf(k.Path, "messages.thinking"))
			continue
		}
		if kind == "extra_content" {
			continue
		}
		form = kind
		texts = append(texts, k.Text)
		for d := range rawjson.Array(data) {
			details = append(details, d)
		}
	}
	if b.q.ReasoningReplay == "forbidden" || b.q.ReasoningIn == "none" {
		return nil
	}
	if form == "" {
		if b.replays && b.q.ReasoningReplay == "required" {
			b.o.key("reasoning_content").str("")
		}
		return nil
	}
	return b.writeReplay(firstOf(b.q.ReasoningIn, form), strings.Join(texts, "\n\n"), details)
}

func (b *chatBuilder) writeReplay(form, text string, details [][]byte) (parts []byte) {
	switch form {
	case "reasoning_details":
		b.o.key("reasoning_details").open('[')
		for _, d := range details {
			b.o.raw(d)
		}
		b.o.close(']')
	case "content-thinking-parts", "thinking_parts":
		var o build
		o.open('{')
		o.key("type").str("thinking")
		o.key("thinking").open('[')
		o.open('{')
		o.key("type").str("text")
		o.key("text").str(text)
		o.close('}')
		o.close(']')
		o.close('}')
		return o.b
	case "reasoning":
		b.o.key("reasoning").str(text)
	default:
		b.o.key("reasoning_content").str(text)
	}
	return nil
}
