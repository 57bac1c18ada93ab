package convert

import (
	"encoding/json"
	"strings"

	"model-proxy/internal/llm"
	"model-proxy/internal/rawjson"
)

// arrangeTools settles choice and definitions: names, allowed tools, and
// stand-ins for tools that only the history knows.
func (b *messagesBuilder) arrangeTools() {
	b.tools = b.c.allowedTools(b.tools, b.choice)
	if len(b.tools) > 0 {
		return
	}
	if b.choice.Kind == llm.ChoiceAny || b.choice.Kind == llm.ChoiceTool {
		b.n.invalid("tool_choice", "tool_choice demands a tool, but the request has no tools")
		return
	}
	b.choice = llm.ToolChoice{}
	for _, name := range calledTools(b.r.Turns) {
		b.tools = append(b.tools, llm.Tool{Name: name, Schema: []byte(openSchema)})
		b.choice.Kind = llm.ChoiceNone
		b.n.emulated("tools")
	}
}

// openSchema is the schema of a tool that takes anything.
const openSchema = `{"type":"object","properties":{}}`

func (b *messagesBuilder) forced() bool {
	return b.choice.Kind == llm.ChoiceAny || b.choice.Kind == llm.ChoiceTool
}

func (b *messagesBuilder) writeTools() {
	if len(b.tools) == 0 && b.c.search == nil {
		return
	}
	b.o.key("tools").open('[')
	if b.c.search != nil {
		b.c.messagesSearch(&b.o)
	}
	for _, t := range b.tools {
		b.tool(t)
	}
	b.o.close(']')
	b.writeChoice()
}

func (b *messagesBuilder) writeChoice() {
	serial := b.r.Parallel != nil && !*b.r.Parallel
	kind := b.choice.Kind
	if kind == llm.ChoiceUnset && !serial {
		return
	}
	b.o.key("tool_choice").open('{')
	switch kind {
	case llm.ChoiceNone:
		b.o.key("type").str("none")
		serial = false
	case llm.ChoiceAny:
		b.o.key("type").str("any")
	case llm.ChoiceTool:
		b.o.key("type").str("tool")
		b.o.key("name").str(b.c.rename(b.choice.Name))
	default:
		b.o.key("type").str("auto")
	}
	if serial {
		b.o.key("disable_parallel_tool_use").lit("true")
	}
	b.o.close('}')
}

func (b *messagesBuilder) tool(t llm.Tool) {
	if t.Server != "" {
		b.n.refuse(t.Path, "the target cannot run the tool type "+t.Server)
		return
	}
	schema, description := t.Schema, t.Description
	if t.Custom {
		schema, description = b.c.customTool(t)
	}
	schema, description = b.rootSchema(t, schema, description)
	b.o.open('{')
	b.o.key("name").str(b.c.rename(t.Name))
	if description != "" {
		b.o.key("description").str(description)
	}
	schema, strict := b.strict(t, schema)
	b.o.key("input_schema").raw(schema)
	if strict {
		b.o.key("strict").lit("true")
	}
	if t.Cache != nil {
		b.o.key("cache_control").raw(t.Cache)
	}
	b.o.close('}')
}

// strict settles whether the tool's schema is to be kept to the letter, and in
// which words.
func (b *messagesBuilder) strict(t llm.Tool, schema []byte) (out []byte, strict bool) {
	if t.Strict == nil || !*t.Strict {
		return schema, false
	}
	if b.cap.SupportsStrictTools == nil || !*b.cap.SupportsStrictTools {
		b.n.dropped(t.Path + ".strict")
		return schema, false
	}
	out, told := strictSchema(schema)
	switch told {
	case unsayable:
		b.n.dropped(t.Path + ".strict")
		return schema, false
	case saidInWords:
		b.n.emulated(t.Path + ".parameters")
	}
	return out, true
}

// rootSchema makes a schema's root the object that Messages demands.
func (b *messagesBuilder) rootSchema(t llm.Tool, schema []byte, description string) (json.RawMessage, string) {
	if schema == nil || string(schema) == "{}" {
		return []byte(openSchema), description
	}
	for _, word := range []string{"anyOf", "oneOf", "allOf"} {
		if rawjson.Get(schema, word) != nil {
			b.n.emulated(t.Path + ".parameters")
			return mergedSchema(schema, word), strings.TrimSpace(description + "\nThe input must match this JSON schema: " + string(schema))
		}
	}
	if !rawjson.EqualString(rawjson.Get(schema, "type"), "object") {
		return with(schema, "type", `"object"`), description
	}
	return schema, description
}
