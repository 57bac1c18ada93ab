package convert

import (
	"encoding/base64"
	"strings"

	"model-proxy/internal/llm"
	"model-proxy/internal/rawjson"
)

// chatBuilder writes a request in the shared form as one for Chat Completions.
type chatBuilder struct {
	c   *conversion
	r   *llm.Request
	n   *notes
	cap llm.Capabilities
	q   llm.Quirks
	o   build
	ids *ids

	replays bool // some turn of the history carries reasoning the host wants back
}

func buildChatRequest(c *conversion, r *llm.Request) []byte {
	t := c.x.target
	b := &chatBuilder{c: c, r: r, n: &c.notes, cap: t.Capabilities, q: t.Quirks}
	b.ids = newIDs(b.idRule())
	b.o.open('{')
	b.o.key("model").str(t.Model)
	b.o.key("messages").open('[')
	b.messages()
	b.o.close(']')
	if c.prefill != "" && b.q.PrefixField == "continue_final_message" {
		b.o.key("continue_final_message").lit("true")
		b.o.key("add_generation_prompt").lit("false")
		c.prefill = ""
	}
	if c.x.in.Stream {
		b.o.key("stream").lit("true")
		if takesStreamOptions(b.q) {
			b.o.key("stream_options").lit(`{"include_usage":true}`)
		}
	}
	b.limit()
	b.sampling()
	b.stop()
	b.reasoning()
	b.format()
	b.user()
	b.tools()
	for _, f := range r.Extra {
		extraField(c, f, b.o.passExtra)
	}
	b.o.close('}')
	return b.o.b
}

// vendor is whose API the target really is.
func (x *Exchange) vendor() string { return firstOf(x.target.Vendor, x.target.Provider) }

// openAI reports whether the target is OpenAI's own API, whose rules are
// stricter and wider than those of the hosts that speak like it.
func (x *Exchange) openAI() bool {
	v := x.vendor()
	return v == "openai" || strings.HasPrefix(v, "azure") || x.target.Protocol == llm.Azure
}

func (b *chatBuilder) idRule() func(string) string {
	switch b.q.ToolCallID {
	case "mistral9":
		return mistralID
	case "any":
		return func(id string) string { return id }
	}
	return openAIID
}

func (b *chatBuilder) limit() {
	if b.r.MaxTokens == nil {
		return
	}
	limit, most := *b.r.MaxTokens, b.q.MaxTokensCap
	if most == 0 {
		most = b.cap.MaxOutputTokens
	}
	if most > 0 && limit > most {
		b.n.clamped("max_tokens", number64(limit), number64(most))
		limit = most
	}
	field := firstOf(b.q.MaxTokensField, b.cap.MaxTokensField)
	if field == "" {
		field = "max_tokens"
		if b.c.x.openAI() {
			field = "max_completion_tokens"
		}
	}
	b.o.key(field).int(limit)
}

func (b *chatBuilder) sampling() {
	for _, f := range []llm.Field{{Path: "temperature", Value: b.r.Temperature}, {Path: "top_p", Value: b.r.TopP}} {
		switch {
		case f.Value == nil:
		case b.cap.Sampling == "none":
			if string(f.Value) != "1" && string(f.Value) != "1.0" {
				b.n.dropped(f.Path)
			}
		default:
			b.o.key(f.Path).raw(f.Value)
		}
	}
	if b.r.TopK != nil {
		extraField(b.c, llm.Field{Path: "top_k", Value: b.r.TopK}, b.o.passExtra)
	}
}

// maxStops is how many stop sequences OpenAI takes.
const maxStops = 4

func (b *chatBuilder) stop() {
	stops := b.r.Stop
	if len(stops) == 0 {
		return
	}
	if b.cap.StopSupported != nil && !*b.cap.StopSupported {
		b.n.dropped("stop_sequences")
		return
	}
	if len(stops) > maxStops && b.c.x.openAI() {
		b.n.refuseUnlessLenient("stop_sequences", "the target takes at most 4 stop sequences")
		stops = stops[:maxStops]
	}
	b.o.key("stop").open('[')
	for _, s := range stops {
		b.o.str(s)
	}
	b.o.close(']')
}

