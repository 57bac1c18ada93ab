package bus

import (
	"encoding/binary"
	"errors"
	"math"
)

// errShort is returned for a message that ends before its last field.
var errShort = errors.New("message cut short")

// Fields of frames are strings and integers without names: both ends are of
// one version (envelope.go), so that a field costs its bytes and no more.

func appendString(dst []byte, s string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}

func appendInt(dst []byte, n int64) []byte { return binary.AppendVarint(dst, n) }

func appendBool(dst []byte, b bool) []byte {
	if b {
		return append(dst, 1)
	}
	return append(dst, 0)
}

// reader takes fields off the front of a message; the first fault sticks.
type reader struct {
	b    []byte
	text string // a copy of what was left when the first string was read: strings share it
	err  error
}

func (r *reader) bytes() []byte {
	n, k := binary.Uvarint(r.b)
	if r.err != nil || k <= 0 || n > math.MaxInt32 || int(n) > len(r.b)-k {
		r.fail()
		return nil
	}
	out := r.b[k : k+int(n) : k+int(n)]
	r.b = r.b[k+int(n):]
	return out
}

func (r *reader) string() string {
	if r.text == "" {
		r.text = string(r.b)
	}
	n := len(r.bytes())
	end := len(r.text) - len(r.b)
	return r.text[end-n : end]
}

func (r *reader) int() int64 {
	n, k := binary.Varint(r.b)
	if r.err != nil || k <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[k:]
	return n
}

func (r *reader) uvarint() uint64 {
	n, k := binary.Uvarint(r.b)
	if r.err != nil || k <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[k:]
	return n
}

func (r *reader) bool() bool {
	if r.err != nil || len(r.b) == 0 {
		r.fail()
		return false
	}
	v := r.b[0] != 0
	r.b = r.b[1:]
	return v
}

func (r *reader) uint32() uint32 {
	if r.err != nil || len(r.b) < 4 {
		r.fail()
		return 0
	}
	v := binary.BigEndian.Uint32(r.b)
	r.b = r.b[4:]
	return v
}

func (r *reader) fail() {
	if r.err == nil {
		r.err = errShort
	}
	r.b = nil
}
