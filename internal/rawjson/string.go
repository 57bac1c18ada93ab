package rawjson

import (
	"bytes"
	"math/bits"
	"strconv"
	"unicode/utf8"
)

// hex holds the value of each hexadecimal digit and 0xff for all other bytes.
var hex = func() (t [256]byte) {
	for i := range t {
		t[i] = 0xff
	}
	for i, c := range "0123456789" {
		t[c] = byte(i)
	}
	for i := range 6 {
		t['a'+i], t['A'+i] = byte(10+i), byte(10+i)
	}
	return t
}()

var unescaped = [256]byte{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// Unquote decodes a JSON string that was checked before. A lone surrogate
// (\ud83d without its other half) becomes the three bytes that UTF-8 would have
// for it, which AppendString turns back into the escape: two halves that come in
// two strings join again once the strings are joined.
// ok is false if raw is not a string.
func Unquote(raw []byte) (s string, ok bool) {
	if len(raw) < 2 || raw[0] != '"' {
		return "", false
	}
	body := raw[1 : len(raw)-1]
	if !hasEscape(body) {
		return string(body), true
	}
	return string(appendUnquoted(make([]byte, 0, len(body)), body)), true
}

// AppendUnquoted appends the decoded string raw to dst, like Unquote. What is
// no string adds nothing.
func AppendUnquoted(dst, raw []byte) []byte {
	if len(raw) < 2 || raw[0] != '"' {
		return dst
	}
	return appendUnquoted(dst, raw[1:len(raw)-1])
}

// EqualString reports whether the checked JSON string raw stands for s.
func EqualString(raw []byte, s string) bool {
	if len(raw) < 2 || raw[0] != '"' {
		return false
	}
	body := raw[1 : len(raw)-1]
	if !hasEscape(body) {
		return string(body) == s
	}
	return string(appendUnquoted(nil, body)) == s
}

func hasEscape(body []byte) bool { return bytes.IndexByte(body, '\\') >= 0 }

func appendUnquoted(dst, body []byte) []byte {
	for i := 0; i < len(body); {
		if body[i] != '\\' {
			next := len(body)
			if n := bytes.IndexByte(body[i:], '\\'); n >= 0 {
				next = i + n
			}
			dst = append(dst, body[i:next]...)
			i = next
			continue
		}
		if body[i+1] != 'u' {
			dst = append(dst, unescaped[body[i+1]])
			i += 2
			continue
		}
		r := hex4(body[i+2:])
		i += 6
		if high(r) && i+6 <= len(body) && body[i] == '\\' && body[i+1] == 'u' {
			if r2 := hex4(body[i+2:]); low(r2) {
				r = 0x10000 + (r-0xd800)<<10 + (r2 - 0xdc00)
				i += 6
			}
		}
		dst = appendRune(dst, r)
	}
	return dst
}

func hex4(b []byte) rune {
	return rune(hex[b[0]])<<12 | rune(hex[b[1]])<<8 | rune(hex[b[2]])<<4 | rune(hex[b[3]])
}

func high(r rune) bool { return r >= 0xd800 && r < 0xdc00 }
func low(r rune) bool  { return r >= 0xdc00 && r < 0xe000 }

// appendRune is utf8.AppendRune for surrogates too.
func appendRune(dst []byte, r rune) []byte {
	if high(r) || low(r) {
		return append(dst, 0xe0|byte(r>>12), 0x80|byte(r>>6)&0x3f, 0x80|byte(r)&0x3f)
	}
	return utf8.AppendRune(dst, r)
}

// surrogate returns the lone surrogate at the start of s as appendRune wrote it,
// or 0.
func surrogate[T string | []byte](s T) rune {
	if len(s) < 3 || s[0] != 0xed || s[1]&0xe0 != 0xa0 || s[2]&0xc0 != 0x80 {
		return 0
	}
	return 0xd000 | rune(s[1]&0x3f)<<6 | rune(s[2]&0x3f)
}

// HeldBack returns how many bytes at the end of the decoded string s are the
// first half of a surrogate pair: 3 or 0. A stream keeps them for its next part.
func HeldBack[T string | []byte](s T) int {
	if len(s) >= 3 && high(surrogate(s[len(s)-3:])) {
		return 3
	}
	return 0
}

const hexDigits = "0123456789abcdef"

// AppendString appends s as a JSON string. Only what JSON demands is escaped:
// quotes, backslashes and control characters, and lone surrogates as Unquote
// made them; any other invalid UTF-8 becomes U+FFFD.
func AppendString[T string | []byte](dst []byte, s T) []byte {
	dst = append(dst, '"')
	dst = AppendStringBody(dst, s)
	return append(dst, '"')
}

// AppendStringBody is AppendString without the quotes.
func AppendStringBody[T string | []byte](dst []byte, s T) []byte {
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i = ordinary(s, i+1)
			continue
		}
		if n := common(s, i); n > 0 {
			i += n
			continue
		}
		if c >= utf8.RuneSelf {
			r, n := decode(s[i:])
			if r != utf8.RuneError || n > 1 {
				i += n
				continue
			}
			dst = append(dst, s[start:i]...)
			dst, n = appendInvalid(dst, s[i:])
			i += n
			start = i
			continue
		}
		dst = append(dst, s[start:i]...)
		dst = appendEscape(dst, c)
		i++
		start = i
	}
	return append(dst, s[start:]...)
}

