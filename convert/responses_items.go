package convert

import (
	"strings"

	"model-proxy/internal/llm"
	"model-proxy/internal/rawjson"
)

// input reads the conversation: a text, or a list of items. Responses tells one
// turn of the assistant in several items: reasoning, a message, calls.
func (p *responsesParser) input(v []byte) {
	if s, ok := p.unquote(v); ok {
		p.items++
		p.r.Turns = append(p.r.Turns, llm.Turn{Role: llm.RoleUser, Path: "input", Blocks: p.one(llm.Block{Path: "input", Text: s})})
		return
	}
	for item := range rawjson.Array(v) {
		path := p.at("input", p.items)
		p.items++
		p.item(path, item)
	}
}

func (p *responsesParser) item(path string, v []byte) {
	m := p.split(v)
	defer p.done(m)
	kind := p.word(m.get("type"))
	if kind == "" && m.get("role") != nil {
		kind = "message"
	}
	switch kind {
	case "message":
		p.message(path, m)
	case "function_call":
		p.spoken(path, p.one(llm.Block{Kind: llm.BlockCall, Path: path, ID: p.callID(m), Name: p.callee(m), Args: p.args(m.get("arguments"))}))
	case "custom_tool_call":
		p.spoken(path, p.one(llm.Block{Kind: llm.BlockCall, Path: path, ID: p.callID(m), Name: p.callee(m), Args: p.str(m.get("input")), Custom: true}))
	case "function_call_output", "custom_tool_call_output":
		id := p.str(m.get("call_id"))
		if id == "" {
			id = latestCall(p.r.Turns, p.str(m.get("name")))
		}
		p.result(llm.Block{Kind: llm.BlockResult, Path: path, ID: id, Content: p.content(p.under(path, ".output"), m.get("output"))})
	case "reasoning":
		p.spoken(path, p.one(reasoningItem(path, v)))
	case "item_reference", "":
		p.n.refuse(path, "the target keeps no items to refer to; send the items themselves, as libraries do where store is false")
	case "code_interpreter_call":
		p.n.emulated(path)
		p.spoken(path, p.one(llm.Block{Path: path, Text: ranCode(v)}))
	case "web_search_call", "file_search_call": // they tell what was sought, not what was found
		p.n.dropped(path)
	default:
		p.n.refuse(path, "the target does not know items of the type "+clean(kind))
	}
}

// ranCode tells code that OpenAI ran, and what it wrote.
func ranCode(v []byte) string {
	text := "Code that was run:\n```\n" + str(rawjson.Get(v, "code")) + "\n```"
	for out := range rawjson.Array(rawjson.Get(v, "outputs")) {
		if s := firstOf(str(rawjson.Get(out, "logs")), str(rawjson.Get(out, "url"))); s != "" {
			text += "\n" + s
		}
	}
	return text
}

// callID is the id of a call; one that has none is named by its place.
func (p *responsesParser) callID(m members) string {
	if id := p.str(m.get("call_id")); id != "" {
		return id
	}
	return emptyID(p.items, 0)
}

// callee is the qualified name of the tool that is called.
func (p *responsesParser) callee(m members) string {
	return qualified(p.str(m.get("namespace")), p.str(m.get("name")))
}

func (p *responsesParser) message(path string, m members) {
	blocks := p.content(p.under(path, ".content"), m.get("content"))
	switch role := p.word(m.get("role")); role {
	case "system", "developer":
		p.r.Turns = append(p.r.Turns, llm.Turn{Role: llm.RoleSystem, Path: path, Blocks: blocks})
	case "user":
		p.r.Turns = append(p.r.Turns, llm.Turn{Role: llm.RoleUser, Path: path, Blocks: blocks})
	case "assistant":
		p.spoken(path, blocks)
	default:
		p.n.invalid(path+".role", "unknown role")
	}
}

