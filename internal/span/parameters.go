package span

import (
	"strconv"

	"go.opentelemetry.io/otel/attribute"

	"model-proxy/internal/rawjson"
)

// parameter is one number of a request, in whichever protocol has it.
type parameter struct {
	member string
	key    attribute.Key
	whole  bool
}

var parameters = []parameter{
	{"max_tokens", requestMaxTokens, true},
	{"max_completion_tokens", requestMaxTokens, true},
	{"max_output_tokens", requestMaxTokens, true},
	{"n", requestChoiceCount, true},
	{"seed", requestSeed, true},
	{"dimensions", embeddingsDimension, true},
	{"temperature", requestTemperature, false},
	{"top_p", requestTopP, false},
	{"top_k", requestTopK, false},
	{"frequency_penalty", requestFrequencyPenalty, false},
	{"presence_penalty", requestPresencePenalty, false},
}

var parameterFields = func() rawjson.Fields {
	var f rawjson.Fields
	for _, p := range parameters {
		f.Want = append(f.Want, p.member)
	}
	return f
}()

// parameters notes the numbers of a request's body. Nothing else is read of it.
func (l *list) parameters(body []byte) {
	var room [16]rawjson.Member
	found, err := rawjson.Check(room[:0], body, &parameterFields)
	if err != nil {
		return
	}
	for _, p := range parameters {
		raw := string(found.Value(body, p.member))
		if n, err := strconv.ParseInt(raw, 10, 64); err == nil && p.whole {
			*l = append(*l, p.key.Int64(n))
		}
		if n, err := strconv.ParseFloat(raw, 64); err == nil && !p.whole {
			*l = append(*l, p.key.Float64(n))
		}
	}
}
