package convert

import (
	"strconv"
	"strings"

	"model-proxy/internal/rawjson"
)

func str(raw []byte) string {
	s, _ := rawjson.Unquote(raw)
	return s
}

// isString reports whether raw is a JSON string.
func isString(raw []byte) bool { return len(raw) > 0 && raw[0] == '"' }

func boolean(raw []byte) *bool {
	if string(raw) != "true" && string(raw) != "false" {
		return nil
	}
	b := raw[0] == 't'
	return &b
}

// idle reports whether a field says nothing: null, false, 0, or empty.
func idle(raw []byte) bool {
	switch string(raw) {
	case "", "null", "false", "0", "0.0", `""`, "{}", "[]":
		return true
	}
	return false
}

// object returns raw if it is a JSON object, else nil.
func object(raw []byte) []byte {
	if len(raw) == 0 || raw[0] != '{' {
		return nil
	}
	return raw
}

func at(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

func blank(s string) bool { return strings.TrimSpace(s) == "" }

// stringList reads a string or a list of strings.
func stringList(raw []byte) []string {
	if s, ok := rawjson.Unquote(raw); ok {
		return []string{s}
	}
	var list []string
	for v := range rawjson.Array(raw) {
		if s, ok := rawjson.Unquote(v); ok {
			list = append(list, s)
		}
	}
	return list
}

// member is one member of an object: its name as it stands in the text, quotes
// included, and its raw value.
type member struct{ name, value []byte }

// members are those of an object that is read once, whatever is asked of it:
// large texts would be looked through anew for every name.
type members []member

// get is rawjson.Get for one name.
func (m members) get(name string) []byte {
	for i := len(m) - 1; i >= 0; i-- {
		quoted := m[i].name
		if len(quoted) == len(name)+2 && string(quoted[1:len(quoted)-1]) == name || len(quoted) > len(name)+2 && rawjson.EqualString(quoted, name) {
			return m[i].value
		}
	}
	return nil
}

func (m members) str(name string) string { return str(m.get(name)) }

func isTrue(raw []byte) bool { return string(raw) == "true" }