// spoken adds what the assistant said or did. It joins the turn before, so that
// calls stand together with what led to them; a message, or the reasoning before
// it, begins a turn of its own where that one has said something and called
// nothing.
func (p *responsesParser) spoken(path string, blocks []llm.Block) {
	if len(blocks) == 0 {
		return
	}
	n := len(p.r.Turns) - 1
	if n >= 0 && p.r.Turns[n].Role == llm.RoleAssistant {
		last := &p.r.Turns[n]
		if blocks[0].Kind == llm.BlockCall || countCalls(last.Blocks) > 0 || onlyThoughts(last.Blocks) {
			last.Blocks = append(last.Blocks, blocks...)
			return
		}
	}
	p.r.Turns = append(p.r.Turns, llm.Turn{Role: llm.RoleAssistant, Path: path, Blocks: blocks})
}

// dropThoughts takes out turns that hold reasoning and nothing it led to, which
// every vendor refuses.
func (p *responsesParser) dropThoughts() {
	keep := p.r.Turns[:0]
	for _, t := range p.r.Turns {
		if t.Role == llm.RoleAssistant && len(t.Blocks) > 0 && onlyThoughts(t.Blocks) {
			p.n.dropped(t.Path)
			continue
		}
		keep = append(keep, t)
	}
	p.r.Turns = keep
}

// result adds what a tool answered; results that follow one another are a turn.
func (p *responsesParser) result(b llm.Block) {
	n := len(p.r.Turns) - 1
	if n >= 0 && p.r.Turns[n].Role == llm.RoleUser && p.r.Turns[n].Blocks != nil && allResults(p.r.Turns[n].Blocks) {
		p.r.Turns[n].Blocks = append(p.r.Turns[n].Blocks, b)
		return
	}
	p.r.Turns = append(p.r.Turns, llm.Turn{Role: llm.RoleUser, Path: b.Path, Blocks: p.one(b)})
}

// content reads a text or a list of parts.
func (p *responsesParser) content(path string, v []byte) []llm.Block {
	if s, ok := p.unquote(v); ok {
		return p.one(llm.Block{Path: path, Text: s})
	}
	open, i := p.open(), 0
	for part := range rawjson.Array(p.n.listed(path, v)) {
		p.push(p.part(p.at(path, i), part))
		i++
	}
	return p.list(open)
}

func (p *responsesParser) part(path string, v []byte) llm.Block {
	b := llm.Block{Path: path}
	m := p.split(v)
	defer p.done(m)
	switch kind := p.word(m.get("type")); kind {
	case "input_text", "output_text", "text", "":
		b.Text = p.str(m.get("text"))
	case "refusal":
		b.Kind, b.Text = llm.BlockRefusal, str(rawjson.Get(v, "refusal"))
	case "input_image":
		b.Kind, b.Media = llm.BlockImage, &llm.Media{FileID: str(rawjson.Get(v, "file_id"))}
		if b.Media.FileID == "" {
			b.Media = mediaFromURL(str(rawjson.Get(v, "image_url")))
		}
		b.Media.Detail = str(rawjson.Get(v, "detail"))
	case "input_file":
		b.Kind, b.Media = llm.BlockDocument, responsesFile(v)
	case "input_audio":
		b.Kind = llm.BlockAudio
		b.Media = &llm.Media{Type: str(rawjson.Get(v, "input_audio", "format")), Data: str(rawjson.Get(v, "input_audio", "data"))}
	default:
		b.Kind, b.Name, b.Raw = llm.BlockOpaque, kind, v
	}
	return b
}

// responsesFile reads a file: its data, where it lies, or its id.
func responsesFile(v []byte) *llm.Media {
	m := &llm.Media{FileID: str(rawjson.Get(v, "file_id")), URL: str(rawjson.Get(v, "file_url"))}
	if data := str(rawjson.Get(v, "file_data")); data != "" {
		if !strings.HasPrefix(data, "data:") { // bare base64 is taken too
			data = "data:application/pdf;base64," + data
		}
		m = mediaFromURL(data)
	}
	m.Title = str(rawjson.Get(v, "filename"))
	return m
}
