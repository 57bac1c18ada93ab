package mock

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"model-proxy/internal/llm"
	"model-proxy/internal/rawjson"
)

// prompt is what the mock makes of a request, whatever its protocol.
type prompt struct {
	model  string
	stream bool

	lastText  string // of the last user message
	lastRole  string // user | assistant | tool
	toolText  string // of the last tool result
	images    int
	tools     []tool
	choice    string // auto | none | required, or a tool's name
	schema    json.RawMessage
	wantsJSON bool // structured output, with or without a schema

	maxTokens    int64 // 0 means no limit
	tokens       int64 // of the whole prompt
	cached       int64 // of them read from the cache
	reason       bool  // reasoning is asked for
	hideReason   bool  // Messages' display: omitted
	includeUsage bool  // stream_options.include_usage

	inputs     int  // texts to embed
	dimensions int  // of an embedding
	base64     bool // embeddings in base64
}

// tool is one function the model may call.
type tool struct {
	name   string
	schema json.RawMessage
}

// wire is the union of the request fields of all protocols that matter here.
type wire struct {
	Model    string          `json:"model"`
	Stream   bool            `json:"stream"`
	Messages []message       `json:"messages"`
	System   json.RawMessage `json:"system"`
	Input    json.RawMessage `json:"input"`

	Instructions string          `json:"instructions"`
	Tools        []wireTool      `json:"tools"`
	ToolChoice   json.RawMessage `json:"tool_choice"`

	MaxTokens           int64 `json:"max_tokens"`
	MaxCompletionTokens int64 `json:"max_completion_tokens"`
	MaxOutputTokens     int64 `json:"max_output_tokens"`

	ReasoningEffort string `json:"reasoning_effort"`
	Reasoning       struct {
		Effort string `json:"effort"`
	} `json:"reasoning"`
	Thinking struct {
		Type    string `json:"type"`
		Display string `json:"display"`
	} `json:"thinking"`

	StreamOptions struct {
		IncludeUsage bool `json:"include_usage"`
	} `json:"stream_options"`
	ResponseFormat format `json:"response_format"`
	OutputConfig   struct {
		Format format `json:"format"`
	} `json:"output_config"`
	Text struct {
		Format format `json:"format"`
	} `json:"text"`

	Dimensions     int    `json:"dimensions"`
	EncodingFormat string `json:"encoding_format"`
}

// format is structured output as the three protocols write it.
type format struct {
	Type       string          `json:"type"`
	Schema     json.RawMessage `json:"schema"`
	JSONSchema struct {
		Schema json.RawMessage `json:"schema"`
	} `json:"json_schema"`
}

// message is a message of Chat Completions or Messages, or an item of Responses.
type message struct {
	Role    string          `json:"role"`
	Type    string          `json:"type"`
	Content json.RawMessage `json:"content"`
	Output  json.RawMessage `json:"output"`
}

// wireTool is a tool as the three protocols write it.
type wireTool struct {
	Name        string          `json:"name"`
	InputSchema json.RawMessage `json:"input_schema"`
	Parameters  json.RawMessage `json:"parameters"`
	Function    struct {
		Name       string          `json:"name"`
		Parameters json.RawMessage `json:"parameters"`
	} `json:"function"`
}

// part is a content part or block.
type part struct {
	Type    string          `json:"type"`
	Text    string          `json:"text"`
	Content json.RawMessage `json:"content"`
}

// parse reads a request body. On an error the prompt holds what was understood.
func parse(endpoint llm.Endpoint, body []byte) (*prompt, error) {
	var w wire
	err := json.Unmarshal(body, &w)
	p := &prompt{model: w.Model, stream: w.Stream, dimensions: w.Dimensions, base64: w.EncodingFormat == "base64"}
	if err != nil {
		return p, fmt.Errorf("request body: %w", err)
	}
	if endpoint == llm.Embeddings {
		p.embed(w.Input)
		return p, nil
	}
	if endpoint == llm.ResponsesAPI || endpoint == llm.ResponsesTokens {
		w.Messages = items(w.Input)
	}
	if len(w.Messages) == 0 {
		return p, fmt.Errorf("messages: at least one message is required")
	}
	size := p.content(parts(w.System)) + len(w.Instructions)
	for _, m := range w.Messages {
		size += p.message(m)
	}
	for _, t := range w.Tools {
		size += p.tool(t)
	}
	p.choice = choice(w.ToolChoice)
	p.structure(w)
	p.maxTokens = max(w.MaxTokens, w.MaxCompletionTokens, w.MaxOutputTokens)
	p.reason = asksReasoning(w)
	p.hideReason = w.Thinking.Display == "omitted"
	p.includeUsage = w.StreamOptions.IncludeUsage
	p.tokens = tokens(size) + 85*int64(p.images)
	if bytes.Contains(body, []byte(`"cache_control"`)) {
		p.cached = p.tokens / 2
	}
	return p, nil
}

