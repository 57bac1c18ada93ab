package convert

import (
	"strconv"
	"unicode/utf8"

	"model-proxy/internal/llm"
	"model-proxy/internal/rawjson"
)

// buildResponsesAnswer writes a whole answer. One that came as a stream of the
// client's own protocol is the response its last event told, as it is.
func buildResponsesAnswer(c *conversion, dst []byte, a *llm.Answer) []byte {
	if c.same && c.response != nil {
		return append(dst, c.response...)
	}
	out := responsesOutput{c: c, base: c.itemBase(a.ID)}
	for _, b := range withRefusal(a) {
		out.add(b)
	}
	out.end(responseStatus(a.Stop))
	o := build{b: dst}
	c.appendResponse(&o, a.ID, responseStatus(a.Stop), out.done, a.Stop)
	return o.b
}

// withRefusal are an answer's blocks, with the reason for a refusal among them.
func withRefusal(a *llm.Answer) []llm.Block {
	if a.Stop.Reason != llm.StopRefusal || a.Stop.Explanation == "" {
		return a.Blocks
	}
	for _, b := range a.Blocks {
		if b.Kind == llm.BlockRefusal {
			return a.Blocks
		}
	}
	return append(a.Blocks, llm.Block{Kind: llm.BlockRefusal, Text: a.Stop.Explanation})
}

// responsesOutput gathers blocks into output items: texts and refusals that
// follow one another are the parts of one message, every other block is an item.
type responsesOutput struct {
	c     *conversion
	base  string
	index int         // of the open item
	id    string      // of the open item
	open  []llm.Block // the blocks of the open item
	done  []byte      // the items before it, as JSON
}

// shown reports whether a block has a place in an answer of Responses.
func (c *conversion) shown(b llm.Block) bool {
	switch b.Kind {
	case llm.BlockOpaque:
		return false
	case llm.BlockRedacted:
		return c.signatures
	}
	return true
}

func (r *responsesOutput) add(b llm.Block) {
	if !r.c.shown(b) {
		return
	}
	if len(r.open) > 0 && !(isPart(b.Kind) && isPart(r.open[0].Kind)) {
		r.end("completed")
	}
	r.open = append(r.open, b)
	if len(r.open) == 1 {
		r.id = r.newID()
	}
}

// end closes the open item, if there is one.
func (r *responsesOutput) end(status string) {
	if len(r.open) == 0 {
		return
	}
	o := build{b: r.done}
	if len(o.b) > 0 {
		o.b = append(o.b, ',')
	}
	r.item(&o, status)
	r.done, r.open = o.b, r.open[:0]
	r.index++
}

// itemPrefix begins the id of an item by what it is; the rest is messages.
var itemPrefix = map[llm.BlockKind]string{llm.BlockThinking: "rs_", llm.BlockRedacted: "rs_", llm.BlockCall: "fc_"}

// newID names the item that was just opened.
func (r *responsesOutput) newID() string {
	prefix := firstOf(itemPrefix[r.open[0].Kind], "msg_")
	if r.open[0].Custom {
		prefix = "ctc_"
	}
	return prefix + r.base + strconv.Itoa(r.index)
}

// item writes the open item. The comma before it is the caller's.
func (r *responsesOutput) item(o *build, status string) {
	b := r.open[0]
	o.b = append(o.b, '{')
	o.key("id").str(r.id)
	switch b.Kind {
	case llm.BlockThinking, llm.BlockRedacted:
		o.key("type").str("reasoning")
		o.key("summary")
		appendTexts(o, "summary_text", b.Text)
		if s := r.c.encryptedContent(b); s != "" {
			o.key("encrypted_content").str(s)
		}
	case llm.BlockCall:
		kind, field, args := "function_call", "arguments", b.Args
		if b.Custom {
			kind, field = "custom_tool_call", "input"
		} else if status != "in_progress" {
			args = firstOf(args, "{}")
		}
		o.key("type").str(kind)
		o.key("status").str(status)
		o.key(field).str(args)
		o.key("call_id").str(b.ID)
		tool := r.c.ungrouped(b.Name)
		o.key("name").str(tool.name)
		if tool.space != "" {
			o.key("namespace").str(tool.space)
		}
	default:
		o.key("type").str("message")
		o.key("status").str(status)
		o.key("role").str("assistant")
		o.key("content").open('[')
		if status != "in_progress" {
			for _, p := range r.open {
				appendPart(o, p)
			}
		}
		o.close(']')
	}
	o.close('}')
}

