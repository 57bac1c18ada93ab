package rawjson

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// skip returns the offset behind the value at or after i of a text that was
// checked before, which is found without looking at all of it. ok is false where
// the text ends first.
func skip(data []byte, i int) (end int, ok bool) {
	i = space(data, i)
	if i >= len(data) {
		return i, false
	}
	switch data[i] {
	case '"':
		return skipText(data, i)
	case '{', '[':
		return skipContainer(data, i)
	}
	start := i
	for i < len(data) && data[i] > ' ' && data[i] != ',' && data[i] != '}' && data[i] != ']' {
		i++
	}
	return i, i > start
}

func skipContainer(data []byte, i int) (end int, ok bool) {
	for depth := 0; i < len(data); i++ {
		switch data[i] {
		case '"':
			if i, ok = skipText(data, i); !ok {
				return i, false
			}
			i--
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1, true
			}
		}
	}
	return i, false
}

// skipText is skip for the string whose opening quote stands at i.
func skipText(data []byte, i int) (end int, ok bool) {
	for from := i + 1; ; {
		quote := nextQuote(data, from)
		if quote >= len(data) {
			return len(data), false
		}
		from = quote + 1
		back := quote
		for data[back-1] == '\\' {
			back--
		}
		if (quote-back)%2 == 0 { // backslashes before the quote stand for one another
			return from, true
		}
	}
}

// nextQuote returns the offset of the first quote at or after i, or len(data).
// Words of eight bytes come first, because most strings are short; in a long one
// the search is handed over to faster means.
func nextQuote(data []byte, i int) int {
	for range 4 {
		if i+8 > len(data) {
			break
		}
		x := binary.LittleEndian.Uint64(data[i:]) ^ ones*'"'
		if m := (x - ones) &^ x & highs; m != 0 {
			return i + bits.TrailingZeros64(m)/8
		}
		i += 8
	}
	if n := bytes.IndexByte(data[i:], '"'); n >= 0 {
		return i + n
	}
	return len(data)
}

// skipName is skip for a member's name at i and the colon behind it.
func skipName(data []byte, i int) (nameEnd, value int, ok bool) {
	if i >= len(data) || data[i] != '"' {
		return i, i, false
	}
	nameEnd, ok = skipText(data, i)
	value = space(data, nameEnd)
	if !ok || value >= len(data) || data[value] != ':' {
		return nameEnd, value, false
	}
	return nameEnd, space(data, value+1), true
}
