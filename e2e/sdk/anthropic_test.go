package sdk_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/anthropics/anthropic-sdk-go"
	"github.com/anthropics/anthropic-sdk-go/option"

	"model-proxy/e2e/gatewaytest"
)

func (g *gateway) anthropic() anthropic.Client {
	return anthropic.NewClient(option.WithBaseURL(g.URL), option.WithAPIKey(gatewaytest.ClientKey), option.WithMaxRetries(0))
}

func message(model string, messages ...anthropic.MessageParam) anthropic.MessageNewParams {
	return anthropic.MessageNewParams{Model: anthropic.Model(model), MaxTokens: 500, Messages: messages}
}

func said(text string) anthropic.MessageParam {
	return anthropic.NewUserMessage(anthropic.NewTextBlock(text))
}

func withWeatherTool(p anthropic.MessageNewParams) anthropic.MessageNewParams {
	p.Tools = []anthropic.ToolUnionParam{{OfTool: &anthropic.ToolParam{
		Name: "get_weather", Description: anthropic.String("the weather in a city"),
		InputSchema: anthropic.ToolInputSchemaParam{Properties: weatherProperties, Required: []string{"city"}},
	}}}
	return p
}

func (g *gateway) send(t *testing.T, p anthropic.MessageNewParams, options ...option.RequestOption) *anthropic.Message {
	t.Helper()
	client := g.anthropic()
	got, err := client.Messages.New(t.Context(), p, options...)
	if err != nil {
		t.Fatal(err)
	}
	checkUsage(t, got)
	return got
}

