package rawjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

func nested(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }

func TestValid(t *testing.T) {
	for _, c := range []struct {
		in, what string
		at       int
	}{
		{in: `{}`}, {in: ` [ ] `}, {in: `{"a":[1,-0.5e+7,true,false,null,"é漢😀\u00e9\ud83d"]}`}, {in: `0`}, {in: "\t\"x\"\r\n"},
		{in: nested(MaxDepth)},
		{nested(MaxDepth + 1), tooDeep, MaxDepth},
		{``, eofText, 0}, {`{`, eofText, 1}, {`{"a"`, eofText, 4}, {`[1`, eofText, 2}, {`"abc`, eofText, 4},
		{`{a:1}`, badObject, 1}, {`{"a":1,}`, badName, 7}, {`{"a" 1}`, badColon, 5}, {`{"a":1 "b":2}`, badComma, 7},
		{`[1 2]`, badElement, 3}, {`[1,]`, badValue, 3}, {`[,1]`, badValue, 1}, {`[1}`, badElement, 2}, {`{"a":1]`, badComma, 6},
		{`01`, trailing, 1}, {`-`, eofText, 1}, {`[1.]`, badNumber, 1}, {`[1e]`, badNumber, 1}, {`[-a]`, badNumber, 1}, {`+1`, badValue, 0},
		{`nul`, badWord, 0}, {`True`, badValue, 0}, {`{} {}`, trailing, 3},
		{"[\"a\nb\"]", badString, 3}, {`["\x"]`, badEscape, 2}, {`["\u12g4"]`, badEscape, 2}, {`["\u12`, badEscape, 2},
		{"[\"\xff\"]", badUTF8, 2}, {"[\"ab\xed\xa0\x80\"]", badUTF8, 4}, {"[\"\xe6\xbc\"]", badUTF8, 2}, {"\xef\xbb\xbf{}", badValue, 0},
	} {
		err := Validate([]byte(c.in))
		var se *SyntaxError
		errors.As(err, &se)
		if c.what == "" {
			if err != nil {
				t.Errorf("Validate(%.40q) = %v, want nil", c.in, err)
			}
			continue
		}
		if se == nil || se.What != c.what || se.Offset != c.at {
			t.Errorf("Validate(%.40q) = %v, want %s at byte %d", c.in, err, c.what, c.at)
		}
	}
}

func TestCheck(t *testing.T) {
	fields := &Fields{Once: []string{"model", "stream"}, Want: []string{"max_tokens", "user"}}
	for _, c := range []struct{ in, model, max, bad string }{
		{in: `{"model":"m","x":{"model":"inner"},"max_tokens": 5 }`, model: `"m"`, max: `5`},
		{in: `{"max_tokens":1,"max_tokens":2}`, max: `2`},
		{in: `{"m\u006fdel":"escaped"}`, model: `"escaped"`},
		{in: ` {} `},
		{in: `{"model":1,"m\u006fdel":2}`, bad: "the member model is given twice at line 1, column 12 (byte 11)"},
		{in: "{\n\"stream\":1,\n \"stream\":2}", bad: "the member stream is given twice at line 3, column 2 (byte 15)"},
		{in: `[1]`, bad: "expected an object at line 1, column 1 (byte 0)"},
		{in: "{\"a\":\n[1,}", bad: "expected a value at line 2, column 4 (byte 9)"},
		{in: `{"a":` + nested(MaxDepth) + `}`, bad: "nested too deeply at line 1, column 1005 (byte 1004)"},
	} {
		m, err := Check(nil, []byte(c.in), fields)
		if bad := ""; err != nil {
			bad = err.Error()
			if bad != c.bad {
				t.Errorf("Check(%.60q) error %q, want %q", c.in, bad, c.bad)
			}
			continue
		}
		model, limit := string(m.Value([]byte(c.in), "model")), string(m.Value([]byte(c.in), "max_tokens"))
		if c.bad != "" || model != c.model || limit != c.max {
			t.Errorf("Check(%.60q) = model %s max_tokens %s, want %s %s, error %q", c.in, model, limit, c.model, c.max, c.bad)
		}
	}
}

