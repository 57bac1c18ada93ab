package convert

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"model-proxy/internal/llm"
)

var endpoints = map[llm.Protocol]llm.Endpoint{llm.OpenAI: llm.ChatCompletions, llm.Anthropic: llm.Messages, llm.Responses: llm.ResponsesAPI}

func exchange(t *testing.T, in Input, target Target) *Exchange {
	t.Helper()
	if in.Endpoint == "" {
		in.Endpoint = endpoints[in.Client]
	}
	x, err := New(in, target)
	if err != nil {
		t.Fatalf("New(%s) = %v", in.Body, err)
	}
	return x
}

func TestPassRequest(t *testing.T) {
	no := false
	for _, c := range []struct {
		name     string
		client   llm.Protocol
		endpoint llm.Endpoint
		stream   bool
		in, want string
		defaults map[string]json.RawMessage
		quirks   llm.Quirks
	}{
		{name: "nothing to do", client: llm.OpenAI, in: `{"model":"up", "x":1.0}`, want: `{"model":"up", "x":1.0}`},
		{name: "model", client: llm.OpenAI, in: "{ \"x\":[1.0,\"\\u00e9\"],\n\"model\" : \"m\" }\n", want: "{ \"x\":[1.0,\"\\u00e9\"],\n\"model\" : \"up\" }\n"},
		{name: "stream asks for usage", client: llm.OpenAI, stream: true, in: `{"model":"up","stream":true}`, want: `{"model":"up","stream":true,"stream_options":{"include_usage":true}}`},
		{name: "stream options kept", client: llm.OpenAI, stream: true, in: `{"model":"up","stream":true,"stream_options":{"include_usage":false,"include_obfuscation":false}}`,
			want: `{"model":"up","stream":true,"stream_options":{"include_obfuscation":false,"include_usage":true}}`},
		{name: "stream options null", client: llm.OpenAI, stream: true, in: `{"stream_options":null,"model":"up","stream":true}`, want: `{"stream_options":{"include_usage":true},"model":"up","stream":true}`},
		{name: "usage asked", client: llm.OpenAI, stream: true, in: `{"model":"up","stream":true,"stream_options":{"include_usage":true}}`, want: `{"model":"up","stream":true,"stream_options":{"include_usage":true}}`},
		{name: "host without stream options", client: llm.OpenAI, stream: true, in: `{"model":"up","stream":true}`, want: `{"model":"up","stream":true}`, quirks: llm.Quirks{StreamOptions: &no}},
		{name: "stream options to a host without", client: llm.OpenAI, stream: true, in: `{"model":"m","stream_options":{"include_usage":true},"stream":true}`, want: `{"model":"up","stream":true}`, quirks: llm.Quirks{StreamOptions: &no}},
		{name: "-stream endpoint", client: llm.Anthropic, stream: true, in: `{"model":"up","stream":false}`, want: `{"model":"up","stream":true}`},
		{name: "-stream endpoint, field missing", client: llm.Anthropic, stream: true, in: `{"model":"up"}`, want: `{"model":"up","stream":true}`},
		{name: "defaults", client: llm.OpenAI, in: `{"model":"up","top_p":null}`, want: `{"model":"up","top_p":null,"max_tokens":5,"seed":7}`,
			defaults: map[string]json.RawMessage{"top_p": json.RawMessage("0.5"), "seed": json.RawMessage("7"), "max_tokens": json.RawMessage("5")}},
		{name: "default under another name", client: llm.OpenAI, in: `{"model":"up","max_completion_tokens":9}`, want: `{"model":"up","max_completion_tokens":9}`,
			defaults: map[string]json.RawMessage{"max_tokens": json.RawMessage("5")}},
		{name: "responses defaults", client: llm.Responses, in: `{"model":"up"}`, want: `{"model":"up","max_output_tokens":5}`,
			defaults: map[string]json.RawMessage{"seed": json.RawMessage("7"), "max_tokens": json.RawMessage("5")}},
		{name: "embeddings take no defaults", client: llm.OpenAI, endpoint: llm.Embeddings, in: `{"model":"m","input":"x"}`, want: `{"model":"up","input":"x"}`,
			defaults: map[string]json.RawMessage{"max_tokens": json.RawMessage("5")}},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := exchange(t, Input{Client: c.client, Endpoint: c.endpoint, Stream: c.stream, Body: []byte(c.in)},
				Target{Protocol: c.client, Model: "up", Defaults: c.defaults, Quirks: c.quirks})
			if got := string(x.Body()); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			if c.in == c.want && &x.Body()[0] != &x.in.Body[0] {
				t.Error("an unchanged body was copied")
			}
		})
	}
}

