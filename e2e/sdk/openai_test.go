package sdk_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/shared"

	"model-proxy/e2e/gatewaytest"
)

func (g *gateway) openAI(options ...option.RequestOption) openai.Client {
	return openai.NewClient(append([]option.RequestOption{
		option.WithBaseURL(g.URL + "/v1"), option.WithAPIKey(gatewaytest.ClientKey), option.WithMaxRetries(0),
	}, options...)...)
}

func chat(model string, messages ...openai.ChatCompletionMessageParamUnion) openai.ChatCompletionNewParams {
	return openai.ChatCompletionNewParams{Model: model, Messages: messages, MaxTokens: openai.Int(500)}
}

func withWeather(p openai.ChatCompletionNewParams) openai.ChatCompletionNewParams {
	p.Tools = []openai.ChatCompletionToolUnionParam{openai.ChatCompletionFunctionTool(shared.FunctionDefinitionParam{
		Name: "get_weather", Description: openai.String("the weather in a city"),
		Parameters: map[string]any{"type": "object", "properties": weatherProperties, "required": []string{"city"}},
	})}
	return p
}

func (g *gateway) complete(t *testing.T, p openai.ChatCompletionNewParams, options ...option.RequestOption) openai.ChatCompletionChoice {
	t.Helper()
	client := g.openAI()
	got, err := client.Chat.Completions.New(t.Context(), p, options...)
	if err != nil {
		t.Fatal(err)
	}
	if got.Usage.PromptTokens <= 0 || got.Usage.CompletionTokens <= 0 {
		t.Errorf("usage: got %+v, want tokens", got.Usage)
	}
	return got.Choices[0]
}

