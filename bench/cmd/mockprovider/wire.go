package main

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// api holds one protocol's ready-made bytes.
type api struct {
	plain  []byte // a whole plain answer with its head
	head   []byte // a stream's head and its first event
	finish []byte // the event behind the last piece of text
	usage  []byte // the event OpenAI sends where the request asks for usage
	last   []byte // what ends a stream
	frame  func(i int) string

	mu     sync.Mutex // held while frames are made
	frames atomic.Pointer[[][]byte]
}

// deltas are the first n pieces of text.
func (a *api) deltas(n int) [][]byte {
	if p := a.frames.Load(); p != nil && len(*p) >= n {
		return (*p)[:n]
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	fs := make([][]byte, n)
	for i := range fs {
		fs[i] = chunk(a.frame(i + 1))
	}
	a.frames.Store(&fs)
	return fs
}

// end is what follows the text; it depends on the request.
func (a *api) end(body []byte) []byte {
	if a.usage != nil && isTrue(body, `"include_usage"`) {
		return slices.Concat(a.finish, a.usage, a.last)
	}
	return slices.Concat(a.finish, a.last)
}

func chunk(s string) []byte { return fmt.Appendf(nil, "%x\r\n%s\r\n", len(s), s) }

// answerText is what a plain answer says; no JSON encoder escapes any of it.
func answerText() string {
	return "~answer~ " + strings.Repeat("The quick brown fox jumps over the lazy dog while the gateway carries each byte. ", 8) + "~end~"
}

const (
	streamHead = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nCache-Control: no-cache\r\nX-Request-Id: req_mock\r\nTransfer-Encoding: chunked\r\n\r\n"
	bodyEnd    = "0\r\n\r\n"
)

func newOpenAI(model string) *api {
	pre := fmt.Sprintf(`"created":1700000000,"model":%q,"system_fingerprint":"fp_mock",`, model)
	event := func(s string) string {
		return `data: {"id":"chatcmpl-mock0123456789","object":"chat.completion.chunk",` + pre + s + "}\n\n"
	}
	choice := func(delta, finish string) string {
		return event(`"choices":[{"index":0,"delta":` + delta + `,"finish_reason":` + finish + `}]`)
	}
	usage := `"usage":{"prompt_tokens":211,"completion_tokens":123,"total_tokens":334}`
	return &api{
		plain: response(200, `{"id":"chatcmpl-mock0123456789","object":"chat.completion",`+pre+
			fmt.Sprintf(`"choices":[{"index":0,"message":{"role":"assistant","content":%q,"refusal":null},"logprobs":null,"finish_reason":"stop"}],%s}`, answerText(), usage)),
		head:   slices.Concat([]byte(streamHead), chunk(choice(`{"role":"assistant","content":""}`, "null"))),
		finish: chunk(choice(`{}`, `"stop"`)),
		usage:  chunk(event(`"choices":[],` + usage)),
		last:   append(chunk("data: [DONE]\n\n"), bodyEnd...),
		frame:  func(i int) string { return choice(fmt.Sprintf(`{"content":"~%04d~ token "}`, i), "null") },
	}
}

func newAnthropic() *api {
	event := func(name, s string) string {
		return fmt.Sprintf("event: %s\ndata: {\"type\":%q%s}\n\n", name, name, s)
	}
	return &api{
		plain: response(200, fmt.Sprintf(`{"id":"msg_mock0123456789","type":"message","role":"assistant","model":"claude-mock","content":[{"type":"text","text":%q}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":211,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":123}}`, answerText())),
		head: slices.Concat([]byte(streamHead), chunk(
			event("message_start", `,"message":{"id":"msg_mock0123456789","type":"message","role":"assistant","model":"claude-mock","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":211,"output_tokens":1}}`)+
				event("content_block_start", `,"index":0,"content_block":{"type":"text","text":""}`)+
				event("ping", ""))),
		last: slices.Concat(chunk(
			event("content_block_stop", `,"index":0`)+
				event("message_delta", `,"delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":123}`)+
				event("message_stop", "")), []byte(bodyEnd)),
		frame: func(i int) string {
			return event("content_block_delta", fmt.Sprintf(`,"index":0,"delta":{"type":"text_delta","text":"~%04d~ token and some more text, so that the size is alike"}`, i))
		},
	}
}

func modelList(model string) []byte {
	return response(200, fmt.Sprintf(`{"object":"list","data":[{"id":%q,"object":"model","created":1700000000,"owned_by":"mock"},{"id":"claude-mock","object":"model","created":1700000000,"owned_by":"mock","type":"model","display_name":"mock"}],"has_more":false}`, model))
}
