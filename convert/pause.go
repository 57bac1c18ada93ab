package convert

import (
	"model-proxy/internal/llm"
	"model-proxy/internal/rawjson"
)

// maxContinuations is how often an answer that its upstream pauses is continued.
const maxContinuations = 5

// pause is what it takes to continue an answer that ended with pause_turn: the
// upstream wants its own blocks back unchanged and goes on from there. Clients
// of Messages do so themselves; the other protocols have no word for it.
type pause struct {
	request   []byte // the first call's
	rounds    int
	paused    bool        // the answer is to be continued
	blocks    []llm.Block // of the calls before, where the answer is whole
	first     *llm.Answer // its first part
	continued bool        // the message that begins next goes on with the answer
}

// newPause returns nil where no pause can come: vendors pause only for tools
// they run themselves.
func newPause(x *Exchange, body []byte) *pause {
	if x.target.Protocol.Wire() != llm.Anthropic || x.in.Client.Wire() == llm.Anthropic {
		return nil
	}
	for tool := range rawjson.Array(rawjson.Get(body, "tools")) {
		if kind := str(rawjson.Get(tool, "type")); kind != "" && kind != "custom" {
			return &pause{request: body}
		}
	}
	return nil
}

// take reports whether an answer that stopped so, with those blocks so far, is
// to be continued.
func (p *pause) take(s llm.Stop, blocks *record) bool {
	if p == nil || s.Reason != llm.StopPause || p.rounds >= maxContinuations || len(blocks.content) == 0 {
		return false
	}
	p.rounds++
	p.paused = true
	return true
}

// Paused reports that the upstream has paused its answer and wants to be called
// again. What the client has got so far is no end: call Continue, then send Body
// to the same upstream, and give the answer to the same Stream or to Answer.
func (x *Exchange) Paused() bool { return x.conv != nil && x.conv.pause != nil && x.conv.pause.paused }

// Continue makes Body the request for the rest of a paused answer. Usage counts
// anew from here.
func (x *Exchange) Continue() {
	p := x.conv.pause
	x.before = x.Whole(x.Usage())
	x.seen.usage, x.seen.content, x.seen.begun = counters{}, 0, false
	p.paused, p.continued = false, true
	var o build
	o.open('[')
	for m := range rawjson.Array(rawjson.Get(p.request, "messages")) {
		o.raw(m)
	}
	o.open('{')
	o.key("role").str("assistant")
	o.key("content").open('[')
	o.b = append(o.b, x.conv.record.content...)
	o.close(']')
	o.close('}')
	o.close(']')
	var e rawjson.Edits
	if found, err := rawjson.Check(nil, p.request, &rawjson.Fields{Want: []string{"messages"}}); err == nil {
		if m, ok := found.Find("messages"); ok {
			e.Replace(m, o.b)
		}
	}
	x.body = e.Append(nil, p.request)
}

// Whole is what the answer has used over all its calls: those before and last,
// the usage of the last one.
func (x *Exchange) Whole(last llm.Usage) llm.Usage {
	u := x.before
	if u.Source == "" {
		return last
	}
	u.Prompt += last.Prompt
	u.CachedRead += last.CachedRead
	u.CachedWrite += last.CachedWrite
	u.CachedWrite1h += last.CachedWrite1h
	u.Completion += last.Completion
	u.Reasoning += last.Reasoning
	if last.Source != llm.UsageProvider && last.Source != llm.UsageNone {
		u.Source = last.Source
	}
	return u
}

// join puts a whole answer's parts together; it returns nil while there is more
// to come.
func (p *pause) join(a *llm.Answer) *llm.Answer {
	if p == nil {
		return a
	}
	if p.first == nil {
		p.first = a
	}
	p.blocks = append(p.blocks, a.Blocks...)
	if p.paused {
		return nil
	}
	whole := *a
	whole.ID, whole.Model, whole.Blocks = p.first.ID, p.first.Model, p.blocks
	return &whole
}
