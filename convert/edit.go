package convert

import (
	"bytes"
	"encoding/json"

	"model-proxy/internal/rawjson"
)

// set replaces the member of that name or adds it.
func set(e *rawjson.Edits, found rawjson.Members, name string, raw []byte) {
	if m, ok := found.Find(name); ok {
		e.Replace(m, raw)
		return
	}
	e.Add(name, raw)
}

// with is obj with members replaced or added: names and raw values by turns.
func with(obj []byte, members ...string) []byte {
	var room [32]rawjson.Member
	var e rawjson.Edits
	for i := 0; i < len(members); i += 2 {
		found, err := rawjson.Check(room[:0], obj, &rawjson.Fields{Want: members[i : i+1]})
		if err != nil {
			return obj
		}
		set(&e, found, members[i], []byte(members[i+1]))
	}
	return e.Append(nil, obj)
}

// oneLine is JSON without line breaks, as an event's data must be.
func oneLine(data []byte) []byte {
	if bytes.IndexByte(data, '\n') < 0 && bytes.IndexByte(data, '\r') < 0 {
		return data
	}
	var b bytes.Buffer
	if err := json.Compact(&b, data); err != nil {
		return data // not reached: it was read as JSON before
	}
	return b.Bytes()
}
