package convert

import (
	"strings"

	"model-proxy/internal/llm"
	"model-proxy/internal/rawjson"
)

// responsesBuilder writes a request in the shared form as one for Responses.
type responsesBuilder struct {
	c   *conversion
	r   *llm.Request
	n   *notes
	cap llm.Capabilities
	o   build
	ids *ids

	custom map[string]bool // ids of the calls that took free text
	rest   []llm.Block     // what a user's turn holds besides results; used again for the next
}

func buildResponsesRequest(c *conversion, r *llm.Request) []byte {
	b := &responsesBuilder{c: c, r: r, n: &c.notes, cap: c.x.target.Capabilities, ids: newIDs(responsesCallID), custom: map[string]bool{}}
	c.formatInWords(r)
	b.o = c.room()
	b.o.open('{')
	b.o.key("model").str(c.x.target.Model)
	b.o.key("input").open('[')
	b.input()
	b.o.close(']')
	if c.x.in.Stream {
		b.o.key("stream").lit("true")
	}
	b.o.key("store").lit("false") // all that the next turn needs comes with it
	b.limit()
	b.sampling()
	b.reasoning()
	b.text()
	b.user()
	b.tools()
	for _, f := range r.Extra {
		extraField(b.c, f, b.o.passExtra)
	}
	b.o.close('}')
	return b.o.b
}

// minOutputTokens is the least limit that OpenAI takes.
const minOutputTokens = 16

func (b *responsesBuilder) limit() {
	limit, asked := b.c.limit(b.r)
	if !asked {
		return
	}
	if limit < minOutputTokens && b.c.x.openAI() {
		b.n.clamped("max_tokens", number64(limit), number64(minOutputTokens))
		limit = minOutputTokens
	}
	b.o.key("max_output_tokens").int(limit)
}

func (b *responsesBuilder) sampling() {
	for _, f := range []llm.Field{{Path: "temperature", Value: b.r.Temperature}, {Path: "top_p", Value: b.r.TopP}} {
		switch {
		case f.Value == nil:
		case b.cap.Sampling != "none":
			b.o.key(f.Path).raw(f.Value)
		case string(f.Value) != "1" && string(f.Value) != "1.0":
			b.n.dropped(f.Path)
		}
	}
	if b.r.TopK != nil {
		extraField(b.c, llm.Field{Path: "top_k", Value: b.r.TopK}, b.o.passExtra)
	}
	if len(b.r.Stop) > 0 { // there is no such field
		b.n.dropped("stop_sequences")
	}
}

// reasoning asks for the effort, for a summary where the client is shown
// thinking, and for what the thinking must be sent back with.
func (b *responsesBuilder) reasoning() {
	level := b.c.reasoningLevel(b.r)
	levels := len(b.cap.ReasoningEffortLevels) > 0
	summary := b.summary()
	if level != "" || summary != "" {
		b.o.key("reasoning").open('{')
		if level != "" {
			b.o.key("effort").str(level)
		}
		if summary != "" {
			b.o.key("summary").str(summary)
		}
		b.o.close('}')
	}
	if levels { // others answer it with 400
		b.o.key("include").lit(`["reasoning.encrypted_content"]`)
	}
}

// summary asks for thinking that can be read, where the client is to be shown it.
// OpenAI gives it to verified organisations only and answers others with 400, so
// there it must be asked for in so many words.
func (b *responsesBuilder) summary() string {
	r := b.r.Reasoning
	if r.Mode != "enabled" && r.Mode != "adaptive" || len(b.cap.ReasoningEffortLevels) == 0 {
		return ""
	}
	display := str(rawjson.Get(r.Raw, "display"))
	if display == "summarized" || display == "" && !b.c.x.openAI() {
		return "auto"
	}
	return ""
}

// text writes the format of the answer and how long it is to be.
func (b *responsesBuilder) text() {
	f, verbosity := b.r.Format, b.c.openAIVerbosity(b.r.Verbosity)
	if f == nil && verbosity == "" {
		return
	}
	b.o.key("text").open('{')
	if f != nil {
		b.o.key("format").open('{')
		b.o.key("type").str(f.Kind)
		if f.Kind == "json_schema" {
			b.o.key("name").str(firstOf(f.Name, "response"))
			if f.Description != "" {
				b.o.key("description").str(f.Description)
			}
			b.o.key("schema").raw(f.Schema)
			b.o.key("strict").bool(strictFormat(f))
		}
		b.o.close('}')
	}
	if verbosity != "" {
		b.o.key("verbosity").str(verbosity)
	}
	b.o.close('}')
}

func (b *responsesBuilder) user() {
	if tier := b.c.openAITier(b.r.ServiceTier); tier != "" {
		b.o.key("service_tier").str(tier)
	}
	if id := b.c.openAIUser(b.r.User); id != "" {
		b.o.key("safety_identifier").str(id)
	}
}

// responsesCallID makes any id one of at most 64 characters, the limit there.
func responsesCallID(id string) string {
	if len(id) <= 64 {
		return id
	}
	return clean(id)[:53] + "_" + hash(id, 10)
}

// prefill writes a last turn of the assistant that is to be continued.
func (b *responsesBuilder) prefill(t llm.Turn) {
	var text string
	for _, k := range t.Blocks {
		if isPart(k.Kind) {
			text += k.Text
		}
	}
	if text = strings.TrimRight(text, " \t\r\n"); text != "" {
		b.message("user", []llm.Block{{Text: b.c.continuePrefill(t, text)}})
	}
}
