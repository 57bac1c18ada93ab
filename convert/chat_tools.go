package convert

import (
	"slices"

	"model-proxy/internal/llm"
	"model-proxy/internal/rawjson"
)

func (b *chatBuilder) tools() {
	if b.c.search != nil {
		b.c.chatSearch(&b.o)
	}
	tools, choice := b.r.Tools, b.r.Choice
	if !b.c.x.openAI() {
		tools = b.c.allowedTools(tools, choice)
		choice.Allowed = nil
	}
	if len(tools) == 0 {
		if choice.Kind == llm.ChoiceAny || choice.Kind == llm.ChoiceTool {
			b.n.invalid("tool_choice", "tool_choice demands a tool, but the request has no tools")
			return
		}
		for _, name := range calledTools(b.r.Turns) {
			tools = append(tools, llm.Tool{Name: name, Schema: []byte(openSchema)})
			choice.Kind = llm.ChoiceNone
			b.n.emulated("tools")
		}
		if tools == nil {
			return
		}
	}
	b.o.key("tools").open('[')
	for _, t := range tools {
		b.tool(t)
	}
	b.o.close(']')
	b.choice(choice)
	if b.c.serial(b.r) {
		b.o.key("parallel_tool_calls").lit("false")
	}
}

// choiceWord is OpenAI's word for the choices that are one.
var choiceWord = map[llm.ChoiceKind]string{llm.ChoiceAuto: "auto", llm.ChoiceNone: "none", llm.ChoiceAny: "required"}

func (b *chatBuilder) choice(choice llm.ToolChoice) {
	switch {
	case choice.Kind == llm.ChoiceTool:
		b.o.key("tool_choice")
		b.named(choice.Name)
	case choice.Allowed != nil:
		b.o.key("tool_choice").open('{')
		b.o.key("type").str("allowed_tools")
		b.o.key("allowed_tools").open('{')
		b.o.key("mode").str(firstOf(choiceWord[choice.Kind], "auto"))
		b.o.key("tools").open('[')
		for _, name := range choice.Allowed {
			b.named(name)
		}
		b.o.close(']')
		b.o.close('}')
		b.o.close('}')
	case choice.Kind != llm.ChoiceUnset:
		b.o.key("tool_choice").str(choiceWord[choice.Kind])
	}
}

// named writes a reference to the tool of that name.
func (b *chatBuilder) named(name string) {
	kind := "function"
	if b.c.x.openAI() && isCustom(b.r.Tools, name) {
		kind = "custom"
	}
	b.o.open('{')
	b.o.key("type").str(kind)
	b.o.key(kind).open('{')
	b.o.key("name").str(b.c.rename(name))
	b.o.close('}')
	b.o.close('}')
}

func isCustom(tools []llm.Tool, name string) bool {
	for _, t := range tools {
		if t.Name == name {
			return t.Custom
		}
	}
	return false
}

// custom writes a tool that takes free text.
func (b *chatBuilder) custom(t llm.Tool) {
	b.o.open('{')
	b.o.key("type").str("custom")
	b.o.key("custom").open('{')
	b.o.key("name").str(b.c.rename(t.Name))
	if t.Description != "" {
		b.o.key("description").str(t.Description)
	}
	if t.Schema != nil {
		b.o.key("format").raw(t.Schema)
	}
	b.o.close('}')
	b.o.close('}')
}

func (b *chatBuilder) tool(t llm.Tool) {
	if t.Server != "" {
		b.n.refuse(t.Path, "the target cannot run the tool type "+clean(t.Server))
		return
	}
	if t.Custom && b.c.x.openAI() {
		b.custom(t)
		return
	}
	if t.Custom {
		t.Schema, t.Description = b.c.customTool(t)
	}
	description := t.Description
	if !rawjson.IsNull(t.Examples) {
		description = joinLines(description, "Examples of its input: "+string(t.Examples))
		b.n.emulated(t.Path + ".input_examples")
	}
	schema := []byte(t.Schema)
	if schema == nil {
		schema = []byte(openSchema)
	}
	if len(b.q.ToolSchemaStrip) > 0 {
		schema = stripSchema(schema, b.q.ToolSchemaStrip)
	}
	b.o.open('{')
	b.o.key("type").str("function")
	b.o.key("function").open('{')
	b.o.key("name").str(b.c.rename(t.Name))
	if description != "" {
		b.o.key("description").str(description)
	}
	b.o.key("parameters").raw(schema)
	if b.c.strictTool(t) && !slices.Contains(b.q.ToolSchemaStrip, "strict") {
		b.o.key("strict").lit("true")
	}
	b.o.close('}')
	b.cache(t.Cache)
	b.o.close('}')
}

// stripSchema takes words out of a schema that the host refuses, at every depth
// where a schema stands; properties of that name stay.
func stripSchema(schema []byte, words []string) []byte {
	var o build
	stripInto(&o, schema, words)
	return o.b
}

func stripInto(o *build, v []byte, words []string) {
	switch {
	case object(v) != nil:
		o.open('{')
		for name, sub := range rawjson.Object(v) {
			if slices.Contains(words, name) {
				continue
			}
			o.key(name)
			if name == "properties" || name == "$defs" || name == "definitions" {
				stripEach(o, sub, words)
			} else {
				stripInto(o, sub, words)
			}
		}
		o.close('}')
	case len(v) > 0 && v[0] == '[':
		o.open('[')
		for sub := range rawjson.Array(v) {
			stripInto(o, sub, words)
		}
		o.close(']')
	default:
		o.raw(v)
	}
}

// stripEach strips the schemas that stand under names of the client's choice.
func stripEach(o *build, named []byte, words []string) {
	if object(named) == nil {
		o.raw(named)
		return
	}
	o.open('{')
	for name, schema := range rawjson.Object(named) {
		o.key(name)
		stripInto(o, schema, words)
	}
	o.close('}')
}
