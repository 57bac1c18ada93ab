package convert

import (
	"encoding/json"
	"strings"

	"model-proxy/internal/llm"
	"model-proxy/internal/rawjson"
)

// messagesBuilder writes a request in the shared form as one for Messages.
type messagesBuilder struct {
	c   *conversion
	r   *llm.Request
	n   *notes
	cap llm.Capabilities
	o   build

	system []llm.Block
	turns  []llm.Turn
	tools  []llm.Tool
	choice llm.ToolChoice
	max    int64
	ids    *ids

	// Used again from turn to turn.
	results, rest []llm.Block
	args          []byte
}

func buildMessagesRequest(c *conversion, r *llm.Request) []byte {
	b := &messagesBuilder{c: c, r: r, n: &c.notes, cap: c.x.target.Capabilities, ids: newIDs(messagesID)}
	b.limit()
	b.tools, b.choice = r.Tools, r.Choice
	b.arrangeTools()
	b.structured()
	b.arrange()
	b.recall()
	b.capBreakpoints()
	b.o = c.room()
	b.o.open('{')
	b.o.key("model").str(c.x.target.Model)
	b.o.key("max_tokens").int(b.max)
	if c.x.in.Stream {
		b.o.key("stream").lit("true")
	}
	b.reasoning()
	b.sampling()
	b.stop()
	b.user()
	b.tier()
	b.extra()
	b.writeTools()
	if len(b.system) > 0 {
		b.o.key("system").open('[')
		for _, s := range b.system {
			b.block(s)
		}
		b.o.close(']')
	}
	b.o.key("messages").open('[')
	for _, t := range b.turns {
		b.turn(t)
	}
	b.o.close(']')
	b.o.close('}')
	return b.o.b
}

// defaultMaxTokens is what Messages, which demands a limit, is told where
// neither client nor catalogue nor provider file knows one.
const defaultMaxTokens = 4096

// limit chooses max_tokens. Without the client's own it is as large as the model
// allows, since Chat Completions has no limit of its own.
func (b *messagesBuilder) limit() {
	if limit, asked := b.c.limit(b.r); asked {
		b.max = limit
		return
	}
	b.max = b.cap.MaxOutputTokens
	if b.max == 0 {
		b.max, _ = rawjson.Int(b.c.x.target.Defaults["max_tokens"])
	}
	if b.max <= 0 {
		b.max = defaultMaxTokens
	}
	if most := b.c.x.target.Quirks.MaxTokensCap; most > 0 {
		b.max = min(b.max, most)
	}
}

// sampling writes temperature, top_p and top_k as far as the model takes them.
func (b *messagesBuilder) sampling() {
	temperature, topP, topK := b.r.Temperature, b.r.TopP, b.r.TopK
	if b.cap.Sampling == "none" {
		for param, v := range map[string][]byte{"temperature": temperature, "top_p": topP, "top_k": topK} {
			if v != nil && string(v) != "1" && string(v) != "1.0" {
				b.n.dropped(param)
			}
		}
		return
	}
	if f, ok := rawjson.Float(temperature); ok && f > 1 {
		b.n.clamped("temperature", string(temperature), "1")
		temperature = []byte("1")
	}
	if b.thinks() {
		temperature, topP, topK = b.samplingWhileThinking(temperature, topP, topK)
	}
	if b.cap.Sampling == "one_of" && temperature != nil && topP != nil {
		if f, _ := rawjson.Float(topP); f != 1 {
			b.n.dropped("top_p")
		}
		topP = nil
	}
	for _, f := range []llm.Field{{Path: "temperature", Value: temperature}, {Path: "top_p", Value: topP}, {Path: "top_k", Value: topK}} {
		if f.Value != nil {
			b.o.key(f.Path).raw(f.Value)
		}
	}
}

func (b *messagesBuilder) samplingWhileThinking(temperature, topP, topK json.RawMessage) (t, p, k json.RawMessage) {
	if f, ok := rawjson.Float(temperature); ok && f != 1 {
		b.n.dropped("temperature")
		temperature = nil
	}
	if f, ok := rawjson.Float(topP); ok && (f < 0.95 || f > 1) {
		b.n.dropped("top_p")
		topP = nil
	}
	if topK != nil {
		b.n.dropped("top_k")
	}
	return temperature, topP, nil
}

// stop writes stop_sequences, which must hold something visible.
func (b *messagesBuilder) stop() {
	var keep []string
	for _, s := range b.r.Stop {
		if blank(s) {
			b.n.dropped("stop")
			continue
		}
		keep = append(keep, s)
	}
	if keep == nil {
		return
	}
	b.o.key("stop_sequences").open('[')
	for _, s := range keep {
		b.o.str(s)
	}
	b.o.close(']')
}

// user writes metadata.user_id, which must not look like an address or a number
// of a person.
func (b *messagesBuilder) user() {
	id := b.r.User
	if id == "" {
		return
	}
	if personal(id) || len(id) > 256 {
		b.n.emulated("metadata.user_id")
		id = hash(id, 64)
	}
	b.o.key("metadata").open('{')
	b.o.key("user_id").str(id)
	b.o.close('}')
}

// personal reports whether an id looks like an e-mail address or a phone number.
func personal(id string) bool {
	if strings.Contains(id, "@") {
		return true
	}
	digits := 0
	for _, c := range id {
		switch {
		case c >= '0' && c <= '9':
			digits++
		case strings.ContainsRune("+-(). /", c):
		default:
			return false
		}
	}
	return digits >= 7 && digits <= 15
}

func (b *messagesBuilder) tier() {
	switch b.r.ServiceTier {
	case "":
	case "auto":
		b.o.key("service_tier").str("auto")
	case "default", "standard_only":
		b.o.key("service_tier").str("standard_only")
	default:
		b.n.dropped("service_tier")
	}
	if b.r.Verbosity != "" {
		b.n.dropped("verbosity")
	}
}

// extra decides about the fields that have no place in the shared form.
func (b *messagesBuilder) extra() {
	for _, f := range b.r.Extra {
		extraField(b.c, f, b.o.passExtra)
	}
}

// capBreakpoints keeps the last four cache marks, all that Messages takes.
func (b *messagesBuilder) capBreakpoints() {
	var marks []*json.RawMessage
	note := func(c *json.RawMessage) {
		if *c != nil {
			marks = append(marks, c)
		}
	}
	for i := range b.tools {
		note(&b.tools[i].Cache)
	}
	for i := range b.system {
		note(&b.system[i].Cache)
	}
	for i := range b.turns {
		for j := range b.turns[i].Blocks {
			note(&b.turns[i].Blocks[j].Cache)
			for k := range b.turns[i].Blocks[j].Content {
				note(&b.turns[i].Blocks[j].Content[k].Cache)
			}
		}
	}
	const most = 4
	for ; len(marks) > most; marks = marks[1:] {
		*marks[0] = nil
		b.n.dropped("cache_control")
	}
}
