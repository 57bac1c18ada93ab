package convert

import (
	"strings"
	"testing"

	"model-proxy/internal/llm"
)

// Another host's ids of calls become ones that this host takes, the same in call
// and result; a host that takes any gets them as they are.
func TestPassForeignIDs(t *testing.T) {
	long := strings.Repeat("x", 50)
	body := func(a, b string) string {
		return `{"model":"up", "messages":[{"role":"user","content":"\"tool_call_id\":\"no\""},{"role":"assistant", "content":null,"tool_calls":[{"id":"` + a +
			`", "type":"function","function":{"name":"f","arguments":"{\"n\":1.0}"}},{"type":"function","id":"` + b + `","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id" : "` + b +
			`","content":"r"},{"tool_call_id":"` + a + `","role":"tool","content":"r"}]}`
	}
	for _, c := range []struct{ rule, in, want string }{
		{"mistral9", body("call_abcdefghijklm", "D681PevKs"), body(mistralID("call_abcdefghijklm"), "D681PevKs")},
		{"mistral9", body("D681PevKs", "D681PevKt"), body("D681PevKs", "D681PevKt")},
		{"openai40", body("functions.f:0", long), body("functions.f:0", openAIID(long))},
		{"openai40", body("call_1", ""), body("call_1", "")},
		{"any", body("call_1", long), body("call_1", long)},
		{"", body("call_1", long), body("call_1", long)},
	} {
		x := exchange(t, Input{Client: llm.OpenAI, Body: []byte(c.in)}, Target{Protocol: llm.OpenAI, Model: "up", Quirks: llm.Quirks{ToolCallID: c.rule}})
		if got := string(x.Body()); got != c.want {
			t.Errorf("tool_call_id %q:\ngot  %s\nwant %s", c.rule, got, c.want)
		}
	}
}
