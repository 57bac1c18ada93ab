package convert

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"model-proxy/internal/llm"
)

// chatEvents are the chunks of a stream of n deltas, about 200 bytes each, as
// OpenAI sends them when asked for usage.
func chatEvents(n int) []llm.Event {
	var events []llm.Event
	add := func(data string) {
		raw := []byte("data: " + data + "\n\n")
		events = append(events, llm.Event{Raw: raw, Data: raw[6 : len(raw)-2]})
	}
	for range n {
		add(`{"id":"chatcmpl-BvQ3xyz0123456789abcd","object":"chat.completion.chunk","created":1752000000,"model":"gpt-5.2-2026-01-01","choices":[{"index":0,"delta":{"content":" word"},"finish_reason":null}],"usage":null}`)
	}
	add(`{"id":"chatcmpl-BvQ3xyz0123456789abcd","object":"chat.completion.chunk","created":1752000000,"model":"gpt-5.2-2026-01-01","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null}`)
	add(`{"id":"chatcmpl-BvQ3xyz0123456789abcd","object":"chat.completion.chunk","created":1752000000,"model":"gpt-5.2-2026-01-01","choices":[],"usage":{"prompt_tokens":12,"completion_tokens":50,"total_tokens":62}}`)
	add("[DONE]")
	return events
}

func BenchmarkPassStream(b *testing.B) {
	events := chatEvents(50)
	for _, options := range []string{``, `,"stream_options":{"include_usage":true}`} {
		b.Run(fmt.Sprintf("asked=%t", options != ""), func(b *testing.B) {
			x, err := New(Input{
				Client: llm.OpenAI, Endpoint: llm.ChatCompletions, Stream: true, Model: "m",
				Body: []byte(`{"model":"m","stream":true` + options + `}`),
			}, Target{Protocol: llm.OpenAI, Model: "gpt-5.2"})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			dst := make([]byte, 0, 64<<10)
			for b.Loop() {
				s := x.Stream()
				dst = dst[:0]
				for _, e := range events {
					if dst, _, err = s.Event(dst, e); err != nil {
						b.Fatal(err)
					}
				}
				if dst, err = s.End(dst); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(events)), "ns/event")
		})
	}
}

func BenchmarkPassRequest(b *testing.B) {
	body := []byte(`{"model":"gpt","stream":true,"messages":[{"role":"user","content":"`)
	for len(body) < 2<<10 {
		body = append(body, "The quick brown fox. "...)
	}
	body = append(body, `"}]}`...)
	in := Input{Client: llm.OpenAI, Endpoint: llm.ChatCompletions, Stream: true, Model: "gpt", Body: body}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := New(in, Target{Protocol: llm.OpenAI, Model: "gpt-5.2-2026"}); err != nil {
			b.Fatal(err)
		}
	}
}

// paddedEvents are events as OpenAI sends them unasked: each with padding of its
// own.
func paddedEvents(events []llm.Event) []llm.Event {
	out := make([]llm.Event, len(events))
	for i, e := range events {
		data := strings.Replace(string(e.Data), `"usage":`, `"obfuscation":"`+strings.Repeat("x", 5+i%9)+`","usage":`, 1)
		raw := []byte("data: " + data + "\n\n")
		out[i] = llm.Event{Raw: raw, Data: raw[6 : len(raw)-2]}
	}
	return out
}

// messagesEvents are a stream of n deltas of Messages.
func messagesEvents(n int) []llm.Event {
	var events []llm.Event
	add := func(name, more string) {
		data := `{"type":"` + name + `"` + more + `}`
		raw := []byte("event: " + name + "\ndata: " + data + "\n\n")
		at := len("event: "+name+"\n") + len("data: ")
		events = append(events, llm.Event{Raw: raw, Type: []byte(name), Data: raw[at : len(raw)-2]})
	}
	add("message_start", `,"message":{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"usage":{"input_tokens":9,"output_tokens":1}}`)
	add("content_block_start", `,"index":0,"content_block":{"type":"text","text":""}`)
	for range n {
		add("content_block_delta", `,"index":0,"delta":{"type":"text_delta","text":" word"}`)
	}
	add("content_block_stop", `,"index":0`)
	add("message_delta", `,"delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":50}`)
	add("message_stop", "")
	return events
}

