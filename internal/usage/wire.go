package usage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"unicode/utf8"
)

// A message on LOG is
//
//	version(1) process entry…
//	entry = kind(1) parts(1) ingress left [attempt] [request] [body]
//
// where parts has a bit for each of the three that follow. Integers are
// zigzag varints, strings and bytes a varint length and the bytes, floats
// their 8 IEEE bytes, little-endian. Fields stand in the order of walk; any
// change of it needs another version, and in each version and process come
// first. Version 1, which is still read, lacks what a Spend has in no column.
const version = 2

// usualEntry is about what an entry takes, in bytes, so that thousands are not
// copied again and again as they grow more.
const usualEntry = 320

// maxText bounds each text of a record that is too large to be sent whole.
const maxText = 1024

var (
	// ErrVersion is returned for a message of a version this program does not
	// know, most likely of a newer one.
	ErrVersion = errors.New("unknown version of usage message")
	// ErrCorrupt is returned for a message that is not what Packer writes.
	ErrCorrupt = errors.New("corrupt usage message")
)

type mode uint8

const (
	writing  mode = iota // fields are appended to buf
	reading              // fields are taken from buf[off:]
	clipping             // long texts are cut in place
)

// wire carries the fields of records to or from bytes. One walk function for
// each record serves all modes, so that they cannot drift apart.
type wire struct {
	mode    mode
	version byte // of the message
	buf     []byte
	text    string // reading: buf as a string, which all strings share
	off     int    // reading
	err     error  // reading: the first fault; all later reads give zero values
}

// Decode reads a message. Strings and bytes of the entries share data's
// memory or one copy of it; clone what outlives the batch. It returns an error
// that wraps ErrVersion or ErrCorrupt, and then no entry.
func Decode(data []byte) ([]Entry, error) {
	if len(data) == 0 {
		return nil, fmt.Errorf("%w: empty", ErrCorrupt)
	}
	if data[0] < 1 || data[0] > version {
		if !named(data[1:]) {
			return nil, fmt.Errorf("%w: it begins as no version does", ErrCorrupt)
		}
		return nil, fmt.Errorf("%w %d, this program reads up to %d", ErrVersion, data[0], version)
	}
	w := wire{mode: reading, version: data[0], buf: data, text: string(data), off: 1}
	var process string
	str(&w, &process)
	entries := make([]Entry, 0, len(data)/usualEntry+1)
	for w.err == nil && w.off < len(w.buf) {
		entries = append(entries, Entry{Process: process})
		e := &entries[len(entries)-1]
		e.walk(&w)
		if w.err == nil && !e.complete() {
			w.fail("entry without its record")
		}
	}
	if w.err != nil {
		return nil, w.err
	}
	return entries, nil
}

// longestName is more than any process's name has, in bytes.
const longestName = 32

