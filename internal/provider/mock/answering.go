package mock

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"model-proxy/internal/llm"
	"model-proxy/internal/rawjson"
)

// answering is one request being answered.
type answering struct {
	mock    *Mock
	w       http.ResponseWriter
	r       *http.Request // its context ends when the client goes
	rec     *record
	outcome Outcome
}

// wait lets d pass and reports whether the client is still there after it.
func (a *answering) wait(d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-a.r.Context().Done():
	case <-a.mock.closed:
	}
	a.outcome = OutcomeCancelled
	return false
}

// stall says nothing more until the client goes.
func (a *answering) stall() {
	a.flush()
	a.outcome = OutcomeStalled
	select {
	case <-a.r.Context().Done():
	case <-a.mock.closed:
	}
}

// cut closes the connection without a proper end. The panic is net/http's own
// word for it and ends in its server.
func (a *answering) cut() {
	a.flush()
	a.outcome = OutcomeCut
	panic(http.ErrAbortHandler)
}

func (a *answering) flush() { _ = http.NewResponseController(a.w).Flush() } // a gone client shows at the next write

// head sends the status line and headers.
func (a *answering) head(status int, contentType string, size int) {
	h := a.w.Header()
	h.Set("Content-Type", contentType)
	id := fmt.Sprintf("req_mock%06d", a.rec.Seq)
	h.Set("X-Request-Id", id)
	h.Set("Request-Id", id)
	if size >= 0 {
		h.Set("Content-Length", strconv.Itoa(size))
	}
	a.rec.status.Store(int64(status))
	a.w.WriteHeader(status)
}

// write answers with a whole JSON body.
func (a *answering) write(status int, body []byte) {
	a.head(status, "application/json", len(body))
	if _, err := a.w.Write(body); err != nil {
		a.outcome = OutcomeCancelled
	}
}

// plain answers with a JSON body that may be cut, stalled or broken half way.
func (a *answering) plain(f Fault, body []byte) {
	half := body[:len(body)/2]
	switch {
	case f.MalformedAfter != nil:
		a.write(http.StatusOK, half)
	case f.CutAfter == nil && f.StallAfter == nil:
		a.write(http.StatusOK, body)
	default:
		a.head(http.StatusOK, "application/json", len(body))
		_, _ = a.w.Write(half) // whether it arrives or not, the call ends here
		if f.CutAfter != nil {
			a.cut()
		}
		a.stall()
	}
	if a.outcome == "" {
		a.outcome = OutcomeDone
	}
}

// fail answers with an error of the endpoint's protocol.
func (a *answering) fail(endpoint llm.Endpoint, f Fault) {
	a.outcome = OutcomeError
	if f.RetryAfter != "" {
		a.w.Header().Set("Retry-After", f.RetryAfter)
	}
	a.write(f.Status, errorBody(endpoint.Protocol(), f))
}

// stream answers with an event stream.
func (a *answering) stream(f Fault, endpoint llm.Endpoint, r *reply, p *prompt) {
	fr := a.mock.pool.Get().(*frames)
	defer a.mock.pool.Put(fr)
	fr.reset()
	switch {
	case f.FirstEventError:
		a.outcome = OutcomeError
		fr.add(errorEvent(endpoint.Protocol()), "%s", errorBody(endpoint.Protocol(), f))
	default:
		wires[endpoint].stream(fr, r, p)
		if f.NoDone {
			fr.list = fr.list[:len(fr.list)-1]
		}
	}
	a.head(http.StatusOK, "text/event-stream; charset=utf-8", -1)
	if a.send(f, fr) && a.outcome == "" {
		a.outcome = OutcomeDone
	}
}

// send writes the events, each text but the first f.Delay after the one before
// it, and reports whether all were written. Where nothing waits, only the
// first text and the end are flushed: the rest goes out as buffers fill.
func (a *answering) send(f Fault, fr *frames) bool {
	due := time.Now()
	texts, from := 0, 0
	for i, one := range fr.list {
		switch {
		case reached(f.CutAfter, i):
			a.cut()
		case reached(f.StallAfter, i):
			a.stall()
			return false
		}
		if one.text {
			if texts > 0 && f.Delay > 0 {
				a.flush()
				due = due.Add(f.Delay)
				if !a.wait(time.Until(due)) {
					return false
				}
			}
			texts++
		}
		event := fr.buf[from:one.end]
		from = one.end
		if f.MalformedAfter != nil && *f.MalformedAfter == i {
			event = append(event[:len(event)*2/3:len(event)*2/3], "\n\n"...)
		}
		if _, err := a.w.Write(event); err != nil || a.r.Context().Err() != nil {
			a.outcome = OutcomeCancelled
			return false
		}
		a.rec.chunks.Add(1)
		if texts == 1 {
			a.flush()
		}
	}
	if reached(f.CutAfter, len(fr.list)) {
		a.cut()
	}
	if reached(f.StallAfter, len(fr.list)) {
		a.stall()
		return false
	}
	return true
}

// frames are the events of one stream, written one behind the other.
type frames struct {
	buf  []byte
	list []frame
}

// frame is one event.
type frame struct {
	end  int  // in buf; it begins at the end of the one before
	text bool // a piece of text, which f.Delay keeps apart
}

func (fr *frames) reset() { fr.buf, fr.list = fr.buf[:0], fr.list[:0] }

// add appends an event; name is its event field, "" for none.
func (fr *frames) add(name, format string, args ...any) {
	fr.open(name)
	fr.buf = appendf(fr.buf, format, args...)
	fr.close()
}

// addTexts appends an event for each piece: before, the piece in JSON, after.
func (fr *frames) addTexts(name, before, after string, pieces []string) {
	for _, piece := range pieces {
		fr.open(name)
		fr.buf = append(fr.buf, before...)
		fr.buf = rawjson.AppendString(fr.buf, piece)
		fr.buf = append(fr.buf, after...)
		fr.close()
		fr.list[len(fr.list)-1].text = true
	}
}

func (fr *frames) open(name string) {
	if name != "" {
		fr.buf = append(fr.buf, "event: "...)
		fr.buf = append(fr.buf, name...)
		fr.buf = append(fr.buf, '\n')
	}
	fr.buf = append(fr.buf, "data: "...)
}

func (fr *frames) close() {
	fr.buf = append(fr.buf, "\n\n"...)
	fr.list = append(fr.list, frame{end: len(fr.buf)})
}

// quoted is a text that appendf writes as a JSON string.
type quoted string

func (q quoted) String() string { return string(appendQuoted(nil, string(q))) }

func appendQuoted(dst []byte, s string) []byte { return rawjson.AppendString(dst, s) }

func appendf(dst []byte, format string, args ...any) []byte { return fmt.Appendf(dst, format, args...) }
