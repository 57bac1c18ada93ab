package ingress

import (
	"context"
	"errors"
	"net/http"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"model-proxy/convert"
	"model-proxy/internal/bus"
	"model-proxy/internal/llm"
	"model-proxy/internal/usage"
)

const (
	keepAliveEvery = 15 * time.Second
	stalledAfter   = 5 * time.Minute        // a client that takes no byte for so long is cut
	lingerFor      = 2 * time.Second        // how long a cancelled job's own end is waited for
	ownEndWithin   = time.Second            // how long past the deadline a worker may take to end a job by itself
	lateFor        = 250 * time.Millisecond // how long a worker's word is waited for that may have taken it meanwhile
	overslept      = 100 * time.Millisecond // a timer that is so late tells that the process was stopped
	farewellWithin = time.Second            // how long a client may take what it is told when it seems gone
	slowAfter      = 5 * time.Millisecond   // a write that takes longer finds the client behind
)

// answer is what the client has got so far.
type answer struct {
	w       http.ResponseWriter
	control *http.ResponseController
	flusher flusher

	status    int  // 0 until the status line is out
	began     bool // an answer byte is out: no other worker may answer any more
	split     bool // the last byte out is inside an event
	dirty     bool // there is something to flush
	slow      bool // the client once took its time for what it was sent
	bytes     int64
	chunks    int64
	ttft      time.Duration
	wrote     time.Time // when the client last got something
	armed     time.Time // when the write deadline was last set
	warnings  string
	end       *bus.End
	keepsBody bool   // LOG_BODIES asks for the answer's body
	kept      []byte // it
	clientErr error  // of the last write
}

// flusher is what every http.ResponseWriter of net/http is; ResponseController
// finds it anew for each piece.
type flusher interface{ FlushError() error }

// relay writes the answer to the client until one side has had enough.
func (q *request) relay(w http.ResponseWriter, r *http.Request) {
	q.w, q.control = w, http.NewResponseController(w)
	q.flusher = w.(flusher)
	q.wrote, q.keepsBody = q.read, q.snap.Settings.LogBodies == "all" || q.snap.Settings.LogBodies == "errors"
	q.arm(q.read)
	// One channel says that something has happened, what it was is looked up: a
	// select over four costs more than all else there is to do for a chunk.
	defer context.AfterFunc(r.Context(), q.call.Wake)()
	var due atomic.Bool
	timer := time.AfterFunc(q.untilNextDuty(time.Now()), func() { due.Store(true); q.call.Wake() })
	defer timer.Stop()
	for {
		if f, ok := q.call.Next(); ok {
			if q.frame(f) {
				return
			}
			continue
		}
		q.flush()
		if q.clientErr != nil {
			q.leave(usage.ClientGone, q.clientErr)
			return
		}
		switch {
		case r.Context().Err() != nil:
			q.leave(usage.ClientGone, context.Cause(r.Context()))
			return
		case q.s.cut.Load():
			q.giveUp(llm.NewError(llm.Unavailable, "the gateway was stopped while the answer was under way"))
			return
		case due.Swap(false):
			now := time.Now()
			if !now.Before(q.job.Deadline) {
				q.outOfTime()
				return
			}
			q.keepAlive(now)
			timer.Reset(q.untilNextDuty(now))
			continue
		}
		q.call.Wait(q.pass)
	}
}

// pass writes what has come of the answer on the goroutine of the worker that
// brought it, while relay waits. It leaves ends, and clients that are slow to
// take what they are sent, to relay: a worker is not to wait for them.
func (q *request) pass() (done bool) {
	if q.slow {
		return false
	}
	began, last := time.Now(), false
	for f, ok := q.call.NextData(); ok; f, ok = q.call.NextData() {
		q.put(f, began)
		last = f.Last
	}
	if !last { // else it goes with the answer's end
		q.flush()
	}
	q.slow = q.wrote.Sub(began) > slowAfter
	return q.clientErr == nil
}

// untilNextDuty is when the deadline passes or a silent stream wants a sign of life.
func (q *request) untilNextDuty(now time.Time) time.Duration {
	d := q.job.Deadline.Sub(now)
	if q.stream {
		d = min(d, q.wrote.Add(keepAliveEvery).Sub(now))
	}
	return max(d, time.Millisecond)
}

// frame hands one frame to the client. It reports true when the request is over.
func (q *request) frame(f bus.Frame) (over bool) {
	if f.Head != nil || f.Data != nil {
		if !q.call.Commit(f) {
			return false // its worker was lost meanwhile: another one answers
		}
		q.put(f, time.Now())
	}
	if q.clientErr != nil {
		q.leave(usage.ClientGone, q.clientErr)
		return true
	}
	if f.End == nil {
		return false
	}
	q.end = f.End
	if f.End.Warnings != "" {
		q.warnings = f.End.Warnings
	}
	if f.End.Refused != "" && q.status == 0 { // else a keep-alive is out: it ends as an answer does
		q.call.Close()
		q.giveBack()
		q.arm(time.Now())
		q.refuse(q.w, &rejection{f.End.Err, string(f.End.Refused)})
		return true
	}
	if f.End.Err != nil {
		q.fail(f.End.Err)
		return true
	}
	q.finish(usage.OK, nil) // what is not flushed yet goes with the answer's end
	return true
}

