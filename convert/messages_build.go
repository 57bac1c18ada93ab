package convert

import (
	"encoding/base64"
	"encoding/json"
	"strings"

	"model-proxy/internal/llm"
	"model-proxy/internal/rawjson"
)

// messagesBuilder writes a request in the shared form as one for Messages.
type messagesBuilder struct {
	c   *conversion
	r   *llm.Request
	n   *notes
	cap llm.Capabilities
	o   build

	system []llm.Block
	turns  []llm.Turn
	tools  []llm.Tool
	choice llm.ToolChoice
	max    int64
	ids    *ids
}

func buildMessagesRequest(c *conversion, r *llm.Request) []byte {
	b := &messagesBuilder{c: c, r: r, n: &c.notes, cap: c.x.target.Capabilities, ids: newIDs(messagesID)}
	b.limit()
	b.tools, b.choice = r.Tools, r.Choice
	b.arrangeTools()
	b.structured()
	b.arrange()
	b.capBreakpoints()
	b.o.open('{')
	b.o.key("model").str(c.x.target.Model)
	b.o.key("max_tokens").int(b.max)
	if c.x.in.Stream {
		b.o.key("stream").lit("true")
	}
	b.reasoning()
	b.sampling()
	b.stop()
	b.user()
	b.tier()
	b.extra()
	b.writeTools()
	if len(b.system) > 0 {
		b.o.key("system").open('[')
		for _, s := range b.system {
			b.block(s)
		}
		b.o.close(']')
	}
	b.o.key("messages").open('[')
	for _, t := range b.turns {
		b.turn(t)
	}
	b.o.close(']')
	b.o.close('}')
	return b.o.b
}

// defaultMaxTokens is what Messages, which demands a limit, is told where
// neither client nor catalogue nor provider file knows one.
const defaultMaxTokens = 4096

// limit chooses max_tokens. Without the client's own it is as large as the model
// allows, since Chat Completions has no limit of its own.
func (b *messagesBuilder) limit() {
	if b.r.MaxTokens != nil {
		b.max = *b.r.MaxTokens
		if most := b.c.x.target.Quirks.MaxTokensCap; most > 0 && b.max > most {
			b.n.clamped("max_tokens", number64(b.max), number64(most))
			b.max = most
		}
		return
	}
	b.max = b.cap.MaxOutputTokens
	if b.max == 0 {
		b.max, _ = rawjson.Int(b.c.x.target.Defaults["max_tokens"])
	}
	if b.max <= 0 {
		b.max = defaultMaxTokens
	}
}

// sampling writes temperature, top_p and top_k as far as the model takes them.
func (b *messagesBuilder) sampling() {
	temperature, topP, topK := b.r.Temperature, b.r.TopP, b.r.TopK
	if b.cap.Sampling == "none" {
		for param, v := range map[string][]byte{"temperature": temperature, "top_p": topP, "top_k": topK} {
			if v != nil && string(v) != "1" && string(v) != "1.0" {
				b.n.dropped(param)
			}
		}
		return
	}
	if f, ok := rawjson.Float(temperature); ok && f > 1 {
		b.n.clamped("temperature", string(temperature), "1")
		temperature = []byte("1")
	}
	if b.thinks() {
		temperature, topP, topK = b.samplingWhileThinking(temperature, topP, topK)
	}
	if b.cap.Sampling == "one_of" && temperature != nil && topP != nil {
		if f, _ := rawjson.Float(topP); f != 1 {
			b.n.dropped("top_p")
		}
		topP = nil
	}
	for _, f := range []llm.Field{{Path: "temperature", Value: temperature}, {Path: "top_p", Value: topP}, {Path: "top_k", Value: topK}} {
		if f.Value != nil {
			b.o.key(f.Path).raw(f.Value)
		}
	}
}

