package convert

import (
	"errors"
	"fmt"
	"math/rand/v2"
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
		padded(chat(`"content":"x"`), "a"), padded(chat(`"content":"yy"`), "bcd"), padded(chat(`"content":"z"`), `\"}`), padded(chat(`"content":"z"`), ""),
		strings.Replace(chat(`"content":"v"`), "}]", "}]  ", 1), chat(`"content":"w"`)[:len(chat(`"content":"w"`))-1] + "   }",
	}
	broken := []string{padded(chat(`"content":"x"`), "a\nb"), padded(chat(`"content":"x"`), `a","b":"`) + "x", chat(`"content":"x"`) + " x", chat("\"content\":\"a\xff\""), chat("\"content\":\"a\nb\""), chat(`"content":"open`), chat(`"content":"x"`) + "}"}
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

// An event that is like the last one but for its end is not valid.
func TestRepeatedEventsAreWhole(t *testing.T) {
	whole := `{"type":"response.output_text.delta","delta":"a"}`
	for _, first := range []string{whole, padded(whole, "p")} {
		for _, second := range []string{whole[:len(whole)-1], whole[:len(whole)-2], whole + "}", whole + "x", whole[:len(whole)-1] + "x", padded(whole, "p")[:len(whole)+17]} {
			x := exchange(t, Input{Client: llm.Responses, Stream: true, Body: []byte(`{"model":"up","stream":true}`)}, Target{Protocol: llm.Responses, Model: "up"})
			s := x.Stream()
			if _, _, err := s.Event(nil, llm.Event{Raw: []byte(first), Data: []byte(first)}); err != nil {
				t.Fatal(err)
			}
			if _, _, err := s.Event(nil, llm.Event{Raw: []byte(second), Data: []byte(second)}); !errors.Is(err, ErrCut) {
				t.Errorf("after %s: %s was taken, error %v", first, second, err)
			}
		}
	}
}

// padded is an event with padding as OpenAI adds it.
func padded(data, pad string) string {
	return data[:len(data)-1] + `,"obfuscation":"` + pad + `"}`
}

