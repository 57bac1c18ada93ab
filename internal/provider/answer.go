package provider

import (
	"bytes"
	"context"
	"io"
	"mime"
	"net/http"
	"net/http/httptrace"
	"time"

	"model-proxy/internal/llm"
)

// drainLimit bounds how long and drainBytes how much Finish still reads.
const (
	drainLimit = 50 * time.Millisecond
	drainBytes = 64 << 10
)

// Answer is an upstream's answer whose head has come. Its methods are for one
// goroutine, but for Close. Read it to its end, or call Finish, and the
// connection serves another call.
type Answer struct {
	Status int
	Header http.Header

	client *Client
	resp   *http.Response
	stream bool // what the call asked for
	watch  watch
	trace  httptrace.ClientTrace

	// Owned by the reading goroutine.
	body   timedBody
	reader *reader // nil until the first read, and again after the last
	begun  bool    // an event with data has come
	err    error   // why the last read was the last; nil before
}

// EventStream reports whether the body is an event stream. It waits for the
// body's first bytes: they decide where they are plain, because error bodies
// come under text/event-stream and streams under application/json. Otherwise
// the content type decides, and without one what was asked for.
func (a *Answer) EventStream() bool {
	for a.err == nil {
		a.open()
		switch sniff(a.reader.pending()) {
		case looksStream:
			return true
		case looksPlain:
			return false
		case looksOther:
			return a.declaredStream()
		}
		if a.reader.err != nil {
			break
		}
		a.reader.fill()
	}
	return a.declaredStream()
}

func (a *Answer) declaredStream() bool {
	ct := a.Header.Get("Content-Type")
	if ct == "" {
		return a.stream && a.Status == http.StatusOK
	}
	kind, _, _ := mime.ParseMediaType(ct)
	return kind == "text/event-stream"
}

// Next waits for at least one whole event and returns all that one read
// brought; they are valid until the next call. Their Raw bytes, put together,
// are the bytes received. io.EOF comes only at the stream's own end, where
// bytes left over still count as an event. Any other error is a *TimeoutError,
// a *CutError, ErrEventTooLarge or the cause of the context's end; what had
// come of an unfinished event is then dropped.
func (a *Answer) Next() ([]llm.Event, error) {
	if a.err != nil {
		return nil, a.err
	}
	a.open()
	events, err := a.reader.next()
	if err != nil {
		return nil, a.ended(err)
	}
	if !a.begun && hasData(events) {
		a.begun = true
		a.watch.gotData()
	}
	return events, nil
}

func hasData(events []llm.Event) bool {
	for i := range events {
		if events[i].Data != nil {
			return true
		}
	}
	return false
}

// ReadAll returns the rest of the body, at most limit bytes. A longer body
// gives its first limit bytes and ErrBodyTooLarge; a body that breaks off
// gives what had come and an error as Next's.
func (a *Answer) ReadAll(limit int64) ([]byte, error) {
	if a.err != nil {
		if a.err == io.EOF {
			return nil, nil
		}
		return nil, a.err
	}
	a.open()
	body, err := a.reader.rest(int(limit), a.sizeHint(limit))
	if err = a.ended(err); err == io.EOF {
		return body, nil
	}
	return body, err
}

// sizeHint is the body's announced size as far as memory may be set aside for it.
func (a *Answer) sizeHint(limit int64) int {
	return int(min(max(a.resp.ContentLength, 0), limit, 1<<20))
}

// Finish reads what little may follow the last event of interest, for at most
// 50 ms, so that the connection can be used again, and closes the answer. Use
// it where the protocol's own end came before the body's.
func (a *Answer) Finish() {
	if a.err == nil {
		a.watch.shorten(drainLimit)
		a.open()
		a.reader.drop()
		_, err := a.reader.rest(drainBytes, 0)
		_ = a.ended(err) // whatever it was, the answer is complete
		return
	}
	a.Close()
}

// Close cancels the call if it still runs. It may be called from another
// goroutine, and more than once; a blocked method then returns an error.
func (a *Answer) Close() {
	a.watch.stop()
	a.watch.cancel(errClosed)
	a.resp.Body.Close()
}

// open gets a reader from the pool.
func (a *Answer) open() {
	if a.reader == nil {
		a.reader = a.client.readers.Get().(*reader)
		a.body = timedBody{plainBody(a.resp), &a.watch}
		a.reader.reset(&a.body, a.client.maxEvent)
	}
}

// ended remembers why reading ended, in the caller's terms, and gives back
// what the call held.
func (a *Answer) ended(err error) error {
	if err != io.EOF && err != ErrEventTooLarge && err != ErrBodyTooLarge {
		if cause := context.Cause(a.resp.Request.Context()); cause != nil {
			err = cause
		} else {
			err = &CutError{Err: err}
		}
	}
	a.err = err
	a.Close()
	if a.reader.reusable() {
		a.client.readers.Put(a.reader)
	}
	a.reader = nil
	return err
}

// timedBody tells the watch while a read waits.
type timedBody struct {
	body  io.Reader
	watch *watch
}

func (t *timedBody) Read(p []byte) (int, error) {
	t.watch.beginRead()
	n, err := t.body.Read(p)
	t.watch.endRead()
	return n, err
}

// looks is what the first bytes of a body tell.
type looks uint8

const (
	looksOpen   looks = iota // too few bytes to tell
	looksStream              // a field or comment of an event stream
	looksPlain               // JSON or HTML
	looksOther
)

// sniff judges the first bytes of a body.
func sniff(b []byte) looks {
	if len(b) < len(bom) && bytes.HasPrefix(bom, b) {
		return looksOpen
	}
	b = bytes.TrimLeft(bytes.TrimPrefix(b, bom), " \t\r\n")
	if len(b) == 0 {
		return looksOpen
	}
	switch b[0] {
	case '{', '[', '<', '"':
		return looksPlain
	case ':':
		return looksStream
	}
	for _, field := range [...]string{"data:", "event:", "id:", "retry:"} {
		n := min(len(b), len(field))
		if string(b[:n]) != field[:n] {
			continue
		}
		if n == len(field) {
			return looksStream
		}
		return looksOpen
	}
	return looksOther
}
