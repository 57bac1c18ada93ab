package convert

import (
	"slices"
	"strings"

	"model-proxy/internal/rawjson"
)

// schemaKept are the words of JSON Schema that Messages takes in strict tools
// and output formats. What the others say moves into the description.
var schemaKept = map[string]bool{
	"type": true, "properties": true, "required": true, "items": true, "enum": true, "const": true, "anyOf": true, "allOf": true,
	"$ref": true, "$defs": true, "definitions": true, "description": true, "title": true, "default": true,
}

var schemaFormats = map[string]bool{
	"date-time": true, "time": true, "date": true, "duration": true, "email": true,
	"hostname": true, "uri": true, "ipv4": true, "ipv6": true, "uuid": true,
}

// schemaIgnored are those that bind nobody.
var schemaIgnored = map[string]bool{"$schema": true, "$id": true, "$comment": true, "$anchor": true, "strict": true}

// strictness is how well Messages' strict tools and output formats can say a
// schema.
type strictness uint8

const (
	sayable     strictness = iota
	saidInWords            // part of it stands in descriptions now
	unsayable              // it describes a map
)

// strictSchema rewrites a schema for Messages' strict tools and output formats.
func strictSchema(schema []byte) (out []byte, told strictness) {
	var s strictener
	s.schema(schema)
	return s.o.b, s.told
}

type strictener struct {
	o    build
	told strictness
}

func (s *strictener) schema(raw []byte) {
	if object(raw) == nil {
		s.o.raw(raw)
		return
	}
	s.o.open('{')
	var words []string
	description, described := "", false
	isObject := false
	for name, v := range rawjson.Object(raw) {
		switch {
		case name == "description":
			description, described = str(v), true
		case name == "additionalProperties":
			if object(v) != nil {
				s.told = unsayable
			}
		case name == "oneOf":
			s.o.key("anyOf")
			s.each(v)
		case name == "format" && schemaFormats[str(v)]:
			s.o.key(name).raw(v)
		case schemaKept[name]:
			isObject = isObject || name == "properties" || name == "type" && slices.Contains(stringList(v), "object")
			s.member(name, v)
		case !schemaIgnored[name]:
			words = append(words, name+": "+string(v))
		}
	}
	if isObject {
		s.o.key("additionalProperties").lit("false")
	}
	if words != nil {
		s.told = max(s.told, saidInWords)
		description = strings.TrimSpace(description + " (" + strings.Join(words, ", ") + ")")
	}
	if described || words != nil {
		s.o.key("description").str(description)
	}
	s.o.close('}')
}

func (s *strictener) member(name string, v []byte) {
	s.o.key(name)
	switch name {
	case "properties", "$defs", "definitions":
		s.o.open('{')
		for p, sub := range rawjson.Object(v) {
			s.o.key(p)
			s.schema(sub)
		}
		s.o.close('}')
	case "items":
		s.schema(v)
	case "anyOf", "allOf":
		s.each(v)
	default:
		s.o.raw(v)
	}
}

func (s *strictener) each(list []byte) {
	s.o.open('[')
	for v := range rawjson.Array(list) {
		s.schema(v)
	}
	s.o.close(']')
}

// mergedSchema is an object with the properties of all variants under word and
// the required ones that all of them share (for allOf: that any has).
func mergedSchema(schema []byte, word string) []byte {
	var variants [][]byte
	for v := range rawjson.Array(rawjson.Get(schema, word)) {
		variants = append(variants, v)
	}
	votes, order := map[string]int{}, []string(nil)
	done := map[string]bool{}
	var o build
	o.open('{')
	o.key("type").str("object")
	o.key("properties").open('{')
	for _, v := range append([][]byte{schema}, variants...) {
		for name, p := range rawjson.Object(rawjson.Get(v, "properties")) {
			if !done[name] {
				done[name] = true
				o.key(name).raw(p)
			}
		}
	}
	o.close('}')
	for _, v := range variants {
		for _, name := range stringList(rawjson.Get(v, "required")) {
			if votes[name]++; votes[name] == 1 {
				order = append(order, name)
			}
		}
	}
	own := stringList(rawjson.Get(schema, "required"))
	o.key("required").open('[')
	for _, name := range own {
		o.str(name)
	}
	for _, name := range order {
		if !slices.Contains(own, name) && (word == "allOf" || votes[name] == len(variants)) {
			o.str(name)
		}
	}
	o.close(']')
	for _, defs := range []string{"$defs", "definitions"} {
		if d := rawjson.Get(schema, defs); d != nil {
			o.key(defs).raw(d)
		}
	}
	o.close('}')
	return o.b
}

// fitsStrict reports whether a schema keeps OpenAI's rules for strict: every
// object closed, every property required.
func fitsStrict(schema []byte) bool {
	if object(schema) == nil {
		return true
	}
	required := stringList(rawjson.Get(schema, "required"))
	properties := rawjson.Get(schema, "properties")
	if properties != nil || str(rawjson.Get(schema, "type")) == "object" {
		if string(rawjson.Get(schema, "additionalProperties")) != "false" {
			return false
		}
		for name, p := range rawjson.Object(properties) {
			if !slices.Contains(required, name) || !fitsStrict(p) {
				return false
			}
		}
	}
	for _, word := range []string{"anyOf", "oneOf", "allOf"} {
		for v := range rawjson.Array(rawjson.Get(schema, word)) {
			if !fitsStrict(v) {
				return false
			}
		}
	}
	for _, word := range []string{"$defs", "definitions"} {
		for _, v := range rawjson.Object(rawjson.Get(schema, word)) {
			if !fitsStrict(v) {
				return false
			}
		}
	}
	return fitsStrict(rawjson.Get(schema, "items"))
}
