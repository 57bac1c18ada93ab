package convert

import (
	"model-proxy/internal/llm"
	"model-proxy/internal/rawjson"
)

// conversion is what one exchange between two protocols keeps.
type conversion struct {
	x      *Exchange
	notes  notes
	client protocol
	target protocol

	same         bool               // both ends speak one protocol, only whole and stream are exchanged
	names        map[string]string  // tool names sent in place of the client's → the client's
	grouped      map[string]grouped // tools that the client groups under namespaces, by qualified name
	custom       map[string]bool    // tools that the client called custom and that went as functions
	legacy       bool               // the client speaks of functions, not tools
	includeUsage bool               // the client wants a stream's usage
	signatures   bool               // llm.Request.Signatures
	echo         []byte             // settings of the request that answers of Responses repeat
	jsonTool     bool               // calls of jsonToolName are the answer's text
	unfence      bool               // a code fence around the whole answer is to go
	response     []byte             // of Responses, as the last event told it to a client of the same protocol
	prompt       int64              // estimated tokens of the request
	prefill      string             // what the answer may repeat at its start
	search       *llm.Tool          // the web search that the target is to do
	pause        *pause             // nil where the upstream pauses no answers
	record       *record            // of the upstream's own blocks, nil where nobody needs it
	needs        *NeedsThinking     // nil where the request can be made
}

// unsupported refuses a pair of protocols that cannot be converted.
func unsupported(x *Exchange) error {
	return &llm.Error{
		Kind: llm.BadRequest, Param: "model", Code: "unsupported_by_target",
		Message: "the model's provider cannot serve " + string(x.in.Endpoint),
	}
}

func (x *Exchange) newConversion() (*conversion, bool) {
	client, ok1 := protocols[x.in.Client.Wire()]
	target, ok2 := protocols[x.target.Protocol.Wire()]
	return &conversion{x: x, client: client, target: target, notes: notes{mode: x.in.Mode, fields: client.fields}}, ok1 && ok2
}

// convertRequest writes the client's request in the target's protocol.
func (x *Exchange) convertRequest() ([]byte, error) {
	c, ok := x.newConversion()
	if !ok || x.in.Endpoint == llm.Embeddings || x.in.Endpoint == llm.CountTokens && x.target.Protocol != llm.Responses {
		return nil, unsupported(x)
	}
	if err := rawjson.Validate(x.in.Body); err != nil {
		return nil, llm.NewError(llm.BadRequest, "the request body is not valid JSON: "+err.Error())
	}
	x.conv = c
	r := c.client.parseRequest(x.in.Body, &c.notes)
	if c.notes.err != nil {
		return nil, c.notes.err
	}
	c.includeUsage = r.IncludeUsage
	c.legacy = r.Choice.Legacy
	c.signatures = r.Signatures
	c.prompt = promptTokens(r)
	if err := c.fetched(r); err != nil {
		return nil, err
	}
	c.noteNamespaces(r.Tools)
	c.vendorTools(r)
	c.speakers(r)
	body := c.target.buildRequest(c, r)
	if c.notes.err != nil {
		return nil, c.notes.err
	}
	if c.needs != nil {
		return nil, c.needs
	}
	if x.counts() {
		return countRequest(body), nil
	}
	var e rawjson.Edits
	addDefaults(&e, body, x.Endpoint(), x.target.Defaults)
	if !e.Empty() {
		body = e.Append(nil, body)
	}
	if c.search != nil || x.target.Defaults["tools"] != nil { // no other tool of the vendor's can be in there
		c.pause = newPause(x, body)
	}
	c.record = c.newRecord()
	return body, nil
}

// room is a buffer for the converted request, which is about as long as the
// client's own.
func (c *conversion) room() build {
	n := len(c.x.in.Body)
	return build{b: make([]byte, 0, n+n/8+512)}
}

// answer writes a whole answer of the upstream as the client wants it.
func (c *conversion) answer(dst []byte, body []byte) ([]byte, error) {
	a, err := c.target.parseAnswer(c, body)
	if err != nil {
		return dst, err
	}
	if a = c.pause.join(a); a == nil {
		return dst, nil
	}
	c.mendAnswer(a)
	return c.writeAnswer(dst, a), nil
}

func (c *conversion) writeAnswer(dst []byte, a *llm.Answer) []byte {
	if !c.x.in.Stream {
		return c.client.buildAnswer(c, dst, a)
	}
	w, events := c.client.newWriter(c), 0
	for _, chunk := range answerChunks(a) {
		dst = w.write(dst, chunk, &events)
	}
	return dst
}

// streamFromAnswer gives a whole answer of the client's own protocol to a client
// that asked for a stream.
func (x *Exchange) streamFromAnswer(dst, body []byte) ([]byte, error) {
	c, ok := x.newConversion()
	if !ok {
		return dst, cutError("the provider sent no event stream", nil)
	}
	c.same, c.includeUsage = true, !x.hideUsage
	a, err := c.target.parseAnswer(c, body)
	if err != nil {
		return dst, err
	}
	if c.target.restream != nil {
		return c.target.restream(c, dst, body), nil
	}
	return c.writeAnswer(dst, a), nil
}
