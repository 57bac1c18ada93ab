package convert

import (
	"bytes"
	"strings"

	"model-proxy/internal/llm"
	"model-proxy/internal/rawjson"
)

// withoutSeals takes out of a history the reasoning that the gateway has sealed:
// it came from a host of another protocol, and the vendor whom it would now
// reach takes only signatures of its own. All other bytes stay.
func (x *Exchange) withoutSeals(body []byte) []byte {
	if !bytes.Contains(body, []byte(`"`+sealPrefix)) {
		return body
	}
	field, drop := "", func([]byte) ([]byte, bool) { return nil, false }
	switch x.in.Endpoint {
	case llm.Messages, llm.CountTokens:
		field, drop = "messages", unsealedMessage
	case llm.ResponsesAPI:
		field, drop = "input", unsealedItem
	}
	found, err := rawjson.Check(nil, body, &rawjson.Fields{Want: []string{field}})
	m, ok := found.Find(field)
	if err != nil || !ok {
		return body
	}
	var o build
	changed := false
	o.open('[')
	for v := range rawjson.Array(body[m.Start:m.End]) {
		rest, cut := drop(v)
		switch {
		case !cut:
			o.raw(v)
		case rest != nil:
			o.raw(rest)
		}
		changed = changed || cut
	}
	o.close(']')
	if !changed {
		return body
	}
	x.warnings = append(x.warnings, Warning{Action: Dropped, Param: field + ".reasoning"})
	var e rawjson.Edits
	e.Replace(m, o.b)
	return e.Append(nil, body)
}

// unsealedItem drops a reasoning item of Responses that holds a seal.
func unsealedItem(v []byte) (rest []byte, cut bool) {
	return nil, strings.HasPrefix(str(rawjson.Get(v, "encrypted_content")), sealPrefix)
}

// unsealedMessage is a message of Messages without its sealed blocks, nil if
// there was nothing else in it.
func unsealedMessage(v []byte) (rest []byte, cut bool) {
	var o build
	left := 0
	o.open('[')
	for b := range rawjson.Array(rawjson.Get(v, "content")) {
		if strings.HasPrefix(str(rawjson.Get(b, "signature")), sealPrefix) {
			cut = true
			continue
		}
		o.raw(b)
		left++
	}
	o.close(']')
	if !cut || left == 0 {
		return nil, cut
	}
	found, err := rawjson.Check(nil, v, &rawjson.Fields{Want: []string{"content"}})
	m, ok := found.Find("content")
	if err != nil || !ok {
		return nil, false
	}
	var e rawjson.Edits
	e.Replace(m, o.b)
	return e.Append(nil, v), true
}