func (b *messagesBuilder) samplingWhileThinking(temperature, topP, topK json.RawMessage) (t, p, k json.RawMessage) {
	if f, ok := rawjson.Float(temperature); ok && f != 1 {
		b.n.dropped("temperature")
		temperature = nil
	}
	if f, ok := rawjson.Float(topP); ok && (f < 0.95 || f > 1) {
		b.n.dropped("top_p")
		topP = nil
	}
	if topK != nil {
		b.n.dropped("top_k")
	}
	return temperature, topP, nil
}

// stop writes stop_sequences, which must hold something visible.
func (b *messagesBuilder) stop() {
	var keep []string
	for _, s := range b.r.Stop {
		if blank(s) {
			b.n.dropped("stop")
			continue
		}
		keep = append(keep, s)
	}
	if keep == nil {
		return
	}
	b.o.key("stop_sequences").open('[')
	for _, s := range keep {
		b.o.str(s)
	}
	b.o.close(']')
}

// user writes metadata.user_id, which must not look like an address or a number
// of a person.
func (b *messagesBuilder) user() {
	id := b.r.User
	if id == "" {
		return
	}
	if personal(id) || len(id) > 256 {
		id = hash(id, 64)
	}
	b.o.key("metadata").open('{')
	b.o.key("user_id").str(id)
	b.o.close('}')
}

// personal reports whether an id looks like an e-mail address or a phone number.
func personal(id string) bool {
	if strings.Contains(id, "@") {
		return true
	}
	digits := 0
	for _, c := range id {
		switch {
		case c >= '0' && c <= '9':
			digits++
		case strings.ContainsRune("+-(). /", c):
		default:
			return false
		}
	}
	return digits >= 7 && digits <= 15
}

func (b *messagesBuilder) tier() {
	switch b.r.ServiceTier {
	case "":
	case "auto":
		b.o.key("service_tier").str("auto")
	case "default", "standard_only":
		b.o.key("service_tier").str("standard_only")
	default:
		b.n.dropped("service_tier")
	}
}

// extra decides about the fields that have no place in the shared form.
func (b *messagesBuilder) extra() {
	for _, f := range b.r.Extra {
		extraField(b.c, f, b.o.passExtra)
	}
}

// passExtra writes a field that the host is said to take.
func (o *build) passExtra(f llm.Field) { o.key(f.Path).raw(f.Value) }

// arrangeTools settles choice and definitions: names, allowed tools, and
// stand-ins for tools that only the history knows.
func (b *messagesBuilder) arrangeTools() {
	if b.choice.Allowed != nil {
		var keep []llm.Tool
		for _, t := range b.tools {
			if contains(b.choice.Allowed, t.Name) {
				keep = append(keep, t)
			}
		}
		b.tools = keep
		b.n.emulated("tool_choice")
	}
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

// calledTools are the names of the tools called in the history, each once.
func calledTools(turns []llm.Turn) []string {
	var names []string
	for _, t := range turns {
		for _, b := range t.Blocks {
			if b.Kind == llm.BlockCall && !contains(names, b.Name) {
				names = append(names, b.Name)
			}
		}
	}
	return names
}

func contains(list []string, s string) bool {
	for _, v := range list {
		if v == s {
			return true
		}
	}
	return false
}

func (b *messagesBuilder) forced() bool {
	return b.choice.Kind == llm.ChoiceAny || b.choice.Kind == llm.ChoiceTool
}

func (b *messagesBuilder) writeTools() {
	if len(b.tools) == 0 {
		return
	}
	b.o.key("tools").open('[')
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
		schema, description = b.customTool(t)
	}
	schema, description = b.rootSchema(t, schema, description)
	b.o.open('{')
	b.o.key("name").str(b.c.rename(t.Name))
	if description != "" {
		b.o.key("description").str(description)
	}
	strict := t.Strict != nil && *t.Strict
	if strict && (b.cap.SupportsStrictTools == nil || !*b.cap.SupportsStrictTools) {
		b.n.dropped(t.Path + ".strict")
		strict = false
	}
	if strict {
		schema, _ = strictSchema(schema)
	}
	b.o.key("input_schema").raw(schema)
	if strict {
		b.o.key("strict").lit("true")
	}
	if t.Cache != nil {
		b.o.key("cache_control").raw(t.Cache)
	}
	b.o.close('}')
}

