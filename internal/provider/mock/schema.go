package mock

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// schema is the part of JSON Schema that examples are made from.
type schema struct {
	Type       json.RawMessage            `json:"type"` // a name or a list of names
	Enum       []json.RawMessage          `json:"enum"`
	Const      json.RawMessage            `json:"const"`
	Default    json.RawMessage            `json:"default"`
	Minimum    json.Number                `json:"minimum"`
	Items      json.RawMessage            `json:"items"`
	Properties map[string]json.RawMessage `json:"properties"`
	Required   []string                   `json:"required"`
	AnyOf      []json.RawMessage          `json:"anyOf"`
	OneOf      []json.RawMessage          `json:"oneOf"`
	AllOf      []json.RawMessage          `json:"allOf"`
	Ref        string                     `json:"$ref"`
	Defs       map[string]json.RawMessage `json:"$defs"`
	OldDefs    map[string]json.RawMessage `json:"definitions"`
}

// deepest ends schemas that refer to themselves.
const deepest = 8

// example is a JSON value that fits the schema: the required properties of an
// object, or all if none is required, in the order of their names.
func example(raw json.RawMessage) string {
	var root schema
	if json.Unmarshal(raw, &root) != nil {
		return "{}"
	}
	defs := root.Defs
	if defs == nil {
		defs = root.OldDefs
	}
	if len(root.Type) == 0 && root.Ref == "" && len(root.AnyOf)+len(root.OneOf)+len(root.AllOf) == 0 {
		root.Type = json.RawMessage(`"object"`)
	}
	return string(root.append(nil, "", defs, 0))
}

// append writes an example value of the property called name.
func (s *schema) append(dst []byte, name string, defs map[string]json.RawMessage, depth int) []byte {
	switch {
	case len(s.Const) > 0:
		return append(dst, s.Const...)
	case len(s.Enum) > 0:
		return append(dst, s.Enum[0]...)
	case len(s.Default) > 0:
		return append(dst, s.Default...)
	}
	if other := s.instead(defs); other != nil && depth < deepest {
		return appendExample(dst, other, name, defs, depth+1)
	}
	switch s.typeName() {
	case "object":
		return s.appendObject(dst, defs, depth)
	case "array":
		if len(s.Items) == 0 || depth >= deepest {
			return append(dst, "[]"...)
		}
		return append(appendExample(append(dst, '['), s.Items, name, defs, depth+1), ']')
	case "integer", "number":
		if s.Minimum != "" {
			return append(dst, s.Minimum...)
		}
		return append(dst, '1')
	case "boolean":
		return append(dst, "true"...)
	case "null":
		return append(dst, "null"...)
	}
	if lower := strings.ToLower(name); strings.Contains(lower, "city") || strings.Contains(lower, "location") {
		return append(dst, `"Paris"`...)
	}
	return append(dst, `"text"`...)
}

func appendExample(dst []byte, raw json.RawMessage, name string, defs map[string]json.RawMessage, depth int) []byte {
	var s schema
	if json.Unmarshal(raw, &s) != nil { // true and false are schemas too
		return append(dst, "null"...)
	}
	return s.append(dst, name, defs, depth)
}

// instead is the schema that s refers to, nil if it speaks for itself.
func (s *schema) instead(defs map[string]json.RawMessage) json.RawMessage {
	if s.Ref != "" {
		return defs[s.Ref[strings.LastIndexByte(s.Ref, '/')+1:]]
	}
	for _, list := range [...][]json.RawMessage{s.AllOf, s.AnyOf, s.OneOf} {
		if len(list) > 0 && len(s.Properties) == 0 {
			return list[0]
		}
	}
	return nil
}

func (s *schema) typeName() string {
	var name string
	var list []string
	if json.Unmarshal(s.Type, &name) != nil && json.Unmarshal(s.Type, &list) == nil && len(list) > 0 {
		name = list[0]
	}
	if name == "" && len(s.Properties) > 0 {
		return "object"
	}
	return name
}

func (s *schema) appendObject(dst []byte, defs map[string]json.RawMessage, depth int) []byte {
	names := slices.Sorted(slices.Values(s.Required))
	if len(names) == 0 {
		names = slices.Sorted(maps.Keys(s.Properties))
	}
	dst = append(dst, '{')
	if depth < deepest {
		for i, name := range names {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(appendQuoted(dst, name), ':')
			dst = appendExample(dst, s.Properties[name], name, defs, depth+1)
		}
	}
	return append(dst, '}')
}
