package mock

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Fault says how an answer is shaped and what goes wrong with it. A zero field
// means the ordinary answer. In one request every field can be set by the
// header of the same name: X-Mock-Ttft, X-Mock-Cut-After and so on; a header
// wins over key and script, they win over Options.
//
// Events are counted from 1 and include those without text: the first one of
// Chat Completions holds the role. A plain answer has half of its body in
// place of the first n events.
type Fault struct {
	TTFT   time.Duration // before the first byte of any answer
	Delay  time.Duration // between two pieces of text in a stream
	Chunks int           // pieces of text in a stream; 0 means one a word

	Status       int    // 300 and above: answer this and an error body
	RetryAfter   string // Retry-After as it stands: seconds or a date
	ErrorType    string // "" means the API's own for the status
	ErrorMessage string

	CutAfter       *int // close the connection without an end after so many events
	StallAfter     *int // after so many events say nothing until the client goes
	MalformedAfter *int // the event after so many is broken JSON

	FirstEventError bool // status 200, but an error in place of the first event
	NoDone          bool // leave out the event that ends the stream

	Text     string // say this
	BodySize int    // repeat the text until it has so many bytes
}

// with returns f overridden by the fields that g sets.
func (f Fault) with(g Fault) Fault {
	override(&f.TTFT, g.TTFT)
	override(&f.Delay, g.Delay)
	override(&f.Chunks, g.Chunks)
	override(&f.Status, g.Status)
	override(&f.RetryAfter, g.RetryAfter)
	override(&f.ErrorType, g.ErrorType)
	override(&f.ErrorMessage, g.ErrorMessage)
	override(&f.CutAfter, g.CutAfter)
	override(&f.StallAfter, g.StallAfter)
	override(&f.MalformedAfter, g.MalformedAfter)
	override(&f.FirstEventError, g.FirstEventError)
	override(&f.NoDone, g.NoDone)
	override(&f.Text, g.Text)
	override(&f.BodySize, g.BodySize)
	return f
}

func override[T comparable](dst *T, v T) {
	var zero T
	if v != zero {
		*dst = v
	}
}

// What one request may ask for, so that a demo open to strangers stays up.
const (
	mostChunks = 100_000
	mostBytes  = 64 << 20
)

// headerFields reads the headers; their names are in canonical form.
var headerFields = map[string]func(*Fault, string) error{
	"X-Mock-Ttft":              func(f *Fault, v string) error { return duration(&f.TTFT, v) },
	"X-Mock-Delay":             func(f *Fault, v string) error { return duration(&f.Delay, v) },
	"X-Mock-Chunks":            func(f *Fault, v string) error { return number(&f.Chunks, v, mostChunks) },
	"X-Mock-Status":            func(f *Fault, v string) error { return number(&f.Status, v, 599) },
	"X-Mock-Retry-After":       func(f *Fault, v string) error { f.RetryAfter = v; return nil },
	"X-Mock-Error-Type":        func(f *Fault, v string) error { f.ErrorType = v; return nil },
	"X-Mock-Error-Message":     func(f *Fault, v string) error { f.ErrorMessage = v; return nil },
	"X-Mock-Cut-After":         func(f *Fault, v string) error { return count(&f.CutAfter, v) },
	"X-Mock-Stall-After":       func(f *Fault, v string) error { return count(&f.StallAfter, v) },
	"X-Mock-Malformed-After":   func(f *Fault, v string) error { return count(&f.MalformedAfter, v) },
	"X-Mock-First-Event-Error": func(f *Fault, v string) error { return truth(&f.FirstEventError, v) },
	"X-Mock-No-Done":           func(f *Fault, v string) error { return truth(&f.NoDone, v) },
	"X-Mock-Text":              func(f *Fault, v string) error { f.Text = v; return nil },
	"X-Mock-Body-Size":         func(f *Fault, v string) error { return number(&f.BodySize, v, mostBytes) },
}

// headerFault is what a request's own headers ask for.
func headerFault(h http.Header) (Fault, error) {
	var f Fault
	for name, values := range h {
		if !strings.HasPrefix(name, "X-Mock-") {
			continue
		}
		set, ok := headerFields[name]
		if !ok {
			return f, fmt.Errorf("no such header: %s", name)
		}
		if err := set(&f, values[0]); err != nil {
			return f, fmt.Errorf("header %s: %w", name, err)
		}
	}
	return f, nil
}

// duration reads 250ms, 2s, or bare milliseconds.
func duration(dst *time.Duration, v string) error {
	if ms, err := strconv.Atoi(v); err == nil {
		*dst = time.Duration(ms) * time.Millisecond
		return nil
	}
	d, err := time.ParseDuration(v)
	*dst = d
	return err
}

func number(dst *int, v string, most int) error {
	n, err := strconv.Atoi(v)
	if err == nil && (n < 0 || n > most) {
		err = fmt.Errorf("%d is not within 0 and %d", n, most)
	}
	if err == nil {
		*dst = n
	}
	return err
}

func count(dst **int, v string) error {
	*dst = new(int)
	return number(*dst, v, mostChunks)
}

func truth(dst *bool, v string) (err error) {
	*dst, err = strconv.ParseBool(v)
	return err
}

// reached reports whether n events are as many as the fault waits for.
func reached(after *int, n int) bool { return after != nil && n >= *after }
