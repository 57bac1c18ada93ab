package mock

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// reply is one answer before it takes a protocol's form.
type reply struct {
	seq     int64 // makes the ids
	created time.Time
	thought string // reasoning, "" if none
	seal    string // the reasoning's signature
	text    string
	pieces  []string // text cut for a stream
	call    *call    // in place of text
	cut     bool     // the token limit ended it

	completion, reasoning int64 // tokens; completion includes reasoning
}

// call is a call of a tool.
type call struct{ name, arguments string }

// longestEcho bounds in bytes what is repeated of the user's message.
const longestEcho = 400

// compose decides what to answer.
func compose(p *prompt, f Fault, seq int64) *reply {
	r := &reply{seq: seq, created: time.Now()}
	if p.reason {
		r.thought = "The user said " + clip(p.lastText, 40) + ". I answer."
		sum := sha256.Sum256([]byte(r.thought))
		r.seal = base64.StdEncoding.EncodeToString(sum[:])
		r.reasoning = tokens(len(r.thought))
	}
	if t := p.called(); t != nil && f.Text == "" {
		r.call = &call{t.name, example(t.schema)}
		r.completion = r.reasoning + tokens(len(r.call.arguments))
		return r
	}
	r.say(p, f)
	return r
}

// say fills in the text, its length bounded by the token limit.
func (r *reply) say(p *prompt, f Fault) {
	r.text = p.wording()
	if f.Text != "" {
		r.text = f.Text
	}
	if f.BodySize > len(r.text) {
		r.text = repeated(r.text, f.BodySize)
	}
	if f.Text == "" && f.BodySize == 0 && !p.wantsJSON {
		if words := strings.SplitAfter(r.text, " "); len(words) < f.Chunks {
			r.text = strings.Join(cycle(words, f.Chunks), "")
		}
	}
	limit := p.maxTokens - r.reasoning
	if p.maxTokens > 0 && tokens(len(r.text)) > limit {
		r.cut = true
		r.text = clip(r.text, int(max(limit, 0))*4)
		r.reasoning = min(r.reasoning, p.maxTokens)
	}
	r.completion = r.reasoning + tokens(len(r.text))
	if f.Chunks > 0 && strings.Count(r.text, " ")+1 != f.Chunks { // as many words as SplitAfter would make, of a long text too many to make
		r.pieces = divide(r.text, f.Chunks)
		return
	}
	r.pieces = strings.SplitAfter(r.text, " ")
}

// called is the tool to call, nil for none.
func (p *prompt) called() *tool {
	if len(p.tools) == 0 || p.choice == "none" || p.lastRole != "user" {
		return nil
	}
	for i, t := range p.tools {
		if t.name == p.choice {
			return &p.tools[i]
		}
	}
	if p.choice == "required" || strings.Contains(strings.ToLower(p.lastText), "weather") {
		return &p.tools[0]
	}
	return nil
}

// wording is the ordinary text of the answer.
func (p *prompt) wording() string {
	switch {
	case p.wantsJSON && len(p.schema) > 0:
		return example(p.schema)
	case p.wantsJSON:
		return `{"answer":"as asked"}`
	case p.lastRole == "tool":
		return "The tool said: " + clip(p.toolText, longestEcho)
	}
	said := "You said: " + clip(p.lastText, longestEcho)
	if p.images > 0 {
		said = fmt.Sprintf("I see %d image(s). %s", p.images, said)
	}
	return said
}

// clip returns at most n bytes of s and cuts no rune.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// repeated returns n bytes of s over and over, less at most a part of a rune.
func repeated(s string, n int) string {
	return clip(strings.Repeat(s+" ", n/(len(s)+1)+1), n)
}

// cycle repeats words until there are n, each but the last with a blank behind it.
func cycle(words []string, n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = strings.TrimSuffix(words[i%len(words)], " ")
		if i < n-1 {
			list[i] += " "
		}
	}
	return list
}

// divide cuts s into n parts of about one length, fewer if s is too short.
func divide(s string, n int) []string {
	list := make([]string, 0, n)
	for ; n > 1 && s != ""; n-- {
		head := clip(s, max(len(s)/n, 1))
		if head == "" { // the first rune is longer than that
			_, size := utf8.DecodeRuneInString(s)
			head = s[:size]
		}
		list, s = append(list, head), s[len(head):]
	}
	if s != "" {
		list = append(list, s)
	}
	return list
}
