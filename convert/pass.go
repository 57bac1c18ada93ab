package convert

import (
	"encoding/json"
	"slices"

	"model-proxy/internal/llm"
	"model-proxy/internal/rawjson"
)

// passFields are the members of a request that passing through may change.
var passFields = rawjson.Fields{Want: []string{"model", "stream", "stream_options", "n"}}

// passRequest returns the client's body with the model's name replaced, the
// provider's defaults added, and stream and stream_options set where the
// gateway needs them. All other bytes stay; with nothing to change it is the
// client's own slice.
func (x *Exchange) passRequest() ([]byte, error) {
	body := x.in.Body
	var room [8]rawjson.Member
	found, err := rawjson.Check(room[:0], body, &passFields)
	if err != nil {
		return nil, llm.NewError(llm.BadRequest, "the request body is not valid JSON: "+err.Error())
	}
	if rest := x.fitIDs(x.withoutBudget(x.withoutSeals(body))); &rest[0] != &body[0] {
		body = rest
		found, _ = rawjson.Check(found[:0], body, &passFields) // valid before and after
	}
	x.choices, _ = rawjson.Int(found.Value(body, "n"))
	if x.in.Stream && x.in.Endpoint == llm.ChatCompletions && !takesStreamOptions(x.target.Quirks) {
		body, found = withoutStreamOptions(body, found)
	}
	var e rawjson.Edits
	setModel(&e, body, found, x.target.Model)
	if x.in.Stream && !isTrue(found.Value(body, "stream")) {
		set(&e, found, "stream", []byte("true"))
	}
	x.askForUsage(&e, found)
	x.added = append(x.added, addDefaults(&e, body, x.in.Endpoint, x.target.Defaults)...)
	if e.Empty() {
		return body, nil
	}
	return e.Append(nil, body), nil
}

// withoutStreamOptions takes out what the host would refuse; it may tell usage
// all the same.
func withoutStreamOptions(body []byte, found rawjson.Members) ([]byte, rawjson.Members) {
	m, ok := found.Find("stream_options")
	if !ok {
		return body, found
	}
	body = rawjson.AppendDeleted(nil, body, m)
	found, _ = rawjson.Check(found[:0], body, &passFields) // valid before and after
	return body, found
}

func setModel(e *rawjson.Edits, body []byte, found rawjson.Members, model string) {
	if model == "" || rawjson.EqualString(found.Value(body, "model"), model) {
		return
	}
	set(e, found, "model", rawjson.AppendString(nil, model))
}

// askForUsage makes a Chat Completions stream tell its usage, which it does only
// when asked.
func (x *Exchange) askForUsage(e *rawjson.Edits, found rawjson.Members) {
	if !x.in.Stream || x.in.Endpoint != llm.ChatCompletions || !takesStreamOptions(x.target.Quirks) {
		return
	}
	m, ok := found.Find("stream_options")
	if !ok {
		x.hideUsage = true
		x.added = append(x.added, "stream_options")
		e.Add("stream_options", []byte(`{"include_usage":true}`))
		return
	}
	options := x.in.Body[m.Start:m.End]
	if rawjson.IsNull(options) {
		x.hideUsage = true
		e.Replace(m, []byte(`{"include_usage":true}`))
		return
	}
	if options[0] != '{' || isTrue(rawjson.Get(options, "include_usage")) {
		return
	}
	x.hideUsage = true
	options = rawjson.AppendWithout(nil, options, func(name, _ []byte) bool {
		return rawjson.EqualString(name, "include_usage")
	})
	var inner rawjson.Edits
	inner.Add("include_usage", []byte("true"))
	e.Replace(m, inner.Append(nil, options))
}

func takesStreamOptions(q llm.Quirks) bool { return q.StreamOptions == nil || *q.StreamOptions }

// sameDefault names fields that set one thing, so that a default must not join
// the client's other spelling: OpenAI refuses a request that has both.
var sameDefault = map[string]string{
	"max_tokens":            "max_completion_tokens",
	"max_completion_tokens": "max_tokens",
}

// responsesName spells what is written for Chat Completions, default_parameters
// and required_parameters, for Responses. It does not know defaults missing here.
var responsesName = map[string]string{
	"max_tokens": "max_output_tokens", "max_completion_tokens": "max_output_tokens", "max_output_tokens": "max_output_tokens",
	"messages": "input", "temperature": "temperature", "top_p": "top_p", "reasoning": "reasoning", "service_tier": "service_tier",
	"parallel_tool_calls": "parallel_tool_calls", "store": "store", "truncation": "truncation", "text": "text",
}

// addDefaults adds the provider's default_parameters that the client left out.
// Embeddings and count_tokens have none of those fields. It returns what it has
// added.
func addDefaults(e *rawjson.Edits, body []byte, endpoint llm.Endpoint, defaults map[string]json.RawMessage) (added []string) {
	if len(defaults) == 0 || endpoint == llm.Embeddings || !endpoint.UsesTokens() {
		return nil
	}
	names := make([]string, 0, len(defaults))
	for name := range defaults {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		as := name
		if endpoint == llm.ResponsesAPI {
			if as = responsesName[name]; as == "" {
				continue
			}
		}
		if rawjson.Get(body, as) != nil || rawjson.Get(body, sameDefault[as]) != nil {
			continue
		}
		e.Add(as, defaults[name])
		added = append(added, as)
	}
	return added
}

// demand refuses a request that lacks one of the provider's required_parameters,
// which its defaults would have filled in.
func (x *Exchange) demand() error {
	endpoint := x.Endpoint()
	if endpoint == llm.Embeddings || !endpoint.UsesTokens() {
		return nil
	}
	for _, name := range x.target.Required {
		as := name
		if endpoint == llm.ResponsesAPI && responsesName[name] != "" {
			as = responsesName[name]
		}
		if !has(x.body, as, sameDefault[as]) {
			e := llm.NewError(llm.BadRequest, as+" is missing; the provider demands it")
			e.Param = as
			return e
		}
	}
	return nil
}

// has reports whether a checked object has a member of either name. It looks no
// further than that: most clients write their prompt last.
func has(body []byte, name, alias string) bool {
	for quoted := range rawjson.Quoted(body) {
		if rawjson.EqualString(quoted, name) || alias != "" && rawjson.EqualString(quoted, alias) {
			return true
		}
	}
	return false
}
