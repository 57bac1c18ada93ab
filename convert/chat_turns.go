package convert

import (
	"strings"

	"model-proxy/internal/llm"
	"model-proxy/internal/rawjson"
)

// messages writes the turns as messages: what tools answered first, directly
// behind their calls, then what the user says.
func (b *chatBuilder) messages() {
	turns := joinSplitResults(b.r.Turns)
	for _, t := range turns {
		b.replays = b.replays || t.Role == llm.RoleAssistant && b.replayable(t.Blocks)
	}
	pending := 0
	for i, t := range turns {
		if t.Role != llm.RoleUser && pending > 0 {
			b.unanswered(turns[i-1].Path)
			return
		}
		switch t.Role {
		case llm.RoleSystem:
			b.systemMessage(t)
		case llm.RoleUser:
			if pending = b.userTurn(t, pending); pending > 0 {
				b.unanswered(t.Path)
				return
			}
		default:
			if i == len(turns)-1 && countCalls(t.Blocks) == 0 {
				b.prefill(t)
				return
			}
			b.assistant(t, "")
			pending = countCalls(t.Blocks)
		}
	}
	if pending > 0 {
		b.unanswered(turns[len(turns)-1].Path)
	}
}

func (b *chatBuilder) unanswered(path string) {
	b.n.invalid(path, "each tool_use must have a tool_result in the next user message")
}

// joinSplitResults joins user turns where a later one still brings results, so
// that all of them can stand directly behind their calls.
func joinSplitResults(turns []llm.Turn) []llm.Turn {
	var out []llm.Turn
	for _, t := range turns {
		n := len(out) - 1
		if n >= 0 && t.Role == llm.RoleUser && out[n].Role == llm.RoleUser && hasResults(t.Blocks) {
			out[n].Blocks = append(append([]llm.Block(nil), out[n].Blocks...), t.Blocks...)
			continue
		}
		out = append(out, t)
	}
	return out
}

func hasResults(blocks []llm.Block) bool {
	for _, k := range blocks {
		if k.Kind == llm.BlockResult {
			return true
		}
	}
	return false
}

func countCalls(blocks []llm.Block) (n int) {
	for _, k := range blocks {
		if k.Kind == llm.BlockCall {
			n++
		}
	}
	return n
}

// systemMessage writes a system turn where it stood.
func (b *chatBuilder) systemMessage(t llm.Turn) {
	blocks := visible(t.Blocks)
	if len(blocks) == 0 {
		return
	}
	for _, k := range blocks {
		if k.Kind != llm.BlockText {
			b.n.refuse(k.Path, "the target does not take this in a system message")
			return
		}
	}
	role := "system"
	if b.cap.SystemRole == "developer" && b.q.DeveloperRole != "system" {
		role = "developer"
	}
	b.o.open('{')
	b.o.key("role").str(role)
	b.o.key("content")
	b.content(blocks)
	b.o.close('}')
}

// content writes blocks as one string where that says as much, else as parts.
func (b *chatBuilder) content(blocks []llm.Block) {
	if len(blocks) == 1 && blocks[0].Kind == llm.BlockText && (blocks[0].Cache == nil || !b.q.CacheControlPassthrough) {
		b.o.str(blocks[0].Text)
		return
	}
	if b.q.SystemContent == "string" && onlyText(blocks) {
		var texts []string
		for _, k := range blocks {
			texts = append(texts, k.Text)
		}
		b.o.str(strings.Join(texts, "\n\n"))
		return
	}
	b.o.open('[')
	for _, k := range blocks {
		b.part(k)
	}
	b.o.close(']')
}

func onlyText(blocks []llm.Block) bool {
	for _, k := range blocks {
		if k.Kind != llm.BlockText {
			return false
		}
	}
	return true
}

// userTurn writes results as tool messages and the rest as one user message. It
// returns how many calls are still without a result.
func (b *chatBuilder) userTurn(t llm.Turn, pending int) int {
	var rest, attached []llm.Block
	for _, k := range t.Blocks {
		switch {
		case k.Kind == llm.BlockResult:
			id, ok := b.ids.result(k.ID)
			if !ok {
				b.n.invalid(k.Path, "the tool_result answers no tool_use of the turn before")
				return 0
			}
			pending--
			attached = append(attached, b.toolMessage(k, id)...)
		case k.Kind == llm.BlockOpaque && k.Name == "compaction":
			rest = append(rest, llm.Block{Path: k.Path, Text: str(rawjson.Get(k.Raw, "content"))})
			b.n.emulated(k.Path)
		case k.Kind == llm.BlockText && k.Text == "":
		default:
			rest = append(rest, k)
		}
	}
	rest = append(attached, rest...)
	if len(rest) == 0 {
		return pending
	}
	b.o.open('{')
	b.o.key("role").str("user")
	b.o.key("content")
	b.content(rest)
	b.o.close('}')
	return pending
}

