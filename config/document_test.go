package config

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

func TestLines(t *testing.T) {
	d := parse("f", []byte("\xef\xbb\xbf{\n  \"a\":\n    [1,\n\n  {\"b\\u002ec\": null}],\r\n \"d\": {\"e\" : \"x\ty\"}\n}"))
	if d.root != nil {
		t.Error("a tab inside a string is not JSON: got a tree")
	}
	d = parse("f", []byte("\xef\xbb\xbf{\n  \"a\":\n    [1,\n\n  {\"b\\u002ec\": null}],\r\n \"d\": {\"e\" : \"x\"}\n}"))
	for path, want := range map[string]int{"": 1, "a": 3, "a[0]": 3, "a[1]": 5, "a[1].b.c": 5, "d": 6, "d.e": 6, "d.none.at[3].all": 6, "none": 1} {
		if got := d.line(path); got != want {
			t.Errorf("%q: got line %d, want %d", path, got, want)
		}
	}
}

func TestNesting(t *testing.T) {
	for depth, want := range map[int]bool{maxNesting: true, maxNesting + 1: false} {
		d := parse("f", []byte(strings.Repeat("[", depth)+strings.Repeat("]", depth)))
		if d.valid() != want {
			t.Errorf("%d deep: got valid %v, want %v", depth, d.valid(), want)
		}
	}
}

func TestDidYouMean(t *testing.T) {
	known := []string{"groq", "openai", "openrouter", "mistral"}
	for got, want := range map[string]string{
		"grok": "groq", "OpenAI": "openai", "opanai": "openai", "poenai": "openai", "mistal": "mistral", "xyz": "", "": "", "anthropic": "",
	} {
		if want != "" {
			want = `; did you mean "` + want + `"?`
		}
		if hint := didYouMean(got, known); hint != want {
			t.Errorf("%q: got %q, want %q", got, hint, want)
		}
	}
}

// A document is accepted exactly where encoding/json accepts it, says the same
// as encoding/json reads, and knows a line inside the file for every value.
func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"a": [1, -2.5e3, true, null, "x\u0041"], "b": {"a": {}, "a": 2}}`))
	f.Add([]byte("{\n\"a\" :\r\n[ [ ] ,\n{ } ] }"))
	f.Add([]byte(`{"a": 1,}`))
	f.Add([]byte("\xef\xbb\xbf[]"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		d := parse("f", raw)
		data := bytes.TrimPrefix(raw, []byte("\xef\xbb\xbf"))
		if (d.root != nil) != json.Valid(data) {
			t.Fatalf("got tree %v, encoding/json says valid %v", d.root != nil, json.Valid(data))
		}
		last := 1 + bytes.Count(data, []byte("\n"))
		for path, line := range d.lines {
			if line < 1 || line > last {
				t.Errorf("%q: got line %d of %d", path, line, last)
			}
		}
		if d.root == nil || !d.valid() {
			return
		}
		if got, want := plain(t, d.root.json()), plain(t, data); !reflect.DeepEqual(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

func plain(t *testing.T, raw []byte) (v any) {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	if err := dec.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

// No file makes reading panic, and none is both silent and unusable.
func FuzzReadFiles(f *testing.F) {
	f.Add([]byte(`{"name": "p", "endpoints": {"base_url": "https://${A}"}, "models": {"m": {"effort_levels": ["low"]}}}`))
	f.Add([]byte(`{"logical_name": "m", "model_routings": [{"provider": "p", "api_key_env": ["A"], "weight": 1}]}`))
	f.Add([]byte(`[{"id": "a", "key_env": "A", "models": []}]`))
	env := &Environment{values: map[string]string{"A": "a"}}
	f.Fuzz(func(t *testing.T, raw []byte) {
		d := parse("p.json", raw)
		if p := readProvider(d, env); d.valid() && (p.BaseURL == "" || len(p.Protocols) == 0) {
			t.Errorf("valid provider without address or protocol: %+v", p)
		}
		d = parse("m.json", raw)
		r := modelReader{document: d, env: env, providers: map[string]*Provider{"p": {Enabled: true, Keys: []Key{{}}}}, catalog: &catalog{}, prices: &PriceList{}}
		if m := r.read(); d.valid() && d.root.kind == object && m.LogicalName == "" {
			t.Errorf("valid model without a name")
		}
		newClientSet(Settings{}).addFromFile(parse("clients.json", raw), env, nil)
		readCatalog(parse("catalog.json", raw))
		readPrices(parse("prices.json", raw))
	})
}
