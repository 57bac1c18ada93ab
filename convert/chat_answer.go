package convert

import (
	"unicode/utf8"

	"model-proxy/internal/llm"
)

// buildChatAnswer writes a whole answer.
func buildChatAnswer(c *conversion, dst []byte, a *llm.Answer) []byte {
	o := &build{b: dst}
	o.b = append(o.b, '{')
	o.key("id").str(chatID(a.ID))
	o.key("object").str("chat.completion")
	o.key("created").int(c.x.in.Created)
	o.key("model").str(c.x.in.Model)
	o.key("choices").open('[')
	o.open('{')
	o.key("index").int(0)
	o.key("message").open('{')
	appendChatMessage(o, c, a)
	o.close('}')
	o.key("logprobs").lit("null")
	o.key("finish_reason").str(c.finishReason(a.Stop))
	o.close('}')
	o.close(']')
	if u := c.x.Whole(c.x.Usage()); u.Source == llm.UsageProvider {
		o.key("usage")
		appendChatUsage(o, u)
	}
	o.close('}')
	return o.b
}

// chatParts are an answer's blocks sorted by where a message keeps them.
type chatParts struct {
	content, refusal, reasoning string
	hasText                     bool
	thoughts, calls             []llm.Block
	notes                       []llm.Annotation
}

func chatPartsOf(c *conversion, a *llm.Answer) chatParts {
	var p chatParts
	for i, b := range a.Blocks {
		switch b.Kind {
		case llm.BlockText:
			if p.content != "" && a.Blocks[i-1].Kind != llm.BlockText && !c.same {
				p.content += "\n\n"
			}
			start := utf8.RuneCountInString(p.content)
			p.content += b.Text
			p.hasText = p.hasText || b.Text != ""
			p.notes = append(p.notes, placed(b.Annotations, start, utf8.RuneCountInString(p.content))...)
		case llm.BlockRefusal:
			p.refusal += b.Text
		case llm.BlockThinking, llm.BlockRedacted:
			p.thoughts = append(p.thoughts, b)
			if b.Text != "" && p.reasoning != "" {
				p.reasoning += "\n\n"
			}
			p.reasoning += b.Text
		case llm.BlockCall:
			p.calls = append(p.calls, b)
		}
	}
	if a.Stop.Reason == llm.StopRefusal {
		p.refusal = firstOf(a.Stop.Explanation, p.refusal)
	}
	return p
}

// thinkingFields are those of a message in which thinking is shown.
type thinkingFields struct{ content, details bool }

func (c *conversion) thinkingFields() thinkingFields {
	switch c.x.target.Quirks.ReasoningFields {
	case "content":
		return thinkingFields{content: true}
	case "details":
		return thinkingFields{details: true}
	case "none":
		return thinkingFields{}
	}
	return thinkingFields{content: true, details: true}
}

// placed gives citations the characters of the text they belong to, those that
// do not say themselves.
func placed(notes []llm.Annotation, start, end int) []llm.Annotation {
	out := make([]llm.Annotation, len(notes))
	for i, n := range notes {
		if n.Start < 0 || n.End <= n.Start || n.End > end-start {
			n.Start, n.End = 0, end-start
		}
		n.Start, n.End = n.Start+start, n.End+start
		out[i] = n
	}
	return out
}

func appendChatMessage(o *build, c *conversion, a *llm.Answer) {
	p := chatPartsOf(c, a)
	o.key("role").str("assistant")
	if p.hasText {
		o.key("content").str(p.content)
	} else {
		o.key("content").lit("null")
	}
	o.key("refusal").strOrNull(p.refusal)
	shown := c.thinkingFields()
	if p.reasoning != "" && shown.content {
		o.key("reasoning_content").str(p.reasoning)
	}
	if len(p.thoughts) > 0 && shown.details {
		o.key("reasoning_details").open('[')
		for i, b := range p.thoughts {
			appendDetail(o, b, i)
		}
		o.close(']')
	}
	if p.notes != nil {
		appendAnnotations(o, p.notes)
	}
	if blocks := c.contentBlocks(); blocks != nil {
		o.key("content_blocks").raw(blocks)
	}
	if len(p.calls) == 0 {
		return
	}
	if c.legacy {
		o.key("function_call").open('{')
		o.key("name").str(p.calls[0].Name)
		o.key("arguments").str(firstOf(p.calls[0].Args, "{}"))
		o.close('}')
		return
	}
	o.key("tool_calls").open('[')
	for _, b := range p.calls {
		args := b.Args
		if !b.Custom {
			args = firstOf(args, "{}")
		}
		o.open('{')
		o.key("id").str(b.ID)
		appendChatCall(o, b, args)
		o.close('}')
	}
	o.close(']')
}

// appendChatCall writes type and function of a call.
func appendChatCall(o *build, b llm.Block, args string) {
	kind, field := "function", "arguments"
	if b.Custom {
		kind, field = "custom", "input"
	}
	o.key("type").str(kind)
	o.key(kind).open('{')
	o.key("name").str(b.Name)
	o.key(field).str(args)
	o.close('}')
}

// appendAnnotations writes citations of web pages.
func appendAnnotations(o *build, notes []llm.Annotation) {
	o.key("annotations").open('[')
	for _, a := range notes {
		o.open('{')
		o.key("type").str("url_citation")
		o.key("url_citation").open('{')
		o.key("url").str(a.URL)
		o.key("title").str(a.Title)
		o.key("start_index").int(int64(a.Start))
		o.key("end_index").int(int64(a.End))
		o.close('}')
		o.close('}')
	}
	o.close(']')
}

// appendChatUsage writes a usage whose prompt includes cached tokens.
func appendChatUsage(o *build, u llm.Usage) {
	o.open('{')
	o.key("prompt_tokens").int(u.Prompt)
	o.key("completion_tokens").int(u.Completion)
	o.key("total_tokens").int(u.Prompt + u.Completion)
	o.key("prompt_tokens_details").open('{')
	o.key("cached_tokens").int(u.CachedRead)
	o.key("cache_write_tokens").int(u.CachedWrite)
	o.close('}')
	if u.Reasoning > 0 {
		o.key("completion_tokens_details").open('{')
		o.key("reasoning_tokens").int(u.Reasoning)
		o.close('}')
	}
	o.close('}')
}

// finishOf maps why an answer ended to finish_reason.
var finishOf = map[llm.StopReason]string{
	llm.StopEnd: "stop", llm.StopSequence: "stop", llm.StopTools: "tool_calls", llm.StopRefusal: "content_filter",
	llm.StopLength: "length", llm.StopContext: "length", llm.StopPause: "length", llm.StopCompact: "length",
}

func (c *conversion) finishReason(s llm.Stop) string {
	if s.Reason == llm.StopTools && c.legacy {
		return "function_call"
	}
	return firstOf(finishOf[s.Reason], "stop")
}

func chatID(id string) string { return "chatcmpl-" + id }