// reasoning writes reasoning_effort for models that have it.
func (b *chatBuilder) reasoning() {
	effort := b.effort()
	if effort == "" {
		return
	}
	listed := b.cap.ReasoningEffortLevels
	if len(listed) == 0 {
		b.n.dropped("thinking")
		return
	}
	if effort == "none" {
		if contains(listed, "none") {
			b.o.key("reasoning_effort").str("none")
		} else if contains(listed, "minimal") {
			b.o.key("reasoning_effort").str("minimal")
		}
		return
	}
	level := nearest(effort, listed)
	if level == "" {
		return
	}
	if level != effort {
		b.n.clamped("output_config.effort", effort, level)
	}
	b.o.key("reasoning_effort").str(level)
}

// effort is the level that the request's thinking comes to, "" for none asked.
func (b *chatBuilder) effort() string {
	r := b.r.Reasoning
	switch {
	case r.Effort != "":
		return r.Effort
	case r.Mode == "disabled" && len(b.cap.ReasoningEffortLevels) > 0:
		return "none"
	case r.Mode != "enabled":
		return ""
	case r.Budget < 4096:
		return "low"
	case r.Budget < 16384:
		return "medium"
	}
	return "high"
}

func (b *chatBuilder) format() {
	f := b.r.Format
	if f == nil {
		return
	}
	strict := fitsStrict(f.Schema)
	if f.Strict != nil {
		strict = *f.Strict
	}
	b.o.key("response_format").open('{')
	b.o.key("type").str(f.Kind)
	if f.Kind == "json_schema" {
		b.o.key("json_schema").open('{')
		b.o.key("name").str(firstOf(f.Name, "response"))
		if f.Description != "" {
			b.o.key("description").str(f.Description)
		}
		b.o.key("schema").raw(f.Schema)
		if strict {
			b.o.key("strict").lit("true")
		} else {
			b.o.key("strict").lit("false")
		}
		b.o.close('}')
	}
	b.o.close('}')
}

// user tells OpenAI who asks; to other hosts it is nobody's business.
func (b *chatBuilder) user() {
	switch b.r.ServiceTier {
	case "auto", "default":
		if b.c.x.openAI() {
			b.o.key("service_tier").str(b.r.ServiceTier)
		}
	case "standard_only":
		if b.c.x.openAI() {
			b.o.key("service_tier").str("default")
		}
	}
	id := b.r.User
	switch {
	case id == "":
	case !b.c.x.openAI():
		b.n.dropped("metadata.user_id")
	case len(id) > 64:
		b.o.key("safety_identifier").str(hash(id, 64))
	default:
		b.o.key("safety_identifier").str(id)
	}
}

func (b *chatBuilder) tools() {
	tools, choice := b.r.Tools, b.r.Choice
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
	if b.r.Parallel != nil && !*b.r.Parallel {
		b.o.key("parallel_tool_calls").lit("false")
	}
}

func (b *chatBuilder) choice(choice llm.ToolChoice) {
	switch choice.Kind {
	case llm.ChoiceAuto:
		b.o.key("tool_choice").str("auto")
	case llm.ChoiceNone:
		b.o.key("tool_choice").str("none")
	case llm.ChoiceAny:
		b.o.key("tool_choice").str("required")
	case llm.ChoiceTool:
		b.o.key("tool_choice").open('{')
		b.o.key("type").str("function")
		b.o.key("function").open('{')
		b.o.key("name").str(b.c.rename(choice.Name))
		b.o.close('}')
		b.o.close('}')
	}
}