// put writes head and data.
func (q *request) put(f bus.Frame, now time.Time) {
	if f.Head != nil && q.status == 0 {
		q.head(f)
	}
	q.began = true
	if len(f.Data) == 0 {
		return
	}
	q.write(f.Data, now)
	q.split = f.Split
	q.chunks += int64(f.Events)
	if f.Content && q.ttft == 0 {
		q.flush()
		q.ttft = time.Since(q.read)
	}
	q.keep(f.Data)
}

// keep notes what the client is sent, where LOG_BODIES asks for it.
func (q *request) keep(data []byte) {
	if q.keepsBody {
		q.kept = append(q.kept, data[:min(len(data), maxLoggedBody-len(q.kept))]...)
	}
}

// head sends the status line and headers.
func (q *request) head(f bus.Frame) {
	h := q.w.Header()
	q.describe(h, f.Head)
	if q.stream {
		streamHeaders(h)
	} else {
		h["Content-Type"] = []string{f.Head.ContentType}
		if f.Head.ContentLength >= 0 {
			h["Content-Length"] = []string{strconv.FormatInt(f.Head.ContentLength, 10)}
		}
	}
	q.warnings = f.Head.Warnings
	q.status = f.Head.Status
	q.w.WriteHeader(q.status)
}

func streamHeaders(h http.Header) {
	h["Content-Type"], h["Cache-Control"], h["X-Accel-Buffering"] = eventStream, noCache, noBuffering
}

// Header values that answers share; never changed.
var (
	eventStream = []string{"text/event-stream; charset=utf-8"}
	noCache     = []string{"no-cache"}
	noBuffering = []string{"no"}
)

// describe sets the headers that tell which way the request went.
func (q *request) describe(h http.Header, head *bus.Head) {
	state := q.call.State()
	v := []string{strconv.Itoa(state.Attempts), strconv.FormatFloat(usage.MS(state.QueueTime), 'f', 3, 64), "", ""}
	h["X-Model-Proxy-Attempts"], h["X-Model-Proxy-Queue-Ms"] = v[0:1:1], v[1:2:2]
	if a := state.Attempt; a != nil {
		v[2], v[3] = a.Provider, a.UpstreamModel
		h["X-Model-Proxy-Provider"], h["X-Model-Proxy-Model"] = v[2:3:3], v[3:4:4]
	}
	if head == nil {
		q.describeConversion(h, state.Attempt)
		return
	}
	for _, x := range [...]struct{ name, value string }{{"X-Upstream-Request-Id", head.UpstreamID}, {"X-Model-Proxy-Warnings", head.Warnings},
		{"X-Model-Proxy-Conversion", head.Conversion}, {"X-Model-Proxy-Token-Count", head.TokenCount}} {
		if x.value != "" {
			h[x.name] = []string{x.value}
		}
	}
}

// describeConversion says of an error what its last attempt converted.
func (q *request) describeConversion(h http.Header, a *bus.Attempt) {
	if a == nil || a.UpstreamProtocol.Wire() == q.protocol {
		return
	}
	h["X-Model-Proxy-Conversion"] = []string{string(convert.AppendConversion(nil, q.protocol, a.UpstreamProtocol))}
	if q.warnings != "" {
		h["X-Model-Proxy-Warnings"] = []string{q.warnings}
	}
}

// keepAlive tells a silent stream's client that it is still being served. The
// first one sends the status line; failover goes on all the same.
func (q *request) keepAlive(now time.Time) {
	if !q.stream || q.split || now.Sub(q.wrote) < keepAliveEvery {
		return
	}
	if q.status == 0 {
		streamHeaders(q.w.Header())
		q.status = http.StatusOK
		q.w.WriteHeader(q.status)
	}
	q.write(convert.AppendKeepAlive(nil, q.protocol), now)
	q.flush()
}

func (q *request) write(data []byte, now time.Time) {
	if q.clientErr != nil {
		return
	}
	q.arm(now)
	n, err := q.w.Write(data)
	if !q.stream { // else flush looks at the clock
		q.wrote = time.Now()
	}
	q.bytes += int64(n)
	q.dirty = true
	q.clientErr = err
}

// arm bounds what is written from now on, what net/http writes at the answer's end
// included, unless it did so a moment ago.
func (q *request) arm(now time.Time) {
	if now.Sub(q.armed) <= keepAliveEvery {
		return
	}
	q.armed = now
	until := min(stalledAfter, q.job.Deadline.Sub(now)+lingerFor)
	_ = q.control.SetWriteDeadline(now.Add(until)) // every net/http connection has deadlines
}