// customTool gives a tool that takes free text a schema with one text in it.
func (b *messagesBuilder) customTool(t llm.Tool) (schema json.RawMessage, description string) {
	if b.c.custom == nil {
		b.c.custom = map[string]bool{}
	}
	b.c.custom[t.Name] = true
	b.n.emulated(t.Path)
	description = t.Description
	if g := rawjson.Get(t.Schema, "grammar"); g != nil {
		description = strings.TrimSpace(description + "\nThe input follows this grammar: " + str(rawjson.Get(g, "definition")))
	}
	return []byte(customSchema), description
}

const customSchema = `{"type":"object","properties":{"input":{"type":"string"}},"required":["input"]}`

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
	if rawjson.Get(schema, "type") == nil {
		var e rawjson.Edits
		e.Add("type", []byte(`"object"`))
		return e.Append(nil, schema), description
	}
	return schema, description
}

// turn writes one assembled turn.
func (b *messagesBuilder) turn(t llm.Turn) {
	b.o.open('{')
	b.o.key("role").str(string(t.Role))
	if len(t.Blocks) == 1 && t.Blocks[0].Kind == llm.BlockText && t.Blocks[0].Cache == nil {
		b.o.key("content").str(t.Blocks[0].Text)
		b.o.close('}')
		return
	}
	b.o.key("content").open('[')
	for _, block := range t.Blocks {
		b.block(block)
	}
	b.o.close(']')
	b.o.close('}')
}

func (b *messagesBuilder) block(k llm.Block) {
	switch k.Kind {
	case llm.BlockText, llm.BlockRefusal:
		b.o.open('{')
		b.o.key("type").str("text")
		b.o.key("text").str(k.Text)
	case llm.BlockThinking:
		b.o.open('{')
		b.o.key("type").str("thinking")
		b.o.key("thinking").str(k.Text)
		b.o.key("signature").str(k.Signature)
	case llm.BlockRedacted:
		b.o.open('{')
		b.o.key("type").str("redacted_thinking")
		b.o.key("data").str(k.Signature)
	case llm.BlockCall:
		b.call(k)
	case llm.BlockResult:
		b.result(k)
	case llm.BlockImage:
		b.image(k)
	case llm.BlockDocument:
		b.document(k)
	case llm.BlockAudio:
		b.n.refuse(k.Path, "the target does not take audio")
		return
	default:
		b.n.refuse(k.Path, "the target does not take content of the type "+clean(k.Name))
		return
	}
	if b.n.err != nil {
		return
	}
	if k.Cache != nil {
		b.o.key("cache_control").raw(k.Cache)
	}
	b.o.close('}')
}

func (b *messagesBuilder) call(k llm.Block) {
	b.o.open('{')
	b.o.key("type").str("tool_use")
	b.o.key("id").str(b.ids.call(k.ID))
	b.o.key("name").str(b.c.rename(k.Name))
	if k.Custom {
		b.o.key("input").open('{')
		b.o.key("input").str(k.Args)
		b.o.close('}')
		return
	}
	input, fair := argsObject(k.Args)
	if !fair {
		b.n.emulated(k.Path)
	}
	b.o.key("input").raw(input)
}

// argsObject makes the JSON object that Messages wants of arguments as text.
// What is no object is wrapped; fair is false then.
func argsObject(args string) (input []byte, fair bool) {
	text := []byte(strings.TrimSpace(args))
	if len(text) == 0 {
		return []byte("{}"), true
	}
	if !rawjson.Valid(text) {
		var o build
		o.open('{')
		o.key("_invalid_arguments").str(args)
		o.close('}')
		return o.b, false
	}
	if inner, ok := rawjson.Unquote(text); ok { // encoded twice
		if t := []byte(strings.TrimSpace(inner)); rawjson.Valid(t) && t[0] == '{' {
			return t, true
		}
	}
	if text[0] == '{' {
		return text, true
	}
	var o build
	o.open('{')
	o.key("value").raw(text)
	o.close('}')
	return o.b, false
}

