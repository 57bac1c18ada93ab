package ingress

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"model-proxy/convert"
	"model-proxy/internal/llm"
)

// Reasons of model_proxy_rejected_total{reason} that arise here; those of the
// limits and of the queue are theirs.
const (
	rejectAuth     = "auth"
	rejectTooLarge = "too_large"
	rejectInvalid  = "invalid"
	rejectModel    = "unknown_model"
	rejectBus      = "bus"
	rejectDraining = "draining"
)

// maxHeader bounds the request's header lines together, in bytes.
const maxHeader = 32 << 10

// rejection is a refusal before the queue: it leaves no record but counts.
type rejection struct {
	*llm.Error
	reason string
}

func reject(reason string, k llm.Kind, message string) *rejection {
	return &rejection{llm.NewError(k, message), reason}
}

// refuse answers a request that never reached the queue.
func (s *Server) refuse(w http.ResponseWriter, p llm.Protocol, r *rejection) {
	s.metrics.rejected(r.reason)
	writeError(w, p, r.Error)
}

// writeError answers with an error in the caller's protocol, and returns what it
// has written.
func writeError(w http.ResponseWriter, p llm.Protocol, e *llm.Error) (status int, body []byte) {
	h := w.Header()
	status = e.HTTPStatus(p)
	if wait := retryAfter(e, status); wait > 0 {
		h.Set("Retry-After", strconv.FormatInt(int64(math.Ceil(wait.Seconds())), 10))
	}
	if e.Final {
		h.Set("X-Should-Retry", "false")
	}
	body = convert.AppendError(nil, p, e, h.Get(headerRequestID))
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	n, _ := w.Write(body) // a client that is gone shows itself elsewhere
	return status, body[:n]
}

// retryAfter is what the client is told to wait: always something on 429 and 503.
func retryAfter(e *llm.Error, status int) time.Duration {
	if e.RetryAfter > 0 || status != http.StatusTooManyRequests && status != http.StatusServiceUnavailable && status != 529 {
		return e.RetryAfter
	}
	return time.Second
}

// pathProtocol is the protocol that a caller of an unknown path most likely speaks.
func pathProtocol(r *http.Request) llm.Protocol {
	if strings.HasPrefix(r.URL.Path, string(llm.Messages)) || r.Header.Get("Anthropic-Version") != "" {
		return llm.Anthropic
	}
	return llm.OpenAI
}

const noSuchPath = "no such path; see /docs for those there are"

func (s *Server) notFound(w http.ResponseWriter, r *http.Request) {
	setRequestID(w, r, pathProtocol(r))
	writeError(w, pathProtocol(r), llm.NewError(llm.NotFound, noSuchPath))
}

// options answers OPTIONS with the Allow header that the router has set.
func (s *Server) options(w http.ResponseWriter, r *http.Request) {
	setRequestID(w, r, pathProtocol(r))
	w.WriteHeader(http.StatusNoContent)
}

func (s *Server) methodNotAllowed(w http.ResponseWriter, r *http.Request) {
	setRequestID(w, r, pathProtocol(r))
	e := llm.NewError(llm.BadRequest, "this path does not take "+r.Method+" requests; it takes "+w.Header().Get("Allow"))
	e.Status = http.StatusMethodNotAllowed
	writeError(w, pathProtocol(r), e)
}
