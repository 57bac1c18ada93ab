package convert

import (
	"net/http"
	"slices"
	"strings"

	"model-proxy/internal/llm"
	"model-proxy/internal/rawjson"
)

// hints are the top-level fields of requests that tune an answer, by protocol:
// without one the answer is another, but still one to the request. Of two that
// exclude each other the first listed goes.
var hints = map[llm.Protocol][]string{
	llm.OpenAI: {"top_p", "temperature", "top_k", "reasoning_effort", "parallel_tool_calls", "stream_options", "verbosity", "service_tier",
		"seed", "frequency_penalty", "presence_penalty", "logit_bias", "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "stop", "metadata"},
	llm.Anthropic: {"top_p", "temperature", "top_k", "thinking", "output_config", "service_tier", "metadata", "stop_sequences"},
	llm.Responses: {"top_p", "temperature", "reasoning", "include", "parallel_tool_calls", "service_tier", "safety_identifier",
		"prompt_cache_key", "prompt_cache_retention", "truncation", "metadata"},
}

// renamed are fields that hosts know by one of two names.
var renamed = map[string]string{"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}

// refusals are words by which hosts say that they do not take a field at all, or
// not beside another, in place of its value being wrong.
var refusals = []string{"unsupported", "not support", "unrecognized", "unknown", "not permitted", "not allowed", "unexpected",
	"deprecated", "cannot both", "not available", "not compatible", "incompatible", "may only be set", "unset when"}

// WithoutRefused takes a field out of Body that the upstream has refused by its
// name, and reports whether there is now another Body to try. It does so once,
// and only for what the gateway has put into the request itself: hints of a
// converted one, and the provider's defaults. Everything else is the client's to
// mend.
func (x *Exchange) WithoutRefused(status int, body []byte) bool {
	if x.relieved || status != http.StatusBadRequest && status != http.StatusUnprocessableEntity {
		return false
	}
	f := parseFailure(body)
	message := strings.ToLower(f.message)
	if !slices.ContainsFunc(refusals, func(w string) bool { return strings.Contains(message, w) || strings.Contains(f.code, w) }) {
		return false
	}
	for _, name := range x.ownFields() {
		if !f.names(name) {
			continue
		}
		if rest := x.without(name); rest != nil {
			x.body, x.relieved = rest, true
			return true
		}
	}
	return false
}

// ownFields are those of Body that WithoutRefused may take out.
func (x *Exchange) ownFields() []string {
	if x.conv == nil {
		return x.added
	}
	if x.in.Mode == Strict {
		return nil
	}
	fields := hints[x.target.Protocol.Wire()]
	if x.target.Protocol.Wire() == llm.OpenAI {
		fields = append(fields[:len(fields):len(fields)], "max_tokens", "max_completion_tokens")
	}
	return fields
}

// names reports whether the failure is about the field of that name.
func (f failure) names(name string) bool {
	if f.param != "" {
		first, _, _ := strings.Cut(f.param, ".")
		return first == name
	}
	if rest, ok := strings.CutPrefix(f.message, name); ok && rest != "" && strings.ContainsRune(":. ", rune(rest[0])) {
		return true
	}
	for _, quote := range []string{"'", `"`, "`"} {
		if strings.Contains(f.message, quote+name+quote) {
			return true
		}
	}
	return false
}

// without is Body without a field, or with it under its other name; nil if it is
// not in there. The client is warned.
func (x *Exchange) without(name string) []byte {
	found, err := rawjson.Check(nil, x.body, &rawjson.Fields{Want: []string{name}})
	m, ok := found.Find(name)
	if err != nil || !ok {
		return nil
	}
	rest := rawjson.AppendDeleted(nil, x.body, m)
	if other := renamed[name]; other != "" {
		var e rawjson.Edits
		e.Add(other, x.body[m.Start:m.End])
		rest = e.Append(nil, rest)
	} else if x.conv != nil {
		x.conv.notes.dropped(name)
	} else {
		x.warnings = append(x.warnings, Warning{Action: Dropped, Param: name})
	}
	if x.conv != nil && x.conv.pause != nil {
		x.conv.pause.request = rest
	}
	return rest
}