// toolMessage writes one result and returns the media in it, which a tool
// message cannot hold and the user's message takes.
func (b *chatBuilder) toolMessage(k llm.Block, id string) []llm.Block {
	var texts []string
	var media []llm.Block
	for _, c := range k.Content {
		switch c.Kind {
		case llm.BlockText:
			texts = append(texts, c.Text)
		case llm.BlockImage, llm.BlockDocument:
			media = append(media, c)
		default:
			b.n.refuse(c.Path, "the target does not take this in a tool's result")
		}
	}
	text := strings.Join(texts, "\n")
	if k.IsError && !strings.HasPrefix(strings.ToLower(text), "error") {
		text = "Error: " + text
		b.n.emulated(k.Path + ".is_error")
	}
	if media != nil {
		b.n.emulated(k.Path + ".content")
		if text == "" {
			text = "[see attached " + kindName(media[0].Kind) + "]"
		}
		media = append([]llm.Block{{Text: "Attachment of tool call " + id + ":"}}, media...)
	}
	b.o.open('{')
	b.o.key("role").str("tool")
	b.o.key("tool_call_id").str(id)
	b.o.key("content").str(text)
	b.o.close('}')
	return media
}

func kindName(k llm.BlockKind) string {
	if k == llm.BlockImage {
		return "image"
	}
	return "document"
}

// assistant writes an assistant's turn; extra is a member to add, as raw JSON.
func (b *chatBuilder) assistant(t llm.Turn, extra string) {
	text := b.assistantText(t.Blocks)
	calls := countCalls(t.Blocks)
	b.o.open('{')
	b.o.key("role").str("assistant")
	parts := b.replay(t.Blocks)
	switch {
	case parts != nil: // Mistral wants its thinking where it put it
		b.o.key("content").open('[')
		b.o.raw(parts)
		if text != "" {
			b.textPart(text, nil)
		}
		b.o.close(']')
	case text != "" || calls == 0:
		b.o.key("content").str(text)
	case b.q.AssistantContentWhenTools == "empty" || b.q.AssistantContentWhenTools == `""`:
		b.o.key("content").str("")
	case b.q.AssistantContentWhenTools != "omit":
		b.o.key("content").lit("null")
	}
	if calls > 0 {
		b.o.key("tool_calls").open('[')
		b.calls(t.Blocks)
		b.o.close(']')
	}
	if extra != "" {
		b.o.key(extra).lit("true")
	}
	b.o.close('}')
}

// assistantText joins an assistant's texts: adjacent ones without a gap, those
// with another kind of block between them with an empty line.
func (b *chatBuilder) assistantText(blocks []llm.Block) string {
	text, apart := "", false
	for _, k := range blocks {
		piece := ""
		switch k.Kind {
		case llm.BlockText, llm.BlockRefusal:
			piece = k.Text
		case llm.BlockOpaque:
			piece = b.opaque(k)
			apart = true
		default:
			apart = true
			continue
		}
		if piece == "" {
			continue
		}
		if text != "" && apart {
			text += "\n\n"
		}
		text += piece
		apart = k.Kind == llm.BlockOpaque
	}
	return text
}

// opaque tells what of a vendor's own tools can be told in words.
func (b *chatBuilder) opaque(k llm.Block) string {
	switch {
	case k.Name == "server_tool_use":
		return ""
	case k.Name == "compaction":
		b.n.emulated(k.Path)
		return str(rawjson.Get(k.Raw, "content"))
	case strings.HasSuffix(k.Name, "_tool_result") && k.Name != "mcp_tool_result":
		b.n.emulated(k.Path)
		return visibleText(rawjson.Get(k.Raw, "content"))
	}
	b.n.refuse(k.Path, "the target does not take content of the type "+clean(k.Name))
	return ""
}

