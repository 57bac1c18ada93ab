package mock

import (
	"encoding/json"
	"testing"
)

func TestExample(t *testing.T) {
	tests := []struct{ schema, want string }{
		{``, `{}`},
		{`{}`, `{}`},
		{`{"type":"object"}`, `{}`},
		{`{"type":"object","properties":{"b":{"type":"integer"},"a":{"type":"string"}}}`, `{"a":"text","b":1}`},
		{`{"type":"object","properties":{"b":{"type":"integer"},"a":{"type":"string"}},"required":["b"]}`, `{"b":1}`},
		{`{"type":"object","properties":{"location":{"type":"string"}}}`, `{"location":"Paris"}`},
		{`{"type":"object","properties":{"unit":{"type":"string","enum":["c","f"]}}}`, `{"unit":"c"}`},
		{`{"type":"object","properties":{"n":{"type":["integer","null"],"minimum":5}}}`, `{"n":5}`},
		{`{"type":"object","properties":{"l":{"type":"array","items":{"type":"boolean"}}}}`, `{"l":[true]}`},
		{`{"type":"object","properties":{"l":{"type":"array"},"z":{"type":"null"}}}`, `{"l":[],"z":null}`},
		{`{"type":"object","properties":{"x":{"anyOf":[{"type":"number"},{"type":"null"}]}}}`, `{"x":1}`},
		{`{"type":"object","properties":{"x":{"$ref":"#/$defs/p"}},"$defs":{"p":{"type":"object","properties":{"y":{"const":3}}}}}`, `{"x":{"y":3}}`},
		{`{"$ref":"#/definitions/p","definitions":{"p":{"properties":{"y":{"default":"d"}}}}}`, `{"y":"d"}`},
		{`{"type":"array","items":{"type":"string"}}`, `["text"]`},
		{`{"properties":{"x":true}}`, `{"x":null}`},
	}
	for _, tt := range tests {
		if got := example(json.RawMessage(tt.schema)); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.schema, got, tt.want)
		}
	}
}

// A schema that refers to itself ends, and any schema gives valid JSON.
func FuzzExample(f *testing.F) {
	f.Add([]byte(`{"type":"object","properties":{"next":{"$ref":"#/$defs/n"}},"$defs":{"n":{"type":"object","properties":{"next":{"$ref":"#/$defs/n"}}}}}`))
	f.Add([]byte(`{"type":["x"],"enum":[1],"required":["\u0000"]}`))
	f.Fuzz(func(t *testing.T, schema []byte) {
		if got := example(schema); !json.Valid([]byte(got)) {
			t.Errorf("%s: got invalid JSON %s", schema, got)
		}
	})
}
