package convert

import (
	"errors"
	"testing"

	"model-proxy/internal/llm"
)

// A token count asked of OpenAI holds what its endpoint takes and nothing else,
// and its answer is that of Messages.
func TestCountElsewhere(t *testing.T) {
	target := Target{Protocol: llm.Responses, Provider: "openai", Model: "gpt-5.2", Capabilities: llm.Capabilities{ReasoningEffortLevels: []string{"low", "high"}}}
	in := Input{Client: llm.Anthropic, Endpoint: llm.CountTokens, Model: "gpt", Body: []byte(`{"model":"gpt","system":"Be kind.",` +
		`"metadata":{"user_id":"u"},"thinking":{"type":"enabled","budget_tokens":1024},"messages":[{"role":"user","content":"hello"}],` +
		`"tools":[{"name":"f","input_schema":{"type":"object"}}],"tool_choice":{"type":"auto","disable_parallel_tool_use":true}}`)}
	x, err := New(in, target)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"model":"gpt-5.2","input":[{"role":"system","content":"Be kind."},{"role":"user","content":"hello"}],"reasoning":{"effort":"low"},` +
		`"tools":[{"type":"function","name":"f","parameters":{"type":"object"},"strict":false}],"tool_choice":"auto","parallel_tool_calls":false}`
	if got := string(x.Body()); got != want {
		t.Errorf("request:\ngot  %s\nwant %s", got, want)
	}
	if got := x.Endpoint(); got != llm.ResponsesTokens {
		t.Errorf("endpoint: got %s", got)
	}
	got, err := x.Answer(nil, 200, nil, []byte(`{"object":"response.input_tokens","input_tokens":77}`))
	if want := `{"input_tokens":77}`; err != nil || string(got) != want {
		t.Errorf("answer: got %s, %v; want %s", got, err, want)
	}
	if got, want := x.Usage(), (llm.Usage{Source: llm.UsageNone}); got != want {
		t.Errorf("usage: got %+v, want %+v", got, want)
	}
	for _, bad := range []string{`{"object":"list"}`, `{"input_tokens":-1}`, `{"input_tokens":"7"}`} {
		if _, err := x.Answer(nil, 200, nil, []byte(bad)); !errors.Is(err, ErrCut) {
			t.Errorf("answer %s: got %v, want ErrCut", bad, err)
		}
	}
	target.Protocol = llm.OpenAI
	if _, err := New(in, target); err == nil {
		t.Error("Chat Completions counts no tokens, and was asked to")
	}
}
