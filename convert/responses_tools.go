package convert

import (
	"model-proxy/internal/llm"
	"model-proxy/internal/rawjson"
)

func (b *responsesBuilder) tools() {
	tools, choice := b.r.Tools, b.r.Choice
	if !b.c.x.openAI() {
		tools = b.c.allowedTools(tools, choice)
		choice.Allowed = nil
	}
	if len(tools) == 0 {
		if choice.Kind == llm.ChoiceAny || choice.Kind == llm.ChoiceTool {
			b.n.invalid("tool_choice", "tool_choice demands a tool, but the request has no tools")
		}
		if b.c.search == nil {
			return
		}
	}
	b.o.key("tools").open('[')
	if b.c.search != nil {
		b.c.responsesSearch(&b.o)
	}
	for _, t := range tools {
		b.tool(t)
	}
	b.o.close(']')
	b.choice(choice)
	if b.c.serial(b.r) {
		b.o.key("parallel_tool_calls").lit("false")
	}
}

func (b *responsesBuilder) tool(t llm.Tool) {
	if t.Server != "" {
		b.n.refuse(t.Path, "the target cannot run the tool type "+clean(t.Server))
		return
	}
	native := t.Custom && b.c.x.openAI()
	if t.Custom && !native {
		t.Schema, t.Description = b.c.customTool(t)
	}
	if !rawjson.IsNull(t.Examples) {
		t.Description = joinLines(t.Description, "Examples of its input: "+string(t.Examples))
		b.n.emulated(t.Path + ".input_examples")
	}
	b.o.open('{')
	if native {
		b.o.key("type").str("custom")
	} else {
		b.o.key("type").str("function")
	}
	b.o.key("name").str(b.c.rename(t.Name))
	if t.Description != "" {
		b.o.key("description").str(t.Description)
	}
	switch {
	case native && t.Schema != nil:
		b.o.key("format").raw(flatGrammar(t.Schema))
	case !native:
		b.parameters(t)
	}
	b.o.close('}')
}

// parameters writes a function's schema. Left out, strict would be true.
func (b *responsesBuilder) parameters(t llm.Tool) {
	schema := []byte(t.Schema)
	if schema == nil {
		schema = []byte(openSchema)
	}
	if strip := b.c.x.target.Quirks.ToolSchemaStrip; len(strip) > 0 {
		schema = stripSchema(schema, strip)
	}
	b.o.key("parameters").raw(schema)
	b.o.key("strict").bool(b.c.strictTool(t))
}

// flatGrammar undoes nestedGrammar.
func flatGrammar(format []byte) []byte {
	grammar := rawjson.Get(format, "grammar")
	if grammar == nil {
		return format
	}
	var o build
	o.open('{')
	o.key("type").str("grammar")
	o.key("syntax").raw(rawjson.Get(grammar, "syntax"))
	o.key("definition").raw(rawjson.Get(grammar, "definition"))
	o.close('}')
	return o.b
}

func (b *responsesBuilder) choice(choice llm.ToolChoice) {
	switch {
	case choice.Kind == llm.ChoiceTool:
		b.o.key("tool_choice")
		b.named(choice.Name)
	case choice.Allowed != nil:
		b.o.key("tool_choice").open('{')
		b.o.key("type").str("allowed_tools")
		b.o.key("mode").str(firstOf(choiceWord[choice.Kind], "auto"))
		b.o.key("tools").open('[')
		for _, name := range choice.Allowed {
			b.named(name)
		}
		b.o.close(']')
		b.o.close('}')
	case choice.Kind != llm.ChoiceUnset:
		b.o.key("tool_choice").str(choiceWord[choice.Kind])
	}
}

// named writes a reference to the tool of that name.
func (b *responsesBuilder) named(name string) {
	b.o.open('{')
	if b.c.x.openAI() && isCustom(b.r.Tools, name) {
		b.o.key("type").str("custom")
	} else {
		b.o.key("type").str("function")
	}
	b.o.key("name").str(b.c.rename(name))
	b.o.close('}')
}
