package sdk_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"

	"model-proxy/e2e/gatewaytest"
	"model-proxy/internal/provider/mock"
)

// pausing is an upstream of Messages that searches the web and pauses its answer
// after each part but the last. It wants all its blocks back as they were.
type pausing struct{ parts [][]string }

// pausedParts are the blocks of the three parts of an answer.
var pausedParts = [][]string{
	{`{"type":"thinking","thinking":"I must look it up.","signature":"EqoB+/=="}`, `{"type":"text","text":"Let me search."}`,
		`{"type":"server_tool_use","id":"srvtoolu_1","name":"web_search","input":{"query":"go <release> 1.0","n":1.0}}`},
	{`{"type":"web_search_tool_result","tool_use_id":"srvtoolu_1","content":[{"type":"web_search_result","url":"https://go.dev","title":"Go","encrypted_content":"Abc/=="}]}`,
		`{"type":"text","text":"It came out "}`},
	{`{"type":"text","text":"in 2012."}`},
}

const pausedText = "Let me search.\n\nIt came out in 2012."

func (p pausing) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the gateway has gone
	}
	var asked struct {
		Stream   bool
		Messages []struct {
			Role    string
			Content json.RawMessage
		}
	}
	_ = json.Unmarshal(body, &asked) // what is no request has no messages
	part := 0
	for _, m := range asked.Messages {
		if m.Role != "assistant" {
			continue
		}
		if part = p.resumed(m.Content); part == 0 {
			http.Error(w, `{"type":"error","error":{"type":"invalid_request_error","message":"the blocks came back changed"}}`, http.StatusBadRequest)
			return
		}
	}
	answer, contentType := p.whole(part), "application/json"
	if asked.Stream {
		answer, contentType = p.events(part), "text/event-stream"
	}
	mock.Replay(http.StatusOK, http.Header{"Content-Type": {contentType}}, []byte(answer), mock.Every(97)).ServeHTTP(w, r)
}

// resumed is the number of the part that is due after content, 0 if content is
// not what the parts before it were.
func (p pausing) resumed(content json.RawMessage) int {
	var before []string
	for i, blocks := range p.parts {
		before = append(before, blocks...)
		var got, want any
		if json.Unmarshal(content, &got) == nil && json.Unmarshal([]byte("["+strings.Join(before, ",")+"]"), &want) == nil && reflect.DeepEqual(got, want) {
			return i + 1
		}
	}
	return 0
}

func (p pausing) stop(part int) string {
	if part == len(p.parts)-1 {
		return "end_turn"
	}
	return "pause_turn"
}

func (p pausing) whole(part int) string {
	return fmt.Sprintf(`{"id":"msg_%d","type":"message","role":"assistant","model":"m","content":[%s],"stop_reason":%q,"stop_sequence":null,`+
		`"usage":{"input_tokens":100,"output_tokens":10}}`, part, strings.Join(p.parts[part], ","), p.stop(part))
}

func (p pausing) events(part int) string {
	var b strings.Builder
	event := func(name, more string) {
		fmt.Fprintf(&b, "event: %s\ndata: {\"type\":%q%s}\n\n", name, name, more)
	}
	event("message_start", fmt.Sprintf(`,"message":{"id":"msg_%d","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"usage":{"input_tokens":100,"output_tokens":1}}`, part))
	for i, block := range p.parts[part] {
		var whole struct {
			Type, Text, Thinking, Signature string
			Input                           json.RawMessage
		}
		_ = json.Unmarshal([]byte(block), &whole) // written above
		delta := func(kind, field, text string) {
			for _, s := range []string{text[:len(text)/2], text[len(text)/2:]} {
				quoted, _ := json.Marshal(s) // a string
				event("content_block_delta", fmt.Sprintf(`,"index":%d,"delta":{"type":%q,%q:%s}`, i, kind, field, quoted))
			}
		}
		start := block
		switch whole.Type {
		case "thinking":
			start = `{"type":"thinking","thinking":"","signature":""}`
		case "text":
			start = `{"type":"text","text":""}`
		case "server_tool_use":
			start = strings.Replace(block, string(whole.Input), "{}", 1)
		}
		event("content_block_start", fmt.Sprintf(`,"index":%d,"content_block":%s`, i, start))
		switch whole.Type {
		case "thinking":
			delta("thinking_delta", "thinking", whole.Thinking)
			event("content_block_delta", fmt.Sprintf(`,"index":%d,"delta":{"type":"signature_delta","signature":%q}`, i, whole.Signature))
		case "text":
			delta("text_delta", "text", whole.Text)
		case "server_tool_use":
			delta("input_json_delta", "partial_json", string(whole.Input))
		}
		event("content_block_stop", fmt.Sprintf(`,"index":%d`, i))
	}
	event("message_delta", fmt.Sprintf(`,"delta":{"stop_reason":%q,"stop_sequence":null},"usage":{"output_tokens":10}`, p.stop(part)))
	event("message_stop", "")
	return b.String()
}

