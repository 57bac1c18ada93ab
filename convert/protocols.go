package convert

import "model-proxy/internal/llm"

// protocol is what convert knows of one wire format: how to read requests and
// answers into the shared form, and how to write them from it. A new format is
// one more of these, whatever others there are.
type protocol struct {
	parseRequest func(body []byte, n *notes) *llm.Request
	buildRequest func(c *conversion, r *llm.Request) []byte
	parseAnswer  func(c *conversion, body []byte) (*llm.Answer, *llm.Error)
	buildAnswer  func(c *conversion, dst []byte, a *llm.Answer) []byte
	newReader    func(c *conversion) chunkReader
	newWriter    func(c *conversion) chunkWriter
	// restream tells a whole answer of this protocol as a stream of it, where the
	// shared form would lose what only this protocol has; nil where it does not.
	restream func(c *conversion, dst, body []byte) []byte

	// fields are this protocol's names for what builders of requests call
	// otherwise; errors and warnings name fields as the client does.
	fields map[string]string
	// unanswered and orphan say that a call lacks its result and a result its call.
	unanswered, orphan string
}

// protocols is the table of wire formats.
var protocols = map[llm.Protocol]protocol{
	llm.OpenAI: {
		parseRequest: parseChatRequest, buildRequest: buildChatRequest,
		parseAnswer: parseChatAnswer, buildAnswer: buildChatAnswer,
		newReader: newChatReader, newWriter: newChatWriter,
		fields: map[string]string{
			"thinking": "reasoning_effort", "output_config.effort": "reasoning_effort",
			"metadata.user_id": "user", "stop_sequences": "stop",
		},
		unanswered: "an assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'",
		orphan:     "messages with role 'tool' must be a response to a preceding message with 'tool_calls'",
	},
	llm.Anthropic: {
		parseRequest: parseMessagesRequest, buildRequest: buildMessagesRequest,
		parseAnswer: parseMessagesAnswer, buildAnswer: buildMessagesAnswer,
		newReader: newMessagesReader, newWriter: newMessagesWriter,
		fields:     map[string]string{"response_format": "output_config.format"},
		unanswered: "each tool_use must have a tool_result in the next user message",
		orphan:     "the tool_result answers no tool_use of the turn before",
	},
	llm.Responses: {
		parseRequest: parseResponsesRequest, buildRequest: buildResponsesRequest,
		parseAnswer: parseResponsesAnswer, buildAnswer: buildResponsesAnswer,
		newReader: newResponsesReader, newWriter: newResponsesWriter, restream: restream,
		fields: map[string]string{
			"thinking": "reasoning.effort", "output_config.effort": "reasoning.effort", "reasoning_effort": "reasoning.effort",
			"response_format": "text.format", "max_tokens": "max_output_tokens", "metadata.user_id": "safety_identifier",
			"messages": "input", "verbosity": "text.verbosity",
		},
		unanswered: "a function_call must be followed by its function_call_output",
		orphan:     "a function_call_output must answer a function_call before it",
	},
}

// chunkReader turns an upstream's events into chunks. data is valid JSON and no
// error event. finish is called once, when the upstream's terminal event or a
// legal end was seen.
type chunkReader interface {
	read(dst []llm.Chunk, data []byte) ([]llm.Chunk, *llm.Error)
	finish(dst []llm.Chunk) ([]llm.Chunk, *llm.Error)
}

// chunkWriter turns chunks into a client's events. It counts them in n.
type chunkWriter interface {
	write(dst []byte, c llm.Chunk, n *int) []byte
	// splice writes the next piece of the open block like the last one, in one
	// event. The piece is a JSON string of which every byte is as AppendString
	// would have it. ok is false where it takes write to do so.
	splice(dst, quoted []byte) (out []byte, ok bool)
}
