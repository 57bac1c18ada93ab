package mock_test

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/anthropics/anthropic-sdk-go"
	anthropicoption "github.com/anthropics/anthropic-sdk-go/option"
	"github.com/openai/openai-go/v3"
	openaioption "github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/responses"
	"github.com/openai/openai-go/v3/shared"

	"model-proxy/internal/provider/mock"
)

// weatherSchema is the tool's schema in the tests of this file.
var weatherSchema = map[string]any{
	"type":       "object",
	"properties": map[string]any{"city": map[string]any{"type": "string"}},
	"required":   []string{"city"},
}

func newOpenAI(t *testing.T) openai.Client {
	_, url := serve(t, mock.Options{})
	return openai.NewClient(openaioption.WithBaseURL(url+"/v1"), openaioption.WithAPIKey("k"), openaioption.WithMaxRetries(0))
}

func newAnthropic(t *testing.T) anthropic.Client {
	_, url := serve(t, mock.Options{})
	return anthropic.NewClient(anthropicoption.WithBaseURL(url), anthropicoption.WithAPIKey("k"), anthropicoption.WithMaxRetries(0))
}

func chatParams(text string) openai.ChatCompletionNewParams {
	return openai.ChatCompletionNewParams{
		Model:    "gpt-4o-mini",
		Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage(text)},
		Tools: []openai.ChatCompletionToolUnionParam{
			openai.ChatCompletionFunctionTool(shared.FunctionDefinitionParam{Name: "get_weather", Parameters: weatherSchema}),
		},
		StreamOptions: openai.ChatCompletionStreamOptionsParam{IncludeUsage: openai.Bool(true)},
	}
}

// checkArguments wants the arguments of a weather call.
func checkArguments(t *testing.T, raw string) {
	t.Helper()
	var got struct{ City string }
	if err := json.Unmarshal([]byte(raw), &got); err != nil || got.City != "Paris" {
		t.Errorf("arguments: got %s, error %v; want Paris", raw, err)
	}
}

func TestOpenAIChat(t *testing.T) {
	client := newOpenAI(t)
	params := chatParams("What is the weather?")
	params.StreamOptions = openai.ChatCompletionStreamOptionsParam{}
	got, err := client.Chat.Completions.New(t.Context(), params)
	if err != nil {
		t.Fatal(err)
	}
	if m := got.Choices[0].Message; len(m.ToolCalls) != 1 || got.Choices[0].FinishReason != "tool_calls" {
		t.Fatalf("got %+v, want one call", got.Choices[0])
	}
	checkArguments(t, got.Choices[0].Message.ToolCalls[0].Function.Arguments)

	params.Messages = append(params.Messages, got.Choices[0].Message.ToParam(), openai.ToolMessage("sunny", got.Choices[0].Message.ToolCalls[0].ID))
	got, err = client.Chat.Completions.New(t.Context(), params)
	if err != nil {
		t.Fatal(err)
	}
	if text := got.Choices[0].Message.Content; text != "The tool said: sunny" || got.Usage.TotalTokens == 0 {
		t.Errorf("got %q, usage %+v; want the tool's word and usage", text, got.Usage)
	}
}

func TestOpenAIChatStream(t *testing.T) {
	client := newOpenAI(t)
	for _, text := range []string{"What is the weather?", "hello"} {
		stream := client.Chat.Completions.NewStreaming(t.Context(), chatParams(text))
		var acc openai.ChatCompletionAccumulator
		for stream.Next() {
			if !acc.AddChunk(stream.Current()) {
				t.Errorf("%s: the accumulator refused %s", text, stream.Current().RawJSON())
			}
		}
		if err := stream.Err(); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if acc.Usage.CompletionTokens == 0 {
			t.Errorf("%s: got no usage", text)
		}
		if m := acc.Choices[0].Message; text == "hello" && m.Content != "You said: hello" {
			t.Errorf("got %q, want the echo", m.Content)
		} else if text != "hello" {
			checkArguments(t, m.ToolCalls[0].Function.Arguments)
		}
	}
}

func TestOpenAIError(t *testing.T) {
	client := newOpenAI(t)
	_, err := client.Chat.Completions.New(t.Context(), openai.ChatCompletionNewParams{
		Model: "m", Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage("hi")},
	}, openaioption.WithHeader("X-Mock-Status", "429"))
	if e, ok := errors.AsType[*openai.Error](err); !ok || e.StatusCode != 429 || e.Type != "rate_limit_error" {
		t.Errorf("got %v, want a 429 of type rate_limit_error", err)
	}
	stream := client.Chat.Completions.NewStreaming(t.Context(), chatParams("hi"), openaioption.WithHeader("X-Mock-First-Event-Error", "1"))
	if stream.Next() || stream.Err() == nil {
		t.Errorf("error in the stream: got %v, want an error before any chunk", stream.Err())
	}
}

