package config

import (
	"slices"
	"strings"

	"model-proxy/internal/llm"
)

// choice is one field that takes a few words only.
type choice struct {
	field   string
	got     string
	allowed []string
}

func (d *document) checkChoices(path string, choices []choice) {
	for _, c := range choices {
		if c.got != "" && !slices.Contains(c.allowed, c.got) {
			d.fault(join(path, c.field), "%q is not one of %s%s", c.got, strings.Join(c.allowed, ", "), didYouMean(c.got, c.allowed))
		}
	}
}

var maxTokensFields = []string{"max_tokens", "max_completion_tokens"}

func (d *document) checkQuirks(path string, q llm.Quirks) {
	d.notNegative(join(path, "max_tokens_cap"), &q.MaxTokensCap)
	d.checkChoices(path, []choice{
		{"max_tokens_field", q.MaxTokensField, maxTokensFields},
		{"assistant_content_when_tools", q.AssistantContentWhenTools, []string{"null", "empty", "omit"}},
		{"tool_call_id", q.ToolCallID, []string{"any", "openai40", "mistral9"}},
		{"system_content", q.SystemContent, []string{"parts", "string"}},
		{"developer_role", q.DeveloperRole, []string{"keep", "system"}},
		{"reasoning_in", q.ReasoningIn, []string{"reasoning_content", "reasoning", "reasoning_details", "content-thinking-parts", "none"}},
		{"reasoning_replay", q.ReasoningReplay, []string{"required", "allowed", "forbidden"}},
		{"reasoning_fields", q.ReasoningFields, []string{"both", "content", "details", "none"}},
		{"mid_system", q.MidSystem, []string{"hoist"}},
		{"prefix_field", q.PrefixField, []string{"prefix", "continue_final_message", "none"}},
	})
}

func (d *document) checkCapabilities(path string, c llm.Capabilities) {
	d.notNegative(join(path, "max_output_tokens"), &c.MaxOutputTokens)
	d.checkChoices(path, []choice{
		{"max_tokens_field", c.MaxTokensField, maxTokensFields},
		{"structured_output", c.Structured, []string{"native", "tool", "none"}},
		{"thinking", c.Thinking, []string{"none", "budget", "adaptive"}},
		{"sampling", c.Sampling, []string{"all", "one_of", "none"}},
		{"system_role", c.SystemRole, []string{"system", "developer", "none"}},
	})
}
