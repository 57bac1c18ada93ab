package convert

import (
	"fmt"
	"strings"
	"testing"

	"model-proxy/internal/llm"
)

// Whatever an event shares with the one before it, it is read as if it came
// alone: same bytes out, same reading, same count.
func TestRepeatedEventsAreReadAlike(t *testing.T) {
	chat := func(rest string) string {
		return `{"id":"c","object":"chat.completion.chunk","model":"m","choices":[{"index":0,"delta":{` + rest + `},"finish_reason":null}],"usage":null}`
	}
	events := []string{
		chat(`"role":"assistant","content":""`),
		chat(`"content":"Hello"`), chat(`"content":" there"`), chat(`"content":"\n\"quoted\""`), chat(`"content":"é"`),
		chat(`"content":""`), chat(`"content":"x"`), chat(`"reasoning_content":"y"`), chat(`"content":"a","refusal":"b"`), chat(`"content":"c","refusal":"b"`),
		chat(`"tool_calls":[{"index":0,"function":{"arguments":"{}"}}]`), chat(`"content":null`),
		strings.Replace(chat(`"content":"x"`), `"usage":null`, `"usage":{"prompt_tokens":1,"completion_tokens":2}`, 1),
		strings.Replace(chat(`"content":"y"`), `"usage":null`, `"usage":{"prompt_tokens":1,"completion_tokens":2}`, 1),
		`{"error":null,` + chat(`"content":"x"`)[1:], `{"error":null,` + chat(`"content":"yy"`)[1:],
		strings.Replace(chat(`"content":"x"`), `null}]`, `"stop"}]`, 1),
	}
	broken := []string{chat("\"content\":\"a\xff\""), chat("\"content\":\"a\nb\""), chat(`"content":"open`), chat(`"content":"x"`) + "}"}
	for _, ask := range []bool{true, false} {
		body := `{"model":"m","stream":true}`
		if ask {
			body = `{"model":"m","stream":true,"stream_options":{"include_usage":true}}`
		}
		stream := func() *Stream {
			x, err := New(Input{Client: llm.OpenAI, Endpoint: llm.ChatCompletions, Stream: true, Body: []byte(body), Model: "m"}, Target{Protocol: llm.OpenAI, Model: "m"})
			if err != nil {
				t.Fatal(err)
			}
			return x.Stream()
		}
		event := func(s *Stream, data string) string {
			out, did, err := s.Event(nil, llm.Event{Raw: []byte("data: " + data + "\n\n"), Data: []byte(data)})
			return fmt.Sprintf("%s %+v %v, content %d", out, did, err != nil, s.x.seen.content)
		}
		for _, first := range events {
			for _, second := range append(events, broken...) {
				warm, cold := stream(), stream()
				event(warm, first)
				event(cold, first)
				cold.repeat = repeat{}
				if got, want := event(warm, second), event(cold, second); got != want {
					t.Errorf("after %s\ngot  %s\nwant %s", first, got, want)
				}
			}
		}
	}
}