func TestStrings(t *testing.T) {
	for _, c := range []struct{ raw, want, again string }{
		{`""`, "", ``},
		{`"plain"`, "plain", ``},
		{`"a\n\t\"\\\/\u0041<&>"`, "a\n\t\"\\/A<&>", `"a\n\t\"\\/A<&>"`},
		{`"\ud83d\ude00"`, "😀", `"😀"`},
		{`"\u00e9\u0001\u007f"`, "é\x01\x7f", "\"é\\u0001\x7f\""},
		{`"half \ud83d"`, "half \xed\xa0\xbd", `"half \ud83d"`},
		{`"\ude00\ud83d"`, "\xed\xb8\x80\xed\xa0\xbd", ``},
	} {
		got, ok := Unquote([]byte(c.raw))
		if !ok || got != c.want {
			t.Errorf("Unquote(%s) = %q %v, want %q", c.raw, got, ok, c.want)
		}
		if c.again == "" {
			c.again = c.raw
		}
		if again := string(AppendString(nil, got)); again != c.again {
			t.Errorf("AppendString(%q) = %s, want %s", got, again, c.again)
		}
		if !EqualString([]byte(c.raw), c.want) || EqualString([]byte(c.raw), c.want+"x") {
			t.Errorf("EqualString(%s, %q) is wrong", c.raw, c.want)
		}
	}
	head, _ := Unquote([]byte(`"x\ud83d"`))
	tail, _ := Unquote([]byte(`"\ude00y"`))
	if n := HeldBack(head); n != 3 {
		t.Errorf("HeldBack(%q) = %d, want 3", head, n)
	}
	if got, want := string(AppendString(nil, head+tail)), `"x😀y"`; got != want {
		t.Errorf("joined halves = %s, want %s", got, want)
	}
	if got, want := string(AppendString(nil, "a\xffb")), "\"a\ufffdb\""; got != want {
		t.Errorf("AppendString of invalid UTF-8 = %s, want %s", got, want)
	}
}

func TestInt(t *testing.T) {
	for _, c := range []struct {
		raw  string
		want int64
		ok   bool
	}{
		{"0", 0, true}, {"-12", -12, true}, {"1.0", 1, true}, {"2e3", 2000, true}, {"9223372036854775807", 1<<63 - 1, true},
		{"-9223372036854775808", -1 << 63, true}, {"9223372036854775808", 0, false}, {"1.5", 0, false}, {`"1"`, 0, false}, {"null", 0, false}, {"", 0, false},
	} {
		if got, ok := Int([]byte(c.raw)); got != c.want || ok != c.ok {
			t.Errorf("Int(%s) = %d %v, want %d %v", c.raw, got, ok, c.want, c.ok)
		}
	}
}

func TestWalk(t *testing.T) {
	data := []byte(` { "a" : [1, {"x":2} ,"]"] , "b\u0063":{"d":null} , "e":"" } `)
	var got []string
	for name, v := range Object(data) {
		got = append(got, name+"="+string(v))
	}
	if got, want := strings.Join(got, ";"), `a=[1, {"x":2} ,"]"];bc={"d":null};e=""`; got != want {
		t.Errorf("Object = %s, want %s", got, want)
	}
	got = nil
	for v := range Array(Get(data, "a")) {
		got = append(got, string(v))
	}
	if got, want := strings.Join(got, ";"), `1;{"x":2};"]"`; got != want {
		t.Errorf("Array = %s, want %s", got, want)
	}
	if got := string(Get(data, "bc", "d")); got != "null" {
		t.Errorf("Get = %s, want null", got)
	}
	if got := Get(data, "a", "x"); got != nil {
		t.Errorf("Get through an array = %s, want nil", got)
	}
	if got := string(First(Get(data, "a"))); got != "1" {
		t.Errorf("First = %s, want 1", got)
	}
}

func TestEdits(t *testing.T) {
	fields := &Fields{Want: []string{"a", "b"}}
	for _, c := range []struct{ in, want string }{
		{`{"a": 1, "b":2}`, `{"a": "A", "b":"B","n":[]}`},
		{"{ \"b\" : {} ,\n \"a\":1\n}\n", "{ \"b\" : \"B\" ,\n \"a\":\"A\",\"n\":[]\n}\n"},
		{`{}`, `{"n":[]}`},
		{`{ }`, `{"n":[] }`},
	} {
		var e Edits
		m, err := Check(nil, []byte(c.in), fields)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range m {
			e.Replace(f, AppendString(nil, strings.ToUpper(f.Name)))
		}
		e.Add("n", []byte("[]"))
		if got := string(e.Append(nil, []byte(c.in))); got != c.want {
			t.Errorf("edited %q = %q, want %q", c.in, got, c.want)
		}
	}
}

func TestAppendWithout(t *testing.T) {
	drop := func(name, raw []byte) bool { return EqualString(name, "x") && IsNull(raw) }
	for _, c := range []struct{ in, want string }{
		{`{"a":1,"x":null,"b":2}`, `{"a":1,"b":2}`},
		{`{"x":null,"a":1}`, `{"a":1}`},
		{`{"a":1, "x":null}`, `{"a":1}`},
		{`{"x":null,"x":null}`, `{}`},
		{`{"a":1,"x":null,"x":null }`, `{"a":1}`},
		{` { "a" : 1 , "x":1 } `, ` { "a" : 1 , "x":1 } `},
		{`{}`, `{}`},
	} {
		if got := string(AppendWithout(nil, []byte(c.in), drop)); got != c.want {
			t.Errorf("AppendWithout(%s) = %s, want %s", c.in, got, c.want)
		}
	}
}

