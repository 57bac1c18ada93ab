package convert

import (
	"bytes"
	"errors"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"model-proxy/internal/llm"
	"model-proxy/internal/rawjson"
)

// Error reads an upstream's error answer and returns what the client is told.
// Client and upstream of one protocol keep status and body as they came, but
// for keys and organisation ids. That the upstream refused our credentials or
// account (401, 402, 403, spent quota) is nobody's business but the operator's:
// the client is told of a bad gateway, and Upstream gives the router the truth.
func (x *Exchange) Error(status int, h http.Header, body []byte) *llm.Error {
	f := parseFailure(body)
	if status < 400 && f.status != 0 {
		status = f.status
	}
	e := x.upstreamError(status, f)
	e.RetryAfter = RetryAfter(status, h)
	switch {
	case status < 200 || status >= 300 && status < 400: // redirects are never followed: the key would go along
		e.Status = http.StatusBadGateway
	case status >= 400 && x.conv == nil:
		e.Status = status
		if rightShape(x.in.Client.Wire(), body) {
			e.Body = scrub(bytes.Clone(body))
		}
	}
	return forClient(e)
}

// streamError is Error for an event inside a stream.
func (x *Exchange) streamError(data []byte) *llm.Error {
	f := parseFailure(data)
	e := x.upstreamError(f.status, f)
	if x.conv == nil && data[0] == '{' && rawjson.Get(data, "choices") == nil {
		e.Body = scrub(bytes.Clone(data))
	}
	return forClient(e)
}

// Upstream returns the error as the upstream meant it, where e hides it from
// the client; else e itself.
func Upstream(e *llm.Error) *llm.Error {
	var hidden *llm.Error
	if errors.As(e.Unwrap(), &hidden) {
		return hidden
	}
	return e
}

func forClient(e *llm.Error) *llm.Error {
	switch e.Kind {
	case llm.Unauthorized, llm.Forbidden, llm.QuotaSpent:
	default:
		return e
	}
	return (&llm.Error{
		Kind: llm.BadGateway, Code: "upstream_auth_failed", Final: true,
		Message: "the provider refuses the gateway's credentials or account",
	}).Because(e)
}

// rightShape reports whether body has the error shape that clients of p expect.
func rightShape(p llm.Protocol, body []byte) bool {
	if !rawjson.Valid(body) {
		return false
	}
	inner := rawjson.Get(body, "error")
	if len(inner) == 0 || inner[0] != '{' {
		return false
	}
	return p != llm.Anthropic || rawjson.EqualString(rawjson.Get(body, "type"), "error")
}

// upstreamError classes a failure by its status, its code and type, and, where
// hosts say too little, its message.
func (x *Exchange) upstreamError(status int, f failure) *llm.Error {
	e := &llm.Error{Kind: kindOf(status, f), Message: string(scrub([]byte(f.message))), Param: f.param, Code: f.code}
	if (e.Code == "" || e.Code == f.kind) && tooLong(f.message) { // DeepSeek's code repeats the type
		e.Code = contextCode
	}
	if e.Code == "" && e.Kind == llm.NotFound && strings.Contains(strings.ToLower(f.message), "model") {
		e.Code = "model_not_found"
	}
	if x.conv != nil {
		e.Param = x.clientParam(f)
	}
	if e.Message == "" {
		e.Message = "the provider answered " + statusText(status)
	}
	return e
}

// clientParam is the field at fault as far as it can be told across protocols:
// Messages puts a path before its message, and has no room for one of others.
func (x *Exchange) clientParam(f failure) string {
	path, _, ok := strings.Cut(f.message, ": ")
	if x.in.Client.Wire() == llm.Anthropic || !ok || path == "" || strings.ContainsAny(path, " \n") || !strings.Contains(path, ".") {
		return ""
	}
	return path
}

func statusText(status int) string {
	if status == 0 || status == http.StatusOK {
		return "with an error that says nothing more"
	}
	return strings.TrimSpace(strconv.Itoa(status) + " " + http.StatusText(status))
}

