package convert

import (
	"strings"

	"model-proxy/internal/llm"
	"model-proxy/internal/rawjson"
)

// Responses carries reasoning in items of its own, whose encrypted_content is
// what must come back. The other way round it is the signature of Messages or a
// seal of ours that travels there. The seals' kinds:
const (
	sealThinking  = "thinking"  // data: a signature of Messages
	sealRedacted  = "redacted"  // data: redacted_thinking's
	sealResponses = "responses" // data: what an item of Responses must come back with
)

// reasoningItem reads a reasoning item that a client of Responses sends back.
func reasoningItem(path string, v []byte) llm.Block {
	b := llm.Block{Kind: llm.BlockThinking, Path: path, Text: reasoningText(v), Signature: str(rawjson.Get(v, "encrypted_content"))}
	kind, data, sealed := openSeal(b.Signature)
	switch {
	case kind == sealThinking:
		b.Signature = str(data)
	case kind == sealRedacted:
		b.Kind, b.Text, b.Signature = llm.BlockRedacted, "", str(data)
	case !sealed && b.Signature != "": // OpenAI's own, for whom no target here has use
		b.Signature = seal("", sealResponses, nil)
	}
	return b
}

// reasoningText is a reasoning item's summary, or its full text where that is
// what the host shows.
func reasoningText(v []byte) string {
	for _, field := range []string{"summary", "content"} {
		var texts []string
		for part := range rawjson.Array(rawjson.Get(v, field)) {
			texts = append(texts, str(rawjson.Get(part, "text")))
		}
		if text := strings.Join(texts, "\n\n"); text != "" {
			return text
		}
	}
	return ""
}

// encryptedContent is what a client of Responses is given to send back with a
// block of thinking, "" for nothing.
func (c *conversion) encryptedContent(b llm.Block) string {
	if !c.signatures || b.Signature == "" {
		return ""
	}
	kind := sealThinking
	if b.Kind == llm.BlockRedacted {
		kind = sealRedacted
	} else if !native(b.Signature) {
		return b.Signature
	}
	return seal(c.x.target.Provider, kind, rawjson.AppendString(nil, b.Signature))
}

// sealReasoning signs a block with what its item must come back with; field is
// where the item has the block's text, summary or content.
func sealReasoning(provider string, item []byte, field string) string {
	full := field == "content"
	encrypted := str(rawjson.Get(item, "encrypted_content"))
	if encrypted == "" && !full {
		return seal(provider, sealResponses, nil)
	}
	var o build
	o.open('{')
	if id := str(rawjson.Get(item, "id")); id != "" {
		o.key("id").str(id)
	}
	if encrypted != "" {
		o.key("encrypted_content").str(encrypted)
	}
	if full {
		o.key("full").lit("true")
	}
	o.close('}')
	return seal(provider, sealResponses, o.b)
}

// appendReasoningReplay writes the reasoning item that a seal of sealReasoning
// stands for, and whether there is one: without encrypted_content or full text
// a host that keeps nothing has no use for it.
func appendReasoningReplay(o *build, text string, data []byte) bool {
	encrypted, full := rawjson.Get(data, "encrypted_content"), isTrue(rawjson.Get(data, "full"))
	if encrypted == nil && !full {
		return false
	}
	o.open('{')
	o.key("type").str("reasoning")
	if id := rawjson.Get(data, "id"); id != nil {
		o.key("id").raw(id)
	}
	summary, content := text, ""
	if full {
		summary, content = "", text
	}
	o.key("summary")
	appendTexts(o, "summary_text", summary)
	if content != "" {
		o.key("content")
		appendTexts(o, "reasoning_text", content)
	}
	if encrypted != nil {
		o.key("encrypted_content").raw(encrypted)
	}
	o.close('}')
	return true
}

// appendTexts writes a list of one text, or an empty one.
func appendTexts(o *build, kind, text string) {
	o.open('[')
	if text != "" {
		o.open('{')
		o.key("type").str(kind)
		o.key("text").str(text)
		o.close('}')
	}
	o.close(']')
}