// ordinary skips bytes that stand for themselves, eight at a time: it returns an
// offset at or before the first that does not.
func ordinary[T string | []byte](s T, i int) int {
	for ; i+8 <= len(s); i += 8 {
		w := s[i : i+8]
		x := uint64(w[0]) | uint64(w[1])<<8 | uint64(w[2])<<16 | uint64(w[3])<<24 |
			uint64(w[4])<<32 | uint64(w[5])<<40 | uint64(w[6])<<48 | uint64(w[7])<<56
		if m := special(x); m != 0 {
			return i + bits.TrailingZeros64(m)/8
		}
	}
	return i
}

// common returns the length of the character at i if it is one of two or three
// bytes, but for some rare ones of those; else 0. Most of the world's text is.
func common[T string | []byte](s T, i int) int {
	if i+2 >= len(s) {
		return 0
	}
	switch a := s[i]; {
	case a > 0xe0 && a < 0xed && s[i+1]&0xc0 == 0x80 && s[i+2]&0xc0 == 0x80:
		return 3
	case a >= 0xc2 && a < 0xe0 && s[i+1]&0xc0 == 0x80:
		return 2
	}
	return 0
}

func decode[T string | []byte](s T) (rune, int) {
	var b [utf8.UTFMax]byte
	n := copy(b[:], s)
	return utf8.DecodeRune(b[:n])
}

// appendInvalid writes what stands for the bytes at the start of s that are not
// UTF-8 and returns how many they were.
func appendInvalid[T string | []byte](dst []byte, s T) ([]byte, int) {
	r := surrogate(s)
	if r == 0 {
		return append(dst, "\ufffd"...), 1
	}
	if high(r) && len(s) >= 6 {
		if r2 := surrogate(s[3:]); low(r2) {
			return utf8.AppendRune(dst, 0x10000+(r-0xd800)<<10+(r2-0xdc00)), 6
		}
	}
	return append(dst, '\\', 'u', hexDigits[r>>12], hexDigits[r>>8&15], hexDigits[r>>4&15], hexDigits[r&15]), 3
}

func appendEscape(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	return append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
}

// Int decodes a checked JSON number that stands for a whole number, also one
// spelled 1.0 or 1e3. ok is false for anything else and beyond int64.
func Int(raw []byte) (n int64, ok bool) {
	neg := false
	for i, c := range raw {
		if c == '-' && i == 0 {
			neg = true
			continue
		}
		if c-'0' > 9 || i > 17 {
			return wholeFloat(raw)
		}
		n = n*10 + int64(c-'0')
	}
	if neg {
		n = -n
	}
	return n, len(raw) > 0 && raw[len(raw)-1] != '-'
}

func wholeFloat(raw []byte) (int64, bool) {
	if len(raw) == 0 || raw[0] != '-' && raw[0]-'0' > 9 {
		return 0, false
	}
	if n, err := strconv.ParseInt(string(raw), 10, 64); err == nil {
		return n, true
	}
	f, err := strconv.ParseFloat(string(raw), 64)
	if err != nil || f >= 1<<63 || f < -1<<63 || f != float64(int64(f)) {
		return 0, false
	}
	return int64(f), true
}

// Float decodes a checked JSON number; ok is false for anything else.
func Float(raw []byte) (f float64, ok bool) {
	if len(raw) == 0 || raw[0] != '-' && raw[0]-'0' > 9 {
		return 0, false
	}
	f, err := strconv.ParseFloat(string(raw), 64)
	return f, err == nil
}