// visibleText gathers titles, addresses and texts of a server tool's result.
func visibleText(v []byte) string {
	var lines []string
	var walk func(v []byte)
	walk = func(v []byte) {
		for e := range rawjson.Array(v) {
			walk(e)
		}
		for name, e := range rawjson.Object(v) {
			switch name {
			case "title", "url", "text", "stdout", "stderr", "error_code":
				if s := str(e); s != "" {
					lines = append(lines, s)
				}
			case "content":
				walk(e)
			}
		}
	}
	walk(v)
	return strings.Join(lines, "\n")
}

// calls writes an assistant's tool calls. A seal right before a call may hold
// what the host attached to it.
func (b *chatBuilder) calls(blocks []llm.Block) {
	var extra []byte
	for _, k := range blocks {
		if k.Kind == llm.BlockThinking {
			if kind, data, ok := unseal(k.Signature, b.c.x.target.Provider); ok && kind == "extra_content" {
				extra = rawjson.First(data)
			}
			continue
		}
		if k.Kind != llm.BlockCall {
			continue
		}
		b.o.open('{')
		b.o.key("id").str(b.ids.call(k.ID))
		b.o.key("type").str("function")
		b.o.key("function").open('{')
		b.o.key("name").str(b.c.rename(k.Name))
		b.o.key("arguments").str(firstOf(k.Args, "{}"))
		b.o.close('}')
		if extra != nil {
			b.o.key("extra_content").raw(extra)
			extra = nil
		}
		b.o.close('}')
	}
}

// prefill writes a last turn of the assistant that is to be continued.
func (b *chatBuilder) prefill(t llm.Turn) {
	text := strings.TrimRight(b.assistantText(t.Blocks), " \t\r\n")
	if text == "" {
		return
	}
	t.Blocks = []llm.Block{{Text: text}}
	switch b.q.PrefixField {
	case "prefix":
		b.assistant(t, "prefix")
	case "continue_final_message":
		b.assistant(t, "")
		b.c.prefill = text
	default:
		b.n.emulated(t.Path)
		b.c.prefill = text
		b.o.open('{')
		b.o.key("role").str("user")
		b.o.key("content").str("Continue your reply exactly from where this text ends, without repeating it:\n" + text)
		b.o.close('}')
	}
}

// replayable reports whether a turn carries reasoning this host made.
func (b *chatBuilder) replayable(blocks []llm.Block) bool {
	for _, k := range blocks {
		if _, _, ok := unseal(k.Signature, b.c.x.target.Provider); ok && k.Kind == llm.BlockThinking {
			return true
		}
	}
	return false
}

// replay writes the reasoning of a turn in the form its host made it, and
// returns content parts where it belongs there. Reasoning of other vendors is
// dropped; it is never turned into text the user could see.
func (b *chatBuilder) replay(blocks []llm.Block) (parts []byte) {
	var texts []string
	var details [][]byte
	form := ""
	for _, k := range blocks {
		if k.Kind != llm.BlockThinking && k.Kind != llm.BlockRedacted {
			continue
		}
		kind, data, ok := unseal(k.Signature, b.c.x.target.Provider)
		if !ok {
			b.n.dropped(firstOf(k.Path, "messages.thinking"))
			continue
		}
		if kind == "extra_content" {
			continue
		}
		form = kind
		texts = append(texts, k.Text)
		for d := range rawjson.Array(data) {
			details = append(details, d)
		}
	}
	if b.q.ReasoningReplay == "forbidden" || b.q.ReasoningIn == "none" {
		return nil
	}
	if form == "" {
		if b.replays && b.q.ReasoningReplay == "required" {
			b.o.key("reasoning_content").str("")
		}
		return nil
	}
	return b.writeReplay(firstOf(b.q.ReasoningIn, form), strings.Join(texts, "\n\n"), details)
}

func (b *chatBuilder) writeReplay(form, text string, details [][]byte) (parts []byte) {
	switch form {
	case "reasoning_details":
		b.o.key("reasoning_details").open('[')
		for _, d := range details {
			b.o.raw(d)
		}
		b.o.close(']')
	case "content-thinking-parts", "thinking_parts":
		var o build
		o.open('{')
		o.key("type").str("thinking")
		o.key("thinking").open('[')
		o.open('{')
		o.key("type").str("text")
		o.key("text").str(text)
		o.close('}')
		o.close(']')
		o.close('}')
		return o.b
	case "reasoning":
		b.o.key("reasoning").str(text)
	default:
		b.o.key("reasoning_content").str(text)
	}
	return nil
}
