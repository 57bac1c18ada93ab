package convert

import (
	"strconv"

	"model-proxy/internal/rawjson"
)

// template is an event whose text, and whose number where events have one, is
// yet to be put in: most events of a stream differ in nothing else. The zero
// template is empty and has to be made first.
type template struct {
	event    []byte
	numberAt int // where the number's digits belong, 0 for none
	textAt   int // where the text's string belongs, its quotes included
	twiceAt  int // where it belongs once more, further on; 0 for nowhere
}

// made keeps an event that was written with the empty string for its text and
// with the number 0.
func (t *template) made(event []byte, numberAt, textAt int) {
	t.event = append(t.event[:0], event...)
	t.numberAt, t.textAt, t.twiceAt = numberAt, textAt, 0
}

func (t *template) empty() bool { return len(t.event) == 0 }

func (t *template) clear() { t.event = t.event[:0] }

// append writes the event with a text, and a number where it has one.
func (t *template) append(dst []byte, number int, text string) []byte {
	dst = t.head(dst, number)
	start := len(dst)
	dst = rawjson.AppendString(dst, text)
	return t.tail(dst, start, len(dst))
}

// splice is append for a text that is a JSON string already.
func (t *template) splice(dst []byte, number int, quoted []byte) []byte {
	dst = t.head(dst, number)
	start := len(dst)
	dst = append(dst, quoted...)
	return t.tail(dst, start, len(dst))
}

// tail writes what stands behind the text, which is dst[start:end].
func (t *template) tail(dst []byte, start, end int) []byte {
	from := t.textAt + len(`""`)
	if t.twiceAt > 0 {
		dst = append(dst, t.event[from:t.twiceAt]...)
		dst = append(dst, dst[start:end]...)
		from = t.twiceAt + len(`""`)
	}
	return append(dst, t.event[from:]...)
}

// head writes what stands before the text.
func (t *template) head(dst []byte, number int) []byte {
	from := 0
	if t.numberAt > 0 {
		dst = append(dst, t.event[:t.numberAt]...)
		dst = strconv.AppendInt(dst, int64(number), 10)
		from = t.numberAt + len("0")
	}
	return append(dst, t.event[from:t.textAt]...)
}
