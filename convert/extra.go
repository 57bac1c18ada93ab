package convert

import (
	"slices"

	"model-proxy/internal/llm"
	"model-proxy/internal/rawjson"
)

// contract says when a field that no other protocol can honour is more than a
// hint: its loss would change what the client relies on.
type contract struct {
	broken  func(v []byte) bool // does the value ask for it
	lenient bool                // may be dropped in lenient mode
	reason  string
}

func asked(v []byte) bool { return !idle(v) }

func several(v []byte) bool {
	n, ok := rawjson.Int(v)
	return !ok || n != 1
}

// contracts are the fields of all protocols of which that is true.
var contracts = map[string]contract{
	"n":                    {several, true, "the target gives one answer only"},
	"logprobs":             {asked, true, "the target gives no log probabilities"},
	"top_logprobs":         {asked, true, "the target gives no log probabilities"},
	"modalities":           {func(v []byte) bool { return len(stringList(v)) != 1 || stringList(v)[0] != "text" }, false, "the target answers in text only"},
	"audio":                {asked, false, "the target answers in text only"},
	"mcp_servers":          {asked, false, "the target cannot call MCP servers"},
	"thread":               {asked, false, "the target keeps no threads; send the whole conversation"},
	"fallbacks":            {asked, false, "the target knows no fallbacks"},
	"container":            {func(v []byte) bool { return !idle(rawjson.Get(v, "skills")) }, false, "the target has no containers with skills"},
	"previous_response_id": {asked, false, "the target keeps no earlier responses; send the whole conversation"},
	"conversation":         {asked, false, "the target keeps no conversations; send the whole conversation"},
	"prompt":               {asked, false, "the target keeps no prompts"},
	"context_management":   {func(v []byte) bool { return v[0] == '[' }, false, "the target does not compact conversations"},
	"background":           {asked, false, "the target cannot answer in the background"},
}

// threadCode makes Anthropic's libraries, whose tool runners ask for a thread
// first, go on without one.
const threadCode = "thread_unsupported_request"

// codes are of contracts whose loss has a name that libraries know.
var codes = map[string]string{"thread": threadCode}

// silent are fields whose plain value changes nothing.
var silent = map[string]bool{"n": true, "logprobs": true, "top_logprobs": true, "modalities": true}

// cacheFields are those about the prompt cache, which OpenAI's two protocols
// spell alike.
var cacheFields = map[string]bool{"prompt_cache_key": true, "prompt_cache_retention": true, "prompt_cache_options": true}

// extraField decides about a field with no place in the shared form: refused as
// a broken contract, passed on where the host is said to take it, else dropped.
func extraField(c *conversion, f llm.Field, pass func(llm.Field)) {
	k, isContract := contracts[f.Path]
	switch {
	case isContract && k.broken(f.Value):
		if k.lenient {
			c.notes.refuseUnlessLenient(f.Path, k.reason)
			return
		}
		c.notes.fail(f.Path, k.reason, firstOf(codes[f.Path], "unsupported_by_target"))
	case silent[f.Path]:
	case slices.Contains(c.x.target.Quirks.AllowExtra, f.Path), cacheFields[f.Path] && c.x.withinOpenAI():
		pass(f)
	case !idle(f.Value):
		c.notes.dropped(f.Path)
	}
}

// passExtra writes a field that the host is said to take.
func (o *build) passExtra(f llm.Field) { o.key(f.Path).raw(f.Value) }
