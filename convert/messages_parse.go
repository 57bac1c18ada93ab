package convert

import (
	"strings"

	"model-proxy/internal/llm"
	"model-proxy/internal/rawjson"
)

// parseMessagesRequest reads a Messages request into the shared form.
func parseMessagesRequest(body []byte, n *notes) *llm.Request {
	p := &messagesParser{arena: newArena(len(body)), n: n, r: &llm.Request{IncludeUsage: true}}
	p.r.Turns = turns(len(body))[:1] // the first is the system's, wherever it stands
	for name, v := range rawjson.Object(body) {
		if rawjson.IsNull(v) {
			continue
		}
		switch name {
		case "model", "stream":
		case "system":
			p.r.Turns[0] = llm.Turn{Role: llm.RoleSystem, Path: "system", Blocks: p.content("system", v)}
		case "messages":
			p.messages(v)
		case "max_tokens":
			p.maxTokens(v)
		case "temperature":
			p.r.Temperature = v
		case "top_p":
			p.r.TopP = v
		case "top_k":
			p.r.TopK = v
		case "stop_sequences":
			p.r.Stop = stringList(v)
		case "thinking":
			readThinking(&p.r.Reasoning, v)
		case "output_config":
			p.r.Reasoning.Config = str(rawjson.Get(v, "effort"))
			p.r.Reasoning.Effort = p.r.Reasoning.Config
			p.format(rawjson.Get(v, "format"))
		case "output_format":
			p.format(v)
		case "tools":
			p.tools(v)
		case "tool_choice":
			p.choice(v)
		case "metadata":
			p.r.User = str(rawjson.Get(v, "user_id"))
		case "service_tier":
			p.r.ServiceTier = str(v)
		default:
			p.r.Extra = append(p.r.Extra, llm.Field{Path: name, Value: v})
		}
	}
	if p.r.Turns[0].Role == "" {
		p.r.Turns = p.r.Turns[1:]
	}
	if p.asked == 0 {
		n.invalid("messages", "messages must hold at least one message")
	}
	return p.r
}

type messagesParser struct {
	*arena
	n     *notes
	r     *llm.Request
	asked int // messages
}

func (p *messagesParser) maxTokens(v []byte) {
	limit, ok := rawjson.Int(v)
	switch {
	case !ok || limit < 0:
		p.n.invalid("max_tokens", "max_tokens must be a whole number of at least 0")
	case limit == 0:
		p.n.refuse("max_tokens", "the target cannot warm a cache without answering")
	}
	p.r.MaxTokens = &limit
}

func (p *messagesParser) format(v []byte) {
	if schema := object(rawjson.Get(v, "schema")); schema != nil {
		p.r.Format = &llm.Format{Kind: "json_schema", Schema: schema}
	}
}

func (p *messagesParser) tools(list []byte) {
	i := 0
	for v := range rawjson.Array(list) {
		t := llm.Tool{
			Path: at("tools", i), Name: str(rawjson.Get(v, "name")), Description: str(rawjson.Get(v, "description")),
			Schema: object(rawjson.Get(v, "input_schema")), Strict: boolean(rawjson.Get(v, "strict")),
			Cache: object(rawjson.Get(v, "cache_control")), Examples: rawjson.Get(v, "input_examples"), Raw: v,
		}
		i++
		if kind := str(rawjson.Get(v, "type")); kind != "" && kind != "custom" {
			t.Server = kind
		}
		if isTrue(rawjson.Get(v, "defer_loading")) {
			p.n.refuse(t.Path+".defer_loading", "the target cannot load tools later")
		}
		for _, caller := range stringList(rawjson.Get(v, "allowed_callers")) {
			if caller != "direct" {
				p.n.refuse(t.Path+".allowed_callers", "the target calls tools directly only")
			}
		}
		p.r.Tools = append(p.r.Tools, t)
	}
}

var messagesChoice = map[string]llm.ChoiceKind{
	"auto": llm.ChoiceAuto, "any": llm.ChoiceAny, "tool": llm.ChoiceTool, "none": llm.ChoiceNone,
}

func (p *messagesParser) choice(v []byte) {
	kind, known := messagesChoice[str(rawjson.Get(v, "type"))]
	if !known {
		p.n.invalid("tool_choice", "unknown tool_choice")
		return
	}
	p.r.Choice.Kind, p.r.Choice.Name = kind, str(rawjson.Get(v, "name"))
	if serial := boolean(rawjson.Get(v, "disable_parallel_tool_use")); serial != nil {
		parallel := !*serial
		p.r.Parallel = &parallel
	}
}

