package web

import "slices"

// access says which key an operation asks for.
type access int

const (
	open access = iota
	clientKey
	adminKey
	eitherKey
)

// operation describes what one path does. Schemas are named as in
// schemas.json.
type operation struct {
	tag, summary, description string
	access                    access
	parameters                []string // names in parameters
	request                   string   // schema of the body, "" for GET
	answer                    string   // schema of a plain answer, "" for text
	event                     string   // schema of a stream's data lines
	also                      string   // schema of the answer to Anthropic's clients, where it differs
	unavailable               string   // schema of a 503 that is not an error, "" if there is none
	errors                    string   // schema of errors; "" means OpenAI's
	example                   string   // a body to begin with
}

// tags group the operations, in this order.
var tags = []struct{ name, description string }{
	{"OpenAI", "What OpenAI's clients and SDKs call. Errors have OpenAI's shape."},
	{"Anthropic", "What Anthropic's clients and SDKs call. Errors have Anthropic's shape."},
	{"Health", "How the gateway is, for load balancers and people."},
	{"Administration", "Usage and records. Asks for ADMIN_API_KEY; without a configured one these paths do not exist."},
	{"Description", "This description and its readers."},
}

const streamed = "\n\nThe answer is a stream of server-sent events, whatever the body's `stream` says."

// operations describe every path: an endpoint under its canonical path, all
// others under their own.
var operations = map[string]operation{
	"/v1/chat/completions": {tag: "OpenAI", summary: "Answer a conversation (Chat Completions)", access: clientKey,
		description: "Any logical model can be asked, whichever protocol its provider speaks: the gateway converts where they differ, " +
			"and `X-Model-Proxy-Warnings` lists what was changed or dropped on the way.",
		request: "ChatCompletionRequest", answer: "ChatCompletion", event: "ChatCompletionChunk", parameters: chatHeaders,
		example: `{"model":"MODEL","messages":[{"role":"user","content":"Hello!"}]}`},
	"/v1/responses": {tag: "OpenAI", summary: "Answer a conversation (Responses)", access: clientKey,
		request: "ResponsesRequest", answer: "Response", event: "ResponseEvent", parameters: modelHeaders,
		example: `{"model":"MODEL","input":"Hello!"}`},
	"/v1/embeddings": {tag: "OpenAI", summary: "Turn texts into vectors", access: clientKey,
		request: "EmbeddingsRequest", answer: "EmbeddingList", parameters: modelHeaders,
		example: `{"model":"MODEL","input":["Hello!"]}`},
	"/v1/messages": {tag: "Anthropic", summary: "Answer a conversation (Messages)", access: clientKey,
		description: "Any logical model can be asked, whichever protocol its provider speaks.",
		request:     "MessagesRequest", answer: "Message", event: "MessageEvent", errors: "AnthropicError", parameters: modelHeaders,
		example: `{"model":"MODEL","max_tokens":100,"messages":[{"role":"user","content":"Hello!"}]}`},
	"/v1/messages/count_tokens": {tag: "Anthropic", summary: "Count a prompt's tokens", access: clientKey,
		description: "Counted by the provider where it can, else estimated; `X-Model-Proxy-Token-Count` says which.",
		request:     "CountTokensRequest", answer: "TokenCount", errors: "AnthropicError", parameters: modelHeaders,
		example: `{"model":"MODEL","messages":[{"role":"user","content":"Hello!"}]}`},
	"/v1/models": {tag: "OpenAI", summary: "List the models open to this client", access: clientKey,
		description: "In OpenAI's format, or with an `anthropic-version` header in Anthropic's, which comes in pages.",
		answer:      "ModelList", also: "AnthropicModelList", parameters: []string{"anthropic-version", "limit", "after_id", "before_id"}},
	"/v1/models/{id}": {tag: "OpenAI", summary: "Show one model", access: clientKey, answer: "Model", also: "AnthropicModel",
		parameters: []string{"id", "anthropic-version"}},
	"/health": {tag: "Health", summary: "Is this process ready?", answer: "Health", unavailable: "Health",
		description: "Asks nobody else and is never rate limited. 503 while it drains or has lost the queue."},
	"/health/detailed": {tag: "Health", summary: "How is every component?", access: eitherKey, answer: "HealthReport", unavailable: "HealthReport",
		description: "NATS, its streams, the queue, workers, providers' keys, models, configuration, records and their store, each with its own status. 503 if one is unhealthy."},
	"/metrics": {tag: "Health", summary: "Metrics in Prometheus's text format"},
	"/admin/usage": {tag: "Administration", summary: "Sum up who used what", access: adminKey, answer: "UsageList",
		parameters: []string{"by", "since"}},
	"/admin/records": {tag: "Administration", summary: "List request or attempt records, newest first", access: adminKey,
		answer: "RecordList", parameters: []string{"request_id", "attempts", "since", "records-limit"}},
	"/admin/keys": {tag: "Administration", summary: "List the providers' keys and which of them rest, why and for how long", access: adminKey, answer: "KeyList",
		description: "Keys are shown by fingerprint and last four characters. 503 in a process without workers."},
	"/openapi.json": {tag: "Description", summary: "This description", answer: "Object"},
	"/docs":         {tag: "Description", summary: "This description, with forms to try things out"},
	"/redoc":        {tag: "Description", summary: "This description as a reference"},
	"/console":      {tag: "Administration", summary: "The web console"},
}

