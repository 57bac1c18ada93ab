// Package rawjson finds and changes values in JSON text without decoding it:
// one pass over the bytes checks the text and notes where values stand, and
// every byte that is not asked to change survives. It decodes only what a
// caller asks for: a string, an integer, one member.
package rawjson

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// MaxDepth is how deep arrays and objects may nest. Deeper text is refused, so
// that no reader behind the gateway can be made to run out of stack.
const MaxDepth = 1000

// Reasons a text is refused. They never repeat the text itself.
const (
	eofText    = "the text ends too early"
	badValue   = "expected a value"
	badObject  = "expected a member name or }"
	badName    = "expected a member name"
	badColon   = "expected : after a member name"
	badComma   = "expected , or }"
	badElement = "expected , or ]"
	badNumber  = "malformed number"
	badWord    = "malformed true, false or null"
	badString  = "control character inside a string"
	badEscape  = "malformed escape inside a string"
	badUTF8    = "invalid UTF-8"
	tooDeep    = "nested too deeply"
	trailing   = "unexpected text after the value"
)

// fault is what scanning found wrong and where; the zero fault is none.
type fault struct {
	what string
	at   int
}

// containers is a stack of bits, one for each open array (0) or object (1).
type containers struct {
	bits  [(MaxDepth + 63) / 64]uint64
	depth int
}

func (c *containers) push(object uint64) bool {
	if c.depth >= MaxDepth {
		return false
	}
	word, bit := c.depth/64, uint(c.depth%64)
	c.bits[word] = c.bits[word]&^(1<<bit) | object<<bit
	c.depth++
	return true
}

// pop closes the innermost container and returns the bit of the one around it.
func (c *containers) pop() (object bool) {
	c.depth--
	if c.depth == 0 {
		return false
	}
	d := c.depth - 1
	return c.bits[d/64]>>(uint(d%64))&1 == 1
}

// space returns the offset of the first byte at or after i that is no white space.
func space(data []byte, i int) int {
	for i < len(data) && data[i] <= ' ' && (data[i] == ' ' || data[i] == '\n' || data[i] == '\r' || data[i] == '\t') {
		i++
	}
	return i
}

// value scans the value that begins at or after i and returns the offset behind
// it. depth counts the containers already open around it.
func value(data []byte, i, depth int) (int, fault) {
	i = space(data, i)
	if i < len(data) && data[i] != '{' && data[i] != '[' {
		return scalar(data, i)
	}
	return container(data, i, depth)
}

// scalar scans a string, a number or a word that begins at i.
func scalar(data []byte, i int) (int, fault) {
	switch c := data[i]; {
	case c == '"':
		return text(data, i)
	case c == '-' || c-'0' <= 9:
		return number(data, i)
	case c == 't':
		return word(data, i, "true")
	case c == 'f':
		return word(data, i, "false")
	case c == 'n':
		return word(data, i, "null")
	}
	return i, fault{badValue, i}
}

// container scans an array or object that begins at i, with a stack of bits in
// place of recursion. Each turn of its loop stands before a value, or before a
// member's name where object says so.
func container(data []byte, i, depth int) (int, fault) {
	var open containers
	open.depth = depth
	floor := depth
	object := false
	for {
		i = space(data, i)
		if i >= len(data) {
			return i, fault{eofText, i}
		}
		var bad fault
		switch data[i] {
		case '{', '[':
			object = data[i] == '{'
			var bit uint64
			closer := byte(']')
			if object {
				bit, closer = 1, '}'
			}
			if !open.push(bit) {
				return i, fault{tooDeep, i}
			}
			i = space(data, i+1)
			if i < len(data) && data[i] == closer {
				break // empty: closed below
			}
			if object {
				if i, bad = name(data, i, badObject); bad.what != "" {
					return i, bad
				}
			}
			continue
		default:
			if i, bad = scalar(data, i); bad.what != "" {
				return i, bad
			}
		}
		// A value has ended: close what ends here, then find the next one.
		for {
			if i = space(data, i); i >= len(data) {
				return i, fault{eofText, i}
			}
			if data[i] == ',' {
				break
			}
			if object && data[i] != '}' {
				return i, fault{badComma, i}
			}
			if !object && data[i] != ']' {
				return i, fault{badElement, i}
			}
			i++
			object = open.pop()
			if open.depth == floor {
				return i, fault{}
			}
		}
		i++
		if object {
			if i, bad = name(data, space(data, i), badName); bad.what != "" {
				return i, bad
			}
		}
	}
}

