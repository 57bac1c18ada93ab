package sdk_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"

	"github.com/anthropics/anthropic-sdk-go"
	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/packages/param"
	"github.com/openai/openai-go/v3/responses"

	"model-proxy/e2e/gatewaytest"
	"model-proxy/e2e/transcript"
	"model-proxy/internal/provider/mock"
)

// loop is a client that calls tools until the model calls none any more, and
// returns the last answer's text and the number of its turns.
type loop struct {
	name string
	run  func(t *testing.T, g *gateway, s *transcript.Transcript, model string) (string, int)
	// upstream models by what they insist on
	models []string
}

// What a model of the script insists on: that thinking comes back, or only that
// it is not changed, because the client has no room for it.
var (
	insisting = []string{"script-openai", "script-anthropic", "script-budget-anthropic", "script-openai-responses"}
	lenient   = []string{"script-forgetful-openai", "script-forgetful-anthropic", "script-budget-forgetful-anthropic", "script-forgetful-openai-responses"}
)

// Twenty turns with parallel calls and thinking, through every pair of
// protocols. The upstream refuses a request in which anything of what it said
// before is missing, out of order or altered.
func TestLoops(t *testing.T) {
	s, err := transcript.Repair()
	if err != nil {
		t.Fatal(err)
	}
	u := gatewaytest.NewUpstream(t, mock.Options{})
	u.Instead(s.Handler(u.Mock))
	g := &gateway{gatewaytest.Run(t, u, transcript.Setup(u.URL)), u}
	for _, l := range []loop{
		{"messages", messagesLoop, insisting},
		{"messages, streamed", messagesLoopStreamed, insisting},
		{"chat", chatLoop, lenient},
		{"chat, streamed", chatLoopStreamed, lenient},
		{"chat, messages sent back whole", chatLoopWhole, insisting},
		{"responses", responsesLoop, insisting},
		{"responses, streamed", responsesLoopStreamed, insisting},
	} {
		for _, model := range l.models {
			t.Run(l.name+"/"+model, func(t *testing.T) {
				text, turns := l.run(t, g, s, model)
				if text != s.Final() || turns != len(s.Rounds) {
					t.Errorf("got %q after %d turns, want %q after %d", text, turns, s.Final(), len(s.Rounds))
				}
			})
		}
	}
}

// scripted is a tool of the transcript for the SDK's own runner.
type scripted struct {
	name   string
	script *transcript.Transcript
}

func (s scripted) Name() string        { return s.name }
func (s scripted) Description() string { return "a tool of the script" }
func (s scripted) InputSchema() anthropic.BetaToolInputSchemaParam {
	return anthropic.BetaToolInputSchemaParam{Properties: map[string]any{"path": map[string]any{"type": "string"}}}
}

func (s scripted) Execute(_ context.Context, input json.RawMessage) ([]anthropic.BetaToolResultBlockParamContentUnion, error) {
	c, ok := s.script.Run(s.name, string(input))
	if !ok {
		return nil, errors.New("the script has no call " + s.name + string(input))
	}
	if c.Failed {
		return nil, errors.New(c.Result)
	}
	return []anthropic.BetaToolResultBlockParamContentUnion{{OfText: &anthropic.BetaTextBlockParam{Text: c.Result}}}, nil
}

func scriptedTools(s *transcript.Transcript) (tools []anthropic.BetaTool) {
	for _, name := range s.Tools {
		tools = append(tools, scripted{name, s})
	}
	return tools
}

func messagesLoopParams(s *transcript.Transcript, model string) anthropic.BetaToolRunnerParams {
	return anthropic.BetaToolRunnerParams{MaxIterations: 30, BetaMessageNewParams: anthropic.BetaMessageNewParams{
		Model: anthropic.Model(model), MaxTokens: 16000,
		Thinking: anthropic.BetaThinkingConfigParamOfEnabled(8000),
		System:   []anthropic.BetaTextBlockParam{{Text: "Be brief."}},
		Messages: []anthropic.BetaMessageParam{anthropic.NewBetaUserMessage(anthropic.NewBetaTextBlock(s.Prompt))},
	}}
}

func betaText(m *anthropic.BetaMessage) (text string) {
	for _, b := range m.Content {
		text += b.Text
	}
	return text
}

func messagesLoop(t *testing.T, g *gateway, s *transcript.Transcript, model string) (string, int) {
	client := g.anthropic()
	runner := client.Beta.Messages.NewToolRunner(scriptedTools(s), messagesLoopParams(s, model))
	last, err := runner.RunToCompletion(t.Context())
	if err != nil {
		t.Fatalf("turn %d: %v", runner.IterationCount(), err)
	}
	return betaText(last), runner.IterationCount()
}

func messagesLoopStreamed(t *testing.T, g *gateway, s *transcript.Transcript, model string) (string, int) {
	client := g.anthropic()
	runner := client.Beta.Messages.NewToolRunnerStreaming(scriptedTools(s), messagesLoopParams(s, model))
	for events, err := range runner.AllStreaming(t.Context()) {
		if err != nil {
			t.Fatalf("turn %d: %v", runner.IterationCount(), err)
		}
		for _, err := range events {
			if err != nil {
				t.Fatalf("turn %d: %v", runner.IterationCount(), err)
			}
		}
	}
	return betaText(runner.LastMessage()), runner.IterationCount()
}

