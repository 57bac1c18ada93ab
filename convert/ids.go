package convert

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/big"
	"strconv"
)

// hash returns the first n hex digits of s's SHA-256.
func hash(s string, n int) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])[:n]
}

// emptyID names a call that has no id by its place.
func emptyID(turn, call int) string { return fmt.Sprintf("call_%d_%d", turn, call) }

// clean replaces what is not [A-Za-z0-9_-] by _.
func clean(s string) string {
	b := []byte(s)
	for i, c := range b {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-') {
			b[i] = '_'
		}
	}
	return string(b)
}

// messagesID makes any id one that Messages takes (^[a-zA-Z0-9_-]+$). Ids that
// differ stay different, by a piece of their hash.
func messagesID(id string) string {
	c := clean(id)
	if c == id && len(id) <= 64 && id != "" {
		return id
	}
	return c[:min(len(c), 53)] + "_" + hash(id, 10)
}

// openAIID makes any id one of at most 40 characters, OpenAI's limit.
func openAIID(id string) string {
	if len(id) <= 40 {
		return id
	}
	return clean(id)[:29] + "_" + hash(id, 10)
}

// mistralID makes any id nine characters of [A-Za-z0-9], all Mistral takes.
func mistralID(id string) string {
	if len(id) == 9 && isAlphanumeric(id) {
		return id
	}
	sum := sha256.Sum256([]byte(id))
	return new(big.Int).SetBytes(sum[:]).Text(62)[:9]
}

func isAlphanumeric(s string) bool {
	for _, c := range s {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9') {
			return false
		}
	}
	return true
}

// toolName makes any name one that both vendors take: [A-Za-z0-9_-]{1,64}.
func toolName(name string) string {
	c := clean(name)
	if c == name && len(name) <= 64 && name != "" {
		return name
	}
	return c[:min(len(c), 55)] + "_" + hash(name, 8)
}

// ids gives the calls of one request ids that the target takes. An id that
// occurs again gets a suffix, and results take the ids of the calls before them
// in order.
type ids struct {
	target  func(string) string
	calls   map[string]idUse // by the client's id
	waiting int              // calls still without a result
}

// idUse is how often an id has named a call, and a result one.
type idUse struct{ calls, results int }

func newIDs(target func(string) string) *ids { return &ids{target: target, calls: map[string]idUse{}} }

func (m *ids) call(id string) string {
	use := m.calls[id]
	use.calls++
	m.calls[id] = use
	m.waiting++
	return m.mapped(id, use.calls)
}

// mapped is the id of the k-th call that the client calls id.
func (m *ids) mapped(id string, k int) string {
	if k < 2 {
		return m.target(id)
	}
	return m.target(id + "_" + strconv.Itoa(k))
}

// result returns the id of the call that a result answers; ok is false if no
// call is waiting for it.
func (m *ids) result(id string) (mapped string, ok bool) {
	use := m.calls[id]
	if use.results >= use.calls {
		return "", false
	}
	use.results++
	m.calls[id] = use
	m.waiting--
	return m.mapped(id, use.results), true
}

// rename maps the names of tools to ones the target takes and notes how to undo
// it in the answer.
func (c *conversion) rename(name string) string {
	safe := toolName(name)
	if safe != name {
		if c.names == nil {
			c.names = map[string]string{}
		}
		c.names[safe] = name
	}
	return safe
}
