package convert

import (
	"encoding/json"
	"errors"
	"net/http"

	"model-proxy/internal/llm"
	"model-proxy/internal/rawjson"
)

// Mode is how strict a conversion is (X-Model-Proxy-Conversion-Mode). It has no
// effect where bytes pass through.
type Mode string

const (
	Default Mode = "default"
	Strict  Mode = "strict"  // what would be dropped or emulated is refused
	Lenient Mode = "lenient" // some of what would be refused is dropped
)

// ParseMode reads the header's value; an empty or unknown one is Default.
func ParseMode(s string) Mode {
	switch m := Mode(s); m {
	case Strict, Lenient:
		return m
	}
	return Default
}

// Input is the client's request.
type Input struct {
	Client    llm.Protocol
	Endpoint  llm.Endpoint
	Stream    bool   // the client is to get an event stream, whatever Body says
	Body      []byte // one JSON object, checked by rawjson.Check; never changed
	Model     string // as the client asked
	Mode      Mode
	RequestID string
	Created   int64             // Unix seconds for answers that must carry a time; 0 is allowed
	Files     map[string]File   // by address; what NeedsFiles has asked for
	Thinking  map[string][]byte // by key; what was found of that which NeedsThinking has asked for, nil before
	// ContentBlocks: a client of Chat Completions wants an answer of Messages with
	// its own blocks too, to send them back (X-Model-Proxy-Content-Blocks).
	ContentBlocks bool
}

// Target is the route that was chosen for it.
type Target struct {
	Protocol     llm.Protocol
	Provider     string
	Vendor       string                     // whose API it really is; "" means Provider
	Model        string                     // upstream model
	Defaults     map[string]json.RawMessage // in the words of Protocol; fill what the client left out
	Required     []string                   // likewise; what a request must have then
	Capabilities llm.Capabilities
	Quirks       llm.Quirks
}

// ErrCut is wrapped by every error that means the upstream's answer ended
// without its proper end or could not be understood (outcome "cut"). An error
// without it is one the upstream told us about.
var ErrCut = errors.New("answer cut")

// Exchange is one attempt: a request on its way up and the answer coming down.
// It is made for one call and is not safe for concurrent use.
type Exchange struct {
	in       Input
	target   Target
	body     []byte
	warnings []Warning // of passing through
	seen     seen
	before   llm.Usage // of the calls before this one, where an answer takes several

	added    []string // fields of body that passing through has added
	relieved bool     // a field was taken out because the upstream refused it
	choices  int64    // how many answers of Chat Completions pass through; 0 is one

	// hideUsage: the usage of the stream was asked for here, not by the client,
	// who must not see it.
	hideUsage bool
	// conv is nil where client and target speak one protocol.
	conv *conversion
}

// New prepares the request for the target. The error is a *llm.Error that
// refuses the request in words the client can act on, before any call, or a
// *NeedsFiles or *NeedsThinking.
func New(in Input, t Target) (*Exchange, error) {
	x := &Exchange{in: in, target: t}
	var err error
	if in.Client.Wire() == t.Protocol.Wire() {
		x.body, err = x.passRequest()
	} else {
		x.body, err = x.convertRequest()
	}
	if err == nil {
		err = x.demand()
	}
	if err != nil {
		return nil, err
	}
	return x, nil
}

// Body is the request for the upstream. It is the client's own slice where
// nothing had to change.
func (x *Exchange) Body() []byte { return x.body }

// Endpoint is where the upstream takes it.
func (x *Exchange) Endpoint() llm.Endpoint {
	switch {
	case x.conv == nil:
		return x.in.Endpoint
	case x.counts():
		return llm.ResponsesTokens
	}
	return endpointOf[x.target.Protocol.Wire()]
}

var endpointOf = map[llm.Protocol]llm.Endpoint{
	llm.OpenAI:    llm.ChatCompletions,
	llm.Responses: llm.ResponsesAPI,
	llm.Anthropic: llm.Messages,
}

// Warnings lists what the conversion changed or dropped so far. Those about the
// answer join the list when they are known: with a stream's last event at the
// latest.
func (x *Exchange) Warnings() []Warning {
	if x.conv != nil {
		return x.conv.notes.list
	}
	return x.warnings
}

// Usage is what the call used. Until the upstream has said so, and where it
// never does, the numbers come from the lengths of what went to and fro. To
// count tokens uses none.
func (x *Exchange) Usage() llm.Usage {
	if !x.in.Endpoint.UsesTokens() {
		return llm.Usage{Source: llm.UsageNone}
	}
	if x.conv != nil {
		return x.seen.total(x.conv.prompt)
	}
	return x.seen.total(EstimateTokens(len(x.body)))
}

// ResponseModel is the model that the upstream says has answered, "" if it has
// not said so.
func (x *Exchange) ResponseModel() string { return x.seen.model }

// ResponseID is the upstream's id of the answer, "" if it gave none.
func (x *Exchange) ResponseID() string { return x.seen.id }

// FinishReason is why the answer ended, in the upstream's own word; "" if it
// has not said so.
func (x *Exchange) FinishReason() string { return x.seen.finish }

// Answer reads a whole answer with status 2xx that is no event stream and
// appends what the client gets, which is an event stream if the client asked
// for one. The error is a *llm.Error: the upstream told of an error in spite of
// the status, or (ErrCut) the answer cannot be understood.
func (x *Exchange) Answer(dst []byte, status int, h http.Header, body []byte) ([]byte, error) {
	x.seen.begun = true
	var room [16]rawjson.Member
	found, err := rawjson.Check(room[:0], body, &answerFields)
	if err != nil {
		if rawjson.Valid(body) && jsonError(rawjson.Get(rawjson.First(body), "error")) {
			return dst, x.Error(http.StatusOK, h, body) // Gemini wraps errors in an array
		}
		return dst, cutError("the provider's answer is not valid JSON", err)
	}
	if jsonError(found.Value(body, "error")) || string(found.Value(body, "type")) == `"error"` {
		return dst, x.Error(http.StatusOK, h, body)
	}
	x.seen.readAnswer(x.target.Protocol.Wire(), body, found)
	if x.counts() {
		return countAnswer(dst, body)
	}
	if x.conv != nil {
		return x.conv.answer(dst, body)
	}
	if x.in.Stream {
		return x.streamFromAnswer(dst, body)
	}
	return append(dst, body...), nil
}

// answerFields are what is read of a whole answer of any protocol.
var answerFields = rawjson.Fields{Want: []string{
	"id", "model", "usage", "error", "type", "choices", "content", "stop_reason", "input_tokens", "output", "status", "service_tier",
}}

func cutError(message string, cause error) *llm.Error {
	if cause == nil {
		cause = ErrCut
	} else {
		cause = errors.Join(ErrCut, cause)
	}
	e := llm.NewError(llm.BadGateway, message)
	e.Code = "upstream_stream_truncated"
	return e.Because(cause)
}
