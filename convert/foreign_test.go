package convert

import (
	"testing"

	"model-proxy/internal/llm"
)

// What the gateway has told of another vendor's reasoning does not reach a host
// of Chat Completions that would refuse it; what the host itself may have said
// stays.
func TestToldReasoningIsNotPassedOn(t *testing.T) {
	sealed := `{"type":"reasoning.text","text":"t","signature":"` + seal("p", "responses", nil) + `","format":"anthropic-claude-v1","index":0}`
	signed := `{"type":"reasoning.text","text":"t","signature":"Eq==","format":"anthropic-claude-v1","index":0}`
	body := func(fields string) string {
		return `{"model":"up", "messages":[{"role":"user","content":"hi"},{"role":"assistant","content":"a"` + fields + `,"tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"c","content":"r"}]}`
	}
	both := func(detail string) string { return `,"reasoning_content":"t","reasoning_details":[` + detail + `]` }
	for _, c := range []struct{ reasoningIn, in, want string }{
		{"none", body(both(signed)), body("")},
		{"none", body(both(sealed)), body("")},
		{"none", body(`,"reasoning_content":"t"`), body(`,"reasoning_content":"t"`)}, // the client's own
		{"", body(both(sealed)), body("")},
		{"", body(both(signed)), body(both(signed))},
		{"reasoning_content", body(both(signed)), body(`,"reasoning_content":"t"`)},
		{"reasoning_details", body(both(signed)), body(both(signed))},
		{"reasoning_details", body(both(sealed)), body("")},
	} {
		x := exchange(t, Input{Client: llm.OpenAI, Body: []byte(c.in)}, Target{Protocol: llm.OpenAI, Model: "up", Quirks: llm.Quirks{ReasoningIn: c.reasoningIn}})
		if got := string(x.Body()); got != c.want {
			t.Errorf("to a host with reasoning_in %q:\ngot  %s\nwant %s", c.reasoningIn, got, c.want)
		}
		if dropped := len(x.Warnings()) == 1; dropped != (c.in != c.want) {
			t.Errorf("to a host with reasoning_in %q: got warnings %v", c.reasoningIn, x.Warnings())
		}
	}
}

// A tool loop that another vendor's model had a turn in goes on without a
// budget: Anthropic refuses results of tools without thinking before the call.
func TestBudgetAmidForeignLoop(t *testing.T) {
	const (
		budget   = `,"thinking":{"type":"enabled","budget_tokens":2000}`
		adaptive = `,"thinking":{"type":"adaptive"}`
		clearing = `,"context_management":{"edits":[{"type":"clear_thinking_20251015","keep":"all"}]}`
		user     = `{"role":"user","content":"hi"}`
		own      = `{"role":"assistant","content":[{"type":"thinking","thinking":"t","signature":"Eq=="},{"type":"tool_use","id":"toolu_1","name":"f","input":{}}]}`
		ownNext  = `{"role":"assistant","content":[{"type":"tool_use","id":"toolu_1","name":"f","input":{}}]}`
		foreign  = `{"role":"assistant","content":[{"type":"text","text":"x"},{"type":"tool_use","id":"call_1","name":"f","input":{}}]}`
		ownRes   = `{"role":"user","content":[{"type":"tool_result","tool_use_id":"toolu_1","content":"r"}]}`
		forRes   = `{"role":"user","content":[{"type":"tool_result","tool_use_id" : "call_1","content":"r"},{"type":"text","text":"go on"}]}`
		answer   = `{"role":"assistant","content":"done"}`
	)
	sealed := `{"role":"assistant","content":[{"type":"thinking","thinking":"t","signature":"` + seal("p", "reasoning_content", nil) + `"},{"type":"tool_use","id":"call_1","name":"f","input":{}}]}`
	unsealed := `{"role":"assistant","content":[{"type":"tool_use","id":"call_1","name":"f","input":{}}]}`
	body := func(thinking, messages string) string {
		return `{"model":"up","max_tokens":9000` + thinking + `,"messages":[` + messages + `]}`
	}
	for _, c := range []struct {
		name, thinking    string // the model's
		in, want, warning string
	}{
		{"another vendor's turn", "budget", body(budget, user+","+foreign+","+forRes), body("", user+","+foreign+","+forRes), `emulated;param="thinking"`},
		{"its reasoning sealed", "budget", body(budget, user+","+sealed+","+forRes), body("", user+","+unsealed+","+forRes), `dropped;param="messages.reasoning", emulated;param="thinking"`},
		{"after turns of its own", "adaptive", body(budget, user+","+own+","+ownRes+","+foreign+","+forRes), body("", user+","+own+","+ownRes+","+foreign+","+forRes), `emulated;param="thinking"`},
		{"before turns of its own", "budget", body(budget, user+","+foreign+","+forRes+","+ownNext+","+ownRes), body("", user+","+foreign+","+forRes+","+ownNext+","+ownRes), `emulated;param="thinking"`},
		{"with thinking to be cleared", "budget", body(budget+clearing, user+","+foreign+","+forRes), body("", user+","+foreign+","+forRes), `emulated;param="thinking", dropped;param="context_management"`},
		{"a loop that is over", "budget", body(budget, user+","+foreign+","+forRes+","+answer+","+user), "", ""},
		{"turns of its own", "budget", body(budget, user+","+own+","+ownRes+","+ownNext+","+ownRes), "", ""},
		{"adaptive", "adaptive", body(adaptive, user+","+foreign+","+forRes), "", ""},
		{"a model that is not Anthropic's", "", body(budget, user+","+foreign+","+forRes), "", ""},
		{"words in a text", "budget", body(budget, `{"role":"user","content":"\"tool_use_id\":\"call_1\""},`+own+","+ownRes), "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			want := c.want
			if want == "" {
				want = c.in
			}
			x := exchange(t, Input{Client: llm.Anthropic, Body: []byte(c.in)}, Target{Protocol: llm.Anthropic, Model: "up", Capabilities: llm.Capabilities{Thinking: c.thinking}})
			if got := string(x.Body()); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
			if got := string(AppendWarnings(nil, x.Warnings())); got != c.warning {
				t.Errorf("warnings: got %s, want %s", got, c.warning)
			}
		})
	}
}