// named reports whether rest begins with the name of a process, as a message of
// any version does after its first byte. It tells a newer program's message, for
// which a reader stops, from garbage, for which it must not.
func named(rest []byte) bool {
	if len(rest) == 0 || rest[0] == 0 || rest[0] > longestName || int(rest[0]) > len(rest)-1 {
		return false
	}
	for _, c := range rest[1 : 1+rest[0]] {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}

// Encode writes a message of process that holds entries; their own Process is
// not used. Packer does the same piece by piece.
func Encode(process string, entries ...Entry) []byte {
	data := appendHeader(make([]byte, 0, usualEntry*len(entries)), process)
	for i := range entries {
		data = appendEntry(data, &entries[i])
	}
	return data
}

// appendHeader begins a message of process.
func appendHeader(dst []byte, process string) []byte {
	w := wire{mode: writing, version: version, buf: append(dst, version)}
	str(&w, &process)
	return w.buf
}

// appendEntry adds e to a message. e.Process is in the header.
func appendEntry(dst []byte, e *Entry) []byte {
	w := wire{mode: writing, version: version, buf: dst}
	e.walk(&w)
	return w.buf
}

// clipped returns a copy of e in which no text is longer than maxText.
func clipped(e *Entry) *Entry {
	c := *e
	if e.Attempt != nil {
		a := *e.Attempt
		c.Attempt = &a
	}
	if e.Request != nil {
		r := *e.Request
		r.Params = nil // cut JSON is no JSON
		r.Warnings = append([]string(nil), r.Warnings[:min(len(r.Warnings), 16)]...)
		c.Request = &r
	}
	w := wire{mode: clipping, version: version}
	c.walk(&w)
	return &c
}

func (w *wire) fail(what string) {
	if w.err == nil {
		w.err = fmt.Errorf("%w: %s at byte %d", ErrCorrupt, what, w.off)
	}
	w.off = len(w.buf)
}

// length reads the size of what follows, which is at most what is left.
func (w *wire) length() int {
	n, size := binary.Uvarint(w.buf[w.off:])
	if size <= 0 || n > uint64(len(w.buf)-w.off-size) {
		w.fail("length out of range")
		return 0
	}
	w.off += size
	return int(n)
}

func str[T ~string](w *wire, p *T) {
	switch w.mode {
	case writing:
		w.buf = binary.AppendUvarint(w.buf, uint64(len(*p)))
		w.buf = append(w.buf, *p...)
	case reading:
		n := w.length()
		*p = T(w.text[w.off : w.off+n])
		w.off += n
	case clipping:
		*p = T(clip(string(*p)))
	}
}

// clip cuts s after at most maxText bytes, between two characters.
func clip(s string) string {
	if len(s) <= maxText {
		return s
	}
	cut := maxText
	for cut > maxText-utf8.UTFMax && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut]
}

// raw carries bytes; empty ones are read as nil.
func raw[T ~[]byte](w *wire, p *T) {
	switch w.mode {
	case writing:
		w.buf = binary.AppendUvarint(w.buf, uint64(len(*p)))
		w.buf = append(w.buf, *p...)
	case reading:
		if n := w.length(); n > 0 {
			*p = T(w.buf[w.off : w.off+n : w.off+n])
			w.off += n
		}
	}
}

func list(w *wire, p *[]string) {
	switch w.mode {
	case writing:
		w.buf = binary.AppendUvarint(w.buf, uint64(len(*p)))
	case reading:
		// Each element takes a byte at least, so length bounds the memory.
		if n := w.length(); n > 0 {
			*p = make([]string, n)
		}
	}
	for i := range *p {
		str(w, &(*p)[i])
	}
}

func integer[T ~int | ~int64](w *wire, p *T) {
	switch w.mode {
	case writing:
		w.buf = binary.AppendVarint(w.buf, int64(*p))
	case reading:
		n, size := binary.Varint(w.buf[w.off:])
		if size <= 0 {
			w.fail("integer out of range")
			return
		}
		w.off += size
		*p = T(n)
	}
}

func float(w *wire, p *float64) {
	switch w.mode {
	case writing:
		w.buf = binary.LittleEndian.AppendUint64(w.buf, math.Float64bits(*p))
	case reading:
		if len(w.buf)-w.off < 8 {
			w.fail("float cut off")
			return
		}
		v := math.Float64frombits(binary.LittleEndian.Uint64(w.buf[w.off:]))
		if math.IsNaN(v) || math.IsInf(v, 0) {
			w.fail("float out of range")
			return
		}
		w.off += 8
		*p = v
	}
}

// small carries one byte.
func small[T ~uint8](w *wire, p *T) {
	switch w.mode {
	case writing:
		w.buf = append(w.buf, byte(*p))
	case reading:
		if w.off >= len(w.buf) {
			w.fail("cut off")
			return
		}
		*p = T(w.buf[w.off])
		w.off++
	}
}

func flag(w *wire, p *bool) {
	var b uint8
	if *p {
		b = 1
	}
	small(w, &b)
	*p = b != 0
}

// optional carries an integer that may be missing.
func optional(w *wire, p **int64) {
	known := *p != nil
	flag(w, &known)
	if !known {
		return
	}
	if *p == nil {
		*p = new(int64)
	}
	integer(w, *p)
}
