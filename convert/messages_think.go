package convert

import (
	"slices"
	"strings"

	"model-proxy/internal/llm"
)

// minBudget is the least thinking.budget_tokens that Messages takes.
const minBudget = 1024

var budgetOf = map[string]int64{"minimal": minBudget, "low": 2048, "medium": 8192, "high": 16384, "xhigh": 32768}

// thinking is the thinking and output_config.effort of a request for Messages.
type thinking struct {
	mode   string // "" is nothing
	budget int64
	effort string
	raw    []byte // as the client itself wrote it
}

func (t thinking) on() bool { return t.mode == "enabled" || t.mode == "adaptive" }

// plan settles how the model is to think: the client's own thinking, else what
// its effort comes to, and none where it cannot be.
func (b *messagesBuilder) plan() thinking {
	var t thinking
	r := b.r.Reasoning
	switch {
	case r.Raw != nil:
		t = thinking{mode: r.Mode, budget: r.Budget, raw: r.Raw, effort: r.Config}
	case r.Config != "":
		return thinking{effort: r.Config} // in the target's own words
	case r.Effort == "":
		return t
	case b.cap.Thinking == "none":
		b.n.dropped("reasoning_effort")
		return t
	case b.cap.Thinking == "budget":
		t = b.budget(r.Effort)
	default:
		t = b.adaptive(r.Effort)
	}
	if t.on() && b.forced() {
		b.n.dropped("reasoning_effort")
		return thinking{effort: t.effort}
	}
	if t.mode == "enabled" && b.lacksThinking() {
		b.n.emulated("reasoning_effort")
		return thinking{effort: t.effort}
	}
	return t
}

func (b *messagesBuilder) thinks() bool { return b.plan().on() }

func (b *messagesBuilder) budget(effort string) thinking {
	if effort == "none" {
		return thinking{}
	}
	budget, known := budgetOf[effort]
	if effort == "max" {
		budget, known = b.max-minBudget, true
	}
	if !known {
		b.n.invalid("reasoning_effort", "unknown reasoning_effort")
		return thinking{}
	}
	budget = min(budget, b.max-minBudget)
	if budget < minBudget {
		b.n.dropped("reasoning_effort")
		return thinking{}
	}
	return thinking{mode: "enabled", budget: budget}
}

// levels are the efforts from least to most.
var levels = []string{"minimal", "low", "medium", "high", "xhigh", "max"}

func (b *messagesBuilder) adaptive(effort string) thinking {
	if effort == "none" {
		if b.cap.ThinkingCanBeDisabled != nil && !*b.cap.ThinkingCanBeDisabled {
			return thinking{effort: "low"}
		}
		return thinking{mode: "disabled"}
	}
	listed := b.cap.EffortLevels
	if listed == nil {
		listed = []string{"low", "medium", "high", "max"}
	}
	level := nearest(effort, listed)
	if level == "" {
		b.n.invalid("reasoning_effort", "unknown reasoning_effort")
		return thinking{}
	}
	if level != effort && effort != "minimal" {
		b.n.clamped("reasoning_effort", effort, level)
	}
	return thinking{mode: "adaptive", effort: level}
}

// nearest returns the listed level next below effort, else the lowest above it;
// "" if effort is no level at all.
func nearest(effort string, listed []string) string {
	want := -1
	for i, l := range levels {
		if l == effort {
			want = i
		}
	}
	if want < 0 {
		return ""
	}
	for i := want; i >= 0; i-- {
		if slices.Contains(listed, levels[i]) {
			return levels[i]
		}
	}
	for _, l := range levels[want:] {
		if slices.Contains(listed, l) {
			return l
		}
	}
	return ""
}

// lacksThinking reports whether the calls being answered came without the
// thinking that led to them, which Messages refuses while a budget is set. All
// turns since the user's own words are one answer: a model may think at its
// start alone, but not where another vendor's model has gone on with it.
func (b *messagesBuilder) lacksThinking() bool {
	var answering, thinks, own, foreign bool
	for i := len(b.turns) - 1; i >= 0; i-- {
		t := b.turns[i]
		if len(t.Blocks) == 0 || t.Role == llm.RoleSystem {
			continue
		}
		first := t.Blocks[0].Kind
		if t.Role == llm.RoleUser {
			if first != llm.BlockResult {
				break
			}
			answering = true
			continue
		}
		thought := first == llm.BlockThinking || first == llm.BlockRedacted
		thinks = thinks || thought
		for _, k := range t.Blocks {
			if k.Kind == llm.BlockCall {
				isOwn := strings.HasPrefix(k.ID, ownCalls)
				own, foreign = own || isOwn, foreign || !isOwn && !thought
			}
		}
	}
	return answering && (!thinks || own && foreign)
}

// reasoning writes thinking and output_config.
func (b *messagesBuilder) reasoning() {
	t := b.plan()
	switch {
	case t.raw != nil:
		b.o.key("thinking").raw(t.raw)
	case t.mode == "enabled":
		b.o.key("thinking").open('{')
		b.o.key("type").str("enabled")
		b.o.key("budget_tokens").int(t.budget)
		b.display()
		b.o.close('}')
	case t.mode != "":
		b.o.key("thinking").open('{')
		b.o.key("type").str(t.mode)
		if t.on() {
			b.display()
		}
		b.o.close('}')
	}
	schema := b.nativeSchema()
	if t.effort == "" && schema == nil {
		return
	}
	b.o.key("output_config").open('{')
	if t.effort != "" {
		b.o.key("effort").str(t.effort)
	}
	if schema != nil {
		b.o.key("format").open('{')
		b.o.key("type").str("json_schema")
		b.o.key("schema").raw(schema)
		b.o.close('}')
	}
	b.o.close('}')
}

// display asks for thinking that can be read where the client does; some models
// leave its text out by themselves.
func (b *messagesBuilder) display() {
	if b.r.Reasoning.Summary != "" {
		b.o.key("display").str("summarized")
	}
}
