package convert

import (
	"slices"
	"strings"

	"model-proxy/internal/llm"
)

// What Chat Completions and Responses have in common as targets.

// vendor is whose API the target really is.
func (x *Exchange) vendor() string { return firstOf(x.target.Vendor, x.target.Provider) }

// openAI reports whether the target is OpenAI's own API, whose rules are
// stricter and wider than those of the hosts that speak like it.
func (x *Exchange) openAI() bool {
	v := x.vendor()
	return v == "openai" || strings.HasPrefix(v, "azure") || x.target.Protocol == llm.Azure
}

// fromOpenAI reports whether the client speaks one of OpenAI's protocols.
func (x *Exchange) fromOpenAI() bool { return x.in.Client.Wire() != llm.Anthropic }

// withinOpenAI reports whether the client speaks one of OpenAI's protocols to
// OpenAI: then ids of files and words about the prompt cache mean the same.
func (x *Exchange) withinOpenAI() bool { return x.fromOpenAI() && x.openAI() }

// limit is the client's limit of tokens, lowered to what the target takes, and
// whether the client gave one.
func (c *conversion) limit(r *llm.Request) (limit int64, asked bool) {
	if r.MaxTokens == nil {
		return 0, false
	}
	limit = *r.MaxTokens
	most := c.x.target.Quirks.MaxTokensCap
	if most == 0 {
		most = c.x.target.Capabilities.MaxOutputTokens
	}
	if most > 0 && limit > most {
		c.notes.clamped("max_tokens", number64(limit), number64(most))
		limit = most
	}
	return limit, true
}

// reasoningLevel is the effort to ask of the target, "" for none. A level that
// the model does not list becomes the nearest one it does.
func (c *conversion) reasoningLevel(r *llm.Request) string {
	listed := c.x.target.Capabilities.ReasoningEffortLevels
	effort := askedEffort(r.Reasoning)
	switch {
	case effort == "", r.Reasoning.Effort == "" && effort == "none" && len(listed) == 0:
		return "" // only models with levels can be told not to think
	case len(listed) == 0 && c.x.fromOpenAI() && c.x.target.Capabilities.Thinking != "none" && c.x.openAI():
		return effort // in OpenAI's own words to a model we know nothing of
	case len(listed) == 0 && r.Reasoning.Effort != "":
		c.notes.dropped("output_config.effort")
		return ""
	case len(listed) == 0:
		c.notes.dropped("thinking")
		return ""
	case effort == "none":
		for _, level := range []string{"none", "minimal"} {
			if slices.Contains(listed, level) {
				return level
			}
		}
		return ""
	}
	level := nearest(effort, listed)
	if level != "" && level != effort {
		c.notes.clamped("output_config.effort", effort, level)
	}
	return level
}

// askedEffort is the level that the request's thinking comes to, "" for none
// asked.
func askedEffort(r llm.Reasoning) string {
	switch {
	case r.Effort != "":
		return r.Effort
	case r.Mode == "disabled":
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

// openAITier is a service_tier as OpenAI spells it, "" for other hosts.
func (c *conversion) openAITier(tier string) string {
	switch tier {
	case "":
		return ""
	case "standard_only":
		tier = "default"
	case "auto", "default":
	case "flex", "scale", "priority", "fast":
		if !c.x.openAI() {
			c.notes.dropped("service_tier")
		}
	default:
		return ""
	}
	if !c.x.openAI() {
		return ""
	}
	return tier
}

// openAIUser is who asks, as safety_identifier has it; "" for other hosts.
func (c *conversion) openAIUser(id string) string {
	switch {
	case id == "":
	case !c.x.openAI() && !slices.Contains(c.x.target.Quirks.AllowExtra, "safety_identifier"):
		c.notes.dropped("metadata.user_id")
		return ""
	case len(id) > 64:
		c.notes.emulated("metadata.user_id")
		return hash(id, 64)
	}
	return id
}

// openAIVerbosity is how long answers are to be, "" for other hosts.
func (c *conversion) openAIVerbosity(v string) string {
	if v != "" && !c.x.openAI() {
		c.notes.dropped("verbosity")
		return ""
	}
	return v
}

// strictTool reports whether a tool's schema is to be kept to the letter: as the
// client says. In Responses that is so where the client says nothing and the
// schema allows it.
func (c *conversion) strictTool(t llm.Tool) bool {
	if t.Strict != nil {
		return *t.Strict
	}
	return c.x.in.Client.Wire() == llm.Responses && !t.Custom && c.x.openAI() && fitsStrict(t.Schema) && t.Schema != nil
}

// formatInWords asks for the answer's format in the system prompt, for models
// that cannot be bound to one.
func (c *conversion) formatInWords(r *llm.Request) {
	structured := c.x.target.Capabilities.Structured
	if r.Format == nil || structured != "none" && (structured != "tool" || r.Format.Kind == "json_object") {
		return
	}
	c.unfence = true
	c.notes.emulated("response_format")
	n := 0
	for n < len(r.Turns) && r.Turns[n].Role == llm.RoleSystem {
		n++
	}
	r.Turns = slices.Insert(r.Turns, n, llm.Turn{Role: llm.RoleSystem, Path: "response_format", Blocks: []llm.Block{{Text: formatLine(r.Format)}}})
	r.Format = nil
}

// formatLine asks for a format in words.
func formatLine(f *llm.Format) string {
	if f.Schema == nil {
		return "Reply with one JSON object and nothing else."
	}
	return "Reply with one JSON object that matches this JSON schema and nothing else: " + string(f.Schema)
}

// strictFormat reports whether the answer's schema is to be kept to the letter:
// as the client says, else where the schema allows it.
func strictFormat(f *llm.Format) bool {
	if f.Strict != nil {
		return *f.Strict
	}
	return fitsStrict(f.Schema)
}
