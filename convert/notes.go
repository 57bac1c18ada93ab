package convert

import (
	"model-proxy/internal/llm"
	"model-proxy/internal/rawjson"
)

// notes gathers what a conversion changed. The first refusal wins; a conversion
// goes on after one, so that its code need not stop at every field, and is then
// thrown away.
type notes struct {
	mode   Mode
	fields map[string]string // protocol.fields of the client
	list   []Warning
	err    *llm.Error
}

// refuse says that the target cannot do what the client relies on.
func (n *notes) refuse(param, reason string) { n.fail(param, reason, "unsupported_by_target") }

// invalid says that the request is wrong in itself.
func (n *notes) invalid(param, reason string) { n.fail(param, reason, "") }

func (n *notes) fail(param, reason, code string) {
	if n.err == nil {
		n.err = &llm.Error{Kind: llm.BadRequest, Message: reason, Param: n.field(param), Code: code}
	}
}

// listed is a content that is a list, nil where there is none. What is neither a
// text nor a list has no meaning, and would be lost in silence.
func (n *notes) listed(path string, content []byte) []byte {
	if rawjson.IsNull(content) {
		return nil
	}
	if content[0] != '[' {
		n.invalid(path, "the content must be a string or a list")
	}
	return content
}

// refuseUnlessLenient is refuse for what lenient mode drops.
func (n *notes) refuseUnlessLenient(param, reason string) {
	if n.mode == Lenient {
		n.warn(Warning{Action: Dropped, Param: param})
		return
	}
	n.refuse(param, reason)
}

// field is what the client calls a field that a builder names.
func (n *notes) field(param string) string { return firstOf(n.fields[param], param) }

func (n *notes) dropped(param string)  { n.warn(Warning{Action: Dropped, Param: param}) }
func (n *notes) emulated(param string) { n.warn(Warning{Action: Emulated, Param: param}) }

func (n *notes) clamped(param, from, to string) {
	n.warn(Warning{Action: Clamped, Param: param, From: from, To: to})
}

func (n *notes) warn(w Warning) {
	if n.mode == Strict {
		n.refuse(w.Param, "the target cannot take this as it is, and strict conversion was asked for")
		return
	}
	n.add(w)
}

// lost says that something of the answer has no place in the client's protocol.
// That is known only when it comes, too late to refuse.
func (n *notes) lost(param string) { n.add(Warning{Action: Dropped, Param: param}) }

// mapped says that something of the answer was told in other words.
func (n *notes) mapped(param string) { n.add(Warning{Action: Emulated, Param: param}) }

func (n *notes) add(w Warning) {
	w.Param = n.field(w.Param)
	for _, have := range n.list {
		if have == w {
			return
		}
	}
	n.list = append(n.list, w)
}