// modelHeaders are the parameters of every operation that asks a model.
var modelHeaders = []string{"X-Request-Id", "X-Model-Proxy-Timeout-Ms", "X-Model-Proxy-Priority", "X-Model-Proxy-Conversion-Mode"}

// chatHeaders are those of Chat Completions.
var chatHeaders = slices.Concat(modelHeaders, []string{"X-Model-Proxy-Content-Blocks"})

type object = map[string]any

// parameters by name, unless they say another one. A path parameter is required,
// all others are not.
var parameters = map[string]object{
	"X-Request-Id":                  parameter("header", "Kept if it has 1 to 64 letters, digits, dots, underscores or dashes; else one is made. It stands in the answer and in the records.", object{"type": "string", "maxLength": 64}),
	"X-Model-Proxy-Timeout-Ms":      parameter("header", "Shortens the request's deadline, in milliseconds from its arrival.", object{"type": "integer", "minimum": 1}),
	"X-Model-Proxy-Priority":        parameter("header", "The lane of the queue.", object{"type": "string", "enum": []string{"high", "normal", "low"}}),
	"X-Model-Proxy-Conversion-Mode": parameter("header", "Where the provider speaks another protocol: refuse whatever it cannot take (strict), refuse what would change the answer and name the rest in X-Model-Proxy-Warnings (default), or drop some of that too (lenient).", object{"type": "string", "enum": []string{"strict", "default", "lenient"}, "default": "default"}),
	"X-Model-Proxy-Content-Blocks":  parameter("header", "1: where Anthropic's protocol answers, the message has the answer's own blocks too (content_blocks; in a stream one delta before the last). Sent back with the message they reach the model unchanged, what its own tools found included.", object{"type": "string", "enum": []string{"1"}}),
	"anthropic-version":             parameter("header", "Asks for Anthropic's format, whatever its value.", object{"type": "string"}),
	"id":                            parameter("path", "The logical model's name, which may hold slashes.", object{"type": "string"}),
	"after_id":                      parameter("query", "Anthropic's format: the page after this model.", object{"type": "string"}),
	"before_id":                     parameter("query", "Anthropic's format: the page before this model.", object{"type": "string"}),
	"limit":                         parameter("query", "At most so many entries.", object{"type": "integer", "minimum": 1, "maximum": 1000}),
	"records-limit":                 named("limit", parameter("query", "At most so many records.", object{"type": "integer", "minimum": 1, "maximum": 10_000, "default": 100})),
	"by":                            parameter("query", "What to sum up by, several with commas: client, model, provider, key, day, hour.", object{"type": "string", "default": "model"}),
	"since":                         parameter("query", "Only what is younger: a length such as 24h, or a moment such as 2026-01-31T00:00:00Z.", object{"type": "string"}),
	"request_id":                    parameter("query", "Only this request.", object{"type": "string"}),
	"attempts":                      parameter("query", "1 lists attempts in place of requests.", object{"type": "string", "enum": []string{"0", "1"}}),
}

func named(name string, p object) object {
	p["name"] = name
	return p
}

func parameter(in, description string, schema object) object {
	return object{"in": in, "required": in == "path", "description": description, "schema": schema}
}
