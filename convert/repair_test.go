package convert

import (
	"testing"

	"model-proxy/internal/llm"
)

func TestSupplyToolResults(t *testing.T) {
	for _, c := range []struct {
		name     string
		protocol llm.Protocol
		in, want string
	}{
		{"chat, one missing", llm.OpenAI,
			`{"x":1.0,"messages":[{"role":"user","content":"a"},{"role":"assistant","tool_calls":[{"id":"1"},{"id":"2"}]},{"role":"tool","tool_call_id":"2","content":"b"},{"role":"user","content":"c"}]}`,
			`{"x":1.0,"messages":[{"role":"user","content":"a"},{"role":"assistant","tool_calls":[{"id":"1"},{"id":"2"}]},{"role":"tool","tool_call_id":"2","content":"b"},{"role":"tool","tool_call_id":"1","content":"The tool gave no result."},{"role":"user","content":"c"}]}`},
		{"chat, at the end", llm.Azure,
			`{"messages":[{"role":"assistant","tool_calls":[{"id":"1"}]}]}`,
			`{"messages":[{"role":"assistant","tool_calls":[{"id":"1"}]},{"role":"tool","tool_call_id":"1","content":"The tool gave no result."}]}`},
		{"messages, text turn", llm.Anthropic,
			`{"messages":[{"role":"assistant","content":[{"type":"tool_use","id":"1"}]},{"role":"user","content":"go on"}]}`,
			`{"messages":[{"role":"assistant","content":[{"type":"tool_use","id":"1"}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"1","content":"The tool gave no result.","is_error":true},{"type":"text","text":"go on"}]}]}`},
		{"messages, one missing and one at the end", llm.Anthropic,
			`{"messages":[{"role":"assistant","content":[{"type":"tool_use","id":"1"},{"type":"tool_use","id":"2"}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"1","content":"x"}]},{"role":"assistant","content":[{"type":"tool_use","id":"3"}]}]}`,
			`{"messages":[{"role":"assistant","content":[{"type":"tool_use","id":"1"},{"type":"tool_use","id":"2"}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"2","content":"The tool gave no result.","is_error":true},{"type":"tool_result","tool_use_id":"1","content":"x"}]},{"role":"assistant","content":[{"type":"tool_use","id":"3"}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"3","content":"The tool gave no result.","is_error":true}]}]}`},
		{"nothing missing", llm.OpenAI, `{"messages":[{"role":"user","content":"a"}]}`, ""},
		{"responses, one missing", llm.Responses,
			`{"input":[{"type":"function_call","call_id":"1"},{"type":"custom_tool_call","call_id":"2"},{"type":"function_call_output","call_id":"1","output":"x"}]}`,
			`{"input":[{"type":"function_call","call_id":"1"},{"type":"custom_tool_call","call_id":"2"},{"type":"custom_tool_call_output","call_id":"2","output":"The tool gave no result."},{"type":"function_call_output","call_id":"1","output":"x"}]}`},
		{"responses, a text", llm.Responses, `{"input":"a"}`, ""},
	} {
		got, ok := SupplyToolResults(c.protocol, []byte(c.in))
		want := c.want
		if want == "" {
			want = c.in
		}
		if string(got) != want || ok != (c.want != "") {
			t.Errorf("%s: changed %v\ngot  %s\nwant %s", c.name, ok, got, want)
		}
	}
}

func TestCountTokens(t *testing.T) {
	const png = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
	for _, c := range []struct {
		name, body string
		low, high  int64
	}{
		{"a word", `{"messages":[{"role":"user","content":"hello"}]}`, 5, 10},
		{"system and tools count", `{"system":"You are kind.","messages":[{"role":"user","content":"hello"}],"tools":[{"name":"f","description":"does f","input_schema":{"type":"object"}}]}`, 330, 400},
		{"a tiny image is cheap", `{"messages":[{"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"` + png + `"}}]}]}`, 4, 20},
		{"an image by address", `{"messages":[{"role":"user","content":[{"type":"image","source":{"type":"url","url":"https://example.com/a.png"}}]}]}`, 1600, 1900},
	} {
		if got := CountTokens(llm.Anthropic, []byte(c.body)); got < c.low || got > c.high {
			t.Errorf("%s: %d tokens, want %d to %d", c.name, got, c.low, c.high)
		}
	}
	if got, want := string(AppendTokenCount(nil, 12)), `{"input_tokens":12}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
