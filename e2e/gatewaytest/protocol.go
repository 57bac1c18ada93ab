package gatewaytest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"model-proxy/internal/llm"
)

// Protocol is a client's protocol as the tests speak it.
type Protocol struct {
	llm.Protocol
	Path  string
	Model string // one that the same protocol's provider serves
}

// Protocols are those whose promises are tested one by one.
var Protocols = []Protocol{
	{llm.OpenAI, string(llm.ChatCompletions), "gpt"},
	{llm.Anthropic, string(llm.Messages), "claude"},
}

// Plain is a request for a plain answer.
func (p Protocol) Plain(text string) Request { return p.request(p.Model, text, "") }

// Stream is a request for a stream. It asks for usage, so that the gateway has
// nothing to add and nothing to take out.
func (p Protocol) Stream(text string) Request {
	if p.Protocol == llm.OpenAI {
		return p.request(p.Model, text, `,"stream":true,"stream_options":{"include_usage":true}`)
	}
	return p.request(p.Model, text, `,"stream":true`)
}

// Of is the same request for another model.
func (p Protocol) Of(model string) Protocol {
	p.Model = model
	return p
}

func (p Protocol) request(model, text, more string) Request {
	if p.Protocol == llm.Anthropic {
		more += `,"max_tokens":100000`
	}
	return Request{Path: p.Path, Body: fmt.Sprintf(`{"model":%q,"messages":[{"role":"user","content":%q}]%s}`, model, text, more)}
}

// With returns the request with header lines added: name, value, …
func (r Request) With(lines ...string) Request {
	header := map[string]string{}
	for name, value := range r.Header {
		header[name] = value
	}
	for pair := range slices.Chunk(lines, 2) {
		header[pair[0]] = pair[1]
	}
	r.Header = header
	return r
}

// Ended reports whether a stream has its protocol's proper end.
func (p Protocol) Ended(stream string) bool {
	if p.Protocol == llm.Anthropic {
		return strings.HasSuffix(stream, "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n")
	}
	return strings.HasSuffix(stream, "data: [DONE]\n\n")
}

// CheckCut says what is wrong with a stream that had to begin like sent and end
// with the protocol's error event.
func (p Protocol) CheckCut(stream, sent string) error {
	at := strings.LastIndex(strings.TrimSuffix(stream, "\n\n"), "\n\n")
	if at < 0 {
		return fmt.Errorf("no events before the last one: %q", stream)
	}
	whole, last := stream[:at+2], stream[at+2:]
	if !strings.HasPrefix(sent, whole) {
		return fmt.Errorf("the client got %q, the upstream sent %q", whole, sent)
	}
	data, ok := strings.CutPrefix(last, "data: ")
	if p.Protocol == llm.Anthropic {
		data, ok = strings.CutPrefix(last, "event: error\ndata: ")
	}
	if !ok {
		return fmt.Errorf("the last event is no error: %q", last)
	}
	return p.CheckError(strings.TrimSuffix(data, "\n\n"))
}

// Error is what an error says in either protocol.
type Error struct {
	Type, Message, Code, Param string
}

// CheckError says what is wrong with an error's shape.
func (p Protocol) CheckError(body string) error {
	_, err := p.ReadError(body)
	return err
}

// members are those of an error object in the given protocol, which has no
// others.
var members = map[llm.Protocol]string{
	llm.OpenAI:    "code message param type",
	llm.Anthropic: "message type",
}

// ReadError reads an error answer and checks its exact shape.
func (p Protocol) ReadError(body string) (Error, error) {
	var outer map[string]json.RawMessage
	if err := json.Unmarshal([]byte(body), &outer); err != nil {
		return Error{}, fmt.Errorf("error %q: %w", body, err)
	}
	want := "error"
	if p.Protocol == llm.Anthropic {
		want = "error request_id type"
		if string(outer["type"]) != `"error"` {
			return Error{}, fmt.Errorf("error %q has the type %s, want \"error\"", body, outer["type"])
		}
	}
	if got := names(outer); got != want {
		return Error{}, fmt.Errorf("error %q has the members %s, want %s", body, got, want)
	}
	var inner map[string]json.RawMessage
	var e Error
	if err := json.Unmarshal(outer["error"], &inner); err != nil {
		return e, fmt.Errorf("error %q: %w", body, err)
	}
	if got := names(inner); got != members[p.Protocol] {
		return e, fmt.Errorf("error %q has the inner members %s, want %s", body, got, members[p.Protocol])
	}
	if err := json.Unmarshal(outer["error"], &e); err != nil {
		return e, fmt.Errorf("error %q: %w", body, err)
	}
	if e.Type == "" || e.Message == "" {
		return e, fmt.Errorf("error %q lacks a type or a message", body)
	}
	return e, nil
}

func names(m map[string]json.RawMessage) string {
	var list []string
	for name := range m {
		list = append(list, name)
	}
	slices.Sort(list)
	return strings.Join(list, " ")
}