// receive reads a stream to its end with the SDK's accumulator.
func (g *gateway) receive(t *testing.T, p anthropic.MessageNewParams, options ...option.RequestOption) *anthropic.Message {
	t.Helper()
	client := g.anthropic()
	stream := client.Messages.NewStreaming(t.Context(), p, options...)
	defer stream.Close()
	var got anthropic.Message
	for stream.Next() {
		if err := got.Accumulate(stream.Current()); err != nil {
			t.Errorf("the accumulator refused %s: %v", stream.Current().RawJSON(), err)
		}
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
	checkUsage(t, &got)
	return &got
}

func checkUsage(t *testing.T, m *anthropic.Message) {
	t.Helper()
	if m.Usage.InputTokens <= 0 || m.Usage.OutputTokens <= 0 {
		t.Errorf("usage: got %+v, want tokens", m.Usage)
	}
}

// text joins a message's text blocks.
func text(m *anthropic.Message) string {
	var sb strings.Builder
	for _, b := range m.Content {
		sb.WriteString(b.Text)
	}
	return sb.String()
}

// calls are a message's tool calls.
func calls(m *anthropic.Message) []anthropic.ToolUseBlock {
	var all []anthropic.ToolUseBlock
	for _, b := range m.Content {
		if use, ok := b.AsAny().(anthropic.ToolUseBlock); ok {
			all = append(all, use)
		}
	}
	return all
}

func TestAnthropicConversation(t *testing.T) {
	forEachModel(t, func(t *testing.T, g *gateway, model string) {
		p := message(model, said("Hello"))
		p.System = []anthropic.TextBlockParam{{Text: "Be brief."}}
		first := g.send(t, p)
		if got, want := text(first), "You said: Hello"; got != want || first.StopReason != anthropic.StopReasonEndTurn {
			t.Errorf("got %q, stopped by %s; want %q, by end_turn", got, first.StopReason, want)
		}
		p.Messages = append(p.Messages, first.ToParam(), said("And again"))
		if got, want := text(g.send(t, p)), "You said: And again"; got != want {
			t.Errorf("second turn: got %q, want %q", got, want)
		}
		if got, want := text(g.receive(t, p)), "You said: And again"; got != want {
			t.Errorf("stream: got %q, want %q", got, want)
		}
	})
}

func TestAnthropicTools(t *testing.T) {
	forEachModel(t, func(t *testing.T, g *gateway, model string) {
		p := withWeatherTool(message(model, said("How is the weather?")))
		call, streamed := g.send(t, p), g.receive(t, p)
		for _, m := range []*anthropic.Message{call, streamed} {
			if len(calls(m)) != 1 || m.StopReason != anthropic.StopReasonToolUse {
				t.Fatalf("got %+v, want one call", m.Content)
			}
			checkCity(t, string(calls(m)[0].Input), "Paris")
		}
		p.Messages = append(p.Messages, call.ToParam(),
			anthropic.NewUserMessage(anthropic.NewToolResultBlock(calls(call)[0].ID, "sunny", false)))
		if got, want := text(g.send(t, p)), "The tool said: sunny"; got != want {
			t.Errorf("after the result: got %q, want %q", got, want)
		}
	})
}

func TestAnthropicParallelTools(t *testing.T) {
	forEachModel(t, func(t *testing.T, g *gateway, model string) {
		p := withWeatherTool(message(model, said("How is the weather in Paris and Rome?")))
		asked := option.WithHeader(answerHeader, parallelAnswer)
		call := g.send(t, p, asked)
		for _, m := range []*anthropic.Message{call, g.receive(t, p, asked)} {
			if len(calls(m)) != 2 {
				t.Fatalf("got %d calls, want 2", len(calls(m)))
			}
			checkCity(t, string(calls(m)[0].Input), "Paris")
			checkCity(t, string(calls(m)[1].Input), "Rome")
		}
		p.Messages = append(p.Messages, call.ToParam(), anthropic.NewUserMessage(
			anthropic.NewToolResultBlock(calls(call)[0].ID, "sunny", false),
			anthropic.NewToolResultBlock(calls(call)[1].ID, "rainy", false)))
		if got := text(g.send(t, p)); !strings.HasPrefix(got, "The tool said: ") {
			t.Errorf("after two results: got %q, want the tool's word", got)
		}
	})
}

func TestAnthropicImages(t *testing.T) {
	forEachModel(t, func(t *testing.T, g *gateway, model string) {
		p := message(model, anthropic.NewUserMessage(
			anthropic.NewImageBlockBase64("image/gif", pixel),
			anthropic.NewImageBlock(anthropic.URLImageSourceParam{URL: "https://example.com/pixel.gif"}),
			anthropic.NewTextBlock("Look"),
		))
		if got, want := text(g.send(t, p)), "I see 2 image(s). You said: Look"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

func TestAnthropicErrors(t *testing.T) {
	g := start(t)
	rows := []struct {
		name    string
		model   string
		options []option.RequestOption
		status  int
		kind    string
	}{
		{"wrong key", "e2e-anthropic", []option.RequestOption{option.WithAPIKey("wrong")}, 401, "authentication_error"},
		{"unknown model", unknownModel, nil, 404, "not_found_error"},
		{"bad body", "e2e-anthropic", []option.RequestOption{option.WithJSONSet("messages", "none")}, 400, "invalid_request_error"},
		{"too many requests", "e2e-anthropic", []option.RequestOption{option.WithHeader("X-Mock-Status", "429")}, 429, "rate_limit_error"},
		{"too many requests, converted", "e2e-openai", []option.RequestOption{option.WithHeader("X-Mock-Status", "429")}, 429, "rate_limit_error"},
	}
	client := g.anthropic()
	for _, row := range rows {
		_, plain := client.Messages.New(t.Context(), message(row.model, said("Hello")), row.options...)
		stream := client.Messages.NewStreaming(t.Context(), message(row.model, said("Hello")), row.options...)
		for stream.Next() {
			t.Errorf("%s: got an event %s, want none", row.name, stream.Current().RawJSON())
		}
		for _, err := range []error{plain, stream.Err()} {
			e, ok := errors.AsType[*anthropic.Error](err)
			if !ok || e.StatusCode != row.status || !strings.Contains(e.RawJSON(), `"`+row.kind+`"`) {
				t.Errorf("%s: got %v, want status %d and type %s", row.name, err, row.status, row.kind)
				continue
			}
			if row.status == 429 && e.Response.Header.Get("Retry-After") == "" {
				t.Errorf("%s: got no Retry-After", row.name)
			}
		}
	}
}

func TestAnthropicAbort(t *testing.T) {
	forEachModel(t, func(t *testing.T, g *gateway, model string) {
		ctx, abort := context.WithCancel(t.Context())
		defer abort()
		client := g.anthropic()
		p := message(model, said("Tell me much"))
		p.MaxTokens = 8000
		stream := client.Messages.NewStreaming(ctx, p, option.WithHeader("X-Mock-Delay", "50ms"), option.WithHeader("X-Mock-Chunks", "2000"))
		for range 5 {
			if !stream.Next() {
				t.Fatalf("the stream ended early: %v", stream.Err())
			}
		}
		abort()
		for stream.Next() { // what was on its way
		}
		if stream.Err() == nil {
			t.Error("after the abort: got no error")
		}
		g.awaitCancelled(t)
	})
}

func TestAnthropicModels(t *testing.T) {
	g := start(t)
	client := g.anthropic()
	page, err := client.Models.List(t.Context(), anthropic.ModelListParams{})
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{}
	for _, m := range page.Data {
		listed[m.ID] = true
	}
	for _, model := range models {
		if !listed[model] {
			t.Errorf("list: got %v, want %s in it", listed, model)
		}
		if m, err := client.Models.Get(t.Context(), model, anthropic.ModelGetParams{}); err != nil || m.ID != model {
			t.Errorf("get %s: got %v, error %v", model, m, err)
		}
	}
}

func TestAnthropicConcurrentStreams(t *testing.T) {
	forEachModel(t, func(t *testing.T, g *gateway, model string) {
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				line := fmt.Sprintf("I am number %d and say a little more than the others do", i)
				got := text(g.receive(t, message(model, said(line)), option.WithHeader("X-Mock-Delay", "5ms")))
				if want := "You said: " + line; got != want {
					t.Errorf("stream %d: got %q, want %q", i, got, want)
				}
			})
		}
		wg.Wait()
	})
}