// appendPart writes a part of a message.
func appendPart(o *build, b llm.Block) {
	o.open('{')
	if b.Kind == llm.BlockRefusal {
		o.key("type").str("refusal")
		o.key("refusal").str(b.Text)
		o.close('}')
		return
	}
	o.key("type").str("output_text")
	o.key("annotations").open('[')
	for _, a := range placed(b.Annotations, 0, utf8.RuneCountInString(b.Text)) {
		appendURLCitation(o, a)
	}
	o.close(']')
	o.key("logprobs").lit("[]")
	o.key("text").str(b.Text)
	o.close('}')
}

func appendURLCitation(o *build, a llm.Annotation) {
	o.open('{')
	o.key("type").str("url_citation")
	o.key("url").str(a.URL)
	o.key("title").str(a.Title)
	o.key("start_index").int(int64(a.Start))
	o.key("end_index").int(int64(a.End))
	o.close('}')
}

// itemBase is what the ids of an answer's items share.
func (c *conversion) itemBase(id string) string {
	return hash(firstOf(id, c.x.in.RequestID), 24) + "_"
}

// responseID is the id of an answer; one of Responses stays.
func responseID(id string) string {
	if len(id) > 5 && id[:5] == "resp_" {
		return id
	}
	return "resp_" + clean(id)
}

// incompleteOf says why an answer is not whole; the other reasons complete it.
var incompleteOf = map[llm.StopReason]string{
	llm.StopLength: "max_output_tokens", llm.StopContext: "max_output_tokens", llm.StopPause: "max_output_tokens",
	llm.StopCompact: "max_output_tokens", llm.StopRefusal: "content_filter",
}

func responseStatus(s llm.Stop) string {
	if incompleteOf[s.Reason] != "" {
		return "incomplete"
	}
	return "completed"
}

// settings are the members of a request that its answer repeats, with what
// stands there for those that the client left out.
var settings = []struct{ name, absent string }{
	{"instructions", "null"}, {"max_output_tokens", "null"}, {"max_tool_calls", "null"}, {"metadata", "{}"},
	{"parallel_tool_calls", "true"}, {"previous_response_id", "null"}, {"prompt_cache_key", "null"},
	{"reasoning", `{"effort":null,"summary":null}`}, {"safety_identifier", "null"}, {"service_tier", `"default"`},
	{"temperature", "1"}, {"text", `{"format":{"type":"text"}}`}, {"tool_choice", `"auto"`}, {"tools", "[]"},
	{"top_logprobs", "0"}, {"top_p", "1"}, {"truncation", `"disabled"`}, {"user", "null"},
}

// settingsEcho writes those members once for all the places they stand in.
func (c *conversion) settingsEcho() []byte {
	if c.echo != nil {
		return c.echo
	}
	given := map[string][]byte{}
	for name, v := range rawjson.Object(c.x.in.Body) {
		if !rawjson.IsNull(v) {
			given[name] = v
		}
	}
	var o build
	o.open('{')
	for _, s := range settings {
		v, ok := given[s.name]
		if !ok {
			v = []byte(s.absent)
		}
		o.key(s.name).raw(v)
	}
	o.close('}')
	whole := oneLine(o.b)
	c.echo = whole[1 : len(whole)-1]
	return c.echo
}

// appendResponse writes a response; output is its items. It is never stored.
func (c *conversion) appendResponse(o *build, id, status string, output []byte, s llm.Stop) {
	o.open('{')
	o.key("id").str(responseID(id))
	o.key("object").str("response")
	o.key("created_at").int(c.x.in.Created)
	o.key("status").str(status)
	o.key("background").lit("false")
	o.key("error").lit("null")
	o.key("incomplete_details")
	if reason := incompleteOf[s.Reason]; status == "incomplete" {
		o.open('{')
		o.key("reason").str(reason)
		o.close('}')
	} else {
		o.lit("null")
	}
	o.key("model").str(c.x.in.Model)
	o.key("output").open('[')
	o.b = append(o.b, output...)
	o.close(']')
	o.key("store").lit("false")
	o.comma()
	o.b = append(o.b, c.settingsEcho()...)
	o.key("usage")
	if u := c.x.Whole(c.x.Usage()); status != "in_progress" && u.Source == llm.UsageProvider {
		appendResponsesUsage(o, u)
	} else {
		o.lit("null")
	}
	o.close('}')
}

// appendResponsesUsage writes a usage whose input includes cached tokens.
func appendResponsesUsage(o *build, u llm.Usage) {
	o.open('{')
	o.key("input_tokens").int(u.Prompt)
	o.key("input_tokens_details").open('{')
	o.key("cached_tokens").int(u.CachedRead)
	o.key("cache_write_tokens").int(u.CachedWrite)
	o.close('}')
	o.key("output_tokens").int(u.Completion)
	o.key("output_tokens_details").open('{')
	o.key("reasoning_tokens").int(u.Reasoning)
	o.close('}')
	o.key("total_tokens").int(u.Prompt + u.Completion)
	o.close('}')
}