// startPausing starts a gateway in front of an upstream that pauses, whose
// provider adds a web search to every request.
func startPausing(t *testing.T, upstream http.Handler) *gateway {
	t.Helper()
	u := gatewaytest.NewUpstream(t, mock.Options{})
	u.Instead(upstream)
	setup := gatewaytest.EachProtocol(u.URL)
	setup.Files["providers/e2e-anthropic.json"]["request_config"] = gatewaytest.JSON{"default_parameters": gatewaytest.JSON{
		"tools": []gatewaytest.JSON{{"type": "web_search_20250305", "name": "web_search"}}}}
	return &gateway{gatewaytest.Run(t, u, setup), u}
}

// What a client's protocol has no word for is the gateway's business: it gets
// the rest of a paused answer itself, without a seam, and adds up what all calls
// have used.
func TestPausedAnswers(t *testing.T) {
	g := startPausing(t, pausing{pausedParts})
	ask := func(kind string, id option.RequestOption) (text string, usage []int64) {
		p, r := chat("e2e-anthropic", openai.UserMessage("When?")), respond("e2e-anthropic", asked("When?"))
		switch kind {
		case "chat":
			return g.complete(t, p, id).Message.Content, nil
		case "chat, streamed":
			got := g.accumulate(t, p, id)
			return got.Choices[0].Message.Content, []int64{got.Usage.PromptTokens, got.Usage.CompletionTokens}
		case "responses":
			got := g.answer(t, r, id)
			return got.OutputText(), []int64{got.Usage.InputTokens, got.Usage.OutputTokens}
		}
		got := g.follow(t, r, id)
		return got.OutputText(), []int64{got.Usage.InputTokens, got.Usage.OutputTokens}
	}
	for i, kind := range []string{"chat", "chat, streamed", "responses", "responses, streamed"} {
		t.Run(kind, func(t *testing.T) {
			id := fmt.Sprintf("paused-%d", i)
			said, usage := ask(kind, option.WithHeader("X-Request-Id", id))
			if spoken(said) != spoken(pausedText) {
				t.Errorf("got %q, want %q", said, pausedText)
			}
			if want := []int64{300, 30}; usage != nil && !slices.Equal(usage, want) {
				t.Errorf("usage: got %v tokens, want %v", usage, want)
			}
			row := g.AwaitRow(t, id, soon)
			if row.Attempts != 3 || row.PromptTokens != 300 || row.CompletionTokens != 30 || !row.Answered() {
				t.Errorf("request: got %+v, want 3 attempts with 300 and 30 tokens", row)
			}
			for _, a := range g.AwaitAttempts(t, id, 3, soon) {
				if !a.Answered() || a.PromptTokens != 100 || a.CompletionTokens != 10 {
					t.Errorf("attempt %d: got %+v, want ok with 100 and 10 tokens", a.Attempt, a)
				}
			}
		})
	}
}

// spoken is text without the blank lines that stand between an answer's parts in
// one protocol and not in another.
func spoken(text string) string { return strings.ReplaceAll(text, "\n\n", "") }

// The rest of an answer that has begun cannot come from elsewhere: if the
// upstream refuses it, the stream ends with an error.
func TestPausedThenRefused(t *testing.T) {
	whole := pausing{pausedParts}
	g := startPausing(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the gateway has gone
		}
		if strings.Contains(string(body), `"role":"assistant"`) {
			http.Error(w, `{"type":"error","error":{"type":"overloaded_error","message":"too much to do"}}`, 529)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		whole.ServeHTTP(w, r)
	}))
	client := g.openAI()
	stream := client.Chat.Completions.NewStreaming(t.Context(), chat("e2e-anthropic", openai.UserMessage("When?")))
	said := ""
	for stream.Next() {
		for _, c := range stream.Current().Choices {
			said += c.Delta.Content
			if c.FinishReason != "" {
				t.Errorf("got finish_reason %s, want none", c.FinishReason)
			}
		}
	}
	if said != "Let me search." || stream.Err() == nil || !strings.Contains(stream.Err().Error(), "too much to do") {
		t.Errorf("got %q, then %v; want the first part, then the upstream's error", said, stream.Err())
	}
}

// An upstream that pauses for ever is called 6 times, and its answer ends as one
// that grew too long.
func TestPausedForEver(t *testing.T) {
	calls := make([][]string, 9)
	for i := range calls {
		calls[i] = []string{fmt.Sprintf(`{"type":"text","text":"%d"}`, i)}
	}
	g := startPausing(t, pausing{calls})
	got := g.complete(t, chat("e2e-anthropic", openai.UserMessage("When?")))
	if got.Message.Content != "012345" || got.FinishReason != "length" {
		t.Errorf("got %q, finished by %s; want 012345, by length", got.Message.Content, got.FinishReason)
	}
}
