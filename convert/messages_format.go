package convert

import (
	"model-proxy/internal/llm"
	"model-proxy/internal/rawjson"
)

// structured prepares what the answer's format needs besides output_config: a
// line in the system prompt, or a tool whose arguments are the answer.
func (b *messagesBuilder) structured() {
	f := b.r.Format
	if f == nil {
		return
	}
	switch {
	case f.Kind == "json_object":
		b.c.unfence = true
		b.n.emulated("response_format")
		b.systemLine(formatLine(f))
		return
	case f.Kind != "json_schema":
		b.n.invalid("response_format", "unknown type of output format")
		return
	case f.Schema == nil:
		b.n.invalid("response_format", "an output format of the type json_schema needs a schema")
		return
	}
	_, told := strictSchema(f.Schema)
	if told != unsayable && (b.cap.Structured == "" || b.cap.Structured == "native") {
		return
	}
	b.n.emulated("response_format")
	if b.cap.Structured == "none" {
		b.c.unfence = true
		b.systemLine(formatLine(f))
		return
	}
	b.jsonTool(f)
}

func (b *messagesBuilder) jsonTool(f *llm.Format) {
	b.c.jsonTool = true
	own := len(b.tools) == 0 || b.choice.Kind == llm.ChoiceNone && b.r.Tools == nil
	b.tools = append(b.tools, llm.Tool{
		Name: jsonToolName, Schema: f.Schema,
		Description: joinLines(f.Description, "Gives the final answer. Call this once, with the whole answer as its arguments."),
	})
	serial := false
	b.r.Parallel = &serial
	switch {
	case own && b.r.Reasoning.Effort == "" && b.r.Reasoning.Raw == nil:
		b.choice = llm.ToolChoice{Kind: llm.ChoiceTool, Name: jsonToolName}
	case b.choice.Kind == llm.ChoiceUnset || b.choice.Kind == llm.ChoiceNone:
		b.choice = llm.ToolChoice{Kind: llm.ChoiceAuto}
		fallthrough
	default:
		b.systemLine("Give your final answer by calling the tool " + jsonToolName + ".")
	}
}

func (b *messagesBuilder) systemLine(text string) {
	b.system = append(b.system, llm.Block{Text: text})
}

// nativeSchema is the schema for output_config.format, nil where the format is
// asked for by other means or not at all.
func (b *messagesBuilder) nativeSchema() []byte {
	f := b.r.Format
	if f == nil || f.Kind != "json_schema" || f.Schema == nil || b.c.jsonTool {
		return nil
	}
	schema, told := strictSchema(f.Schema)
	if told == saidInWords {
		b.n.emulated("response_format")
	}
	if f.Description != "" && rawjson.Get(schema, "description") == nil {
		var e rawjson.Edits
		e.Add("description", rawjson.AppendString(nil, f.Description))
		schema = e.Append(nil, schema)
	}
	return schema
}
