package convert

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"model-proxy/internal/llm"
)

// thoughtful is an answer of Messages that calls a tool after thinking.
const thoughtful = `{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[{"type":"thinking","thinking":"hm <","signature":"c2ln"},` +
	`{"type":"redacted_thinking","data":"cmVk"},{"type":"text","text":"I look."},{"type":"tool_use","id":"toolu_01ABCDEFGHIJKLMNOP","name":"f","input":{}},` +
	`{"type":"tool_use","id":"toolu_01QRSTUVWXYZABCDEF","name":"f","input":{"a":1}}],"stop_reason":"tool_use","usage":{"input_tokens":1,"output_tokens":1}}`

const thoughts = `[{"type":"thinking","thinking":"hm <","signature":"c2ln"},{"type":"redacted_thinking","data":"cmVk"}]`

func keepingTarget() Target {
	return Target{Protocol: llm.Anthropic, Provider: "up", Model: "claude", Quirks: llm.Quirks{ReasoningCache: true},
		Capabilities: llm.Capabilities{Thinking: "budget", MaxOutputTokens: 64000}}
}

func question(client llm.Protocol, body string) Input {
	return Input{Client: client, Endpoint: endpoints[client], Stream: strings.Contains(body, `"stream":true`), Body: []byte(body), Model: "m"}
}

