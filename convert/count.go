package convert

import (
	"slices"
	"strconv"

	"model-proxy/internal/llm"
	"model-proxy/internal/rawjson"
)

// counted are the members of a request for Responses that its token count takes
// (openai-go, responses.InputTokenCountParams); others answer it with 400.
var counted = []string{"model", "input", "instructions", "tools", "tool_choice", "parallel_tool_calls", "reasoning", "text", "truncation"}

// counts reports whether the exchange asks for a token count in another protocol
// than the client's.
func (x *Exchange) counts() bool { return x.conv != nil && x.in.Endpoint == llm.CountTokens }

// countRequest is the token count of a request for Responses.
func countRequest(body []byte) []byte {
	return rawjson.AppendWithout(nil, body, func(name, _ []byte) bool { return !slices.Contains(counted, str(name)) })
}

// countAnswer writes the answer of such a count as that of Messages.
func countAnswer(dst, body []byte) ([]byte, error) {
	n, ok := rawjson.Int(rawjson.Get(body, "input_tokens"))
	if !ok || n < 0 {
		return dst, cutError("the provider's answer holds no token count", nil)
	}
	return AppendTokenCount(dst, n), nil
}

// AppendTokenCount appends the answer of count_tokens.
func AppendTokenCount(dst []byte, n int64) []byte {
	dst = append(dst, `{"input_tokens":`...)
	dst = strconv.AppendInt(dst, n, 10)
	return append(dst, '}')
}
