package convert

import (
	"encoding/base64"
	"slices"
	"strings"

	"model-proxy/internal/llm"
)

// texts is blocks with every document that is text told as such, for targets
// that know files only.
func (n *notes) texts(blocks []llm.Block) []llm.Block {
	if !slices.ContainsFunc(blocks, isTextDocument) {
		return blocks
	}
	var out []llm.Block
	for _, k := range blocks {
		if !isTextDocument(k) {
			out = append(out, k)
			continue
		}
		n.emulated(k.Path)
		out = append(out, n.documentText(k)...)
	}
	return out
}

func isTextDocument(k llm.Block) bool {
	return k.Kind == llm.BlockDocument && (k.Media.Text != "" || k.Media.Parts != nil || k.Media.Data != "" && textual(k.Media.Type))
}

// textual reports whether files of a media type are text to a model.
func textual(mediaType string) bool {
	return strings.HasPrefix(mediaType, "text/") || mediaType == "application/json" || mediaType == "application/xml"
}

// documentText tells a document as one text, or as several blocks where there is
// an image in it.
func (n *notes) documentText(k llm.Block) []llm.Block {
	m := k.Media
	head := "<document>\n"
	if m.Title != "" {
		head = `<document title="` + strings.ReplaceAll(m.Title, `"`, "'") + "\">\n"
	}
	if m.Context != "" {
		head += m.Context + "\n"
	}
	const tail = "\n</document>"
	if !onlyText(m.Parts) {
		parts := append([]llm.Block{{Path: k.Path, Text: head}}, m.Parts...)
		return append(parts, llm.Block{Path: k.Path, Text: tail, Cache: k.Cache})
	}
	text := n.plainText(k)
	for i, p := range m.Parts {
		if i > 0 {
			text += "\n"
		}
		text += p.Text
	}
	return []llm.Block{{Path: k.Path, Text: head + text + tail, Cache: k.Cache}}
}

// plainText is the text of a document that is one, "" for others.
func (n *notes) plainText(k llm.Block) string {
	m := k.Media
	if m.Data == "" || !textual(m.Type) {
		return m.Text
	}
	raw, err := base64.StdEncoding.DecodeString(m.Data)
	if err != nil {
		n.invalid(k.Path, "the document's data is not base64")
	}
	return string(raw)
}