// A request without what the provider demands is refused before the call,
// whatever the name is in the upstream's protocol.
func TestRequiredParameters(t *testing.T) {
	for _, c := range []struct {
		name           string
		client, target llm.Protocol
		endpoint       llm.Endpoint
		in             string
		defaults       map[string]json.RawMessage
		demands        string // "" means max_tokens
		missing        string
	}{
		{name: "missing", client: llm.Anthropic, target: llm.Anthropic, in: `{"messages":[]}`, missing: "max_tokens"},
		{name: "given", client: llm.Anthropic, target: llm.Anthropic, in: `{"messages":[],"max_tokens":1}`},
		{name: "only within", client: llm.Anthropic, target: llm.Anthropic, in: `{"metadata":{"max_tokens":1}}`, missing: "max_tokens"},
		{name: "default", client: llm.Anthropic, target: llm.Anthropic, in: `{}`, defaults: map[string]json.RawMessage{"max_tokens": json.RawMessage("9")}},
		{name: "newer name", client: llm.OpenAI, target: llm.OpenAI, in: `{"max_completion_tokens":1}`},
		{name: "name in Responses", client: llm.Responses, target: llm.Responses, in: `{"max_tokens":1}`, missing: "max_output_tokens"},
		{name: "prompt in Responses", client: llm.Responses, target: llm.Responses, in: `{"input":"x","max_output_tokens":1}`, demands: "messages"},
		{name: "converted", client: llm.OpenAI, target: llm.Anthropic, in: `{"messages":[{"role":"user","content":"x"}]}`},
		{name: "converted, missing", client: llm.Anthropic, target: llm.OpenAI, in: `{"messages":[{"role":"user","content":"x"}]}`, missing: "max_tokens"},
		{name: "embeddings", client: llm.OpenAI, target: llm.OpenAI, endpoint: llm.Embeddings, in: `{"input":"x"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := Input{Client: c.client, Endpoint: c.endpoint, Body: []byte(c.in)}
			if in.Endpoint == "" {
				in.Endpoint = endpoints[c.client]
			}
			if c.demands == "" {
				c.demands = "max_tokens"
			}
			_, err := New(in, Target{Protocol: c.target, Defaults: c.defaults, Required: []string{c.demands}})
			e, refused := errors.AsType[*llm.Error](err)
			switch {
			case c.missing == "" && err != nil:
				t.Errorf("refused: %v", err)
			case c.missing != "" && (!refused || e.Kind != llm.BadRequest || e.Param != c.missing):
				t.Errorf("got %v, want a refusal for %s", err, c.missing)
			}
		})
	}
}

const (
	chatRole   = `{"id":"c1","model":"gpt","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}],"usage":null}`
	chatText   = `{"id":"c1","choices":[{"index":0,"delta":{"content":"Hi \u00e9"},"finish_reason":null}],"usage":null, "x":1.0}`
	chatStop   = `{"id":"c1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null}`
	chatUsage  = `{"id":"c1","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":3,"total_tokens":12,"prompt_tokens_details":{"cached_tokens":4}}}`
	chatFilter = `{"choices":[],"prompt_filter_results":[],"usage":null}`
)

func bare(s string) string { return strings.ReplaceAll(s, `,"usage":null`, "") }

func TestPassChatStream(t *testing.T) {
	told := llm.Usage{Prompt: 9, CachedRead: 4, Completion: 3, Source: llm.UsageProvider}
	guessed := llm.Usage{Prompt: 20, Completion: 3, Source: llm.UsageEstimated}
	for _, c := range []struct {
		name, options string
		in, want      string
		usage         llm.Usage
	}{
		{name: "usage hidden", in: frames(chatFilter, chatRole, chatText, chatStop, chatUsage, "[DONE]"),
			want: frames(bare(chatFilter), bare(chatRole), bare(chatText), bare(chatStop), "[DONE]"), usage: told},
		{name: "usage asked", options: `,"stream_options":{"include_usage":true}`, in: frames(chatRole, chatText, chatStop, chatUsage, "[DONE]"),
			want: frames(chatRole, chatText, chatStop, chatUsage, "[DONE]"), usage: told},
		{name: "usage with choices stays", in: frames(chatText, `{"choices":[{"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":3,"prompt_cache_hit_tokens":4}}`, "[DONE]"),
			want: frames(bare(chatText), `{"choices":[{"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":3,"prompt_cache_hit_tokens":4}}`, "[DONE]"), usage: told},
		{name: "error null", in: frames(`{"error":null,"choices":[{"delta":{"content":"0123456789"},"finish_reason":"stop"}],"usage":null}`, "[DONE]"),
			want: frames(`{"choices":[{"delta":{"content":"0123456789"},"finish_reason":"stop"}]}`, "[DONE]"), usage: guessed},
		{name: "no done", in: frames(chatText, chatStop), want: frames(bare(chatText), bare(chatStop), "[DONE]"), usage: guessed},
		{name: "comments and line ends", in: ": PROCESSING\r\n\r\ndata:" + chatText + "\r\n\r\n: more\n\ndata: " + chatStop + "\n\ndata: [DONE] \n\n",
			want: ": PROCESSING\r\n\r\ndata:" + bare(chatText) + "\r\n\r\n: more\n\ndata: " + bare(chatStop) + "\n\ndata: [DONE] \n\n", usage: guessed},
		{name: "two data lines", in: "data: {\"choices\":[{\"delta\":{\"content\":\"0123456789\"},\ndata: \"finish_reason\":\"stop\"}],\"usage\":null}\n\ndata: [DONE]",
			want: "data: {\"choices\":[{\"delta\":{\"content\":\"0123456789\"},\ndata: \"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n", usage: guessed},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := exchange(t, Input{Client: llm.OpenAI, Stream: true, Body: []byte(`{"model":"up","stream":true` + c.options + `}`)}, Target{Protocol: llm.Azure, Model: "up"})
			got, first, err := relay(x, c.in)
			if err != nil || got != c.want {
				t.Errorf("got  %q\nwant %q, error %v", got, c.want, err)
			}
			if first.Events != 1 {
				t.Errorf("first content came with %d events, want 1", first.Events)
			}
			if c.usage == guessed {
				c.usage.Prompt = EstimateTokens(len(x.Body()))
			}
			if d := cmp.Diff(c.usage, x.Usage()); d != "" {
				t.Errorf("usage (-want +got):\n%s", d)
			}
		})
	}
}

const (
	msgStart = `{"type":"message_start","message":{"id":"msg_1","model":"claude","content":[],"usage":{"input_tokens":7,"cache_read_input_tokens":10000,"cache_creation_input_tokens":20,"cache_creation":{"ephemeral_1h_input_tokens":20},"output_tokens":1}} }`
	msgOpen  = `{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}`
	msgText  = `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"hello, you"}}`
	msgClose = `{"type":"content_block_stop","index":0}`
	msgDelta = `{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":42}}`
	msgStop  = `{"type":"message_stop"}`
)

func TestPassOtherStreams(t *testing.T) {
	created := `{"type":"response.created","response":{"id":"resp_1","model":"gpt","error":null},"sequence_number":0}`
	delta := `{"type":"response.output_text.delta","delta":"hello","sequence_number":1}`
	completed := `{"type":"response.completed","response":{"id":"resp_1","status":"completed","usage":{"input_tokens":10,"input_tokens_details":{"cached_tokens":3},"output_tokens":8,"output_tokens_details":{"reasoning_tokens":5},"total_tokens":18}},"sequence_number":2}`
	for _, c := range []struct {
		name     string
		protocol llm.Protocol
		in       string
		usage    llm.Usage
		id, fin  string
	}{
		{"messages", llm.Anthropic, named(`{"type":"ping"}`, msgStart, msgOpen, msgText, msgClose, msgDelta, msgStop),
			llm.Usage{Prompt: 10027, CachedRead: 10000, CachedWrite: 20, CachedWrite1h: 20, Completion: 42, Source: llm.UsageProvider}, "msg_1", "end_turn"},
		{"responses", llm.Responses, named(created, delta, completed),
			llm.Usage{Prompt: 10, CachedRead: 3, Completion: 8, Reasoning: 5, Source: llm.UsageProvider}, "resp_1", "completed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := exchange(t, Input{Client: c.protocol, Stream: true, Body: []byte(`{"model":"up","stream":true}`)}, Target{Protocol: c.protocol, Model: "up"})
			got, first, err := relay(x, c.in)
			if err != nil || got != c.in {
				t.Errorf("got  %q\nwant %q, error %v", got, c.in, err)
			}
			if !first.Content {
				t.Error("no content was noticed")
			}
			if d := cmp.Diff(c.usage, x.Usage()); d != "" {
				t.Errorf("usage (-want +got):\n%s", d)
			}
			if x.ResponseID() != c.id || x.FinishReason() != c.fin {
				t.Errorf("id %q finish %q, want %q %q", x.ResponseID(), x.FinishReason(), c.id, c.fin)
			}
			all := events(c.in)
			for n := range all {
				var text strings.Builder
				for _, e := range all[:n] {
					text.Write(e.Raw)
				}
				if _, _, err := relay(x, text.String()); !errors.Is(err, ErrCut) {
					t.Errorf("cut after %d events: error %v, want ErrCut", n, err)
				}
			}
		})
	}
}