func (b *chatBuilder) tool(t llm.Tool) {
	if t.Server != "" {
		b.n.refuse(t.Path, "the target cannot run the tool type "+clean(t.Server))
		return
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
	if t.Strict != nil && *t.Strict && !contains(b.q.ToolSchemaStrip, "strict") {
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
	stripInto(&o, schema, words, true)
	return o.b
}

func stripInto(o *build, v []byte, words []string, isSchema bool) {
	switch {
	case object(v) != nil:
		o.open('{')
		for name, sub := range rawjson.Object(v) {
			if isSchema && contains(words, name) {
				continue
			}
			o.key(name)
			stripInto(o, sub, words, !isSchema || name != "properties" && name != "$defs" && name != "definitions")
		}
		o.close('}')
	case len(v) > 0 && v[0] == '[':
		o.open('[')
		for sub := range rawjson.Array(v) {
			stripInto(o, sub, words, true)
		}
		o.close(']')
	default:
		o.raw(v)
	}
}

// cache passes a cache mark on where the host takes those of Messages.
func (b *chatBuilder) cache(mark []byte) {
	if mark != nil && b.q.CacheControlPassthrough {
		b.o.key("cache_control").raw(mark)
	}
}

// image writes an image part.
func (b *chatBuilder) image(k llm.Block) {
	m := k.Media
	if b.cap.SupportsVision != nil && !*b.cap.SupportsVision {
		b.n.refuse(k.Path, "the target does not take images")
		return
	}
	url := m.URL
	if m.Data != "" {
		url = "data:" + sniff(m.Type, m.Data) + ";base64," + m.Data
	}
	if url == "" {
		b.n.refuse(k.Path, "the target does not know files stored with another provider; send the image's data")
		return
	}
	b.o.open('{')
	b.o.key("type").str("image_url")
	b.o.key("image_url").open('{')
	b.o.key("url").str(url)
	b.o.close('}')
	b.cache(k.Cache)
	b.o.close('}')
}

// document writes a document as a file or, where it is text, as text.
func (b *chatBuilder) document(k llm.Block) {
	m := k.Media
	text := m.Text
	if m.Data != "" && strings.HasPrefix(m.Type, "text/") {
		raw, err := base64.StdEncoding.DecodeString(m.Data)
		if err != nil {
			b.n.invalid(k.Path, "the document's data is not base64")
			return
		}
		text = string(raw)
	}
	switch {
	case text != "" || m.Parts != nil:
		b.n.emulated(k.Path)
		b.textPart("<document"+titleAttribute(m.Title)+">\n"+contextLine(m.Context)+text, nil)
		for _, p := range m.Parts {
			b.part(p)
		}
		b.textPart("\n</document>", k.Cache)
	case m.Data == "" || m.Type != "application/pdf":
		b.n.refuse(k.Path, "the target takes documents as PDF data or text only")
	case b.cap.SupportsPDF != nil && !*b.cap.SupportsPDF:
		b.n.refuse(k.Path, "the target does not take PDF documents")
	default:
		if m.Context != "" {
			b.textPart(m.Context, nil)
		}
		b.o.open('{')
		b.o.key("type").str("file")
		b.o.key("file").open('{')
		b.o.key("filename").str(firstOf(m.Title, "document.pdf"))
		b.o.key("file_data").str("data:application/pdf;base64," + m.Data)
		b.o.close('}')
		b.cache(k.Cache)
		b.o.close('}')
	}
}

func titleAttribute(title string) string {
	if title == "" {
		return ""
	}
	return ` title="` + strings.ReplaceAll(title, `"`, "'") + `"`
}

func contextLine(context string) string {
	if context == "" {
		return ""
	}
	return context + "\n"
}

func (b *chatBuilder) textPart(text string, cache []byte) {
	b.o.open('{')
	b.o.key("type").str("text")
	b.o.key("text").str(text)
	b.cache(cache)
	b.o.close('}')
}

// part writes one block of a user's or system's message.
func (b *chatBuilder) part(k llm.Block) {
	switch k.Kind {
	case llm.BlockText, llm.BlockRefusal:
		b.textPart(k.Text, k.Cache)
	case llm.BlockImage:
		b.image(k)
	case llm.BlockDocument:
		b.document(k)
	default:
		b.n.refuse(k.Path, "the target does not take content of the type "+firstOf(clean(k.Name), "audio"))
	}
}
