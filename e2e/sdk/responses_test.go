package sdk_test

import (
	"errors"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/responses"
)

func respond(model string, items ...responses.ResponseInputItemUnionParam) responses.ResponseNewParams {
	return responses.ResponseNewParams{
		Model: model, Instructions: openai.String("Be brief."), MaxOutputTokens: openai.Int(500), Store: openai.Bool(false),
		Input: responses.ResponseNewParamsInputUnion{OfInputItemList: items},
	}
}

func asked(text string) responses.ResponseInputItemUnionParam {
	return responses.ResponseInputItemParamOfMessage(text, responses.EasyInputMessageRoleUser)
}

func withWeatherFunction(p responses.ResponseNewParams) responses.ResponseNewParams {
	p.Tools = []responses.ToolUnionParam{{OfFunction: &responses.FunctionToolParam{
		Name: "get_weather", Description: openai.String("the weather in a city"), Strict: openai.Bool(false),
		Parameters: map[string]any{"type": "object", "properties": weatherProperties, "required": []string{"city"}},
	}}}
	return p
}

func (g *gateway) answer(t *testing.T, p responses.ResponseNewParams, options ...option.RequestOption) *responses.Response {
	t.Helper()
	client := g.openAI()
	got, err := client.Responses.New(t.Context(), p, options...)
	if err != nil {
		t.Fatal(err)
	}
	checkResponse(t, got)
	return got
}

func checkResponse(t *testing.T, r *responses.Response) {
	t.Helper()
	if r.Status != "completed" || r.Usage.InputTokens <= 0 || r.Usage.OutputTokens <= 0 {
		t.Errorf("got status %s with usage %+v, want completed with tokens", r.Status, r.Usage)
	}
}

// follow reads a stream to its end. What its deltas tell must be what its last
// event repeats.
func (g *gateway) follow(t *testing.T, p responses.ResponseNewParams, options ...option.RequestOption) *responses.Response {
	t.Helper()
	client := g.openAI()
	stream := client.Responses.NewStreaming(t.Context(), p, options...)
	defer stream.Close()
	text, arguments := "", map[string]string{}
	var whole *responses.Response
	for n := int64(0); stream.Next(); n++ {
		if got := stream.Current().SequenceNumber; got != n {
			t.Errorf("event %s has number %d, want %d", stream.Current().Type, got, n)
		}
		switch e := stream.Current().AsAny().(type) {
		case responses.ResponseTextDeltaEvent:
			text += e.Delta
		case responses.ResponseFunctionCallArgumentsDeltaEvent:
			arguments[e.ItemID] += e.Delta
		case responses.ResponseCompletedEvent:
			whole = &e.Response
		}
	}
	if err := stream.Err(); err != nil || whole == nil {
		t.Fatalf("the stream ended with %v, completed %v", err, whole != nil)
	}
	checkResponse(t, whole)
	if got := whole.OutputText(); got != text {
		t.Errorf("the deltas told %q, the last event %q", text, got)
	}
	for _, c := range functionCalls(whole) {
		if arguments[c.ID] != c.Arguments {
			t.Errorf("call %s: the deltas told %s, the last event %s", c.ID, arguments[c.ID], c.Arguments)
		}
	}
	return whole
}

func functionCalls(r *responses.Response) (calls []responses.ResponseFunctionToolCall) {
	for _, item := range r.Output {
		if c, ok := item.AsAny().(responses.ResponseFunctionToolCall); ok {
			calls = append(calls, c)
		}
	}
	return calls
}

func TestResponsesConversation(t *testing.T) {
	forEachModel(t, func(t *testing.T, g *gateway, model string) {
		p := respond(model, asked("Hello"))
		first := g.answer(t, p)
		if got, want := first.OutputText(), "You said: Hello"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		p.Input.OfInputItemList = append(p.Input.OfInputItemList,
			responses.ResponseInputItemParamOfMessage(first.OutputText(), responses.EasyInputMessageRoleAssistant), asked("And again"))
		if got, want := g.answer(t, p).OutputText(), "You said: And again"; got != want {
			t.Errorf("second turn: got %q, want %q", got, want)
		}
		if got, want := g.follow(t, p).OutputText(), "You said: And again"; got != want {
			t.Errorf("stream: got %q, want %q", got, want)
		}
	})
}