func TestHalfStreamIsCounted(t *testing.T) {
	x := exchange(t, Input{Client: llm.Anthropic, Stream: true, Body: []byte(`{"model":"up","stream":true}`)}, Target{Protocol: llm.Anthropic, Model: "up"})
	if got, want := x.Usage(), (llm.Usage{Source: llm.UsageNone}); got != want {
		t.Errorf("before the answer: %+v, want %+v", got, want)
	}
	if _, _, err := relay(x, named(msgStart, msgOpen, msgText)); !errors.Is(err, ErrCut) {
		t.Errorf("error %v, want ErrCut", err)
	}
	want := llm.Usage{Prompt: 10027, CachedRead: 10000, CachedWrite: 20, CachedWrite1h: 20, Completion: 3, Source: llm.UsageCounted}
	if got := x.Usage(); got != want {
		t.Errorf("half way: %+v, want %+v", got, want)
	}
}

func TestStreamFailures(t *testing.T) {
	overloaded := `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"},"request_id":"req_1"}`
	failed := `{"type":"response.failed","response":{"error":{"code":"server_error","message":"boom"}},"sequence_number":3}`
	for _, c := range []struct {
		name     string
		protocol llm.Protocol
		in       string
		kind     llm.Kind
		cut      bool
		event    string
	}{
		{"malformed", llm.OpenAI, frames(chatText, `{"choices":[`), llm.BadGateway, true,
			frames(`{"error":{"message":"the provider sent an event that is not valid JSON","type":"server_error","param":null,"code":"upstream_stream_truncated"}}`)},
		{"no finish", llm.OpenAI, frames(chatText), llm.BadGateway, true,
			frames(`{"error":{"message":"the provider's stream ended before the answer was complete","type":"server_error","param":null,"code":"upstream_stream_truncated"}}`)},
		{"error event", llm.OpenAI, frames(chatText, `{"error":{"message":"Internal server error","type":"internal_error"}}`, "[DONE]"), llm.ServerError, false,
			frames(`{"error":{"message":"Internal server error","type":"internal_error"}}`)},
		{"groq", llm.OpenAI, frames(chatText) + "event: error\ndata: {\"error\":{\"message\":\"no call\",\"type\":\"invalid_request_error\",\"code\":\"tool_use_failed\",\"status_code\":400}}\n\n", llm.BadRequest, false,
			frames(`{"error":{"message":"no call","type":"invalid_request_error","code":"tool_use_failed","status_code":400}}`)},
		{"openrouter", llm.OpenAI, frames(`{"choices":[{"delta":{},"finish_reason":"error"}],"error":{"code":502,"message":"Provider disconnected"}}`), llm.ServerError, false,
			frames(`{"error":{"message":"Provider disconnected","type":"server_error","param":null,"code":null}}`)},
		{"gemini's array", llm.OpenAI, frames(`[{"error":{"code":429,"message":"slow"}}]`), llm.RateLimited, false,
			frames(`{"error":{"message":"slow","type":"rate_limit_error","param":null,"code":"rate_limit_exceeded"}}`)},
		{"credentials are hidden", llm.OpenAI, frames(`{"error":{"code":401,"message":"Incorrect API key provided: sk-abcdefghijklmnop"}}`), llm.BadGateway, false,
			frames(`{"error":{"message":"the provider refuses the gateway's credentials or account","type":"server_error","param":null,"code":"upstream_auth_failed"}}`)},
		{"messages", llm.Anthropic, named(msgStart, overloaded), llm.Overloaded, false, named(overloaded)},
		{"responses failed", llm.Responses, named(failed), llm.ServerError, false, named(failed)},
		{"responses cut", llm.Responses, named(`{"type":"response.created","response":{},"sequence_number":0}`), llm.BadGateway, true,
			named(`{"type":"error","code":"upstream_stream_truncated","message":"the provider's stream ended before the answer was complete","param":null,"sequence_number":7}`)},
		{"responses error", llm.Responses, named(`{"type":"error","code":"rate_limit_exceeded","message":"slow","param":null,"sequence_number":2}`), llm.RateLimited, false,
			named(`{"type":"error","code":"rate_limit_exceeded","message":"slow","param":null,"sequence_number":2}`)},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := exchange(t, Input{Client: c.protocol, Stream: true, Body: []byte(`{"model":"up","stream":true}`)}, Target{Protocol: c.protocol, Model: "up"})
			_, _, err := relay(x, c.in)
			var e *llm.Error
			if !errors.As(err, &e) {
				t.Fatalf("error %v, want a *llm.Error", err)
			}
			if e.Kind != c.kind || errors.Is(err, ErrCut) != c.cut {
				t.Errorf("kind %s cut %v, want %s %v", e.Kind, errors.Is(err, ErrCut), c.kind, c.cut)
			}
			if got := string(AppendErrorEvent(nil, c.protocol, e, "r1", 7)); got != c.event {
				t.Errorf("event %q, want %q", got, c.event)
			}
		})
	}
}

