package provider

import (
	"errors"
	"fmt"
)

// Timer names one of the four bounds of a call, as attempt records spell it.
type Timer string

const (
	TimerConnect    Timer = "connect"     // from the call's begin until a connection is ready, TLS included
	TimerFirstToken Timer = "first_token" // until the first event with data; for a plain answer, until its end
	TimerIdle       Timer = "idle"        // silence while a stream is being read
	TimerTotal      Timer = "total"       // the whole call
)

// TimeoutError says which timer ended a call.
type TimeoutError struct{ Timer Timer }

func (e *TimeoutError) Error() string { return "upstream timeout: " + string(e.Timer) }

// DialError means that no connection came about: nothing was sent.
type DialError struct{ Err error }

func (e *DialError) Error() string { return fmt.Sprintf("dial upstream: %v", e.Err) }
func (e *DialError) Unwrap() error { return e.Err }

// CutError means that the connection broke, or spoke no HTTP, after it stood:
// the upstream may or may not have seen the request.
type CutError struct {
	Err error
	// Stale is true if the connection had been kept from an earlier call and
	// broke before any byte of the answer. Most likely the upstream had closed
	// it meanwhile and never saw this request.
	Stale bool
}

func (e *CutError) Error() string { return fmt.Sprintf("upstream connection cut: %v", e.Err) }
func (e *CutError) Unwrap() error { return e.Err }

var (
	// ErrEventTooLarge is returned by Next for an event over Options.MaxEvent.
	ErrEventTooLarge = errors.New("upstream event too large")
	// ErrBodyTooLarge is returned by ReadAll, with the bytes up to its limit.
	ErrBodyTooLarge = errors.New("upstream body too large")

	// errClosed is the cause a call's context has after Close.
	errClosed = errors.New("answer is closed")
)
