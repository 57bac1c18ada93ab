package convert

import (
	"model-proxy/internal/llm"
	"model-proxy/internal/rawjson"
)

// parseResponsesRequest reads a Responses request into the shared form.
func parseResponsesRequest(body []byte, n *notes) *llm.Request {
	p := &responsesParser{arena: newArena(len(body)), n: n, r: &llm.Request{IncludeUsage: true}}
	p.r.Turns = turns(len(body))[:1] // the first is for instructions, wherever they stand
	for name, v := range rawjson.Object(body) {
		if !rawjson.IsNull(v) {
			p.field(name, v)
		}
	}
	if p.r.Turns[0].Role == "" {
		p.r.Turns = p.r.Turns[1:]
	}
	p.dropThoughts()
	if p.items == 0 {
		n.invalid("input", "input must hold at least one item")
	}
	return p.r
}

type responsesParser struct {
	*arena
	n     *notes
	r     *llm.Request
	items int
}

func (p *responsesParser) field(name string, v []byte) {
	switch name {
	case "model", "stream", "stream_options":
	case "instructions":
		if !isString(v) {
			p.n.invalid(name, "instructions must be a string")
		} else if s := p.str(v); s != "" {
			p.r.Turns[0] = llm.Turn{Role: llm.RoleSystem, Path: name, Blocks: p.one(llm.Block{Path: name, Text: s})}
		}
	case "metadata": // stands in the answer again
	case "input":
		p.input(v)
	case "max_output_tokens":
		p.maxTokens(v)
	case "temperature":
		p.r.Temperature = v
	case "top_p":
		p.r.TopP = v
	case "text":
		p.format(rawjson.Get(v, "format"))
		p.r.Verbosity = str(rawjson.Get(v, "verbosity"))
	case "reasoning":
		p.r.Reasoning.Effort = str(rawjson.Get(v, "effort"))
		p.r.Reasoning.Summary = firstOf(str(rawjson.Get(v, "summary")), str(rawjson.Get(v, "generate_summary")))
	case "tools":
		p.tools(v)
	case "tool_choice":
		p.choice(v)
	case "parallel_tool_calls":
		p.r.Parallel = boolean(v)
	case "safety_identifier":
		p.r.User = str(v)
	case "user":
		p.r.User = firstOf(p.r.User, str(v))
	case "service_tier":
		p.r.ServiceTier = str(v)
	case "include":
		p.include(v)
	case "truncation":
		if str(v) != "disabled" {
			p.n.dropped(name)
		}
	case "store":
		p.r.Signatures = p.r.Signatures || !isTrue(v)
		if isTrue(v) {
			p.n.dropped(name)
		}
	default:
		// Said here, before an input that leans on such a field can look wrong.
		if k, ok := contracts[name]; ok && !k.lenient && k.broken(v) {
			p.n.refuse(name, k.reason)
			return
		}
		p.r.Extra = append(p.r.Extra, llm.Field{Path: name, Value: v})
	}
}

func (p *responsesParser) maxTokens(v []byte) {
	limit, ok := rawjson.Int(v)
	if !ok || limit <= 0 {
		p.n.invalid("max_output_tokens", "max_output_tokens must be a positive whole number")
		return
	}
	p.r.MaxTokens = &limit
}

// include notes whether reasoning is to come with what it must be sent back
// with. What else can be included only OpenAI's own tools make.
func (p *responsesParser) include(v []byte) {
	for _, what := range stringList(v) {
		if what == "reasoning.encrypted_content" {
			p.r.Signatures = true
		} else {
			p.n.dropped("include")
		}
	}
}

func (p *responsesParser) format(v []byte) {
	kind := str(rawjson.Get(v, "type"))
	if kind == "" || kind == "text" {
		return
	}
	f := &llm.Format{Kind: kind, Name: str(rawjson.Get(v, "name")), Description: str(rawjson.Get(v, "description"))}
	f.Schema, f.Strict = object(rawjson.Get(v, "schema")), boolean(rawjson.Get(v, "strict"))
	if f.Strict == nil { // nothing is strict there unless it is asked for
		f.Strict = new(bool)
	}
	p.r.Format = f
}

func (p *responsesParser) tools(list []byte) {
	i := 0
	for v := range rawjson.Array(list) {
		path := at("tools", i)
		i++
		if str(rawjson.Get(v, "type")) == "namespace" {
			p.namespace(path, v)
			continue
		}
		p.tool(llm.Tool{Path: path, Name: str(rawjson.Get(v, "name"))}, v)
	}
}

// tool reads the tool v, whose place and name t has.
func (p *responsesParser) tool(t llm.Tool, v []byte) {
	if about := str(rawjson.Get(v, "description")); about != "" {
		t.Description = joinLines(t.Description, about)
	}
	t.Raw = v
	switch kind := str(rawjson.Get(v, "type")); kind {
	case "function":
		t.Schema, t.Strict = object(rawjson.Get(v, "parameters")), boolean(rawjson.Get(v, "strict"))
	case "custom":
		t.Custom, t.Schema = true, nestedGrammar(rawjson.Get(v, "format"))
	default:
		t.Server = firstOf(kind, "of no name")
	}
	if t.Name == "" && t.Server == "" {
		p.n.invalid(t.Path, "the tool has no name")
		return
	}
	if isTrue(rawjson.Get(v, "defer_loading")) {
		p.n.refuse(t.Path+".defer_loading", "the target cannot load tools later")
	}
	p.r.Tools = append(p.r.Tools, t)
}

// nestedGrammar spells the format of a free-text tool as Chat Completions does,
// which puts a grammar one level deeper.
func nestedGrammar(format []byte) []byte {
	if str(rawjson.Get(format, "type")) != "grammar" {
		return object(format)
	}
	var o build
	o.open('{')
	o.key("type").str("grammar")
	o.key("grammar").open('{')
	o.key("syntax").raw(rawjson.Get(format, "syntax"))
	o.key("definition").raw(rawjson.Get(format, "definition"))
	o.close('}')
	o.close('}')
	return o.b
}

// choice reads tool_choice, whose named forms are flat.
func (p *responsesParser) choice(v []byte) {
	c := &p.r.Choice
	if s, ok := rawjson.Unquote(v); ok {
		kind, known := choiceWords[s]
		if !known {
			p.n.invalid("tool_choice", "unknown tool_choice")
		}
		c.Kind = kind
		return
	}
	switch kind := str(rawjson.Get(v, "type")); kind {
	case "function", "custom":
		c.Kind, c.Name = llm.ChoiceTool, qualifiedName(v)
	case "allowed_tools":
		c.Kind, c.Allowed = choiceWords[str(rawjson.Get(v, "mode"))], []string{}
		for t := range rawjson.Array(rawjson.Get(v, "tools")) {
			c.Allowed = append(c.Allowed, qualifiedName(t))
		}
	default:
		p.n.refuse("tool_choice", "the target cannot run the tool type "+clean(kind))
	}
}