// So it is where events are converted: those that repeat one another become the
// same bytes as those that come alone.
func TestRepeatedEventsAreConvertedAlike(t *testing.T) {
	chat := func(rest string) string {
		return `{"id":"c","object":"chat.completion.chunk","model":"m","choices":[{"index":0,"delta":{` + rest + `},"finish_reason":null}]}`
	}
	delta := func(kind, field, text string) string {
		return `{"type":"content_block_delta","index":0,"delta":{"type":"` + kind + `","` + field + `":` + text + `}}`
	}
	start := func(block string) string {
		return `{"type":"content_block_start","index":0,"content_block":` + block + `}`
	}
	streams := map[llm.Protocol][]string{
		llm.OpenAI: {
			padded(chat(`"content":"a"`), "p"), padded(chat(`"content":"b"`), "qr"),
			chat(`"content":"a"`), chat(`"content":"b"`), chat(`"content":"\ud83d"`), chat(`"content":"\ude00"`), chat(`"content":"\n\/<&>"`), chat(`"content":"é"`),
			chat(`"content":""`), chat(`"refusal":"r"`), chat(`"refusal":"s"`), chat(`"reasoning_content":"t"`), chat(`"reasoning_content":"u"`),
			chat(`"reasoning":"t","reasoning_details":[{"type":"reasoning.text","text":"t"}]`), chat(`"reasoning":"u","reasoning_details":[{"type":"reasoning.text","text":"t"}]`),
			chat(`"content":"a","reasoning_details":[]`), chat(`"content":[{"type":"text","text":"p"}]`),
			chat(`"tool_calls":[{"index":0,"id":"1","function":{"name":"f","arguments":"{\"a\":"}}]`), chat(`"tool_calls":[{"index":0,"function":{"arguments":"1}"}}]`),
			chat(`"tool_calls":[{"index":0,"function":{"arguments":"{\"a\":\"x\\n\"}"}}]`), chat(`"tool_calls":[{"index":1,"id":"2","function":{"name":"g","arguments":""}}]`),
			chat(`"tool_calls":[{"index":1,"function":{"arguments":"{"}}]`), chat(`"tool_calls":[{"index":1,"function":{"arguments":"}"}}]`), chat(`"tool_calls":[{"index":0,"function":{"arguments":"\b"}}]`),
			chat(`"function_call":{"arguments":"[1"}`), chat(`"function_call":{"name":"h","arguments":"[1"}`), chat(`"annotations":[{"type":"url_citation","url_citation":{"url":"u"}}]`),
			`{"choices":[{"index":1,"delta":{"content":"other"}}]}`, `{"choices":[{"index":1,"delta":{"content":"another"}}]}`,
		},
		llm.Anthropic: {
			`{"type":"message_start","message":{"id":"1","content":[]}}`, start(`{"type":"text","text":""}`), start(`{"type":"thinking","thinking":""}`),
			start(`{"type":"tool_use","id":"1","name":"f","input":{}}`), start(`{"type":"tool_use","id":"2","name":"f","input":{"a":1}}`), start(`{"type":"server_tool_use","id":"3"}`),
			delta("text_delta", "text", `"a"`), strings.TrimSuffix(delta("text_delta", "text", `"d"`), "}") + "    }", delta("text_delta", "text", `"\ud83d"`), delta("text_delta", "text", `"b"`), delta("input_json_delta", "partial_json", `"{}"`),
			delta("input_json_delta", "partial_json", `" "`), delta("thinking_delta", "thinking", `"t"`), delta("thinking_delta", "thinking", `"u"`),
			delta("signature_delta", "signature", `"s"`), delta("signature_delta", "signature", `"v"`), `{"type":"content_block_stop","index":0}`,
		},
	}
	item := func(index int, kind, more string) string {
		return fmt.Sprintf(`{"type":"response.%s","sequence_number":0,"item_id":"i","output_index":%d,%s}`, kind, index, more)
	}
	for i := range 2 {
		streams[llm.Responses] = append(streams[llm.Responses],
			item(i, "output_item.added", `"item":{"id":"m","type":"message"}`), item(i, "output_item.added", `"item":{"id":"f","type":"function_call","call_id":"c","name":"f"}`),
			item(i, "output_item.added", `"item":{"id":"r","type":"reasoning"}`), item(i, "output_item.done", `"item":{"id":"m","type":"message"}`),
			item(i, "output_text.delta", `"content_index":0,"delta":"a"`), item(i, "output_text.delta", `"content_index":1,"delta":"b"`), padded(item(i, "output_text.delta", `"content_index":0,"delta":"c"`), "pp"),
			item(i, "refusal.delta", `"content_index":0,"delta":"no"`), item(i, "function_call_arguments.delta", `"delta":"{\"a\""`), item(i, "function_call_arguments.delta", `"delta":":1}"`),
			item(i, "reasoning_summary_text.delta", `"summary_index":0,"delta":"t"`), item(i, "reasoning_summary_text.delta", `"summary_index":1,"delta":"u"`), item(i, "reasoning_text.delta", `"content_index":0,"delta":"v"`),
			fmt.Sprintf(`{"delta":"\ud83d","output_index":%d,"sequence_number":7,"type":"response.output_text.delta"}`, i))
	}
	event := func(s *Stream, data string) string {
		out, did, err := s.Event(nil, llm.Event{Raw: []byte("data: " + data + "\n\n"), Data: []byte(data)})
		return fmt.Sprintf("%s %+v %v, content %d", out, did, err, s.x.seen.content)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for upstream, events := range streams {
		for _, client := range []llm.Protocol{llm.OpenAI, llm.Anthropic, llm.Responses} {
			if client == upstream {
				continue
			}
			for range 100 {
				warm, cold := exchangeOf(t, client, upstream).Stream(), exchangeOf(t, client, upstream).Stream()
				var told []string
				for range 12 {
					e := events[random.IntN(len(events))]
					for range 1 + random.IntN(3) {
						e = strings.Replace(e, `"sequence_number":0`, fmt.Sprintf(`"sequence_number":%d`, random.IntN(1000)), 1)
						told = append(told, e)
						cold.repeat = repeat{}
						if got, want := event(warm, e), event(cold, e); got != want {
							t.Fatalf("%s from %s, after\n%s\ngot  %s\nwant %s", client, upstream, strings.Join(told, "\n"), got, want)
						}
					}
				}
			}
		}
	}
}