func TestAppendDeleted(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{`{"a":1,"x":null,"b":2}`, `{"a":1,"b":2}`},
		{`{"x":null, "a":1}`, `{ "a":1}`},
		{`{"a":1 , "x":null }`, `{"a":1  }`},
		{`{"a":1, "x":null, "b":2}`, `{"a":1, "b":2}`},
		{`{ "x":null}`, `{}`},
	} {
		m, err := Check(nil, []byte(c.in), &Fields{Want: []string{"x"}})
		if err != nil {
			t.Fatal(err)
		}
		if got := string(AppendDeleted(nil, []byte(c.in), m[0])); got != c.want {
			t.Errorf("AppendDeleted(%s) = %s, want %s", c.in, got, c.want)
		}
	}
}

// depth is how deep valid JSON nests, counted the plain way.
func depth(data []byte) (deepest int) {
	d, inside := 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case inside && c == '\\':
			i++
		case c == '"':
			inside = !inside
		case inside:
		case c == '[' || c == '{':
			d++
			deepest = max(deepest, d)
		case c == ']' || c == '}':
			d--
		}
	}
	return deepest
}

// A text is valid here exactly if encoding/json takes it, it is UTF-8 and no
// deeper than allowed; strings and members mean what encoding/json says.
func FuzzValid(f *testing.F) {
	for _, s := range []string{`{"a":[1,2.5e-3,"\u00e9漢"],"b":null}`, `[[[]]]`, "\"\\ud83d\"", `{"a":1,"a":2}`, ` -0 `, "\"a\xffb\"", `{"m\u006fdel":true}`} {
		f.Add([]byte(s))
	}
	fields := &Fields{Want: []string{"a", "model"}}
	f.Fuzz(func(t *testing.T, data []byte) {
		want := json.Valid(data) && utf8.Valid(data) && depth(data) <= MaxDepth
		if got := Valid(data); got != want {
			t.Fatalf("Valid(%q) = %v, want %v", data, got, want)
		}
		if !want {
			return
		}
		var v any
		if err := json.Unmarshal(data, &v); err != nil {
			return // a number out of range
		}
		trimmed := bytes.TrimSpace(data)
		switch v := v.(type) {
		case string:
			got, _ := Unquote(trimmed)
			if utf8.ValidString(got) && got != v {
				t.Fatalf("Unquote(%q) = %q, want %q", data, got, v)
			}
			again, _ := Unquote(AppendString(nil, got))
			if again != got {
				t.Fatalf("Unquote(AppendString(%q)) = %q", got, again)
			}
		case map[string]any:
			m, err := Check(nil, data, fields)
			if err != nil {
				t.Fatalf("Check(%q) = %v", data, err)
			}
			for _, name := range fields.Want {
				_, want := v[name]
				if got := m.Value(data, name); (got != nil) != want || !bytes.Equal(got, Get(data, name)) {
					t.Fatalf("Check(%q) found %s=%q, want %v; Get has %q", data, name, got, want, Get(data, name))
				}
			}
			if kept := AppendWithout(nil, data, func(_, _ []byte) bool { return false }); !bytes.Equal(kept, data) {
				t.Fatalf("AppendWithout nothing of %q = %q", data, kept)
			}
			if bare := AppendWithout(nil, data, func(_, _ []byte) bool { return true }); !Valid(bare) {
				t.Fatalf("AppendWithout all of %q = %q", data, bare)
			}
		case []any:
			n := 0
			for range Array(data) {
				n++
			}
			if n != len(v) {
				t.Fatalf("Array(%q) has %d elements, want %d", data, n, len(v))
			}
		}
	})
}

func body(size int, word string) []byte {
	b := []byte(`{"model":"gpt-5.2","stream":true,"temperature":0.7,"messages":[{"role":"system","content":"You answer briefly."},{"role":"user","content":"`)
	for len(b) < size {
		b = append(b, word...)
	}
	return append(b, `"}],"max_tokens":256,"user":"someone"}`...)
}

func BenchmarkCheck(b *testing.B) {
	fields := &Fields{Once: []string{"model", "stream"}, Want: []string{"stream_options", "max_tokens", "max_completion_tokens", "user"}}
	for _, c := range []struct {
		name string
		data []byte
	}{
		{"2KB", body(2<<10, "The quick brown fox. ")},
		{"1MB", body(1<<20, "The quick brown fox jumps over the lazy dog.\\n")},
		{"1MBhan", body(1<<20, "敏捷的棕色狐狸跳过懒狗。")},
		{"tokens", []byte(`{"input":[` + strings.Repeat(`[1,22,333,{"a":true}],`, 5000) + `0]}`)},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(c.data)))
			b.ReportAllocs()
			var room [8]Member
			for b.Loop() {
				if _, err := Check(room[:0], c.data, fields); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(c.name+"/json.Valid", func(b *testing.B) {
			b.SetBytes(int64(len(c.data)))
			for b.Loop() {
				json.Valid(c.data)
			}
		})
	}
}