func tooLong(message string) bool {
	m := strings.ToLower(message)
	return strings.Contains(m, promptTooLong) || strings.Contains(m, "maximum context length") || strings.Contains(m, "context window")
}

// kindOfCode holds the codes and types that say more than the status.
var kindOfCode = map[string]llm.Kind{
	"insufficient_quota": llm.QuotaSpent, "credit_balance_exhausted": llm.QuotaSpent, "billing_error": llm.QuotaSpent,
	"billing_hard_limit_reached": llm.QuotaSpent, "billing_not_active": llm.QuotaSpent, "quota_exceeded": llm.QuotaSpent,
	"overloaded_error": llm.Overloaded, "overloaded": llm.Overloaded, "server_is_overloaded": llm.Overloaded,
	"slow_down": llm.Overloaded, "engine_overloaded": llm.Overloaded,
	"model_not_found": llm.NotFound, "DeploymentNotFound": llm.NotFound,
	"invalid_api_key": llm.Unauthorized,
}

// kindOfType is used where there is no status to go by: inside a stream.
var kindOfType = map[string]llm.Kind{
	"invalid_request_error": llm.BadRequest, "authentication_error": llm.Unauthorized, "permission_error": llm.Forbidden,
	"not_found_error": llm.NotFound, "conflict_error": llm.Conflict, "request_too_large": llm.TooLarge,
	"rate_limit_error": llm.RateLimited, "rate_limit_exceeded": llm.RateLimited, "RateLimitReached": llm.RateLimited,
	"content_filter": llm.BadRequest, "tokens": llm.RateLimited, "requests": llm.RateLimited,
	"api_error": llm.ServerError, "server_error": llm.ServerError, "timeout_error": llm.TimedOut, "timeout": llm.TimedOut,
}

var kindOfStatus = map[int]llm.Kind{
	400: llm.BadRequest, 401: llm.Unauthorized, 402: llm.QuotaSpent, 403: llm.Forbidden, 404: llm.NotFound,
	408: llm.TimedOut, 409: llm.Conflict, 413: llm.TooLarge, 422: llm.BadRequest, 429: llm.RateLimited,
	500: llm.ServerError, 502: llm.ServerError, 503: llm.Overloaded, 504: llm.TimedOut, 529: llm.Overloaded,
}

func kindOf(status int, f failure) llm.Kind {
	if k, ok := kindOfCode[f.code]; ok {
		return k
	}
	if k, ok := kindOfCode[f.kind]; ok {
		return k
	}
	if k, ok := kindOfMessage(status, f.message); ok {
		return k
	}
	if status < 400 {
		for _, word := range []string{f.code, f.kind} {
			if k, ok := kindOfType[word]; ok {
				return k
			}
		}
		return llm.ServerError
	}
	if k, ok := kindOfStatus[status]; ok {
		return k
	}
	if status < 500 {
		return llm.BadRequest
	}
	return llm.ServerError
}

// kindOfMessage knows the sentences of hosts that say it nowhere else:
// Anthropic's 400 for an empty account, xAI's 400 for a wrong key.
func kindOfMessage(status int, message string) (llm.Kind, bool) {
	if status != 400 && status != 429 {
		return "", false
	}
	m := strings.ToLower(message)
	switch {
	case strings.Contains(m, "credit balance is too low"), strings.Contains(m, "exceeded your current quota"):
		return llm.QuotaSpent, true
	case status == 400 && strings.Contains(m, "incorrect api key"):
		return llm.Unauthorized, true
	}
	return "", false
}

// secrets matches what looks like a key or an organisation's id.
var secrets = regexp.MustCompile(`\b(sk|gsk|xai|pplx|csk|nvapi|hf|org|proj|AIza)[-_]?[A-Za-z0-9_*-]*[A-Za-z0-9*]{8,}`)

func scrub(b []byte) []byte {
	return secrets.ReplaceAllFunc(b, func(m []byte) []byte {
		if !bytes.ContainsAny(m, "-_*") && !bytes.HasPrefix(m, []byte("AIza")) {
			return m // an ordinary word such as "organisation"
		}
		return []byte("[redacted]")
	})
}
