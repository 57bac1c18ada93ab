//go:build linux

package main

import "time"

// kind is one sort of request. Shares add up to 100.
type kind struct {
	name    string
	share   int
	path    string
	body    string // %q is the prompt
	padding int    // bytes put before the prompt
	headers map[string]string
	end     string         // the last bytes of a whole stream, "" for a plain answer
	gone    gone           // when the client hangs up
	outcome map[int]string // what the record says, by the status that the client saw
	after   time.Duration  // gone: after this time, or
	bytes   int            // after so many bytes of the answer
}

// gone says whether the client hangs up before its answer is whole.
type gone int

const (
	stays      gone = iota
	goesLater       // in mid-stream
	goesBefore      // before the first byte; perhaps before the request was admitted
)

const (
	chat      = `{"model":"soak-openai","messages":[{"role":"user","content":%q}]}`
	messages  = `{"model":"soak-anthropic","max_tokens":500,"messages":[{"role":"user","content":%q}]}`
	responses = `{"model":"soak-openai","input":%q}`
)

// paced makes the simulated provider send 30 pieces, 10 ms apart.
var paced = map[string]string{"X-Mock-Chunks": "30", "X-Mock-Delay": "10ms"}

var fine = map[int]string{200: "ok"}

// kinds is all that is sent. A request that fails asks for a model of its own,
// for its breaker rests that model.
var kinds = []kind{
	{name: "chat", share: 22, path: "/v1/chat/completions", body: chat, outcome: fine},
	{name: "messages", share: 12, path: "/v1/messages", body: messages, outcome: fine},
	{name: "chat of messages", share: 6, path: "/v1/chat/completions", outcome: fine,
		body: `{"model":"soak-anthropic","messages":[{"role":"user","content":%q}]}`},
	{name: "messages of chat", share: 6, path: "/v1/messages", outcome: fine,
		body: `{"model":"soak-openai","max_tokens":500,"messages":[{"role":"user","content":%q}]}`},
	{name: "responses of chat", share: 4, path: "/v1/responses", body: responses, outcome: fine},
	{name: "failover", share: 4, path: "/v1/chat/completions", outcome: fine,
		body: `{"model":"soak-failover","messages":[{"role":"user","content":%q}]}`},
	{name: "large", share: 1, path: "/v1/chat/completions", body: chat, padding: 300 << 10, outcome: fine},
	{name: "chat stream", share: 12, path: "/v1/chat/completions/stream", body: chat, headers: paced, end: "data: [DONE]\n\n", outcome: fine},
	{name: "messages stream", share: 8, path: "/v1/messages-stream", body: messages, headers: paced, end: "message_stop\"}\n\n", outcome: fine},
	{name: "chat stream of messages", share: 5, path: "/v1/chat/completions/stream", headers: paced, end: "data: [DONE]\n\n", outcome: fine,
		body: `{"model":"soak-anthropic","messages":[{"role":"user","content":%q}]}`},
	{name: "messages stream of chat", share: 5, path: "/v1/messages-stream", headers: paced, end: "message_stop\"}\n\n", outcome: fine,
		body: `{"model":"soak-openai","max_tokens":500,"messages":[{"role":"user","content":%q}]}`},
	{name: "bad request", share: 3, path: "/v1/chat/completions", body: chat,
		headers: map[string]string{"X-Mock-Status": "400"}, outcome: map[int]string{400: "error"}},
	{name: "failing", share: 2, path: "/v1/chat/completions", headers: map[string]string{"X-Mock-Status": "500"},
		body:    `{"model":"soak-failing","messages":[{"role":"user","content":%q}]}`,
		outcome: map[int]string{500: "error", 503: "error"}},
	{name: "limited", share: 2, path: "/v1/messages", headers: map[string]string{"X-Mock-Status": "429", "X-Mock-Retry-After": "1"},
		body:    `{"model":"soak-limited","max_tokens":5,"messages":[{"role":"user","content":%q}]}`,
		outcome: map[int]string{429: "error"}},
	{name: "cut", share: 2, path: "/v1/chat/completions/stream", headers: map[string]string{"X-Mock-Cut-After": "6", "X-Mock-Delay": "5ms"},
		body:    `{"model":"soak-cut","messages":[{"role":"user","content":%q}]}`,
		outcome: map[int]string{200: "incomplete", 503: "error"}},
	{name: "goes in mid-stream", share: 4, path: "/v1/chat/completions/stream", body: chat, gone: goesLater, bytes: 600,
		headers: map[string]string{"X-Mock-Chunks": "100", "X-Mock-Delay": "20ms"}, outcome: map[int]string{200: "client_gone"}},
	{name: "goes before", share: 2, path: "/v1/messages", body: messages, gone: goesBefore, after: 200 * time.Millisecond,
		headers: map[string]string{"X-Mock-Ttft": "3s"}, outcome: map[int]string{0: "client_gone"}},
}

// deal lays out the kinds by their shares, 100 in all.
func deal() []int {
	var cards []int
	for i, k := range kinds {
		for range k.share {
			cards = append(cards, i)
		}
	}
	return cards
}