func (q *request) flush() {
	if !q.dirty || q.clientErr != nil || !q.stream {
		return
	}
	q.dirty = false
	q.clientErr = q.flusher.FlushError()
	q.wrote = time.Now() // a client that was slow to take it has not heard silence
}

// fail ends the request with an error.
func (q *request) fail(e *llm.Error) {
	outcome := usage.Error
	if q.began {
		outcome = usage.Incomplete
	}
	told := q.tell(e)
	q.finish(outcome, e)
	if !told {
		panic(http.ErrAbortHandler)
	}
}

// tell sends an error: as an answer of its own while nothing is out, else as
// the protocol's error event. It reports false where part of a plain answer, or
// of an event, is out: only a broken connection tells then.
func (q *request) tell(e *llm.Error) bool {
	q.arm(time.Now())
	switch {
	case q.status == 0:
		q.describe(q.w.Header(), nil)
		var body []byte
		q.status, body = writeError(q.w, q.protocol, e)
		q.bytes = int64(len(body))
		q.keep(body)
	case q.stream && !q.split:
		event := convert.AppendErrorEvent(nil, q.protocol, e, q.job.RequestID, q.chunks)
		q.write(event, time.Now())
		q.keep(event)
	default:
		return false
	}
	if q.clientErr == nil {
		q.clientErr = q.flusher.FlushError()
	}
	return true
}

// outOfTime is called when the deadline has passed.
func (q *request) outOfTime() {
	q.giveUp(llm.NewError(llm.TimedOut, "the request's deadline has passed"))
}

// giveUp ends a job that may not go on. The client is told first; then the job's
// own end is waited for, which says what was used.
func (q *request) giveUp(e *llm.Error) {
	outcome := usage.Error
	if q.began {
		outcome = usage.Incomplete
	}
	if e.Kind == llm.TimedOut && q.call.Running() {
		// The worker's own timer ends the attempt at this moment too. Its record is
		// to say so, whichever of the two is first.
		defer time.AfterFunc(ownEndWithin, q.call.Cancel).Stop()
	} else {
		q.call.Cancel()
	}
	told := q.tell(e)
	q.awaitEnd()
	if e.Kind == llm.TimedOut && q.call.State().Attempts == 0 {
		outcome = usage.Expired
	}
	q.finish(outcome, e)
	if !told {
		panic(http.ErrAbortHandler)
	}
}

// leave is called when there is nobody left to answer. The job's own end, with
// what it used, is waited for on another goroutine: this one's connection is
// the server's again.
func (q *request) leave(outcome usage.Outcome, cause error) {
	q.call.Cancel()
	why := "the client hung up"
	switch {
	case !errors.Is(cause, os.ErrDeadlineExceeded):
	case time.Now().Before(q.job.Deadline):
		why = "the client took no byte for " + stalledAfter.String()
	default:
		why = "the client had not taken the answer by the request's deadline"
	}
	e := llm.NewError(llm.ClientGone, why)
	told := q.farewell(e)
	if q.status == 0 {
		q.status = e.HTTPStatus(q.protocol)
	}
	q.w, q.control = nil, nil
	q.s.inFlight.Go(func() {
		q.awaitEnd()
		q.finish(outcome, e)
	})
	if !told {
		panic(http.ErrAbortHandler)
	}
}

// farewell tells a client that may still read that its request is over: one that
// has closed only its sending side looks as if it had hung up, and net/http would
// end its answer as if that were whole. What hardly anybody gets is not counted.
// It reports false where only a broken connection tells.
func (q *request) farewell(e *llm.Error) (told bool) {
	if q.clientErr != nil {
		return true // the connection is broken
	}
	status, bytes, kept := q.status, q.bytes, q.kept
	defer func() { q.status, q.bytes, q.kept = status, bytes, kept }()
	q.armed = time.Now()
	_ = q.control.SetWriteDeadline(q.armed.Add(farewellWithin))
	return q.tell(e)
}

// awaitEnd waits for the end of a cancelled job, and a moment for the word of a
// worker that took it just before.
func (q *request) awaitEnd() {
	running := q.call.Running()
	if !running && !q.call.Queued() {
		return
	}
	wait := lateFor
	if running {
		wait = lingerFor
	}
	patience := time.NewTimer(wait)
	defer patience.Stop()
	due := time.Now().Add(wait)
	for q.end == nil {
		f, ok := q.call.Next()
		if ok {
			q.end = f.End
			continue
		}
		select {
		case <-q.call.Ready():
			if !running && q.call.Running() {
				running, wait = true, lingerFor
				patience.Reset(wait)
				due = time.Now().Add(wait)
			}
		case <-patience.C:
			if time.Since(due) < overslept {
				return
			}
			patience.Reset(wait) // this process did not run: the word may lie here unread
			due = time.Now().Add(wait)
		}
	}
}