// name scans a member's name at i and the colon after it.
func name(data []byte, i int, missing string) (int, fault) {
	if i >= len(data) {
		return i, fault{eofText, i}
	}
	if data[i] != '"' {
		return i, fault{missing, i}
	}
	i, bad := text(data, i)
	if bad.what != "" {
		return i, bad
	}
	return colon(data, i)
}

func colon(data []byte, i int) (int, fault) {
	if i = space(data, i); i >= len(data) {
		return i, fault{eofText, i}
	}
	if data[i] != ':' {
		return i, fault{badColon, i}
	}
	return i + 1, fault{}
}

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// special returns a word whose lowest set high bit marks the first of eight
// bytes that is a quote, a backslash, a control character or not ASCII. Bits
// above the lowest may be false, because a subtraction borrows upwards only.
func special(x uint64) uint64 {
	q := x ^ ones*'"'
	b := x ^ ones*'\\'
	return ((x - ones*' ') | (q - ones) | (b - ones) | x) & highs
}

// plain returns the offset of the first byte at or after i that special marks,
// or len(data).
func plain(data []byte, i int) int {
	for i+8 <= len(data) {
		if m := special(binary.LittleEndian.Uint64(data[i:])); m != 0 {
			return i + bits.TrailingZeros64(m)/8
		}
		i += 8
	}
	for i < len(data) && data[i] >= ' ' && data[i] < utf8.RuneSelf && data[i] != '"' && data[i] != '\\' {
		i++
	}
	return i
}

// StringEnd returns the offset behind the JSON string whose opening quote
// stands at data[i]; ok is false if there is no valid string.
func StringEnd(data []byte, i int) (end int, ok bool) {
	if i >= len(data) || data[i] != '"' {
		return 0, false
	}
	end, wrong := text(data, i)
	return end, wrong == fault{}
}

// text scans the string whose opening quote stands at i.
func text(data []byte, i int) (int, fault) {
	i++
	for {
		if i = plain(data, i); i >= len(data) {
			return i, fault{eofText, i}
		}
		switch c := data[i]; {
		case c == '"':
			return i + 1, fault{}
		case c == '\\':
			n := escape(data[i:])
			if n == 0 {
				return i, fault{badEscape, i}
			}
			i += n
		case c < ' ':
			return i, fault{badString, i}
		default:
			next := runes(data, i)
			if next == i {
				return i, fault{badUTF8, i}
			}
			i = next
		}
	}
}

// runes returns the offset behind the run of multi-byte characters at i; i
// itself if the first is not valid UTF-8. Two- and three-byte characters, most
// of the world's text, are tested without a call.
func runes(data []byte, i int) int {
	for i < len(data) && data[i] >= utf8.RuneSelf {
		if i+2 < len(data) {
			a, b, c := data[i], data[i+1], data[i+2]
			if a > 0xe0 && a < 0xed && b&0xc0 == 0x80 && c&0xc0 == 0x80 {
				i += 3
				continue
			}
			if a >= 0xc2 && a < 0xe0 && b&0xc0 == 0x80 {
				i += 2
				continue
			}
		}
		r, n := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && n <= 1 {
			return i
		}
		i += n
	}
	return i
}

// escape returns the length of the escape at the start of data, 0 if malformed.
func escape(data []byte) int {
	if len(data) < 2 {
		return 0
	}
	switch data[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if len(data) < 6 {
			return 0
		}
		for _, c := range data[2:6] {
			if hex[c] > 15 {
				return 0
			}
		}
		return 6
	}
	return 0
}

// number scans -?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?
func number(data []byte, i int) (int, fault) {
	start := i
	if data[i] == '-' {
		i++
	}
	switch {
	case i >= len(data):
		return i, fault{eofText, i}
	case data[i] == '0':
		i++
	case data[i]-'1' <= 8:
		i = digits(data, i)
	default:
		return i, fault{badNumber, start}
	}
	if i < len(data) && data[i] == '.' {
		next := digits(data, i+1)
		if next == i+1 {
			return i, fault{badNumber, start}
		}
		i = next
	}
	if i < len(data) && (data[i] == 'e' || data[i] == 'E') {
		i++
		if i < len(data) && (data[i] == '+' || data[i] == '-') {
			i++
		}
		next := digits(data, i)
		if next == i {
			return i, fault{badNumber, start}
		}
		i = next
	}
	return i, fault{}
}

func digits(data []byte, i int) int {
	for i < len(data) && data[i]-'0' <= 9 {
		i++
	}
	return i
}

func word(data []byte, i int, want string) (int, fault) {
	if len(data)-i < len(want) || string(data[i:i+len(want)]) != want {
		return i, fault{badWord, i}
	}
	return i + len(want), fault{}
}