// What is kept of an answer is found again by the calls that the client answers,
// and stands before them as it came.
func TestRecall(t *testing.T) {
	const chat, responses = `{"reasoning_effort":"low","messages":[{"role":"user","content":"q"}`, `{"reasoning":{"effort":"low"},"input":[{"role":"user","content":"q"}`
	for _, c := range []struct {
		name          string
		client        llm.Protocol
		first, second string
	}{
		{"chat", llm.OpenAI, chat + `]}`, chat + `,{"role":"assistant","content":"I look.","tool_calls":[` +
			`{"id":"toolu_01ABCDEFGHIJKLMNOP","type":"function","function":{"name":"f","arguments":"{}"}},{"id":"toolu_01QRSTUVWXYZABCDEF","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}}]},` +
			`{"role":"tool","tool_call_id":"toolu_01ABCDEFGHIJKLMNOP","content":"1"},{"role":"tool","tool_call_id":"toolu_01QRSTUVWXYZABCDEF","content":"2"}]}`},
		{"responses", llm.Responses, responses + `]}`, responses + `,{"role":"assistant","content":"I look."},` +
			`{"type":"function_call","call_id":"toolu_01ABCDEFGHIJKLMNOP","name":"f","arguments":"{}"},{"type":"function_call","call_id":"toolu_01QRSTUVWXYZABCDEF","name":"f","arguments":"{\"a\":1}"},` +
			`{"type":"function_call_output","call_id":"toolu_01ABCDEFGHIJKLMNOP","output":"1"},{"type":"function_call_output","call_id":"toolu_01QRSTUVWXYZABCDEF","output":"2"}]}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			key := kept(t, question(c.client, c.first), keepingTarget())
			in := question(c.client, c.second)
			_, err := New(in, keepingTarget())
			needs, ok := errors.AsType[*NeedsThinking](err)
			if !ok || !slices.Equal(needs.Keys, []string{key}) {
				t.Fatalf("got %+v, %v; want the key %s to be asked for", needs, err, key)
			}
			in.Thinking = map[string][]byte{key: []byte(thoughts)}
			x, err := New(in, keepingTarget())
			if err != nil {
				t.Fatal(err)
			}
			if want := `{"role":"assistant","content":[` + thoughts[1:len(thoughts)-1] + `,{"type":"text","text":"I look."}`; !strings.Contains(string(x.Body()), want) {
				t.Errorf("got %s\nwant it to hold %s", x.Body(), want)
			}
			if !strings.Contains(string(x.Body()), `"thinking":{"type":"enabled"`) {
				t.Errorf("thinking is off: %s", x.Body())
			}
			in.Thinking = map[string][]byte{}
			if x, err = New(in, keepingTarget()); err != nil || strings.Contains(string(x.Body()), "thinking") {
				t.Errorf("nothing found: got %v, %s; want the request without thinking", err, x.Body())
			}
		})
	}
}

// kept makes an exchange that is answered with thoughtful and returns the key
// its thinking is kept under.
func kept(t *testing.T, in Input, target Target) (key string) {
	t.Helper()
	x, err := New(in, target)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := x.Answer(nil, 200, nil, []byte(thoughtful)); err != nil {
		t.Fatal(err)
	}
	key, thinking := x.Kept()
	if key != "" && string(thinking) != thoughts {
		t.Errorf("kept %s\nwant %s", thinking, thoughts)
	}
	return key
}

// Thinking is kept for the model that made it, where the operator wants that,
// and never under ids that another conversation may use.
func TestWhatIsKept(t *testing.T) {
	in := question(llm.OpenAI, `{"messages":[{"role":"user","content":"q"}]}`)
	key := kept(t, in, keepingTarget())
	if key == "" {
		t.Fatal("nothing kept")
	}
	for name, change := range map[string]func(*Target){
		"another model":    func(target *Target) { target.Model = "claude-2" },
		"another provider": func(target *Target) { target.Provider = "down" },
		"switched off":     func(target *Target) { target.Quirks.ReasoningCache = false },
	} {
		target := keepingTarget()
		change(&target)
		if got := kept(t, in, target); got == key || (got == "") != (name == "switched off") {
			t.Errorf("%s: key %q, was %q", name, got, key)
		}
	}
	for name, answer := range map[string]string{
		"short ids":   strings.ReplaceAll(thoughtful, "toolu_01ABCDEFGHIJKLMNOP", "call_0"),
		"no calls":    `{"content":[{"type":"thinking","thinking":"hm","signature":"c2ln"},{"type":"text","text":"x"}],"stop_reason":"end_turn"}`,
		"no thinking": `{"content":[{"type":"tool_use","id":"toolu_01ABCDEFGHIJKLMNOP","name":"f","input":{}}],"stop_reason":"tool_use"}`,
	} {
		x, err := New(in, keepingTarget())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := x.Answer(nil, 200, nil, []byte(answer)); err != nil {
			t.Fatal(err)
		}
		if key, thinking := x.Kept(); key != "" {
			t.Errorf("%s: kept %s", name, thinking)
		}
	}
}

// Thinking is looked for only where calls of this turn lack it.
func TestWhatIsNotRecalled(t *testing.T) {
	const calls = `"tool_calls":[{"id":"toolu_01ABCDEFGHIJKLMNOP","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"toolu_01ABCDEFGHIJKLMNOP","content":"1"}`
	for name, body := range map[string]string{
		"the turn is over":     `{"messages":[{"role":"user","content":"q"},{"role":"assistant",` + calls + `,{"role":"assistant","content":"done"},{"role":"user","content":"and now?"}]}`,
		"the client has it":    `{"messages":[{"role":"user","content":"q"},{"role":"assistant","thinking_blocks":[{"type":"thinking","thinking":"hm","signature":"c2ln"}],` + calls + `]}`,
		"thinking is off":      `{"reasoning_effort":"none","messages":[{"role":"user","content":"q"},{"role":"assistant",` + calls + `]}`,
		"ids of nobody's own":  strings.ReplaceAll(`{"messages":[{"role":"user","content":"q"},{"role":"assistant",`+calls+`]}`, "toolu_01ABCDEFGHIJKLMNOP", "call_0"),
		"it was put off":       `{"thinking":{"type":"disabled"},"messages":[{"role":"user","content":"q"},{"role":"assistant",` + calls + `]}`,
		"nothing is answered":  `{"messages":[{"role":"user","content":"q"}]}`,
		"it has its own block": `{"messages":[{"role":"user","content":"q"},{"role":"assistant","content_blocks":[{"type":"tool_use","id":"toolu_01ABCDEFGHIJKLMNOP","name":"f","input":{}}],` + calls + `]}`,
	} {
		if _, err := New(question(llm.OpenAI, body), keepingTarget()); err != nil {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
