package convert

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/anthropics/anthropic-sdk-go"
	messagesstream "github.com/anthropics/anthropic-sdk-go/packages/ssestream"
	"github.com/openai/openai-go/v3"
	chatstream "github.com/openai/openai-go/v3/packages/ssestream"
	"github.com/openai/openai-go/v3/responses"

	"model-proxy/internal/llm"
)

// sdkText reads a stream with the official SDK of its protocol, as a client's
// program would, and returns the text and the calls it made of it.
func sdkText(p llm.Protocol, stream string) (string, error) {
	switch p {
	case llm.Anthropic:
		return messagesSDK(stream)
	case llm.Responses:
		return responsesSDK(stream)
	}
	return chatSDK(stream)
}

func streamResponse(stream string) *http.Response {
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"text/event-stream"}}, Body: io.NopCloser(strings.NewReader(stream))}
}

func chatSDK(stream string) (string, error) {
	s := chatstream.NewStream[openai.ChatCompletionChunk](chatstream.NewDecoder(streamResponse(stream)), nil)
	var acc openai.ChatCompletionAccumulator
	for s.Next() {
		if !acc.AddChunk(s.Current()) {
			return "", fmt.Errorf("accumulator refuses %s", s.Current().RawJSON())
		}
	}
	if err := s.Err(); err != nil {
		return "", err
	}
	if len(acc.Choices) != 1 {
		return "", fmt.Errorf("%d choices", len(acc.Choices))
	}
	m := acc.Choices[0].Message
	out := m.Content
	for _, c := range m.ToolCalls {
		out += "|" + c.ID + "|" + c.Function.Name + "|" + c.Function.Arguments
	}
	return out, nil
}

// responsesSDK wants what the deltas tell to be what the last event repeats.
func responsesSDK(stream string) (string, error) {
	s := chatstream.NewStream[responses.ResponseStreamEventUnion](chatstream.NewDecoder(streamResponse(stream)), nil)
	text, out, ended := "", "", false
	for s.Next() {
		switch e := s.Current().AsAny().(type) {
		case responses.ResponseTextDeltaEvent:
			text += e.Delta
		case responses.ResponseCompletedEvent:
			out, ended = responsesText(e.Response), true
		case responses.ResponseIncompleteEvent:
			out, ended = responsesText(e.Response), true
		}
	}
	if err := s.Err(); err != nil {
		return "", err
	}
	if !ended || !strings.HasPrefix(out, text) {
		return "", fmt.Errorf("told %.200q, ended %v with %.200q", text, ended, out)
	}
	return out, nil
}

func responsesText(r responses.Response) string {
	calls := ""
	for _, item := range r.Output {
		switch i := item.AsAny().(type) {
		case responses.ResponseFunctionToolCall:
			calls += "|" + i.CallID + "|" + i.Name + "|" + i.Arguments
		case responses.ResponseCustomToolCall:
			calls += "|" + i.CallID + "|" + i.Name + "|" + i.Input
		}
	}
	return r.OutputText() + calls
}

func messagesSDK(stream string) (string, error) {
	s := messagesstream.NewStream[anthropic.MessageStreamEventUnion](messagesstream.NewDecoder(streamResponse(stream)), nil)
	var m anthropic.Message
	for s.Next() {
		if err := m.Accumulate(s.Current()); err != nil {
			return "", err
		}
	}
	if err := s.Err(); err != nil {
		return "", err
	}
	out, calls := "", ""
	for _, b := range m.Content {
		switch b.Type {
		case "text":
			out += b.Text
		case "tool_use":
			calls += "|" + b.ID + "|" + b.Name + "|" + string(b.Input)
		}
	}
	return out + calls, nil
}

// The official SDKs understand every recorded stream of another protocol once
// it was converted, and make the same of it as of the plain answer.
func TestCorpusSDK(t *testing.T) {
	n := 0
	for _, r := range corpus(t) {
		if !r.Stream || r.Status != http.StatusOK {
			continue
		}
		for _, client := range r.others() {
			if readBySDK(t, r, client) {
				n++
			}
		}
	}
	t.Logf("%d streams read by the SDKs", n)
}

// readBySDK reports whether the recording is a whole answer; only then it says
// anything about the SDK.
func readBySDK(t *testing.T, r recording, client llm.Protocol) bool {
	open := func(stream bool) *Exchange {
		return exchange(t, Input{Client: client, Stream: stream, Body: []byte(hello), Model: "asked"}, Target{Protocol: r.wire(), Provider: "p", Model: "up"})
	}
	streamed, _, err := relay(open(true), r.SSE)
	if err != nil {
		return false // told by TestCorpusCross
	}
	got, err := sdkText(client, streamed)
	if err != nil {
		t.Errorf("%s for %s: %v", r.ID, client, err)
		return true
	}
	plain, _, err := relay(open(false), r.SSE)
	if err != nil {
		t.Errorf("%s for %s: %v", r.ID, client, err)
		return true
	}
	if want, err := sdkPlain(client, plain); err != nil || got != want {
		t.Errorf("%s for %s: stream %.200q, plain %.200q, error %v", r.ID, client, got, want, err)
	}
	return true
}

// sdkPlain is sdkText for a plain answer.
func sdkPlain(p llm.Protocol, body string) (string, error) {
	if p == llm.Anthropic {
		var m anthropic.Message
		err := json.Unmarshal([]byte(body), &m)
		out, calls := "", ""
		for _, b := range m.Content {
			switch b.Type {
			case "text":
				out += b.Text
			case "tool_use":
				calls += "|" + b.ID + "|" + b.Name + "|" + string(b.Input)
			}
		}
		return out + calls, err
	}
	if p == llm.Responses {
		var r responses.Response
		err := json.Unmarshal([]byte(body), &r)
		return responsesText(r), err
	}
	var c openai.ChatCompletion
	if err := json.Unmarshal([]byte(body), &c); err != nil {
		return "", err
	}
	out := c.Choices[0].Message.Content
	for _, k := range c.Choices[0].Message.ToolCalls {
		out += "|" + k.ID + "|" + k.Function.Name + "|" + k.Function.Arguments
	}
	return out, nil
}
