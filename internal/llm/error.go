package llm

import (
	"net/http"
	"time"
)

// Kind is what went wrong, in words that no protocol owns. It selects the HTTP
// status and the error type of each protocol (convert.AppendError).
type Kind string

const (
	BadRequest   Kind = "bad_request"  // 400: the request's own fault
	Unauthorized Kind = "unauthorized" // 401: the client's key
	Forbidden    Kind = "forbidden"    // 403
	NotFound     Kind = "not_found"    // 404: no such model or path
	Conflict     Kind = "conflict"     // 409
	TooLarge     Kind = "too_large"    // 413
	RateLimited  Kind = "rate_limited" // 429
	QuotaSpent   Kind = "quota_spent"  // 429, or 402 for Anthropic clients
	ServerError  Kind = "server_error" // 500
	BadGateway   Kind = "bad_gateway"  // 502: upstream unreachable, cut, or refusing our credentials
	Unavailable  Kind = "unavailable"  // 503: no capacity or no bus
	Overloaded   Kind = "overloaded"   // 503, or 529 for Anthropic clients
	TimedOut     Kind = "timed_out"    // 504: out of time
	ClientGone   Kind = "client_gone"  // 499: nobody is left to read it
)

var statusOf = map[Kind]int{
	BadRequest: 400, Unauthorized: 401, Forbidden: 403, NotFound: 404, Conflict: 409, TooLarge: 413,
	RateLimited: 429, QuotaSpent: 429, ServerError: 500, BadGateway: 502, Unavailable: 503,
	Overloaded: 503, TimedOut: 504, ClientGone: 499,
}

// Error is what a client is told. Message is safe to show: it never holds a
// key, a host name or Go's own error text. The cause is for the operator.
type Error struct {
	Kind    Kind
	Message string
	Param   string // path of the field at fault, "" if none
	Code    string // OpenAI's code, such as context_length_exceeded; "" if none
	Status  int    // HTTP status where an upstream chose it; 0 means the kind's own

	// RetryAfter is how long the client should wait; 0 means unknown.
	RetryAfter time.Duration
	// Final tells clients not to try again by themselves (x-should-retry: false).
	Final bool
	// Body is the upstream's own error body, passed on unchanged where client
	// and upstream speak one protocol; nil means one is made from the rest.
	Body []byte

	cause error
}

// Because returns a copy of e that wraps cause for the operator's log.
func (e *Error) Because(cause error) *Error {
	c := *e
	c.cause = cause
	return &c
}

// NewError returns an Error whose message is shown to the client as it stands.
func NewError(k Kind, message string) *Error { return &Error{Kind: k, Message: message} }

func (e *Error) Error() string {
	if e.cause != nil {
		return string(e.Kind) + ": " + e.Message + ": " + e.cause.Error()
	}
	return string(e.Kind) + ": " + e.Message
}

func (e *Error) Unwrap() error { return e.cause }

// HTTPStatus is the status for clients of protocol p.
func (e *Error) HTTPStatus(p Protocol) int {
	switch {
	case e.Status != 0:
		return e.Status
	case p == Anthropic && e.Kind == QuotaSpent:
		return http.StatusPaymentRequired
	case p == Anthropic && e.Kind == Overloaded:
		return 529
	}
	if s, ok := statusOf[e.Kind]; ok {
		return s
	}
	return http.StatusInternalServerError
}
