package convert

import (
	"encoding/base64"
	"strings"

	"model-proxy/internal/llm"
	"model-proxy/internal/rawjson"
)

// sealPrefix begins a signature that the gateway made. A client of Messages
// sends thinking back as it got it, signature included, so the signature carries
// what a host of another protocol wants to see again.
const sealPrefix = "gw1."

// seal makes a signature of what provider wants back: kind says which form data
// is in, data is JSON or nil where the thinking's own text is all there is.
func seal(provider, kind string, data []byte) string {
	var o build
	o.open('{')
	o.key("p").str(provider)
	o.key("k").str(kind)
	if data != nil {
		o.key("d").raw(data)
	}
	o.close('}')
	return sealPrefix + base64.RawURLEncoding.EncodeToString(o.b)
}

// unseal opens a signature that seal made for the same provider.
func unseal(signature, provider string) (kind string, data []byte, ok bool) {
	raw, ok := sealed(signature)
	if !ok || !rawjson.EqualString(rawjson.Get(raw, "p"), provider) {
		return "", nil, false
	}
	return str(rawjson.Get(raw, "k")), rawjson.Get(raw, "d"), true
}

// openSeal is unseal for whatever provider.
func openSeal(signature string) (kind string, data []byte, ok bool) {
	raw, ok := sealed(signature)
	return str(rawjson.Get(raw, "k")), rawjson.Get(raw, "d"), ok
}

// sealed is what a seal says, and whether signature is one.
func sealed(signature string) (raw []byte, ok bool) {
	text, ok := strings.CutPrefix(signature, sealPrefix)
	if !ok {
		return nil, false
	}
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || !rawjson.Valid(raw) {
		return nil, false
	}
	return raw, true
}

// native reports whether a signature is the vendor's own, not one of our seals.
func native(signature string) bool {
	return signature != "" && !strings.HasPrefix(signature, sealPrefix)
}

// formatMessages marks reasoning_details that came from Messages.
const formatMessages = "anthropic-claude-v1"

// chatReasoning reads what a Chat Completions client sends back of earlier
// thinking: reasoning_details, thinking_blocks, or plain text.
func chatReasoning(m members) []llm.Block {
	var blocks []llm.Block
	for d := range rawjson.Array(m.get("reasoning_details")) {
		blocks = addDetail(blocks, d)
	}
	text := firstOf(m.str("reasoning_content"), m.str("reasoning"))
	if blocks != nil && tells(blocks, text) {
		return blocks
	}
	blocks = nil
	for b := range rawjson.Array(m.get("thinking_blocks")) {
		switch str(rawjson.Get(b, "type")) {
		case "thinking":
			blocks = append(blocks, llm.Block{Kind: llm.BlockThinking, Text: str(rawjson.Get(b, "thinking")), Signature: str(rawjson.Get(b, "signature"))})
		case "redacted_thinking":
			blocks = append(blocks, llm.Block{Kind: llm.BlockRedacted, Signature: str(rawjson.Get(b, "data"))})
		}
	}
	if blocks != nil {
		return blocks
	}
	if text != "" {
		return []llm.Block{{Kind: llm.BlockThinking, Text: text}}
	}
	return nil
}

// tells reports whether details can be all there is of a turn's thinking. A
// client that keeps of a stream only the last piece of what it has no name for
// sends a signature back without its text, and no vendor takes that.
func tells(blocks []llm.Block, text string) bool {
	said := text == ""
	for _, b := range blocks {
		said = said || b.Text != "" || b.Kind == llm.BlockRedacted
	}
	return said
}

// addDetail adds one entry of reasoning_details. Streams tell a block in several
// entries of one index, and some clients send those back as they were.
func addDetail(blocks []llm.Block, d []byte) []llm.Block {
	b := llm.Block{Kind: llm.BlockThinking, Path: string(rawjson.Get(d, "index")), Text: str(rawjson.Get(d, "text"))}
	if format := str(rawjson.Get(d, "format")); format == formatMessages {
		b.Signature = str(rawjson.Get(d, "signature"))
	}
	switch str(rawjson.Get(d, "type")) {
	case "reasoning.encrypted":
		if str(rawjson.Get(d, "format")) != formatMessages {
			return blocks
		}
		return append(blocks, llm.Block{Kind: llm.BlockRedacted, Path: b.Path, Signature: str(rawjson.Get(d, "data"))})
	case "reasoning.text":
	default:
		return blocks
	}
	if n := len(blocks) - 1; n >= 0 && b.Path != "" && blocks[n].Path == b.Path && blocks[n].Kind == llm.BlockThinking && blocks[n].Signature == "" {
		blocks[n].Text += b.Text
		blocks[n].Signature = b.Signature
		return blocks
	}
	return append(blocks, b)
}

// appendDetail writes one thinking block, or a piece of one, as an entry of
// reasoning_details.
func appendDetail(o *build, b llm.Block, index int) {
	o.open('{')
	if b.Kind == llm.BlockRedacted {
		o.key("type").str("reasoning.encrypted")
		o.key("data").str(b.Signature)
	} else {
		o.key("type").str("reasoning.text")
		o.key("text").str(b.Text)
		if b.Signature != "" {
			o.key("signature").str(b.Signature)
		}
	}
	o.key("format").str(formatMessages)
	o.key("index").int(int64(index))
	o.close('}')
}
