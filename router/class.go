package router

import (
	"slices"
	"strings"
)

// Class is what went wrong with an attempt, read from the status and, where
// that misleads, from the body. It is also the cause of a rest.
type Class string

const (
	RateLimit     Class = "rate_limit"           // too many requests or tokens for this key
	Quota         Class = "quota"                // the account's money or allowance is spent
	Auth          Class = "auth"                 // the key is refused
	Denied        Class = "denied"               // the key may not do this
	ModelDenied   Class = "model_denied"         // the key may not use this model
	BadRequest    Class = "bad_request"          // the request's own fault
	ContentFilter Class = "content_filter"       // likewise: its content is refused
	ContextLength Class = "context_length"       // likewise: its prompt is too long for the model
	TooLarge      Class = "too_large"            // likewise: its body is too large
	TooLargeHere  Class = "too_large_for_limits" // it exceeds the whole rate limit of this account
	ToolUse       Class = "tool_use_failed"      // the model made a tool call that is none
	ModelMissing  Class = "model_not_found"      // the upstream does not have the model or the path
	Overloaded    Class = "overloaded"
	ServerError   Class = "server_error"
	TimedOut      Class = "timeout"     // one of our timers ran out
	Unreachable   Class = "unreachable" // no connection
	Broken        Class = "cut"         // the answer ended before its time or could not be understood
	Other         Class = "other"       // any status not named here
)

// requestsFault reports whether the body itself shows that no other key could
// have served the request on this upstream.
func (c Class) requestsFault() bool { return c == ContentFilter || c == ContextLength }

// aboutRequest reports whether the upstream speaks of the request itself.
func (c Class) aboutRequest() bool {
	return c.requestsFault() || c == BadRequest || c == TooLarge || c == ToolUse
}

// refused reports whether the upstream refuses our account, which is none of
// the client's business.
func (c Class) refused() bool { return c == Quota || c == Auth || c == Denied || c == ModelDenied }

// byStatus holds the statuses that mean something of their own; other 5xx are
// ServerError, all else is Other.
var byStatus = map[int]Class{
	400: BadRequest, 401: Auth, 402: Quota, 403: Denied, 404: ModelMissing, 413: TooLarge, 422: BadRequest,
	429: RateLimit, 503: Overloaded, 529: Overloaded,
}

// classify reads the class of an answered error and the status it stands for,
// which differs from the given one for an error inside a 200.
func classify(status int, e wireError) (Class, int) {
	if status < 300 {
		return classifyEvent(e)
	}
	plain := statusClass(status)
	if status >= 500 { // an ill server's words are no judgement on the request
		return plain, status
	}
	said, ok := e.class()
	if !ok || !overrides(status, said) {
		return plain, status
	}
	switch {
	case said == ModelMissing && status == 403:
		return ModelDenied, status // another key may have the model
	case said == TooLargeHere && status == 413:
		return TooLarge, status
	}
	return said, status
}

// classifyEvent classifies an error that came in a 200: as a stream's first
// event, or as the body.
func classifyEvent(e wireError) (Class, int) {
	said, known := e.class()
	if e.status >= 400 && e.status < 600 {
		if known && e.status < 500 && overrides(e.status, said) {
			return said, e.status
		}
		return statusClass(e.status), e.status
	}
	if !known {
		return ServerError, 502
	}
	return said, standsFor[said]
}

// standsFor is the status an upstream would have sent with a class.
var standsFor = map[Class]int{
	RateLimit: 429, Quota: 429, Auth: 401, Denied: 403, BadRequest: 400, ContentFilter: 400, ContextLength: 400,
	TooLarge: 413, TooLargeHere: 429, ToolUse: 400, ModelMissing: 404, Overloaded: 503, ServerError: 500,
}

// overriding lists, for each status, the classes that its body may name
// instead; for other 4xx only a spent quota counts.
var overriding = map[int][]Class{
	400: {Quota, Auth, ContentFilter, ContextLength, ToolUse, ModelMissing, RateLimit},
	401: {Quota, ContentFilter},
	403: {Quota, Auth, ContentFilter, ModelMissing, RateLimit, Overloaded},
	404: {Quota},
	413: {ContextLength, TooLargeHere},
	422: {Quota, ContentFilter, ContextLength, ToolUse},
	429: {Quota, Overloaded, TooLargeHere},
}

func overrides(status int, said Class) bool {
	if list, ok := overriding[status]; ok {
		return slices.Contains(list, said)
	}
	return said == Quota
}

func statusClass(status int) Class {
	if c, ok := byStatus[status]; ok {
		return c
	}
	if status >= 500 {
		return ServerError
	}
	return Other
}

// class reads the words of an error, the most special first: its beginning
// where that is known, then code before type.
func (e wireError) class() (Class, bool) {
	message := strings.ToLower(strings.TrimSpace(e.message))
	for _, o := range byOpening {
		if strings.HasPrefix(message, o.opening) {
			return o.class, true
		}
	}
	weakest := Class("")
	for _, t := range e.tokens {
		c, ok := byToken[strings.ToLower(t)]
		if ok && c != BadRequest && c != RateLimit {
			return c, true
		}
		if ok && weakest == "" {
			weakest = c // a more special word may follow: RESOURCE_EXHAUSTED, then a reason
		}
	}
	return weakest, weakest != ""
}