func (b *messagesBuilder) result(k llm.Block) {
	id, _ := b.ids.result(k.ID) // arrange has matched them all
	b.o.open('{')
	b.o.key("type").str("tool_result")
	b.o.key("tool_use_id").str(id)
	switch {
	case len(k.Content) == 1 && k.Content[0].Kind == llm.BlockText && k.Content[0].Cache == nil:
		b.o.key("content").str(k.Content[0].Text)
	case len(k.Content) > 0:
		b.o.key("content").open('[')
		for _, c := range k.Content {
			if c.Kind == llm.BlockText && blank(c.Text) {
				continue
			}
			b.block(c)
		}
		b.o.close(']')
	}
	if k.IsError {
		b.o.key("is_error").lit("true")
	}
}

func (b *messagesBuilder) image(k llm.Block) {
	m := k.Media
	switch {
	case m.Data != "" && !imageTypes[m.Type]:
		b.n.refuse(k.Path, "the target takes images as jpeg, png, gif or webp only")
		return
	case m.Data != "":
		b.o.open('{')
		b.o.key("type").str("image")
		b.source("base64", m.Type, "data", m.Data)
	case strings.HasPrefix(m.URL, "https://") || strings.HasPrefix(m.URL, "http://"):
		if b.cap.SupportsImageURL != nil && !*b.cap.SupportsImageURL {
			b.n.refuse(k.Path, "the target cannot fetch images; send the image as a data URL")
			return
		}
		b.o.open('{')
		b.o.key("type").str("image")
		b.source("url", "", "url", m.URL)
	default:
		b.n.refuse(k.Path, "the image is neither a base64 data URL nor an http address")
	}
}

func (b *messagesBuilder) source(kind, mediaType, field, value string) {
	b.o.key("source").open('{')
	b.o.key("type").str(kind)
	if mediaType != "" {
		b.o.key("media_type").str(mediaType)
	}
	b.o.key(field).str(value)
	b.o.close('}')
}

func (b *messagesBuilder) document(k llm.Block) {
	m := k.Media
	b.o.open('{')
	b.o.key("type").str("document")
	text := m.Text
	if m.Data != "" && strings.HasPrefix(m.Type, "text/") {
		raw, err := base64.StdEncoding.DecodeString(m.Data)
		if err != nil {
			b.n.invalid(k.Path, "the file's data is not base64")
			return
		}
		text = string(raw)
	}
	switch {
	case text != "":
		b.source("text", "text/plain", "data", text)
	case m.Data != "" && m.Type == "application/pdf":
		b.source("base64", m.Type, "data", m.Data)
	case m.URL != "" && strings.HasPrefix(m.URL, "http"):
		b.source("url", "", "url", m.URL)
	case m.FileID != "":
		b.n.refuse(k.Path, "the target does not know files stored with another provider; send the file's data")
		return
	default:
		b.n.refuse(k.Path, "the target takes files as PDF or text only")
		return
	}
	if m.Title != "" {
		b.o.key("title").str(m.Title)
	}
}

// capBreakpoints keeps the last four cache marks, all that Messages takes.
func (b *messagesBuilder) capBreakpoints() {
	var marks []*json.RawMessage
	note := func(c *json.RawMessage) {
		if *c != nil {
			marks = append(marks, c)
		}
	}
	for i := range b.tools {
		note(&b.tools[i].Cache)
	}
	for i := range b.system {
		note(&b.system[i].Cache)
	}
	for i := range b.turns {
		for j := range b.turns[i].Blocks {
			note(&b.turns[i].Blocks[j].Cache)
			for k := range b.turns[i].Blocks[j].Content {
				note(&b.turns[i].Blocks[j].Content[k].Cache)
			}
		}
	}
	const most = 4
	for ; len(marks) > most; marks = marks[1:] {
		*marks[0] = nil
		b.n.dropped("cache_control")
	}
}
