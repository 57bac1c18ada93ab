package rawjson

import (
	"fmt"
	"iter"
	"slices"
)

// SyntaxError says what is wrong with a text and where. It never holds any of
// the text, so it may be shown to whoever sent it.
type SyntaxError struct {
	What         string
	Offset       int // in bytes, from 0
	Line, Column int // from 1; the column counts bytes
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("%s at line %d, column %d (byte %d)", e.What, e.Line, e.Column, e.Offset)
}

func syntaxError(data []byte, f fault) *SyntaxError {
	line, start := 1, 0
	at := min(f.at, len(data))
	for i, c := range data[:at] {
		if c == '\n' {
			line, start = line+1, i+1
		}
	}
	return &SyntaxError{What: f.what, Offset: at, Line: line, Column: at - start + 1}
}

// Valid reports whether data is one JSON value (RFC 8259) in valid UTF-8 that
// nests no deeper than MaxDepth.
func Valid(data []byte) bool { return valid(data).what == "" }

// Validate is Valid with the reason, a *SyntaxError.
func Validate(data []byte) error {
	if f := valid(data); f.what != "" {
		return syntaxError(data, f)
	}
	return nil
}

func valid(data []byte) fault {
	i := space(data, 0)
	if i >= len(data) {
		return fault{eofText, i}
	}
	i, f := value(data, i, 0)
	if f.what != "" {
		return f
	}
	if i = space(data, i); i < len(data) {
		return fault{trailing, i}
	}
	return fault{}
}

// Fields names the members of a top-level object that Check looks for.
type Fields struct {
	Once []string // refused if they stand there twice, however they are spelled
	Want []string // of several with one name the last counts, as encoding/json has it
}

// Member is the place of one member in the text it was found in: its name with
// the quotes is data[Key:KeyEnd], its value data[Start:End].
type Member struct {
	Name        string // the string from Fields
	Key, KeyEnd int
	Start, End  int
}

// Members are the members Check found, in the order of the text.
type Members []Member

// Find returns the member of that name; ok is false if there is none.
func (m Members) Find(name string) (Member, bool) {
	for i := range m {
		if m[i].Name == name {
			return m[i], true
		}
	}
	return Member{}, false
}

// Value returns the raw value of the member of that name, nil if there is none.
func (m Members) Value(data []byte, name string) []byte {
	for i := range m {
		if m[i].Name == name {
			return data[m[i].Start:m[i].End]
		}
	}
	return nil
}

// Check validates data, which must be one JSON object, and appends to dst the
// members that fields names. With room in dst it allocates nothing.
// The error is a *SyntaxError.
func Check(dst Members, data []byte, fields *Fields) (Members, error) {
	dst, f := check(dst, data, fields)
	if f.what != "" {
		return dst, syntaxError(data, f)
	}
	return dst, nil
}

func check(dst Members, data []byte, fields *Fields) (Members, fault) {
	base := len(dst)
	i := space(data, 0)
	if i >= len(data) {
		return dst, fault{eofText, i}
	}
	if data[i] != '{' {
		return dst, fault{"expected an object", i}
	}
	i = space(data, i+1)
	if i < len(data) && data[i] == '}' {
		return dst, end(data, i+1)
	}
	for missing := badObject; ; missing = badName {
		var m Member
		var f fault
		m.Key = i
		if i, f = key(data, i, missing, &m.KeyEnd); f.what != "" {
			return dst, f
		}
		m.Start = space(data, i)
		if m.End, f = value(data, m.Start, 1); f.what != "" {
			return dst, f
		}
		if name, once := fields.match(data[m.Key:m.KeyEnd]); name != "" {
			m.Name = name
			at := slices.IndexFunc(dst[base:], func(o Member) bool { return o.Name == name })
			switch {
			case at < 0:
				dst = append(dst, m)
			case once:
				return dst, fault{"the member " + name + " is given twice", m.Key}
			default:
				dst = append(slices.Delete(dst, base+at, base+at+1), m)
			}
		}
		if i = space(data, m.End); i >= len(data) {
			return dst, fault{eofText, i}
		}
		if data[i] == '}' {
			return dst, end(data, i+1)
		}
		if data[i] != ',' {
			return dst, fault{badComma, i}
		}
		i = space(data, i+1)
	}
}

// key is name, noting where the name ends.
func key(data []byte, i int, missing string, keyEnd *int) (int, fault) {
	if i >= len(data) {
		return i, fault{eofText, i}
	}
	if data[i] != '"' {
		return i, fault{missing, i}
	}
	i, f := text(data, i)
	if f.what != "" {
		return i, f
	}
	*keyEnd = i
	return colon(data, i)
}

func end(data []byte, i int) fault {
	if i = space(data, i); i < len(data) {
		return fault{trailing, i}
	}
	return fault{}
}

func (f *Fields) match(quoted []byte) (name string, once bool) {
	if f == nil {
		return "", false
	}
	for _, n := range f.Once {
		if sameName(quoted, n) {
			return n, true
		}
	}
	for _, n := range f.Want {
		if sameName(quoted, n) {
			return n, false
		}
	}
	return "", false
}

func sameName(quoted []byte, name string) bool {
	if len(quoted) == len(name)+2 {
		return string(quoted[1:len(quoted)-1]) == name
	}
	// An escaped spelling is always longer than the name it stands for.
	return len(quoted) > len(name)+2 && EqualString(quoted, name)
}

// Object walks the members of a checked object: decoded name, raw value. It
// yields nothing if data is no object.
func Object(data []byte) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		for quoted, v := range Quoted(data) {
			name, _ := Unquote(quoted)
			if !yield(name, v) {
				return
			}
		}
	}
}

// Quoted is Object with the names as they stand in the text, quotes and escapes
// included: it allocates nothing.
func Quoted(data []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func([]byte, []byte) bool) {
		i := space(data, 0)
		if i >= len(data) || data[i] != '{' {
			return
		}
		for i = space(data, i+1); ; i = space(data, i+1) {
			nameEnd, start, ok := skipName(data, i)
			if !ok {
				return
			}
			stop, ok := skip(data, start)
			if !ok || !yield(data[i:nameEnd], data[start:stop]) {
				return
			}
			i = space(data, stop)
		}
	}
}

// Array walks the raw elements of a checked array. It yields nothing if data is
// no array.
func Array(data []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		i := space(data, 0)
		if i >= len(data) || data[i] != '[' {
			return
		}
		for i = space(data, i+1); i < len(data) && data[i] != ']'; i = space(data, i+1) {
			stop, ok := skip(data, i)
			if !ok || !yield(data[i:stop]) {
				return
			}
			i = space(data, stop)
		}
	}
}

// Get returns the raw value at path in a checked object, nil if there is none.
// Of several members with one name the last counts.
func Get(data []byte, path ...string) []byte {
	for _, name := range path {
		var found []byte
		for quoted, v := range Quoted(data) {
			if sameName(quoted, name) {
				found = v
			}
		}
		if found == nil {
			return nil
		}
		data = found
	}
	return data
}

// First returns the first element of a checked array, nil if there is none.
func First(data []byte) []byte {
	for v := range Array(data) {
		return v
	}
	return nil
}

// IsNull reports whether raw is absent or null.
func IsNull(raw []byte) bool { return len(raw) == 0 || raw[0] == 'n' }