// conversions are streams and the pairs of protocols they go through.
var conversions = []struct {
	name             string
	client, upstream llm.Protocol
	events           []llm.Event
	allocs           float64 // at most, for the whole stream of 50 deltas
}{
	{"messages from chat", llm.Anthropic, llm.OpenAI, chatEvents(50), 50},
	{"messages from padded chat", llm.Anthropic, llm.OpenAI, paddedEvents(chatEvents(50)), 50},
	{"responses from chat", llm.Responses, llm.OpenAI, chatEvents(50), 80},
	{"chat from messages", llm.OpenAI, llm.Anthropic, messagesEvents(50), 50},
	{"responses from messages", llm.Responses, llm.Anthropic, messagesEvents(50), 80},
	{"messages from chat, a call", llm.Anthropic, llm.OpenAI, callEvents(50), 60},
	{"responses from chat, a call", llm.Responses, llm.OpenAI, callEvents(50), 90},
	{"chat from messages, a call", llm.OpenAI, llm.Anthropic, messagesCallEvents(50), 60},
	{"chat from messages, thinking", llm.OpenAI, llm.Anthropic, messagesThinkingEvents(50), 60},
	{"messages from responses", llm.Anthropic, llm.Responses, responsesEvents(50), 60},
	{"messages from responses, a call", llm.Anthropic, llm.Responses, responsesCallEvents(50), 60},
	{"chat from responses", llm.OpenAI, llm.Responses, responsesEvents(50), 60},
}

// replaced are events with one text put in place of another.
func replaced(events []llm.Event, pairs ...string) []llm.Event {
	out := make([]llm.Event, len(events))
	for i, e := range events {
		data := strings.NewReplacer(pairs...).Replace(string(e.Data))
		out[i] = llm.Event{Raw: []byte("data: " + data + "\n\n"), Type: e.Type, Data: []byte(data)}
	}
	return out
}

// callEvents are a stream of Chat Completions whose n deltas are of a tool call's
// arguments, which are never whole.
func callEvents(n int) []llm.Event {
	chunk := func(delta string) llm.Event {
		data := `{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1752000000,"model":"m","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,` + delta + `}]},"finish_reason":null}],"usage":null}`
		return llm.Event{Raw: []byte("data: " + data + "\n\n"), Data: []byte(data)}
	}
	events := []llm.Event{chunk(`"id":"call_1","type":"function","function":{"name":"f","arguments":""}`)}
	for range n {
		events = append(events, chunk(`"function":{"arguments":"{\"word\":"}`))
	}
	return append(events, chatEvents(0)...)
}

func messagesCallEvents(n int) []llm.Event {
	return replaced(messagesEvents(n), `{"type":"text","text":""}`, `{"type":"tool_use","id":"t","name":"f","input":{}}`,
		`{"type":"text_delta","text":" word"}`, `{"type":"input_json_delta","partial_json":"{\"word\":"}`)
}

func messagesThinkingEvents(n int) []llm.Event {
	return replaced(messagesEvents(n), `{"type":"text","text":""}`, `{"type":"thinking","thinking":"","signature":""}`,
		`{"type":"text_delta","text":" word"}`, `{"type":"thinking_delta","thinking":" word"}`)
}

// responsesEvents are a stream of n deltas of Responses, numbered and padded as
// OpenAI does.
func responsesEvents(n int) []llm.Event {
	var events []llm.Event
	add := func(name, more string) {
		data := fmt.Sprintf(`{"type":"response.%s","sequence_number":%d%s}`, name, len(events), more)
		events = append(events, llm.Event{Raw: []byte("data: " + data + "\n\n"), Type: []byte("response." + name), Data: []byte(data)})
	}
	add("created", `,"response":{"id":"resp_1","model":"m","output":[]}`)
	add("output_item.added", `,"output_index":0,"item":{"id":"msg_1","type":"message","content":[]}`)
	for i := range n {
		add("output_text.delta", `,"item_id":"msg_1","output_index":0,"content_index":0,"delta":" word","logprobs":[],"obfuscation":"`+strings.Repeat("x", 5+i%9)+`"`)
	}
	add("output_item.done", `,"output_index":0,"item":{"id":"msg_1","type":"message","content":[{"type":"output_text","text":""}]}`)
	add("completed", `,"response":{"id":"resp_1","status":"completed","output":[],"usage":{"input_tokens":9,"output_tokens":50}}`)
	return events
}

func responsesCallEvents(n int) []llm.Event {
	return replaced(responsesEvents(n), "output_text.delta", "function_call_arguments.delta", `"delta":" word"`, `"delta":"{\"word\":"`,
		`"type":"message"`, `"type":"function_call","call_id":"c","name":"f"`)
}

func exchangeOf(t testing.TB, client, upstream llm.Protocol) *Exchange {
	t.Helper()
	x, err := New(Input{
		Client: client, Endpoint: endpoints[client], Stream: true, Model: "m",
		Body: []byte(`{"model":"m","max_tokens":9,"stream":true,"messages":[{"role":"user","content":"hi"}],"input":"hi"}`),
	}, Target{Protocol: upstream, Model: "gpt-5.2"})
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func convertStream(t testing.TB, x *Exchange, dst []byte, events []llm.Event) []byte {
	s := x.Stream()
	for _, e := range events {
		var err error
		if dst, _, err = s.Event(dst, e); err != nil {
			t.Fatal(err)
		}
	}
	return dst
}

func BenchmarkConvertStream(b *testing.B) {
	for _, c := range conversions {
		b.Run(c.name, func(b *testing.B) {
			x := exchangeOf(b, c.client, c.upstream)
			b.ReportAllocs()
			dst := make([]byte, 0, 64<<10)
			for b.Loop() {
				dst = convertStream(b, x, dst[:0], c.events)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(c.events)), "ns/event")
		})
	}
}

