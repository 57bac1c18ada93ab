package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// kind is what a JSON value is, in the words shown to the user.
type kind string

const (
	object  kind = "an object"
	array   kind = "a list"
	text    kind = "a string"
	number  kind = "a number"
	boolean kind = "true or false"
	null    kind = "null"
)

// node is one value of a configuration file and the place where it stands.
type node struct {
	kind   kind
	line   int
	scalar string           // a string's text after replacement, or a scalar's literal
	fields map[string]*node // of an object
	order  []string         // its field names as written
	items  []*node          // of a list
}

// document is one configuration file while it is checked. Its faults and
// warnings are collected with their lines.
type document struct {
	name     string // as the user wrote it
	shipped  bool   // one of the files embedded in the binary
	raw      []byte
	root     *node
	lines    map[string]int // by path, such as model_routings[1].provider
	problems []Problem
}

// maxNesting is far deeper than any configuration and far from the stack's end.
const maxNesting = 100

// parse reads a file's JSON. A document that is not valid JSON has a nil root
// and one fault with line and column.
func parse(name string, raw []byte) *document {
	d := &document{name: name, raw: raw, lines: map[string]int{}}
	data := bytes.TrimPrefix(raw, []byte("\xef\xbb\xbf"))
	var probe json.RawMessage
	if err := json.Unmarshal(data, &probe); err != nil {
		d.syntaxFault(data, err)
		return d
	}
	w := walker{doc: d, data: data, dec: json.NewDecoder(bytes.NewReader(data)), line: 1}
	w.dec.UseNumber()
	d.root = w.value("", 0)
	return d
}

func (d *document) syntaxFault(data []byte, err error) {
	p := Problem{File: d.name, Line: 1, Column: 1, Message: "not valid JSON: " + err.Error()}
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		at := min(max(int(syntax.Offset)-1, 0), len(data))
		before := data[:at]
		p.Line = 1 + bytes.Count(before, []byte("\n"))
		p.Column = at - bytes.LastIndexByte(before, '\n')
		p.Message += hint(data, at)
	}
	d.problems = append(d.problems, p)
}

// hint says what to do about the usual slips.
func hint(data []byte, at int) string {
	before := bytes.TrimRight(data[:at], " \t\r\n")
	rest := data[at:]
	switch {
	case len(bytes.TrimSpace(data)) == 0:
		return "; the file is empty"
	case bytes.HasSuffix(before, []byte(",")) && len(rest) > 0 && (rest[0] == '}' || rest[0] == ']'):
		return "; remove the comma before it"
	case bytes.HasPrefix(rest, []byte("/")) || bytes.HasPrefix(rest, []byte("#")):
		return "; JSON has no comments"
	case bytes.HasPrefix(rest, []byte("'")):
		return "; use double quotes"
	case bytes.HasPrefix(rest, []byte(`"`)):
		return "; a comma may be missing before it"
	}
	return ""
}

// walker turns the decoder's tokens into nodes. The text is known to be valid.
type walker struct {
	doc  *document
	data []byte
	dec  *json.Decoder
	at   int // up to where lines have been counted
	line int // of at
}

func (w *walker) value(path string, depth int) *node {
	n := &node{line: w.nextLine()}
	w.doc.lines[path] = n.line
	start := w.at
	token, err := w.dec.Token()
	if err != nil {
		n.kind = null // cannot happen: the text was checked
		return n
	}
	switch t := token.(type) {
	case json.Delim:
		if depth == maxNesting {
			w.doc.fault(path, "nested more than %d deep", maxNesting)
			n.kind = null
			w.skip()
			return n
		}
		if t == '{' {
			w.object(n, path, depth)
		} else {
			w.array(n, path, depth)
		}
		return n
	case string:
		n.kind, n.scalar = text, t
	case json.Number:
		n.kind, n.scalar = number, t.String()
	case bool:
		n.kind, n.scalar = boolean, string(bytes.TrimSpace(w.data[start:w.dec.InputOffset()]))
	case nil:
		n.kind, n.scalar = null, "null"
	}
	return n
}

