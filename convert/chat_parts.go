package convert

import (
	"model-proxy/internal/llm"
	"model-proxy/internal/rawjson"
)

// cache passes a cache mark on where the host takes those of Messages, or
// spells it as OpenAI's explicit breakpoint where the host takes those.
func (b *chatBuilder) cache(mark []byte) {
	switch {
	case mark == nil:
	case b.q.CacheControlPassthrough:
		b.o.key("cache_control").raw(mark)
	case b.q.CacheBreakpoints:
		b.n.emulated("cache_control")
		b.o.key("prompt_cache_breakpoint").open('{')
		b.o.key("mode").str("explicit")
		if ttl := rawjson.Get(mark, "ttl"); isString(ttl) {
			b.o.key("ttl").raw(ttl)
		}
		b.o.close('}')
	}
}

// marks reports whether a cache mark has a place in the host's requests.
func (b *chatBuilder) marks(mark []byte) bool {
	return mark != nil && (b.q.CacheControlPassthrough || b.q.CacheBreakpoints)
}

// image writes an image part.
func (b *chatBuilder) image(k llm.Block) {
	m := k.Media
	if b.cap.SupportsVision != nil && !*b.cap.SupportsVision {
		b.n.refuse(k.Path, "the target does not take images")
		return
	}
	url := m.URL
	if m.Data != "" {
		url = "data:" + sniff(m.Type, m.Data) + ";base64," + m.Data
	}
	if url == "" {
		b.n.refuse(k.Path, missingImage(m))
		return
	}
	b.o.open('{')
	b.o.key("type").str("image_url")
	b.o.key("image_url").open('{')
	b.o.key("url").str(url)
	if m.Detail != "" {
		b.o.key("detail").str(m.Detail)
	}
	b.o.close('}')
	b.cache(k.Cache)
	b.o.close('}')
}

// document writes a document that is no text (see texts) as a file.
func (b *chatBuilder) document(k llm.Block) {
	m := k.Media
	switch {
	case m.FileID != "" && b.c.x.withinOpenAI():
		b.o.open('{')
		b.o.key("type").str("file")
		b.o.key("file").open('{')
		b.o.key("file_id").str(m.FileID)
		b.o.close('}')
		b.o.close('}')
	case m.Data == "" || m.Type != "application/pdf":
		b.n.refuse(k.Path, "the target takes documents as PDF data or text only")
	case b.cap.SupportsPDF != nil && !*b.cap.SupportsPDF:
		b.n.refuse(k.Path, "the target does not take PDF documents")
	default:
		if m.Context != "" {
			b.textPart(m.Context, nil)
		}
		b.o.open('{')
		b.o.key("type").str("file")
		b.o.key("file").open('{')
		b.o.key("filename").str(firstOf(m.Title, "document.pdf"))
		b.o.key("file_data").str("data:application/pdf;base64," + m.Data)
		b.o.close('}')
		b.cache(k.Cache)
		b.o.close('}')
	}
}

func (b *chatBuilder) textPart(text string, cache []byte) {
	b.o.open('{')
	b.o.key("type").str("text")
	b.o.key("text").str(text)
	b.cache(cache)
	b.o.close('}')
}

// part writes one block of a user's or system's message.
func (b *chatBuilder) part(k llm.Block) {
	switch k.Kind {
	case llm.BlockText, llm.BlockRefusal:
		b.textPart(k.Text, k.Cache)
	case llm.BlockImage:
		b.image(k)
	case llm.BlockDocument:
		b.document(k)
	default:
		b.n.refuse(k.Path, "the target does not take content of the type "+firstOf(clean(k.Name), "audio"))
	}
}