// result runs a tool for a client whose protocol has no flag for failures.
func toolResult(t *testing.T, s *transcript.Transcript, name, arguments string) string {
	t.Helper()
	c, ok := s.Run(name, arguments)
	if !ok {
		t.Fatalf("the script has no call %s(%s)", name, arguments)
	}
	if c.Failed {
		return "Error: " + c.Result
	}
	return c.Result
}

func chatLoopParams(s *transcript.Transcript, model string) openai.ChatCompletionNewParams {
	p := chat(model, openai.SystemMessage("Be brief."), openai.UserMessage(s.Prompt))
	p.ReasoningEffort = openai.ReasoningEffortMedium
	p.MaxCompletionTokens = openai.Int(16000)
	for _, name := range s.Tools {
		p.Tools = append(p.Tools, openai.ChatCompletionFunctionTool(openai.FunctionDefinitionParam{Name: name}))
	}
	return p
}

// runChat is the loop as users of the library write it: it has no runner.
func runChat(t *testing.T, s *transcript.Transcript, p openai.ChatCompletionNewParams, ask func(openai.ChatCompletionNewParams) openai.ChatCompletionMessage,
	back func(openai.ChatCompletionMessage) openai.ChatCompletionMessageParamUnion) (string, int) {
	t.Helper()
	for turns := 1; ; turns++ {
		m := ask(p)
		if len(m.ToolCalls) == 0 || turns > 30 {
			return m.Content, turns
		}
		p.Messages = append(p.Messages, back(m))
		for _, c := range m.ToolCalls {
			p.Messages = append(p.Messages, openai.ToolMessage(toolResult(t, s, c.Function.Name, c.Function.Arguments), c.ID))
		}
	}
}

func chatLoop(t *testing.T, g *gateway, s *transcript.Transcript, model string) (string, int) {
	return runChat(t, s, chatLoopParams(s, model), func(p openai.ChatCompletionNewParams) openai.ChatCompletionMessage {
		return g.complete(t, p).Message
	}, openai.ChatCompletionMessage.ToParam)
}

func chatLoopStreamed(t *testing.T, g *gateway, s *transcript.Transcript, model string) (string, int) {
	return runChat(t, s, chatLoopParams(s, model), func(p openai.ChatCompletionNewParams) openai.ChatCompletionMessage {
		whole := g.accumulate(t, p)
		return whole.Choices[0].Message
	}, openai.ChatCompletionMessage.ToParam)
}

// chatLoopWhole sends messages back as they came, with what the library has no
// name for: the reasoning.
func chatLoopWhole(t *testing.T, g *gateway, s *transcript.Transcript, model string) (string, int) {
	return runChat(t, s, chatLoopParams(s, model), func(p openai.ChatCompletionNewParams) openai.ChatCompletionMessage {
		return g.complete(t, p).Message
	}, func(m openai.ChatCompletionMessage) openai.ChatCompletionMessageParamUnion {
		return param.Override[openai.ChatCompletionMessageParamUnion](json.RawMessage(m.RawJSON()))
	})
}

func responsesLoopWith(t *testing.T, s *transcript.Transcript, model string, ask func(responses.ResponseNewParams) *responses.Response) (string, int) {
	t.Helper()
	p := respond(model, asked(s.Prompt))
	p.MaxOutputTokens = openai.Int(16000)
	p.Reasoning = openai.ReasoningParam{Effort: openai.ReasoningEffortMedium, Summary: openai.ReasoningSummaryAuto}
	p.Include = []responses.ResponseIncludable{responses.ResponseIncludableReasoningEncryptedContent}
	for _, name := range s.Tools {
		p.Tools = append(p.Tools, responses.ToolParamOfFunction(name, map[string]any{"type": "object"}, false))
	}
	for turns := 1; ; turns++ {
		r := ask(p)
		calls := functionCalls(r)
		if len(calls) == 0 || turns > 30 {
			return r.OutputText(), turns
		}
		for _, item := range r.Output {
			p.Input.OfInputItemList = append(p.Input.OfInputItemList, param.Override[responses.ResponseInputItemUnionParam](json.RawMessage(item.RawJSON())))
		}
		for _, c := range calls {
			out := responses.ResponseInputItemParamOfFunctionCallOutput(toolResult(t, s, c.Name, c.Arguments))
			out.OfFunctionCallOutput.CallID = openai.String(c.CallID)
			p.Input.OfInputItemList = append(p.Input.OfInputItemList, out)
		}
	}
}

func responsesLoop(t *testing.T, g *gateway, s *transcript.Transcript, model string) (string, int) {
	return responsesLoopWith(t, s, model, func(p responses.ResponseNewParams) *responses.Response { return g.answer(t, p) })
}

func responsesLoopStreamed(t *testing.T, g *gateway, s *transcript.Transcript, model string) (string, int) {
	return responsesLoopWith(t, s, model, func(p responses.ResponseNewParams) *responses.Response { return g.follow(t, p) })
}