// Of several answers each has to come to its end before the stream may.
func TestSeveralChoicesEnd(t *testing.T) {
	end := func(index string) string {
		return `{"choices":[{"index":` + index + `,"delta":{},"finish_reason":"stop"}]}`
	}
	for _, c := range []struct {
		in   string
		good bool
	}{
		{frames(end("0")), false},
		{frames(end("1"), end("1")), false},
		{frames(end("1"), end("0")), true},
	} {
		x := exchange(t, Input{Client: llm.OpenAI, Stream: true, Body: []byte(`{"model":"up","stream":true,"n":2}`)}, Target{Protocol: llm.OpenAI, Model: "up"})
		if got, _, err := relay(x, c.in); (err == nil) != c.good || strings.Contains(got, "[DONE]") != c.good {
			t.Errorf("%q: got %q, error %v; good: want %v", c.in, got, err, c.good)
		}
	}
}

// What the gateway has sealed is of no use to a vendor's own protocol.
func TestSealsAreNotPassedOn(t *testing.T) {
	gw := seal("p", "reasoning_content", nil)
	for _, c := range []struct {
		client   llm.Protocol
		in, want string
	}{
		{llm.Anthropic,
			`{"model":"up", "messages":[{"role":"user","content":"gw1."}, {"role":"assistant", "content":[{"type":"thinking","thinking":"t","signature":"` + gw + `"},{"type":"text","text":"a" }]}]}`,
			`{"model":"up", "messages":[{"role":"user","content":"gw1."},{"role":"assistant", "content":[{"type":"text","text":"a" }]}]}`},
		{llm.Anthropic,
			`{"model":"up","messages":[{"role":"assistant","content":[{"type":"thinking","thinking":"t","signature":"` + gw + `"}]},{"role":"user","content":"u"}]}`,
			`{"model":"up","messages":[{"role":"user","content":"u"}]}`},
		{llm.Responses,
			`{"model":"up","input":[{"type":"reasoning","summary":[],"encrypted_content":"` + gw + `"},{"type":"reasoning","encrypted_content":"own"},{"role":"user","content":"u"}]}`,
			`{"model":"up","input":[{"type":"reasoning","encrypted_content":"own"},{"role":"user","content":"u"}]}`},
		{llm.Anthropic, `{"model":"up", "messages":[{"role":"user","content":"\"gw1."}] }`, `{"model":"up", "messages":[{"role":"user","content":"\"gw1."}] }`},
	} {
		x := exchange(t, Input{Client: c.client, Body: []byte(c.in)}, Target{Protocol: c.client, Model: "up"})
		if got := string(x.Body()); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
		if dropped := len(x.Warnings()) == 1; dropped != (c.in != c.want) {
			t.Errorf("%s: got warnings %v", c.in, x.Warnings())
		}
	}
}

