package convert

import (
	"model-proxy/internal/llm"
	"model-proxy/internal/rawjson"
)

// parseChatRequest reads a Chat Completions request into the shared form.
func parseChatRequest(body []byte, n *notes) *llm.Request {
	p := &chatParser{arena: newArena(len(body)), n: n, r: &llm.Request{Turns: turns(len(body))}}
	for name, v := range rawjson.Object(body) {
		if !rawjson.IsNull(v) {
			p.field(name, v)
		}
	}
	p.r.Reasoning.Effort = firstOf(p.r.Reasoning.Config, p.effort)
	p.maxTokens()
	if len(p.r.Turns) == 0 {
		n.invalid("messages", "messages must hold at least one message")
	}
	return p.r
}

type chatParser struct {
	*arena
	n *notes
	r *llm.Request

	plain, completion []byte // max_tokens and max_completion_tokens
	effort            string // reasoning_effort
}

func (p *chatParser) field(name string, v []byte) {
	switch name {
	case "model", "stream":
	case "messages":
		p.messages(v)
	case "max_tokens":
		p.plain = v
	case "max_completion_tokens":
		p.completion = v
	case "temperature":
		p.r.Temperature = v
	case "top_p":
		p.r.TopP = v
	case "top_k":
		p.r.TopK = v
	case "stop":
		p.r.Stop = stringList(v)
	case "stream_options":
		p.r.IncludeUsage = isTrue(rawjson.Get(v, "include_usage"))
	case "reasoning_effort":
		if p.effort = str(v); p.effort == "default" { // Groq's word for none given
			p.effort = ""
		}
	case "thinking":
		readThinking(&p.r.Reasoning, v)
	case "output_config":
		p.r.Reasoning.Config = str(rawjson.Get(v, "effort"))
		p.outputFormat(rawjson.Get(v, "format"))
	case "response_format":
		p.format(v)
	case "tools", "functions":
		p.tools(name, v)
	case "tool_choice", "function_call":
		p.choice(name, v)
	case "parallel_tool_calls":
		p.r.Parallel = boolean(v)
	case "safety_identifier":
		p.r.User = str(v)
	case "user":
		p.r.User = firstOf(p.r.User, str(v))
	case "service_tier":
		p.r.ServiceTier = str(v)
	case "web_search_options":
		p.r.Tools = append(p.r.Tools, llm.Tool{Path: name, Name: "web_search", Server: "web_search", Raw: v})
	case "verbosity":
		p.r.Verbosity = str(v)
	default:
		p.r.Extra = append(p.r.Extra, llm.Field{Path: name, Value: v})
	}
}

func (p *chatParser) maxTokens() {
	param, raw := "max_tokens", p.plain
	if p.completion != nil {
		param, raw = "max_completion_tokens", p.completion
		if p.plain != nil && string(p.plain) != string(p.completion) {
			p.n.dropped("max_tokens")
		}
	}
	if raw == nil {
		return
	}
	limit, ok := rawjson.Int(raw)
	if !ok || limit <= 0 {
		p.n.invalid(param, param+" must be a positive whole number")
		return
	}
	p.r.MaxTokens = &limit
}

// readThinking reads the thinking member of Messages, which Chat Completions
// clients send as an extension.
func readThinking(r *llm.Reasoning, v []byte) {
	r.Raw = v
	r.Mode = str(rawjson.Get(v, "type"))
	r.Budget, _ = rawjson.Int(rawjson.Get(v, "budget_tokens"))
}

func (p *chatParser) format(v []byte) {
	kind := str(rawjson.Get(v, "type"))
	if kind == "" || kind == "text" {
		return
	}
	f := &llm.Format{Kind: kind}
	if s := rawjson.Get(v, "json_schema"); s != nil {
		f.Name, f.Description = str(rawjson.Get(s, "name")), str(rawjson.Get(s, "description"))
		f.Schema, f.Strict = object(rawjson.Get(s, "schema")), boolean(rawjson.Get(s, "strict"))
	}
	p.r.Format = f
}

// outputFormat reads output_config.format of Messages, an extension here;
// response_format goes before it.
func (p *chatParser) outputFormat(v []byte) {
	if schema := object(rawjson.Get(v, "schema")); schema != nil && p.r.Format == nil {
		p.r.Format = &llm.Format{Kind: "json_schema", Schema: schema}
	}
}

func (p *chatParser) tools(field string, list []byte) {
	i := 0
	for v := range rawjson.Array(list) {
		path := at(field, i)
		i++
		if field == "functions" {
			p.function(path, v, v)
			p.r.Choice.Legacy = true
			continue
		}
		switch kind := str(rawjson.Get(v, "type")); kind {
		case "function", "":
			p.function(path, rawjson.Get(v, "function"), v)
		case "custom":
			f := rawjson.Get(v, "custom")
			p.r.Tools = append(p.r.Tools, llm.Tool{
				Path: path, Name: str(rawjson.Get(f, "name")), Description: str(rawjson.Get(f, "description")),
				Schema: rawjson.Get(f, "format"), Custom: true, Raw: v,
			})
		default:
			p.r.Tools = append(p.r.Tools, llm.Tool{Path: path, Server: kind, Raw: v})
		}
	}
}

func (p *chatParser) function(path string, f, whole []byte) {
	name := str(rawjson.Get(f, "name"))
	if name == "" {
		p.n.invalid(path, "the tool has no name")
		return
	}
	p.r.Tools = append(p.r.Tools, llm.Tool{
		Path: path, Name: name, Description: str(rawjson.Get(f, "description")),
		Schema: object(rawjson.Get(f, "parameters")), Strict: boolean(rawjson.Get(f, "strict")),
		Cache: object(rawjson.Get(whole, "cache_control")), Raw: whole,
	})
}