// accumulate reads a stream to its end with the SDK's accumulator.
func (g *gateway) accumulate(t *testing.T, p openai.ChatCompletionNewParams, options ...option.RequestOption) openai.ChatCompletionAccumulator {
	t.Helper()
	p.StreamOptions.IncludeUsage = openai.Bool(true)
	client := g.openAI()
	stream := client.Chat.Completions.NewStreaming(t.Context(), p, options...)
	defer stream.Close()
	var acc openai.ChatCompletionAccumulator
	for stream.Next() {
		if !acc.AddChunk(stream.Current()) {
			t.Errorf("the accumulator refused %s", stream.Current().RawJSON())
		}
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
	if acc.Usage.PromptTokens <= 0 || acc.Usage.CompletionTokens <= 0 {
		t.Errorf("usage of the stream: got %+v, want tokens", acc.Usage)
	}
	return acc
}

func TestOpenAIConversation(t *testing.T) {
	forEachModel(t, func(t *testing.T, g *gateway, model string) {
		p := chat(model, openai.SystemMessage("Be brief."), openai.UserMessage("Hello"))
		first := g.complete(t, p)
		if got, want := first.Message.Content, "You said: Hello"; got != want || first.FinishReason != "stop" {
			t.Errorf("got %q, finished by %s; want %q, by stop", got, first.FinishReason, want)
		}
		p.Messages = append(p.Messages, first.Message.ToParam(), openai.UserMessage("And again"))
		if got, want := g.complete(t, p).Message.Content, "You said: And again"; got != want {
			t.Errorf("second turn: got %q, want %q", got, want)
		}
		if got, want := g.accumulate(t, p).Choices[0].Message.Content, "You said: And again"; got != want {
			t.Errorf("stream: got %q, want %q", got, want)
		}
	})
}

func TestOpenAITools(t *testing.T) {
	forEachModel(t, func(t *testing.T, g *gateway, model string) {
		p := withWeather(chat(model, openai.UserMessage("How is the weather?")))
		call := g.complete(t, p)
		if len(call.Message.ToolCalls) != 1 || call.FinishReason != "tool_calls" {
			t.Fatalf("got %s, want one call", call.RawJSON())
		}
		checkCity(t, call.Message.ToolCalls[0].Function.Arguments, "Paris")
		streamed := g.accumulate(t, p).Choices[0].Message
		if len(streamed.ToolCalls) != 1 {
			t.Fatalf("stream: got %+v, want one call", streamed.ToolCalls)
		}
		checkCity(t, streamed.ToolCalls[0].Function.Arguments, "Paris")

		p.Messages = append(p.Messages, call.Message.ToParam(), openai.ToolMessage("sunny", call.Message.ToolCalls[0].ID))
		if got, want := g.complete(t, p).Message.Content, "The tool said: sunny"; got != want {
			t.Errorf("after the result: got %q, want %q", got, want)
		}
	})
}

func TestOpenAIParallelTools(t *testing.T) {
	forEachModel(t, func(t *testing.T, g *gateway, model string) {
		p := withWeather(chat(model, openai.UserMessage("How is the weather in Paris and Rome?")))
		asked := option.WithHeader(answerHeader, parallelAnswer)
		message := g.complete(t, p, asked).Message
		streamed := g.accumulate(t, p, asked).Choices[0].Message
		if len(message.ToolCalls) != 2 || len(streamed.ToolCalls) != 2 {
			t.Fatalf("got %d calls, %d in the stream; want 2", len(message.ToolCalls), len(streamed.ToolCalls))
		}
		for i, city := range []string{"Paris", "Rome"} {
			checkCity(t, message.ToolCalls[i].Function.Arguments, city)
			checkCity(t, streamed.ToolCalls[i].Function.Arguments, city)
		}
		p.Messages = append(p.Messages, message.ToParam(),
			openai.ToolMessage("sunny", message.ToolCalls[0].ID), openai.ToolMessage("rainy", message.ToolCalls[1].ID))
		if got := g.complete(t, p).Message.Content; !strings.HasPrefix(got, "The tool said: ") {
			t.Errorf("after two results: got %q, want the tool's word", got)
		}
	})
}

func TestOpenAIImages(t *testing.T) {
	forEachModel(t, func(t *testing.T, g *gateway, model string) {
		p := chat(model, openai.UserMessage([]openai.ChatCompletionContentPartUnionParam{
			openai.TextContentPart("Look"),
			openai.ImageContentPart(openai.ChatCompletionContentPartImageImageURLParam{URL: "data:image/gif;base64," + pixel}),
			openai.ImageContentPart(openai.ChatCompletionContentPartImageImageURLParam{URL: "https://example.com/pixel.gif"}),
		}))
		if got, want := g.complete(t, p).Message.Content, "I see 2 image(s). You said: Look"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

func TestOpenAIErrors(t *testing.T) {
	g := start(t)
	hello := openai.UserMessage("Hello")
	rows := []struct {
		name    string
		model   string
		options []option.RequestOption
		status  int
	}{
		{"wrong key", "e2e-openai", []option.RequestOption{option.WithAPIKey("wrong")}, 401},
		{"unknown model", unknownModel, nil, 404},
		{"bad body", "e2e-openai", []option.RequestOption{option.WithJSONSet("messages", "none")}, 400},
		{"too many requests", "e2e-openai", []option.RequestOption{option.WithHeader("X-Mock-Status", "429")}, 429},
		{"too many requests, converted", "e2e-anthropic", []option.RequestOption{option.WithHeader("X-Mock-Status", "429")}, 429},
	}
	client := g.openAI()
	for _, row := range rows {
		_, plain := client.Chat.Completions.New(t.Context(), chat(row.model, hello), row.options...)
		stream := client.Chat.Completions.NewStreaming(t.Context(), chat(row.model, hello), row.options...)
		for stream.Next() {
			t.Errorf("%s: got a chunk %s, want none", row.name, stream.Current().RawJSON())
		}
		for _, err := range []error{plain, stream.Err()} {
			e, ok := errors.AsType[*openai.Error](err)
			if !ok || e.StatusCode != row.status || e.Message == "" || e.Type == "" {
				t.Errorf("%s: got %v, want status %d with message and type", row.name, err, row.status)
				continue
			}
			if row.status == 429 && e.Response.Header.Get("Retry-After") == "" {
				t.Errorf("%s: got no Retry-After", row.name)
			}
		}
	}
}

func TestOpenAIAbort(t *testing.T) {
	forEachModel(t, func(t *testing.T, g *gateway, model string) {
		ctx, abort := context.WithCancel(t.Context())
		defer abort()
		client := g.openAI()
		stream := client.Chat.Completions.NewStreaming(ctx, chat(model, openai.UserMessage("Tell me much")),
			option.WithHeader("X-Mock-Delay", "50ms"), option.WithHeader("X-Mock-Chunks", "2000"))
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

func TestOpenAIModels(t *testing.T) {
	g := start(t)
	client := g.openAI()
	page, err := client.Models.List(t.Context())
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
		if m, err := client.Models.Get(t.Context(), model); err != nil || m.ID != model {
			t.Errorf("get %s: got %v, error %v", model, m, err)
		}
	}
}

func TestOpenAIConcurrentStreams(t *testing.T) {
	forEachModel(t, func(t *testing.T, g *gateway, model string) {
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				text := fmt.Sprintf("I am number %d and say a little more than the others do", i)
				acc := g.accumulate(t, chat(model, openai.UserMessage(text)), option.WithHeader("X-Mock-Delay", "5ms"))
				if got, want := acc.Choices[0].Message.Content, "You said: "+text; got != want {
					t.Errorf("stream %d: got %q, want %q", i, got, want)
				}
			})
		}
		wg.Wait()
	})
}
