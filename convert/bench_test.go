package convert

import (
	"fmt"
	"testing"

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

func BenchmarkConvertStream(b *testing.B) {
	events := chatEvents(50)
	for _, client := range []llm.Protocol{llm.Anthropic, llm.Responses} {
		b.Run(string(client), func(b *testing.B) {
			x, err := New(Input{
				Client: client, Endpoint: endpoints[client], Stream: true, Model: "m",
				Body: []byte(`{"model":"m","max_tokens":9,"stream":true,"messages":[{"role":"user","content":"hi"}],"input":"hi"}`),
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
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(events)), "ns/event")
		})
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