func (p *messagesParser) messages(list []byte) {
	for v := range rawjson.Array(list) {
		path := p.at("messages", p.asked)
		p.asked++
		m := p.split(v)
		t := llm.Turn{Path: path, Role: llm.Role(p.word(m.get("role")))}
		switch t.Role {
		case llm.RoleUser, llm.RoleAssistant, llm.RoleSystem:
		default:
			p.n.invalid(path+".role", "unknown role")
			return
		}
		t.Blocks = p.content(p.under(path, ".content"), m.get("content"))
		p.done(m)
		p.add(t)
	}
	if n := len(p.r.Turns); n > 0 && p.r.Turns[n-1].Role == llm.RoleAssistant {
		p.r.Turns[n-1].Prefix = true
	}
}

// add adds a turn. A summary of what was compacted, which Messages puts into an
// assistant's turn, is the user's word to the others.
func (p *messagesParser) add(t llm.Turn) {
	for i, b := range t.Blocks {
		if b.Name != compaction || t.Role != llm.RoleAssistant {
			continue
		}
		summary := llm.Turn{Role: llm.RoleUser, Path: b.Path, Blocks: t.Blocks[i : i+1 : i+1]}
		if i > 0 {
			p.r.Turns = append(p.r.Turns, llm.Turn{Role: t.Role, Path: t.Path, Blocks: t.Blocks[:i:i]})
		}
		p.r.Turns = append(p.r.Turns, summary)
		if t.Blocks = t.Blocks[i+1:]; len(t.Blocks) > 0 {
			p.add(t)
		}
		return
	}
	p.r.Turns = append(p.r.Turns, t)
}

// compaction is the type of a block that sums up what came before it.
const compaction = "compaction"

// content reads a string or a list of blocks.
func (p *messagesParser) content(path string, v []byte) []llm.Block {
	if s, ok := p.unquote(v); ok {
		return p.one(llm.Block{Kind: llm.BlockText, Path: path, Text: s})
	}
	open, i := p.open(), 0
	for b := range rawjson.Array(p.n.listed(path, v)) {
		p.push(p.block(p.at(path, i), b))
		i++
	}
	return p.list(open)
}

func (p *messagesParser) block(path string, v []byte) llm.Block {
	m := p.split(v)
	defer p.done(m)
	b := llm.Block{Path: path, Cache: object(m.get("cache_control"))}
	switch kind := p.word(m.get("type")); kind {
	case "text":
		b.Text = p.str(m.get("text"))
	case "thinking":
		b.Kind, b.Text, b.Signature = llm.BlockThinking, p.str(m.get("thinking")), p.str(m.get("signature"))
	case "redacted_thinking":
		b.Kind, b.Signature = llm.BlockRedacted, p.str(m.get("data"))
	case "tool_use":
		b.Kind, b.ID, b.Name = llm.BlockCall, p.str(m.get("id")), p.str(m.get("name"))
		b.Args = p.args(m.get("input"))
	case "tool_result":
		b.Kind, b.ID = llm.BlockResult, p.str(m.get("tool_use_id"))
		b.Content = p.content(p.under(path, ".content"), m.get("content"))
		b.IsError = isTrue(m.get("is_error"))
	case "image":
		b.Kind, b.Media = llm.BlockImage, p.source(path, m.get("source"))
	case "document":
		b.Kind, b.Media = llm.BlockDocument, p.source(path, m.get("source"))
		b.Media.Title, b.Media.Context = m.str("title"), m.str("context")
		if isTrue(rawjson.Get(m.get("citations"), "enabled")) {
			p.n.dropped(path + ".citations")
		}
	case "search_result":
		b.Text = searchText(v)
		p.n.emulated(path)
	case compaction:
		b.Name, b.Text = kind, m.str("content")
		p.n.emulated(path)
	default:
		b.Kind, b.Name, b.Raw = llm.BlockOpaque, kind, v
	}
	return b
}

// searchText tells a search_result as text.
func searchText(v []byte) string {
	lines := []string{str(rawjson.Get(v, "title")), str(rawjson.Get(v, "source"))}
	for c := range rawjson.Array(rawjson.Get(v, "content")) {
		lines = append(lines, str(rawjson.Get(c, "text")))
	}
	return strings.Join(lines, "\n")
}

func (p *messagesParser) source(path string, s []byte) *llm.Media {
	m := &llm.Media{Type: str(rawjson.Get(s, "media_type"))}
	switch str(rawjson.Get(s, "type")) {
	case "base64":
		m.Data = str(rawjson.Get(s, "data"))
	case "url":
		m.URL = str(rawjson.Get(s, "url"))
	case "text":
		m.Text = str(rawjson.Get(s, "data"))
	case "file":
		m.FileID = str(rawjson.Get(s, "file_id"))
	case "content":
		m.Parts = p.content(path+".source.content", rawjson.Get(s, "content"))
	}
	return m
}