// tokens counts the tokens of n bytes.
func tokens(n int) int64 { return int64(n+3) / 4 }

func asksReasoning(w wire) bool {
	effort := w.ReasoningEffort + w.Reasoning.Effort
	return effort != "" && effort != "none" || w.Thinking.Type == "enabled" || w.Thinking.Type == "adaptive"
}

// items are the messages of a Responses input: a text, or a list of items.
func items(input json.RawMessage) []message {
	var list []message
	if json.Unmarshal(input, &list) == nil {
		return list
	}
	return []message{{Role: "user", Content: input}}
}

// message takes one message in and returns the bytes of its text.
func (p *prompt) message(m message) int {
	list := parts(m.Content)
	switch {
	case m.Role == "tool":
		return p.toolResult(list)
	case m.Type == "function_call_output":
		return p.toolResult(parts(m.Output))
	case m.Role == "user":
		p.lastRole, p.lastText = "user", plainText(list)
	case m.Role == "assistant", m.Type == "function_call", m.Type == "reasoning":
		p.lastRole = "assistant"
	}
	return p.content(list)
}

func (p *prompt) toolResult(list []part) int {
	p.lastRole, p.toolText = "tool", plainText(list)
	return len(p.toolText)
}

// content counts the bytes of text, and notes images and Messages' tool results.
func (p *prompt) content(list []part) int {
	size := 0
	for _, c := range list {
		switch c.Type {
		case "image", "image_url", "input_image":
			p.images++
		case "tool_result":
			size += p.toolResult(parts(c.Content))
		default:
			size += len(c.Text)
		}
	}
	return size
}

// parts reads content: a text, or a list of parts.
func parts(raw json.RawMessage) []part {
	if len(raw) == 0 {
		return nil
	}
	if raw[0] == '"' {
		text, _ := rawjson.Unquote(raw) // valid: the whole body was read before
		return []part{{Type: "text", Text: text}}
	}
	var list []part
	if json.Unmarshal(raw, &list) != nil {
		return nil // null, or no content we know
	}
	return list
}

// plainText is the text of all parts.
func plainText(list []part) string {
	if len(list) == 1 {
		return list[0].Text
	}
	var b strings.Builder
	for _, c := range list {
		b.WriteString(c.Text)
	}
	return b.String()
}

// tool takes one tool in and returns the bytes of its definition. Tools
// without a name are the provider's own and never called.
func (p *prompt) tool(t wireTool) int {
	one := tool{t.Name, t.InputSchema}
	if t.Function.Name != "" {
		one = tool{t.Function.Name, t.Function.Parameters}
	}
	if len(one.schema) == 0 {
		one.schema = t.Parameters
	}
	if one.name != "" {
		p.tools = append(p.tools, one)
	}
	return len(one.name) + len(one.schema)
}

// choice reads tool_choice: a word, or an object that may name a tool.
func choice(raw json.RawMessage) string {
	var c struct {
		Type, Name string
		Function   struct{ Name string }
	}
	var word string
	if json.Unmarshal(raw, &word) != nil {
		_ = json.Unmarshal(raw, &c) // a form we do not know means auto
		word = c.Name + c.Function.Name
		if word == "" {
			word = c.Type
		}
	}
	switch word {
	case "":
		return "auto"
	case "any":
		return "required"
	}
	return word
}

func (p *prompt) structure(w wire) {
	for _, f := range [...]format{w.ResponseFormat, w.OutputConfig.Format, w.Text.Format} {
		switch f.Type {
		case "json_schema":
			p.wantsJSON, p.schema = true, f.Schema
			if len(f.JSONSchema.Schema) > 0 {
				p.schema = f.JSONSchema.Schema
			}
		case "json_object":
			p.wantsJSON = true
		}
	}
}

// embed counts the inputs: a text, a list of texts, token ids, or lists of them.
func (p *prompt) embed(input json.RawMessage) {
	p.inputs, p.tokens = 1, tokens(len(input))
	var list []json.RawMessage
	if json.Unmarshal(input, &list) == nil && len(list) > 0 && (list[0][0] == '"' || list[0][0] == '[') {
		p.inputs = len(list)
	}
}