func TestResponsesTools(t *testing.T) {
	forEachModel(t, func(t *testing.T, g *gateway, model string) {
		p := withWeatherFunction(respond(model, asked("How is the weather?")))
		calls, streamed := functionCalls(g.answer(t, p)), functionCalls(g.follow(t, p))
		if len(calls) != 1 || len(streamed) != 1 {
			t.Fatalf("got %d calls, %d in the stream; want 1", len(calls), len(streamed))
		}
		checkCity(t, calls[0].Arguments, "Paris")
		checkCity(t, streamed[0].Arguments, "Paris")
		result := responses.ResponseInputItemParamOfFunctionCallOutput("sunny")
		result.OfFunctionCallOutput.CallID = openai.String(calls[0].CallID)
		p.Input.OfInputItemList = append(p.Input.OfInputItemList,
			responses.ResponseInputItemParamOfFunctionCall(calls[0].Arguments, calls[0].CallID, calls[0].Name), result)
		if got, want := g.answer(t, p).OutputText(), "The tool said: sunny"; got != want {
			t.Errorf("after the result: got %q, want %q", got, want)
		}
	})
}

func TestResponsesParallelTools(t *testing.T) {
	forEachModel(t, func(t *testing.T, g *gateway, model string) {
		p := withWeatherFunction(respond(model, asked("How is the weather in Paris and Rome?")))
		both := option.WithHeader(answerHeader, parallelAnswer)
		calls, streamed := functionCalls(g.answer(t, p, both)), functionCalls(g.follow(t, p, both))
		if len(calls) != 2 || len(streamed) != 2 {
			t.Fatalf("got %d calls, %d in the stream; want 2", len(calls), len(streamed))
		}
		for i, city := range []string{"Paris", "Rome"} {
			checkCity(t, calls[i].Arguments, city)
			checkCity(t, streamed[i].Arguments, city)
		}
	})
}

func TestResponsesErrors(t *testing.T) {
	g := start(t)
	rows := []struct {
		name    string
		model   string
		options []option.RequestOption
		status  int
		param   string
	}{
		{"wrong key", "e2e-openai", []option.RequestOption{option.WithAPIKey("wrong")}, 401, ""},
		{"unknown model", unknownModel, nil, 404, "model"},
		{"an earlier response", "e2e-openai", []option.RequestOption{option.WithJSONSet("previous_response_id", "resp_1")}, 400, "previous_response_id"},
		{"an answer in the background", "e2e-anthropic", []option.RequestOption{option.WithJSONSet("background", true)}, 400, "background"},
		{"a hosted tool", "e2e-anthropic", []option.RequestOption{option.WithJSONSet("tools", []map[string]any{{"type": "web_search"}})}, 400, "tools[0]"},
		{"too many requests", "e2e-openai", []option.RequestOption{option.WithHeader("X-Mock-Status", "429")}, 429, ""},
		{"too many requests, Messages", "e2e-anthropic", []option.RequestOption{option.WithHeader("X-Mock-Status", "429")}, 429, ""},
	}
	client := g.openAI()
	for _, row := range rows {
		p := respond(row.model, asked("Hello"))
		_, plain := client.Responses.New(t.Context(), p, row.options...)
		stream := client.Responses.NewStreaming(t.Context(), p, row.options...)
		for stream.Next() {
			t.Errorf("%s: got an event %s, want none", row.name, stream.Current().RawJSON())
		}
		for _, err := range []error{plain, stream.Err()} {
			e, ok := errors.AsType[*openai.Error](err)
			if !ok || e.StatusCode != row.status || e.Message == "" || e.Param != row.param {
				t.Errorf("%s: got %v, want status %d for %q with a message", row.name, err, row.status, row.param)
			}
		}
	}
}
