package convert

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"model-proxy/internal/llm"
)

// What an upstream refuses by name goes, once, if the client's request does not
// depend on it.
func TestWithoutRefused(t *testing.T) {
	chat := `{"model":"m","max_tokens":9000,"temperature":0.5,"top_p":0.9,"tool_choice":{"type":"none"},"messages":[{"role":"user","content":"hi"}],"tools":[{"name":"f","input_schema":{"type":"object"}}]}`
	openAI := func(message, param string) string {
		return fmt.Sprintf(`{"error":{"message":%q,"type":"invalid_request_error","param":%q,"code":"unsupported_parameter"}}`, message, param)
	}
	for _, c := range []struct {
		name             string
		client, upstream llm.Protocol
		mode             Mode
		body             string
		status           int
		answer           string
		gone, there      string // fields after it; "" for gone means that nothing is changed
		warning          string
	}{
		{"a hint", llm.Anthropic, llm.OpenAI, Default, chat, 400, openAI("Unsupported value: 'temperature' does not support 0.5 with this model.", "temperature"),
			"temperature", "top_p", `dropped;param="temperature"`},
		{"the limit's other name", llm.Anthropic, llm.OpenAI, Default, chat, 400,
			openAI("Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.", "max_tokens"), "max_tokens", "max_completion_tokens", ""},
		{"two that exclude each other", llm.OpenAI, llm.Anthropic, Default, `{"model":"m","temperature":0.5,"top_p":0.9,"messages":[{"role":"user","content":"hi"}]}`, 400,
			"{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":\"`temperature` and `top_p` cannot both be specified for this model.\"}}",
			"top_p", "temperature", `dropped;param="top_p"`},
		{"a path", llm.OpenAI, llm.Anthropic, Default, `{"model":"m","reasoning_effort":"low","messages":[{"role":"user","content":"hi"}]}`, 400,
			`{"type":"error","error":{"type":"invalid_request_error","message":"thinking.adaptive.display: Extra inputs are not permitted"}}`, "thinking", "max_tokens", `dropped;param="reasoning_effort"`},
		{"a default beside thinking", llm.OpenAI, llm.Anthropic, Default, `{"model":"m","reasoning_effort":"low","messages":[{"role":"user","content":"hi"}]}`, 400,
			"{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":\"`temperature` may only be set to 1 when thinking is enabled.\"}}",
			"temperature", "thinking", `dropped;param="temperature"`},
		{"a default beside thinking, passed through", llm.Anthropic, llm.Anthropic, Default, `{"model":"m","max_tokens":9000,"thinking":{"type":"enabled","budget_tokens":2000},"messages":[]}`, 400,
			"{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":\"`temperature` may only be set to 1 when thinking is enabled.\"}}",
			"temperature", "thinking", `dropped;param="temperature"`},
		{"a wrong value", llm.Anthropic, llm.OpenAI, Default, chat, 400,
			`{"error":{"message":"Invalid 'temperature': must be at most 2","type":"invalid_request_error","param":"temperature","code":"decimal_above_max_value"}}`, "", "", ""},
		{"a contract", llm.Anthropic, llm.OpenAI, Default, chat, 400, openAI("Unsupported parameter: 'tool_choice'", "tool_choice"), "", "", ""},
		{"another status", llm.Anthropic, llm.OpenAI, Default, chat, 500, openAI("Unsupported parameter: 'temperature'", "temperature"), "", "", ""},
		{"strict", llm.Anthropic, llm.OpenAI, Strict, `{"model":"m","max_tokens":9,"temperature":0.5,"messages":[{"role":"user","content":"hi"}]}`, 400, openAI("Unsupported parameter: 'temperature'", "temperature"), "", "", ""},
		{"the client's own, passed through", llm.OpenAI, llm.OpenAI, Default, `{"model":"m","temperature":0.5}`, 400, openAI("Unsupported parameter: 'temperature'", "temperature"), "", "", ""},
		{"the provider's default", llm.OpenAI, llm.OpenAI, Default, `{"model":"m"}`, 400, openAI("Unsupported parameter: 'temperature'", "temperature"), "temperature", "model", `dropped;param="temperature"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			target := Target{Protocol: c.upstream, Model: "up"}
			if c.client == c.upstream || strings.HasPrefix(c.name, "a default") {
				target.Defaults = map[string]json.RawMessage{"temperature": json.RawMessage("0.2")}
			}
			x := exchange(t, Input{Client: c.client, Body: []byte(c.body), Mode: c.mode}, target)
			before := string(x.Body())
			changed := x.WithoutRefused(c.status, []byte(c.answer))
			if changed != (c.gone != "") || changed == (string(x.Body()) == before) {
				t.Fatalf("changed %v, body %s; before %s", changed, x.Body(), before)
			}
			var fields map[string]json.RawMessage
			if err := json.Unmarshal(x.Body(), &fields); err != nil {
				t.Fatal(err)
			}
			if c.gone != "" && (fields[c.gone] != nil || fields[c.there] == nil) {
				t.Errorf("got %s, want %s in it and not %s", x.Body(), c.there, c.gone)
			}
			if got := string(AppendWarnings(nil, x.Warnings())); got != c.warning {
				t.Errorf("warnings: got %s, want %s", got, c.warning)
			}
			if changed && x.WithoutRefused(c.status, []byte(openAI("Unsupported parameter: 'top_p'", "top_p"))) {
				t.Errorf("a second field was taken out: %s", x.Body())
			}
		})
	}
}
