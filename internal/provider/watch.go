package provider

import (
	"context"
	"net/http/httptrace"
	"sync"
	"time"

	"model-proxy/config"
)

// resolve fills in the defaults of config.Timers.
func resolve(t config.Timers) config.Timers {
	if t.Connect <= 0 {
		t.Connect = 5 * time.Second
	}
	if t.FirstToken <= 0 {
		t.FirstToken = 60 * time.Second
	}
	if t.Idle <= 0 {
		t.Idle = t.FirstToken
	}
	if t.Total <= 0 {
		t.Total = 600 * time.Second
	}
	return t
}

// phase says which timer runs besides total.
type phase uint8

const (
	connecting phase = iota
	answering        // connected; no event with data yet
	streaming
)

// watch cancels a call whose time is up. One time.Timer serves all bounds: a
// bound that moves away only moves since, and the timer, when it fires too
// early, sets itself again. So an event costs one look at the clock.
//
// Silence counts only while somebody waits for it to end: a stream that is not
// read because its client is slow does not make the upstream time out.
type watch struct {
	// Fixed by init.
	limits config.Timers
	end    time.Time // when total is up
	cancel context.CancelCauseFunc

	mu      sync.Mutex // guards the rest
	timer   *time.Timer
	armed   time.Time // when timer fires next
	phase   phase
	since   time.Time // when the phase began; while streaming, the read under way
	waiting bool      // a read is under way
	reused  bool      // the connection served an earlier call
	stopped bool
}

func (w *watch) init(limits config.Timers, deadline time.Time, cancel context.CancelCauseFunc) {
	w.limits, w.cancel = limits, cancel
	w.since = time.Now()
	w.end = w.since.Add(limits.Total)
	if !deadline.IsZero() && deadline.Before(w.end) {
		w.end = deadline
	}
}

// start begins the connect timer.
func (w *watch) start() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.armed, _ = w.dueLocked(w.since)
	w.timer = time.AfterFunc(w.armed.Sub(w.since), w.fire)
}

// gotConn begins the first-token timer. It runs from here and not from the
// last byte of the request, so that an upstream that stops reading a long
// request is bounded too.
func (w *watch) gotConn(info httptrace.GotConnInfo) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reused = info.Reused
	w.enterLocked(answering)
}

// gotData begins the idle timer.
func (w *watch) gotData() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.enterLocked(streaming)
}

// beginRead and endRead enclose one read of the answer.
func (w *watch) beginRead() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiting = true
	if w.phase == streaming {
		w.enterLocked(streaming)
	}
}

func (w *watch) endRead() {
	w.mu.Lock()
	w.waiting = false
	w.mu.Unlock()
}

// shorten lets the call end after d at the latest.
func (w *watch) shorten(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if end := time.Now().Add(d); end.Before(w.end) {
		w.end = end
	}
	w.armLocked(time.Now())
}

// stop ends the watch; it cancels nothing afterwards.
func (w *watch) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped = true
	if w.timer != nil {
		w.timer.Stop()
	}
}

func (w *watch) enterLocked(p phase) {
	w.phase, w.since = p, time.Now()
	w.armLocked(w.since)
}

// armLocked brings the timer forward where a bound lies before it.
func (w *watch) armLocked(now time.Time) {
	if due, _ := w.dueLocked(now); w.timer != nil && !w.stopped && due.Before(w.armed) {
		w.armed = due
		w.timer.Reset(due.Sub(now))
	}
}

// A timer that fires so late tells that the process did not run: an answer may
// have come that nobody could read, and gets a moment to be read.
const (
	overslept  = 100 * time.Millisecond
	secondLook = 250 * time.Millisecond
)

func (w *watch) fire() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped {
		return
	}
	now := time.Now()
	due, name := w.dueLocked(now)
	if now.Before(due) {
		w.armed = due
		w.timer.Reset(due.Sub(now))
		return
	}
	if now.Sub(w.armed) > overslept && name != TimerTotal {
		w.armed = now.Add(secondLook)
		w.timer.Reset(secondLook)
		return
	}
	w.stopped = true
	w.cancel(&TimeoutError{Timer: name})
}

// dueLocked is when the call is out of time as things stand now, and by which timer.
func (w *watch) dueLocked(now time.Time) (time.Time, Timer) {
	var due time.Time
	var name Timer
	switch w.phase {
	case connecting:
		due, name = w.since.Add(w.limits.Connect), TimerConnect
	case answering:
		due, name = w.since.Add(w.limits.FirstToken), TimerFirstToken
	case streaming:
		due, name = w.since.Add(w.limits.Idle), TimerIdle
		if !w.waiting {
			due = now.Add(w.limits.Idle)
		}
	}
	if w.end.Before(due) {
		return w.end, TimerTotal
	}
	return due, name
}

// explain names the reason for which a call got no answer.
func (w *watch) explain(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.phase == connecting {
		return &DialError{Err: err}
	}
	return &CutError{Err: err, Stale: w.reused}
}
