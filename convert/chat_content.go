package convert

import (
	"strings"

	"model-proxy/internal/llm"
	"model-proxy/internal/rawjson"
)

// parts reads a message's content: a string or a list of parts.
func (p *chatParser) parts(path string, content []byte) []llm.Block {
	open := p.open()
	p.pushParts(path, content)
	return p.list(open)
}

// pushParts adds a message's content to the list that is being read.
func (p *chatParser) pushParts(path string, content []byte) {
	path = p.under(path, ".content")
	if s, ok := p.unquote(content); ok {
		p.push(llm.Block{Kind: llm.BlockText, Path: path, Text: s})
		return
	}
	i := 0
	for part := range rawjson.Array(p.n.listed(path, content)) {
		m := p.split(part)
		b, ok := p.part(p.at(path, i), m, part)
		i++
		p.done(m)
		if !ok {
			continue
		}
		b.Cache = object(m.get("cache_control"))
		if bp := object(m.get("prompt_cache_breakpoint")); bp != nil && b.Cache == nil {
			b.Cache = cacheBreakpoint(bp)
			p.n.emulated(b.Path + ".prompt_cache_breakpoint")
		}
		p.push(b)
	}
}

// cacheBreakpoint spells OpenAI's explicit breakpoint as cache_control.
func cacheBreakpoint(raw []byte) []byte {
	switch ttl := str(rawjson.Get(raw, "ttl")); ttl {
	case "", "5m", "10m", "30m":
		return []byte(`{"type":"ephemeral"}`)
	}
	return []byte(`{"type":"ephemeral","ttl":"1h"}`)
}

func (p *chatParser) part(path string, m members, part []byte) (llm.Block, bool) {
	b := llm.Block{Path: path}
	switch kind := p.word(m.get("type")); kind {
	case "text", "input_text", "output_text", "":
		b.Text = p.str(m.get("text"))
	case "refusal":
		b.Kind, b.Text = llm.BlockRefusal, p.str(m.get("refusal"))
	case "image_url":
		url := str(rawjson.Get(m.get("image_url"), "url"))
		if isString(m.get("image_url")) {
			url = m.str("image_url")
		}
		b.Kind, b.Media = llm.BlockImage, mediaFromURL(url)
		b.Media.Detail = str(rawjson.Get(m.get("image_url"), "detail"))
		if b.Media.Type == "application/pdf" {
			b.Kind = llm.BlockDocument
			p.n.emulated(path)
		}
	case "file":
		b.Kind, b.Media = llm.BlockDocument, chatFile(m.get("file"))
	case "file_url", "document_url": // OpenRouter's and Mistral's
		b.Kind, b.Media = llm.BlockDocument, linkedFile(m, kind)
		p.n.emulated(path)
	case "input_audio":
		b.Kind = llm.BlockAudio
		b.Media = &llm.Media{Type: str(rawjson.Get(m.get("input_audio"), "format")), Data: str(rawjson.Get(m.get("input_audio"), "data"))}
	case "thinking": // Mistral's history: the list of parts came from such a host
		return b, false
	default:
		b.Kind, b.Name, b.Raw = llm.BlockOpaque, kind, part
	}
	return b, true
}

func chatFile(f []byte) *llm.Media {
	if id := str(rawjson.Get(f, "file_id")); id != "" {
		return &llm.Media{FileID: id}
	}
	m := mediaFromFile(str(rawjson.Get(f, "file_data")))
	m.Title = str(rawjson.Get(f, "filename"))
	return m
}

// linkedFile reads a part that names a file by its address, or holds it as
// base64 there: {"type":kind,kind:"…"} or {"type":kind,kind:{"url":"…"}}.
func linkedFile(m members, kind string) *llm.Media {
	v := m.get(kind)
	url := firstOf(str(v), str(rawjson.Get(v, "url")))
	if strings.Contains(url, "://") {
		return &llm.Media{URL: url, Title: firstOf(m.str("document_name"), m.str("file_name"))}
	}
	return mediaFromFile(url)
}

// mediaFromFile is mediaFromURL for what some clients send as bare base64.
func mediaFromFile(data string) *llm.Media {
	if data == "" || strings.HasPrefix(data, "data:") || strings.Contains(data, "://") {
		return mediaFromURL(data)
	}
	return &llm.Media{Type: sniff("application/pdf", data), Data: data}
}

// mediaFromURL reads a data URL, or keeps any other URL as it is.
func mediaFromURL(url string) *llm.Media {
	rest, ok := strings.CutPrefix(url, "data:")
	if !ok {
		return &llm.Media{URL: url}
	}
	label, data, _ := strings.Cut(rest, ",")
	kind, encoded := strings.CutSuffix(label, ";base64")
	kind, _, _ = strings.Cut(kind, ";")
	if !encoded {
		return &llm.Media{Type: kind, Text: data}
	}
	return &llm.Media{Type: sniff(kind, data), Data: data}
}
