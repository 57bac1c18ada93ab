package convert

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"model-proxy/internal/llm"
	"model-proxy/internal/rawjson"
)

// NeedsThinking is the error of New where calls are answered without the
// thinking that led to them and the provider's file says that it is kept
// (reasoning_cache): with what is found under Keys in Input.Thinking, be it
// nothing, the request can be made.
type NeedsThinking struct{ Keys []string }

func (e *NeedsThinking) Error() string {
	return fmt.Sprintf("the thinking before %d turns is wanted", len(e.Keys))
}

// mostRecalled is for how many turns of a request thinking is looked for, the
// newest first.
const mostRecalled = 64

// minCallID is how long the ids of calls must be for thinking to be kept by
// them. Short ones, such as call_0, come again in other conversations.
const minCallID = 20

// recalls reports whether thinking of the exchange is kept, and looked for.
func (c *conversion) recalls() bool {
	t := c.x.target
	return t.Quirks.ReasoningCache && t.Protocol.Wire() == llm.Anthropic && c.x.in.Client.Wire() != llm.Anthropic
}

// thinkingKey is what the thinking before calls of those ids is kept under, ""
// where it is not. Signatures mean something to the model that made them.
func thinkingKey(t Target, ids []string) string {
	sum := sha256.New()
	fmt.Fprintf(sum, "%q %q", t.Provider, t.Model)
	for _, id := range ids {
		if len(id) < minCallID {
			return ""
		}
		fmt.Fprintf(sum, " %q", id)
	}
	if len(ids) == 0 {
		return ""
	}
	return hex.EncodeToString(sum.Sum(nil))[:40]
}

// Kept is the thinking of an answer that is complete, and the key to keep it
// under for the client's next request; "" where there is nothing to keep.
func (x *Exchange) Kept() (key string, thinking []byte) {
	if x.conv == nil || x.conv.record == nil || !x.conv.recalls() {
		return "", nil
	}
	var thoughts [][]byte
	var ids []string
	for b := range rawjson.Array(x.conv.record.list()) {
		switch str(rawjson.Get(b, "type")) {
		case "thinking", "redacted_thinking":
			thoughts = append(thoughts, b)
		case "tool_use":
			ids = append(ids, str(rawjson.Get(b, "id")))
		}
	}
	if key = thinkingKey(x.target, ids); key == "" || thoughts == nil {
		return "", nil
	}
	thinking = append(thinking, '[')
	thinking = append(thinking, bytes.Join(thoughts, []byte(","))...)
	return key, append(thinking, ']')
}

// recall puts kept thinking before the calls that are being answered, where the
// client has sent none. Turns before the user's own last words are over, and
// need theirs no more.
func (b *messagesBuilder) recall() {
	if !b.c.recalls() || b.r.Reasoning.Effort == "none" || b.r.Reasoning.Mode == "disabled" {
		return
	}
	var keys []string
	for i := len(b.turns) - 1; i >= 0 && len(keys) < mostRecalled; i-- {
		t := &b.turns[i]
		if len(t.Blocks) == 0 || t.Role == llm.RoleSystem {
			continue
		}
		if first := t.Blocks[0].Kind; t.Role == llm.RoleUser && first != llm.BlockResult {
			break
		} else if t.Role == llm.RoleUser || first == llm.BlockThinking || first == llm.BlockRedacted || t.Native != nil {
			continue
		}
		key := thinkingKey(b.c.x.target, callIDs(t.Blocks))
		if key == "" {
			continue
		}
		keys = append(keys, key)
		if kept := b.c.x.in.Thinking[key]; kept != nil {
			thoughts := nativeBlocks(&llm.Turn{Path: t.Path, Native: kept})
			t.Blocks = append(thoughts, t.Blocks...)
			b.n.add(Warning{Action: Emulated, Param: t.Path + ".reasoning_details"}) // in strict mode too: the request is what the client meant
		}
	}
	if b.c.x.in.Thinking == nil && keys != nil {
		b.c.needs = &NeedsThinking{Keys: keys}
	}
}
