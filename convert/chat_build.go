package convert

import (
	"model-proxy/internal/llm"
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

	rest    []llm.Block // what a user's turn holds besides results; used again for the next
	replays bool        // some turn of the history carries reasoning the host wants back
}

func buildChatRequest(c *conversion, r *llm.Request) []byte {
	t := c.x.target
	b := &chatBuilder{c: c, r: r, n: &c.notes, cap: t.Capabilities, q: t.Quirks}
	b.ids = newIDs(b.idRule())
	c.formatInWords(r)
	b.o = c.room()
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
	limit, asked := b.c.limit(b.r)
	if !asked {
		return
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
	if level := b.c.reasoningLevel(b.r); level != "" {
		b.o.key("reasoning_effort").str(level)
	}
}

func (b *chatBuilder) format() {
	f := b.r.Format
	if f == nil {
		return
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
		b.o.key("strict").bool(strictFormat(f))
		b.o.close('}')
	}
	b.o.close('}')
}

// user tells OpenAI who asks and how soon; to other hosts it is nobody's business.
func (b *chatBuilder) user() {
	if tier := b.c.openAITier(b.r.ServiceTier); tier != "" {
		b.o.key("service_tier").str(tier)
	}
	if id := b.c.openAIUser(b.r.User); id != "" {
		b.o.key("safety_identifier").str(id)
	}
	if v := b.c.openAIVerbosity(b.r.Verbosity); v != "" {
		b.o.key("verbosity").str(v)
	}
}
