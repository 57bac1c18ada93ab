package convert

import (
	"slices"
	"strings"

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
		if slices.Contains(listed, "none") {
			b.o.key("reasoning_effort").str("none")
		} else if slices.Contains(listed, "minimal") {
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