var choiceWords = map[string]llm.ChoiceKind{
	"none": llm.ChoiceNone, "auto": llm.ChoiceAuto, "required": llm.ChoiceAny, "any": llm.ChoiceAny,
}

func (p *chatParser) choice(field string, v []byte) {
	c := &p.r.Choice
	if s, ok := rawjson.Unquote(v); ok {
		kind, known := choiceWords[s]
		if !known {
			p.n.invalid(field, "unknown "+field)
		}
		c.Kind = kind
		return
	}
	if field == "function_call" {
		c.Kind, c.Name, c.Legacy = llm.ChoiceTool, str(rawjson.Get(v, "name")), true
		return
	}
	switch kind := str(rawjson.Get(v, "type")); kind {
	case "function", "custom":
		c.Kind, c.Name = llm.ChoiceTool, str(rawjson.Get(v, kind, "name"))
	case "allowed_tools":
		allowed := rawjson.Get(v, "allowed_tools")
		c.Kind = choiceWords[str(rawjson.Get(allowed, "mode"))]
		c.Allowed = []string{}
		for t := range rawjson.Array(rawjson.Get(allowed, "tools")) {
			c.Allowed = append(c.Allowed, str(rawjson.Get(t, str(rawjson.Get(t, "type")), "name")))
		}
	default:
		p.n.invalid(field, "unknown "+field)
	}
}

func (p *chatParser) messages(list []byte) {
	i := 0
	for m := range rawjson.Array(list) {
		p.message(p.at("messages", i), m)
		i++
	}
}

func (p *chatParser) message(path string, v []byte) {
	m := p.split(v)
	defer p.done(m)
	content := m.get("content")
	t := llm.Turn{Path: path}
	role := p.word(m.get("role"))
	if role != "function" {
		t.Name = p.str(m.get("name"))
	}
	switch role {
	case "system", "developer":
		t.Role, t.Blocks = llm.RoleSystem, p.parts(path, content)
	case "user":
		t.Role, t.Blocks = llm.RoleUser, p.parts(path, content)
	case "assistant":
		t.Role, t.Blocks = llm.RoleAssistant, p.assistant(path, m, content)
		t.Prefix = isTrue(m.get("prefix")) || isTrue(m.get("continue_final_message"))
		if blocks := m.get("content_blocks"); !rawjson.IsNull(blocks) {
			t.Native = blocks
		}
	case "tool", "function":
		t.Role = llm.RoleUser
		id := p.str(m.get("tool_call_id"))
		if role == "function" {
			id = latestCall(p.r.Turns, m.str("name"))
			p.r.Choice.Legacy = true
		} else if id == "" {
			id = unnamedCall(p.r.Turns)
		}
		b := llm.Block{Kind: llm.BlockResult, Path: path, ID: id, Content: p.parts(path, content), Cache: object(m.get("cache_control"))}
		t.Blocks = p.one(b)
	default:
		p.n.invalid(path+".role", "unknown role")
		return
	}
	p.r.Turns = append(p.r.Turns, t)
}

// assistant reads an assistant's message: reasoning first, then text, then calls.
func (p *chatParser) assistant(path string, m members, content []byte) []llm.Block {
	open := p.open()
	for _, b := range chatReasoning(m) {
		p.push(b)
	}
	p.pushParts(path, content)
	if s := p.str(m.get("refusal")); s != "" {
		p.push(llm.Block{Kind: llm.BlockRefusal, Path: path + ".refusal", Text: s})
	}
	if !rawjson.IsNull(m.get("audio")) {
		p.n.refuse(path+".audio", "the target cannot refer to recorded audio")
	}
	i := 0
	for c := range rawjson.Array(m.get("tool_calls")) {
		b := p.call(p.at(p.under(path, ".tool_calls"), i), c)
		if b.ID == "" {
			b.ID = emptyID(len(p.r.Turns), i)
		}
		p.push(b)
		i++
	}
	if f := object(m.get("function_call")); f != nil {
		p.r.Choice.Legacy = true
		p.push(llm.Block{
			Kind: llm.BlockCall, Path: path + ".function_call", ID: emptyID(len(p.r.Turns), 0),
			Name: str(rawjson.Get(f, "name")), Args: argsText(rawjson.Get(f, "arguments")),
		})
	}
	return p.list(open)
}

func (p *chatParser) call(path string, v []byte) llm.Block {
	c := p.split(v)
	defer p.done(c)
	b := llm.Block{Kind: llm.BlockCall, Path: path, ID: p.str(c.get("id"))}
	if custom := object(c.get("custom")); custom != nil {
		b.Name, b.Args, b.Custom = p.str(rawjson.Get(custom, "name")), p.str(rawjson.Get(custom, "input")), true
		return b
	}
	f := p.split(c.get("function"))
	defer p.done(f)
	b.Name, b.Args = p.str(f.get("name")), p.args(f.get("arguments"))
	return b
}

// args is argsText.
func (a *arena) args(raw []byte) string {
	if isString(raw) || rawjson.IsNull(raw) {
		return a.str(raw)
	}
	return a.keep(raw)
}

// argsText is a call's arguments as JSON text; some hosts and clients give the
// object itself.
func argsText(raw []byte) string {
	if s, ok := rawjson.Unquote(raw); ok {
		return s
	}
	if rawjson.IsNull(raw) {
		return ""
	}
	return string(raw)
}
