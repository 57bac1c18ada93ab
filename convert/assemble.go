package convert

import "model-proxy/internal/llm"

// answerChunks tells a whole answer as the chunks of a stream.
func answerChunks(a *llm.Answer) []llm.Chunk {
	chunks := []llm.Chunk{{Kind: llm.ChunkStart, ID: a.ID, Model: a.Model}}
	for _, b := range a.Blocks {
		open, text := b, b.Text
		open.Text, open.Args, open.Annotations = "", "", nil
		switch b.Kind {
		case llm.BlockThinking:
			open.Signature = ""
		case llm.BlockCall:
			text = b.Args
		}
		chunks = append(chunks, llm.Chunk{Kind: llm.ChunkOpen, Block: open})
		if text != "" {
			chunks = append(chunks, llm.Chunk{Kind: llm.ChunkText, Text: text})
		}
		chunks = append(chunks, llm.Chunk{Kind: llm.ChunkClose, Block: llm.Block{Signature: b.Signature, Annotations: b.Annotations}})
	}
	return append(chunks, llm.Chunk{Kind: llm.ChunkStop, Stop: a.Stop})
}

// assembly is an answer being put together from the chunks of its stream.
type assembly struct {
	llm.Answer
	text []byte // of the open block
}

// assembled is the whole answer that chunks tell.
func assembled(chunks []llm.Chunk) *llm.Answer {
	var a assembly
	for _, c := range chunks {
		a.add(c)
	}
	return &a.Answer
}

func (a *assembly) add(c llm.Chunk) {
	switch c.Kind {
	case llm.ChunkStart:
		a.ID, a.Model = c.ID, c.Model
	case llm.ChunkOpen:
		a.Blocks = append(a.Blocks, c.Block)
		a.text = a.text[:0]
	case llm.ChunkText:
		a.text = append(a.text, c.Text...)
	case llm.ChunkClose:
		b := &a.Blocks[len(a.Blocks)-1]
		if b.Kind == llm.BlockCall {
			b.Args = string(a.text)
		} else {
			b.Text = string(a.text)
		}
		if c.Block.Signature != "" {
			b.Signature = c.Block.Signature
		}
		b.Annotations = c.Block.Annotations
	case llm.ChunkStop:
		a.Stop = c.Stop
	}
}