func TestPassAnswer(t *testing.T) {
	for _, c := range []struct {
		name     string
		protocol llm.Protocol
		endpoint llm.Endpoint
		body     string
		usage    llm.Usage
		kind     llm.Kind
	}{
		{name: "xai", protocol: llm.OpenAI, body: `{"id":"x","choices":[],"usage":{"prompt_tokens":470,"completion_tokens":68,"total_tokens":723,"prompt_tokens_details":{"cached_tokens":192},"completion_tokens_details":{"reasoning_tokens":185}}}`,
			usage: llm.Usage{Prompt: 470, CachedRead: 192, Completion: 253, Reasoning: 185, Source: llm.UsageProvider}},
		{name: "openai", protocol: llm.OpenAI, body: ` {"usage":{"prompt_tokens":10,"completion_tokens":20,"total_tokens":30,"prompt_tokens_details":null,"completion_tokens_details":{"reasoning_tokens":5}} }` + "\n",
			usage: llm.Usage{Prompt: 10, Completion: 20, Reasoning: 5, Source: llm.UsageProvider}},
		{name: "embeddings", protocol: llm.OpenAI, endpoint: llm.Embeddings, body: `{"data":[{"embedding":[0.10,1e-5]}],"usage":{"prompt_tokens":8,"total_tokens":8}}`,
			usage: llm.Usage{Prompt: 8, Source: llm.UsageProvider}},
		{name: "count_tokens", protocol: llm.Anthropic, endpoint: llm.CountTokens, body: `{"input_tokens":2095}`, usage: llm.Usage{Source: llm.UsageNone}},
		{name: "compaction", protocol: llm.Anthropic, body: `{"content":[],"usage":{"input_tokens":1,"output_tokens":2,"iterations":[{"type":"compaction","input_tokens":10,"output_tokens":5},{"type":"message","input_tokens":1,"output_tokens":2}]}}`,
			usage: llm.Usage{Prompt: 11, Completion: 7, Source: llm.UsageProvider}},
		{name: "no usage", protocol: llm.OpenAI, body: `{"choices":[{"message":{"content":"hi"}}]}`, usage: llm.Usage{Prompt: 4, Completion: 4, Source: llm.UsageEstimated}},
		{name: "usage without numbers", protocol: llm.OpenAI, body: `{"choices":[{"message":{"content":"hi"}}],"usage":{}}`, usage: llm.Usage{Prompt: 4, Completion: 4, Source: llm.UsageEstimated}},
		{name: "usage of null", protocol: llm.Responses, body: `{"output":[{"content":[]}],"usage":{"input_tokens":null}}`, usage: llm.Usage{Prompt: 4, Completion: 4, Source: llm.UsageEstimated}},
		{name: "usage in another protocol's words", protocol: llm.OpenAI, body: `{"content":[{"type":"text","text":"hi"}],"usage":{"input_tokens":3,"output_tokens":2}}`,
			usage: llm.Usage{Prompt: 4, Source: llm.UsageEstimated}},
		{name: "tier of chat", protocol: llm.OpenAI, body: `{"usage":{"prompt_tokens":8},"service_tier":"flex"}`, usage: llm.Usage{Prompt: 8, Source: llm.UsageProvider, Tier: "flex"}},
		{name: "tier of responses", protocol: llm.Responses, body: `{"service_tier":"priority","status":"completed","usage":{"input_tokens":8}}`,
			usage: llm.Usage{Prompt: 8, Source: llm.UsageProvider, Tier: "priority"}},
		{name: "tier of messages", protocol: llm.Anthropic, body: `{"usage":{"input_tokens":8,"service_tier":"priority"}}`, usage: llm.Usage{Prompt: 8, Source: llm.UsageProvider, Tier: "priority"}},
		{name: "fast messages", protocol: llm.Anthropic, body: `{"usage":{"input_tokens":8,"service_tier":"standard","speed":"fast"}}`, usage: llm.Usage{Prompt: 8, Source: llm.UsageProvider, Tier: "fast"}},
		{name: "standard tier", protocol: llm.OpenAI, body: `{"usage":{"prompt_tokens":8},"service_tier":"on_demand"}`, usage: llm.Usage{Prompt: 8, Source: llm.UsageProvider}},
		{name: "no tier", protocol: llm.OpenAI, body: `{"usage":{"prompt_tokens":8},"service_tier":null}`, usage: llm.Usage{Prompt: 8, Source: llm.UsageProvider}},
		{name: "error with status 200", protocol: llm.OpenAI, body: `{"error":{"message":"bad","code":400}}`, kind: llm.BadRequest},
		{name: "not JSON", protocol: llm.OpenAI, body: `<html>`, kind: llm.BadGateway},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := exchange(t, Input{Client: c.protocol, Endpoint: c.endpoint, Body: []byte(`{"model":"up"}`)}, Target{Protocol: c.protocol, Model: "up"})
			got, err := x.Answer(nil, 200, http.Header{}, []byte(c.body))
			if c.kind != "" {
				var e *llm.Error
				if !errors.As(err, &e) || e.Kind != c.kind {
					t.Errorf("error %v, want kind %s", err, c.kind)
				}
				return
			}
			if err != nil || string(got) != c.body {
				t.Errorf("got %s, error %v, want %s", got, err, c.body)
			}
			if d := cmp.Diff(c.usage, x.Usage()); d != "" {
				t.Errorf("usage (-want +got):\n%s", d)
			}
		})
	}
}