// What an event costs in memory is counted: it would come back for every chunk
// of every stream.
func TestConvertedStreamsAllocateLittle(t *testing.T) {
	for _, c := range conversions {
		x := exchangeOf(t, c.client, c.upstream)
		dst := make([]byte, 0, 64<<10)
		got := testing.AllocsPerRun(20, func() { dst = convertStream(t, x, dst[:0], c.events) })
		if got > c.allocs {
			t.Errorf("%s: got %.0f allocations for 50 pieces, want at most %.0f", c.name, got, c.allocs)
		}
	}
}

// conversation is a request of about n bytes with text, calls and results.
func conversation(n int) []byte {
	body := []byte(`{"model":"gpt","max_tokens":100,"tools":[{"name":"read","input_schema":{"type":"object","properties":{"path":{"type":"string"}}}}],"messages":[`)
	for i := 0; len(body) < n; i++ {
		body = fmt.Appendf(body, `{"role":"user","content":"Look at file %d. %s"},`, i, strings.Repeat("The quick \\\"brown\\\" fox. ", 20))
		body = fmt.Appendf(body, `{"role":"assistant","content":[{"type":"text","text":"I will."},{"type":"tool_use","id":"t%d","name":"read","input":{"path":"a/%d"}}]},`, i, i)
		body = fmt.Appendf(body, `{"role":"user","content":[{"type":"tool_result","tool_use_id":"t%d","content":"%s"}]},`, i, strings.Repeat("jumps over the lazy dog\\n", 20))
	}
	return append(body, `{"role":"user","content":"Well?"}]}`...)
}

// A conversation of 100 KB converts in less than a millisecond
// (BenchmarkConvertConversation). The bound is for machines that are busy, and
// for the race detector: it catches what looks through a text again and again.
func TestLargeRequestsConvertFast(t *testing.T) {
	in := Input{Client: llm.Anthropic, Endpoint: llm.Messages, Model: "gpt", Body: conversation(100 << 10)}
	best := time.Hour
	for range 20 {
		began := time.Now()
		if _, err := New(in, Target{Protocol: llm.OpenAI, Model: "gpt-5.2"}); err != nil {
			t.Fatal(err)
		}
		best = min(best, time.Since(began))
	}
	if best > 250*time.Millisecond {
		t.Errorf("100 KB took %v at best, want less than 1 ms", best)
	}
}

// conversationIn is a conversation of about 100 KB as clients of p send it.
func conversationIn(t testing.TB, p llm.Protocol) Input {
	in := Input{Client: llm.Anthropic, Endpoint: llm.Messages, Model: "gpt", Body: conversation(100 << 10)}
	if p == llm.Anthropic {
		return in
	}
	x, err := New(in, Target{Protocol: p, Model: "gpt"})
	if err != nil {
		t.Fatal(err)
	}
	return Input{Client: p, Endpoint: endpoints[p], Model: "gpt", Body: x.Body()}
}

func BenchmarkConvertConversation(b *testing.B) {
	for _, p := range pairs {
		in := conversationIn(b, p[0])
		b.Run(string(p[0])+" to "+string(p[1]), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(in.Body)))
			for b.Loop() {
				if _, err := New(in, Target{Protocol: p[1], Model: "gpt-5.2"}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// What a conversation of 100 KB, about 500 blocks, costs in memory.
func TestConversationsAllocateLittle(t *testing.T) {
	for _, p := range pairs {
		in := conversationIn(t, p[0])
		got := testing.AllocsPerRun(10, func() {
			if _, err := New(in, Target{Protocol: p[1], Model: "gpt-5.2"}); err != nil {
				t.Fatal(err)
			}
		})
		if most := 300.0; got > most {
			t.Errorf("%s to %s: got %.0f allocations, want at most %.0f", p[0], p[1], got, most)
		}
	}
}

func BenchmarkConvertRequest(b *testing.B) {
	body := []byte(`{"model":"gpt","max_tokens":100,"stream":true,"messages":[{"role":"user","content":"`)
	for len(body) < 2<<10 {
		body = append(body, "The quick brown fox. "...)
	}
	body = append(body, `"}]}`...)
	in := Input{Client: llm.Anthropic, Endpoint: llm.Messages, Stream: true, Model: "gpt", Body: body}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := New(in, Target{Protocol: llm.OpenAI, Model: "gpt-5.2-2026"}); err != nil {
			b.Fatal(err)
		}
	}
}
