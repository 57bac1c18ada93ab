package convert

import "model-proxy/internal/llm"

// part writes one part of a message or of a result.
func (b *responsesBuilder) part(k llm.Block) {
	switch k.Kind {
	case llm.BlockText, llm.BlockRefusal:
		b.textPart(k.Text)
	case llm.BlockImage:
		b.image(k)
	case llm.BlockDocument:
		b.document(k)
	default:
		b.n.refuse(k.Path, "the target does not take content of the type "+firstOf(clean(k.Name), "audio"))
	}
}

func (b *responsesBuilder) textPart(text string) {
	b.o.open('{')
	b.o.key("type").str("input_text")
	b.o.key("text").str(text)
	b.o.close('}')
}

func (b *responsesBuilder) image(k llm.Block) {
	m := k.Media
	field, value := "image_url", m.URL
	switch {
	case b.cap.SupportsVision != nil && !*b.cap.SupportsVision:
		b.n.refuse(k.Path, "the target does not take images")
		return
	case m.Data != "":
		value = "data:" + sniff(m.Type, m.Data) + ";base64," + m.Data
	case m.FileID != "" && b.c.x.withinOpenAI():
		field, value = "file_id", m.FileID
	}
	if value == "" {
		b.n.refuse(k.Path, missingImage(m))
		return
	}
	b.o.open('{')
	b.o.key("type").str("input_image")
	b.o.key(field).str(value)
	if m.Detail != "" {
		b.o.key("detail").str(m.Detail)
	}
	b.o.close('}')
}

// document writes a document that is no text (see texts) as a file.
func (b *responsesBuilder) document(k llm.Block) {
	m := k.Media
	switch {
	case m.URL != "":
		b.file("file_url", m.URL, "", m.Context)
	case m.FileID != "" && b.c.x.withinOpenAI():
		b.file("file_id", m.FileID, "", m.Context)
	case m.Data == "" || m.Type != "application/pdf":
		b.n.refuse(k.Path, "the target takes documents as PDF data, as an address or as text only")
	case b.cap.SupportsPDF != nil && !*b.cap.SupportsPDF:
		b.n.refuse(k.Path, "the target does not take PDF documents")
	default:
		b.file("file_data", "data:application/pdf;base64,"+m.Data, firstOf(m.Title, "document.pdf"), m.Context)
	}
}

func (b *responsesBuilder) file(field, value, name, context string) {
	if context != "" {
		b.textPart(context)
	}
	b.o.open('{')
	b.o.key("type").str("input_file")
	if name != "" {
		b.o.key("filename").str(name)
	}
	b.o.key(field).str(value)
	b.o.close('}')
}
