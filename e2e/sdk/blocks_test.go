package sdk_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
)

// remembering is pausing that also looks at what comes back of its whole answer.
type remembering struct{ pausing }

func (u remembering) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the gateway has gone
	}
	var asked struct {
		Messages []struct{ Content json.RawMessage }
	}
	_ = json.Unmarshal(body, &asked) // what is no request has no messages
	if len(asked.Messages) != 3 {
		r.Body = io.NopCloser(bytes.NewReader(body))
		u.pausing.ServeHTTP(w, r)
		return
	}
	said := "It came back changed: " + string(asked.Messages[1].Content)
	if sameJSON(string(asked.Messages[1].Content), u.blocks()) {
		said = "It came back whole."
	}
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"id":"msg_9","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":%q}],"stop_reason":"end_turn","stop_sequence":null,`+
		`"usage":{"input_tokens":1,"output_tokens":1}}`, said)
}

// blocks are those of the whole answer.
func (u remembering) blocks() string {
	var all []string
	for _, part := range u.parts {
		all = append(all, part...)
	}
	return "[" + strings.Join(all, ",") + "]"
}

func sameJSON(got, want string) bool {
	var a, b any
	return json.Unmarshal([]byte(got), &a) == nil && json.Unmarshal([]byte(want), &b) == nil && reflect.DeepEqual(a, b)
}

// A client of OpenAI's library that asks for the blocks of an answer gets all of
// them, of every call it took, and what it sends back reaches the vendor as it
// was: encrypted search results, thinking and all.
func TestContentBlocksGoThereAndBack(t *testing.T) {
	upstream := remembering{pausing{pausedParts}}
	g := startPausing(t, upstream)
	want := option.WithHeader("X-Model-Proxy-Content-Blocks", "1")

	whole := g.complete(t, chat("e2e-anthropic", openai.UserMessage("When?")), want).Message
	blocks := whole.JSON.ExtraFields["content_blocks"].Raw()
	if !sameJSON(blocks, upstream.blocks()) {
		t.Errorf("got %s\nwant %s", blocks, upstream.blocks())
	}

	client := g.openAI()
	stream := client.Chat.Completions.NewStreaming(t.Context(), chat("e2e-anthropic", openai.UserMessage("When?")), want)
	streamed := ""
	for stream.Next() {
		for _, c := range stream.Current().Choices {
			streamed += c.Delta.JSON.ExtraFields["content_blocks"].Raw()
		}
	}
	if stream.Err() != nil || !sameJSON(streamed, upstream.blocks()) {
		t.Errorf("streamed: got %s, %v\nwant %s", streamed, stream.Err(), upstream.blocks())
	}

	said := whole.ToParam()
	said.OfAssistant.SetExtraFields(map[string]any{"content_blocks": json.RawMessage(blocks)})
	next := g.complete(t, chat("e2e-anthropic", openai.UserMessage("When?"), said, openai.UserMessage("Are you sure?")))
	if next.Message.Content != "It came back whole." {
		t.Errorf("got %s", next.Message.Content)
	}
}
