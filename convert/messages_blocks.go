package convert

import (
	"strings"

	"model-proxy/internal/llm"
	"model-proxy/internal/rawjson"
)

// turn writes one assembled turn.
func (b *messagesBuilder) turn(t llm.Turn) {
	b.o.open('{')
	b.o.key("role").str(string(t.Role))
	if t.Native != nil {
		b.native(t)
		b.o.close('}')
		return
	}
	if len(t.Blocks) == 1 && t.Blocks[0].Kind == llm.BlockText && t.Blocks[0].Cache == nil {
		b.o.key("content").str(t.Blocks[0].Text)
		b.o.close('}')
		return
	}
	b.o.key("content").open('[')
	for _, block := range t.Blocks {
		b.block(block)
	}
	b.o.close(']')
	b.o.close('}')
}

func (b *messagesBuilder) block(k llm.Block) {
	switch k.Kind {
	case llm.BlockText, llm.BlockRefusal:
		b.o.open('{')
		b.o.key("type").str("text")
		b.o.key("text").str(k.Text)
	case llm.BlockThinking:
		b.o.open('{')
		b.o.key("type").str("thinking")
		b.o.key("thinking").str(k.Text)
		b.o.key("signature").str(k.Signature)
	case llm.BlockRedacted:
		b.o.open('{')
		b.o.key("type").str("redacted_thinking")
		b.o.key("data").str(k.Signature)
	case llm.BlockCall:
		b.call(k)
	case llm.BlockResult:
		b.result(k)
	case llm.BlockImage:
		b.image(k)
	case llm.BlockDocument:
		b.document(k)
	case llm.BlockAudio:
		b.n.refuse(k.Path, "the target does not take audio")
		return
	default:
		b.n.refuse(k.Path, "the target does not take content of the type "+clean(k.Name))
		return
	}
	if b.n.err != nil {
		return
	}
	if k.Cache != nil {
		b.o.key("cache_control").raw(k.Cache)
	}
	b.o.close('}')
}

func (b *messagesBuilder) call(k llm.Block) {
	b.o.open('{')
	b.o.key("type").str("tool_use")
	b.o.key("id").str(b.ids.call(k.ID))
	b.o.key("name").str(b.c.rename(k.Name))
	if k.Custom {
		b.o.key("input").raw(customArgs(k.Args))
		return
	}
	input, fair := argsObject(b.args[:0], k.Args)
	b.args = input
	if !fair {
		b.n.emulated(k.Path)
	}
	b.o.key("input").raw(input)
}

// argsObject makes the JSON object that Messages wants of arguments as text, in
// room if there is enough. What is no object is wrapped; fair is false then.
func argsObject(room []byte, args string) (input []byte, fair bool) {
	text := append(room, strings.TrimSpace(args)...)
	if len(text) == 0 {
		return []byte("{}"), true
	}
	if !rawjson.Valid(text) {
		var o build
		o.open('{')
		o.key("_invalid_arguments").str(args)
		o.close('}')
		return o.b, false
	}
	if inner, ok := rawjson.Unquote(text); ok { // encoded twice
		if t := []byte(strings.TrimSpace(inner)); rawjson.Valid(t) && t[0] == '{' {
			return t, true
		}
	}
	if text[0] == '{' {
		return text, true
	}
	var o build
	o.open('{')
	o.key("value").raw(text)
	o.close('}')
	return o.b, false
}

func (b *messagesBuilder) result(k llm.Block) {
	id, _ := b.ids.result(k.ID) // arrange has matched them all
	b.o.open('{')
	b.o.key("type").str("tool_result")
	b.o.key("tool_use_id").str(id)
	switch {
	case len(k.Content) == 1 && k.Content[0].Kind == llm.BlockText && k.Content[0].Cache == nil:
		b.o.key("content").str(k.Content[0].Text)
	case len(k.Content) > 0:
		b.o.key("content").open('[')
		for _, c := range k.Content {
			if c.Kind == llm.BlockText && blank(c.Text) {
				continue
			}
			b.block(c)
		}
		b.o.close(']')
	}
	if k.IsError {
		b.o.key("is_error").lit("true")
	}
}

func (b *messagesBuilder) image(k llm.Block) {
	m := k.Media
	switch {
	case b.cap.SupportsVision != nil && !*b.cap.SupportsVision:
		b.n.refuse(k.Path, "the target does not take images")
		return
	case m.Data != "" && !imageTypes[m.Type]:
		b.n.refuse(k.Path, "the target takes images as jpeg, png, gif or webp only")
		return
	case m.Data != "":
		b.o.open('{')
		b.o.key("type").str("image")
		b.source("base64", m.Type, "data", m.Data)
	case strings.HasPrefix(m.URL, "https://") || strings.HasPrefix(m.URL, "http://"):
		if b.cap.SupportsImageURL != nil && !*b.cap.SupportsImageURL {
			b.n.refuse(k.Path, "the target cannot fetch images; send the image as a data URL")
			return
		}
		b.o.open('{')
		b.o.key("type").str("image")
		b.source("url", "", "url", m.URL)
	default:
		b.n.refuse(k.Path, missingImage(m))
	}
}

func (b *messagesBuilder) source(kind, mediaType, field, value string) {
	b.o.key("source").open('{')
	b.o.key("type").str(kind)
	if mediaType != "" {
		b.o.key("media_type").str(mediaType)
	}
	b.o.key(field).str(value)
	b.o.close('}')
}

func (b *messagesBuilder) document(k llm.Block) {
	m := k.Media
	b.o.open('{')
	b.o.key("type").str("document")
	text := b.n.plainText(k)
	switch {
	case text != "":
		b.source("text", "text/plain", "data", text)
	case b.cap.SupportsPDF != nil && !*b.cap.SupportsPDF:
		b.n.refuse(k.Path, "the target does not take PDF documents")
		return
	case m.Data != "" && m.Type == "application/pdf":
		b.source("base64", m.Type, "data", m.Data)
	case m.URL != "" && strings.HasPrefix(m.URL, "http"):
		b.source("url", "", "url", m.URL)
	case m.FileID != "":
		b.n.refuse(k.Path, "the target does not know files stored with another provider; send the file's data")
		return
	default:
		b.n.refuse(k.Path, "the target takes files as PDF or text only")
		return
	}
	if m.Title != "" {
		b.o.key("title").str(m.Title)
	}
}