func (w *walker) object(n *node, path string, depth int) {
	n.kind, n.fields = object, map[string]*node{}
	for w.dec.More() {
		line := w.nextLine()
		token, err := w.dec.Token()
		name, ok := token.(string)
		if err != nil || !ok {
			return
		}
		child := join(path, name)
		if _, twice := n.fields[name]; twice {
			w.doc.problems = append(w.doc.problems, Problem{File: w.doc.name, Line: line, Field: child, Warning: true,
				Message: fmt.Sprintf("stands twice, first at line %d; the last one counts, remove the other", w.doc.lines[child])})
		} else {
			n.order = append(n.order, name)
		}
		n.fields[name] = w.value(child, depth+1)
	}
	_, _ = w.dec.Token() // the closing brace
}

func (w *walker) array(n *node, path string, depth int) {
	n.kind = array
	for w.dec.More() {
		n.items = append(n.items, w.value(fmt.Sprintf("%s[%d]", path, len(n.items)), depth+1))
	}
	_, _ = w.dec.Token() // the closing bracket
}

// skip passes over the rest of a value whose opening delimiter was read.
func (w *walker) skip() {
	for open := 1; open > 0; {
		token, err := w.dec.Token()
		if err != nil {
			return
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			open++
		case json.Delim('}'), json.Delim(']'):
			open--
		}
	}
}

// nextLine is the line where the next token begins. The decoder's offset is
// the end of the token before it, so what stands between is passed over.
func (w *walker) nextLine() int {
	end := int(w.dec.InputOffset())
	for end < len(w.data) && strings.IndexByte(" \t\r\n,:", w.data[end]) >= 0 {
		end++
	}
	w.line += bytes.Count(w.data[w.at:end], []byte("\n"))
	w.at = end
	return w.line
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// json returns the value as JSON text, strings as replaced.
func (n *node) json() json.RawMessage {
	var b bytes.Buffer
	n.write(&b)
	return b.Bytes()
}

func (n *node) write(b *bytes.Buffer) {
	switch n.kind {
	case text:
		quoted, _ := json.Marshal(n.scalar) // a string always has a JSON form
		b.Write(quoted)
	case array:
		b.WriteByte('[')
		for i, item := range n.items {
			if i > 0 {
				b.WriteByte(',')
			}
			item.write(b)
		}
		b.WriteByte(']')
	case object:
		b.WriteByte('{')
		for i, name := range n.order {
			if i > 0 {
				b.WriteByte(',')
			}
			quoted, _ := json.Marshal(name)
			b.Write(append(quoted, ':'))
			n.fields[name].write(b)
		}
		b.WriteByte('}')
	default:
		b.WriteString(n.scalar)
	}
}

// line returns the line of path, or of the nearest part of it that stands in
// the file.
func (d *document) line(path string) int {
	for {
		if l, ok := d.lines[path]; ok {
			return l
		}
		cut := strings.LastIndexAny(path, ".[")
		if cut < 0 {
			return d.lines[""]
		}
		path = path[:cut]
	}
}

// fault notes that the file cannot be used. Of several faults of one field
// only the first is told: the others tend to follow from it.
func (d *document) fault(path, format string, args ...any) {
	if slices.ContainsFunc(d.problems, func(p Problem) bool { return p.Field == path && !p.Warning }) {
		return
	}
	d.problems = append(d.problems, Problem{File: d.name, Line: d.line(path), Field: path, Message: fmt.Sprintf(format, args...)})
}

// warn notes something that does not keep the file from being used.
func (d *document) warn(path, format string, args ...any) {
	d.problems = append(d.problems, Problem{File: d.name, Line: d.line(path), Field: path, Message: fmt.Sprintf(format, args...), Warning: true})
}

// valid reports whether the file can be used.
func (d *document) valid() bool {
	return d.firstFault() == Problem{}
}

// firstFault is zero if the file can be used.
func (d *document) firstFault() Problem {
	for _, p := range d.problems {
		if !p.Warning {
			return p
		}
	}
	return Problem{}
}