func TestOpenAIResponses(t *testing.T) {
	client := newOpenAI(t)
	params := responses.ResponseNewParams{
		Model:     "gpt-4o-mini",
		Input:     responses.ResponseNewParamsInputUnion{OfString: openai.String("hello")},
		Reasoning: shared.ReasoningParam{Effort: shared.ReasoningEffortLow},
		Tools:     []responses.ToolUnionParam{{OfFunction: &responses.FunctionToolParam{Name: "get_weather", Parameters: weatherSchema}}},
	}
	got, err := client.Responses.New(t.Context(), params)
	if err != nil {
		t.Fatal(err)
	}
	if got.OutputText() != "You said: hello" || got.Status != "completed" || got.Usage.OutputTokensDetails.ReasoningTokens == 0 {
		t.Errorf("got %s", got.RawJSON())
	}

	params.Input.OfString = openai.String("weather?")
	stream := client.Responses.NewStreaming(t.Context(), params)
	var arguments string
	var next int64
	var whole responses.Response
	for stream.Next() {
		e := stream.Current()
		if e.SequenceNumber != next {
			t.Errorf("%s: got sequence number %d, want %d", e.Type, e.SequenceNumber, next)
		}
		next++
		switch e.Type {
		case "response.function_call_arguments.delta":
			arguments += e.Delta
		case "response.completed":
			whole = e.Response
		}
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
	checkArguments(t, arguments)
	if len(whole.Output) != 2 || whole.Output[1].AsFunctionCall().Arguments != arguments {
		t.Errorf("got output %s, want reasoning and the same call", whole.RawJSON())
	}
}

func TestOpenAIEmbeddingsAndModels(t *testing.T) {
	client := newOpenAI(t)
	got, err := client.Embeddings.New(t.Context(), openai.EmbeddingNewParams{
		Model: "text-embedding-3-small", Dimensions: openai.Int(4),
		Input: openai.EmbeddingNewParamsInputUnion{OfArrayOfStrings: []string{"a", "b"}},
	})
	if err != nil || len(got.Data) != 2 || len(got.Data[1].Embedding) != 4 || got.Data[1].Embedding[1] != 1 {
		t.Errorf("embeddings: got %+v, error %v", got, err)
	}
	models, err := client.Models.List(t.Context())
	if err != nil || len(models.Data) != 4 {
		t.Errorf("models: got %+v, error %v; want 4", models, err)
	}
}

func messageParams(text string) anthropic.MessageNewParams {
	return anthropic.MessageNewParams{
		Model: "claude-sonnet-4-5", MaxTokens: 2000,
		Messages: []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock(text))},
		Tools: []anthropic.ToolUnionParam{anthropic.ToolUnionParamOfTool(
			anthropic.ToolInputSchemaParam{Properties: weatherSchema["properties"], Required: []string{"city"}}, "get_weather")},
		Thinking: anthropic.ThinkingConfigParamOfEnabled(1024),
	}
}

func TestAnthropicMessages(t *testing.T) {
	client := newAnthropic(t)
	params := messageParams("What is the weather?")
	got, err := client.Messages.New(t.Context(), params)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Content) != 2 || got.StopReason != "tool_use" || got.Content[0].AsThinking().Signature == "" {
		t.Fatalf("got %s, want thinking and a call", got.RawJSON())
	}
	call := got.Content[1].AsToolUse()
	checkArguments(t, string(call.Input))

	params.Messages = append(params.Messages, got.ToParam(), anthropic.NewUserMessage(anthropic.NewToolResultBlock(call.ID, "sunny", false)))
	got, err = client.Messages.New(t.Context(), params)
	if err != nil {
		t.Fatal(err)
	}
	if text := got.Content[1].AsText().Text; text != "The tool said: sunny" || got.Usage.OutputTokens == 0 {
		t.Errorf("got %s, want the tool's word and usage", got.RawJSON())
	}
}

func TestAnthropicStream(t *testing.T) {
	client := newAnthropic(t)
	for _, text := range []string{"What is the weather?", "hello"} {
		stream := client.Messages.NewStreaming(t.Context(), messageParams(text))
		var acc anthropic.Message
		for stream.Next() {
			if err := acc.Accumulate(stream.Current()); err != nil {
				t.Errorf("%s: %v", text, err)
			}
		}
		if err := stream.Err(); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if len(acc.Content) != 2 || acc.Content[0].AsThinking().Signature == "" || acc.Usage.OutputTokens < 2 {
			t.Fatalf("%s: got %s", text, acc.RawJSON())
		}
		if text == "hello" {
			if got := acc.Content[1].AsText().Text; got != "You said: hello" {
				t.Errorf("got %q, want the echo", got)
			}
			continue
		}
		checkArguments(t, string(acc.Content[1].AsToolUse().Input))
	}
}

func TestAnthropicErrorAndCount(t *testing.T) {
	client := newAnthropic(t)
	_, err := client.Messages.New(t.Context(), messageParams("hi"), anthropicoption.WithHeader("X-Mock-Status", "529"))
	if e, ok := errors.AsType[*anthropic.Error](err); !ok || e.StatusCode != 529 {
		t.Errorf("got %v, want a 529", err)
	}
	stream := client.Messages.NewStreaming(t.Context(), messageParams("hi"), anthropicoption.WithHeader("X-Mock-First-Event-Error", "1"))
	if stream.Next() || stream.Err() == nil {
		t.Errorf("error in the stream: got %v, want an error before any event", stream.Err())
	}
	count, err := client.Messages.CountTokens(t.Context(), anthropic.MessageCountTokensParams{
		Model: "claude-sonnet-4-5", Messages: messageParams("12345678").Messages,
	})
	if err != nil || count.InputTokens != 2 {
		t.Errorf("count: got %+v, error %v; want 2", count, err)
	}
	models, err := client.Models.List(t.Context(), anthropic.ModelListParams{})
	if err != nil || len(models.Data) != 4 {
		t.Errorf("models: got %+v, error %v; want 4", models, err)
	}
}
