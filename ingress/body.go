package ingress

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"model-proxy/internal/llm"
	"model-proxy/internal/rawjson"
)

// bodyWithin is how long a client may take to send its body.
const bodyWithin = time.Minute

// unheardWithin is how long the body of a request that is already refused may
// go on.
const unheardWithin = 5 * time.Second

// readByHTTP is how many bytes net/http reads of a body that nobody has read, before
// it sends the answer (server.go: maxPostHandlerReadBytes).
const readByHTTP = 256 << 10

// firstRoom is what a body of known length gets before any of it has come, in
// bytes. Nearly all are smaller.
const firstRoom = 256 << 10

// budget bounds the bytes of all bodies held at a time.
type budget struct {
	limit int64 // 0 means none
	held  atomic.Int64
}

func (b *budget) take(n int64) bool {
	if b.held.Add(n) <= b.limit || b.limit == 0 {
		return true
	}
	b.held.Add(-n)
	return false
}

func (b *budget) give(n int64) { b.held.Add(-n) }

// members are what the ingress reads of a request: what routes it, what is
// reserved for it, and the parameters its record shows. Prompts are not among
// them.
var members = rawjson.Fields{
	Once: []string{"model", "stream"},
	Want: []string{"max_tokens", "max_completion_tokens", "max_output_tokens", "temperature", "top_p", "top_k", "n", "seed",
		"frequency_penalty", "presence_penalty", "reasoning_effort", "verbosity", "service_tier", "parallel_tool_calls"},
}

// readBody reads and checks a request's body. The caller gives the bytes back
// to the budget.
func (s *Server) readBody(w http.ResponseWriter, r *http.Request) ([]byte, *rejection) {
	if encoded(r.Header) {
		e := reject(rejectInvalid, llm.BadRequest, "request bodies are taken as they are, without Content-Encoding")
		e.Status = http.StatusUnsupportedMediaType
		return nil, e
	}
	if r.ContentLength > s.cfg.MaxRequestBytes {
		return nil, s.tooLarge(w)
	}
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(bodyWithin)) // every net/http connection has deadlines
	body, no := s.readAll(w, r)
	if no != nil { // the deadline stays: net/http may read on before it sends the refusal
		return nil, no
	}
	_ = control.SetReadDeadline(time.Time{})
	return body, nil
}

func (s *Server) readAll(w http.ResponseWriter, r *http.Request) ([]byte, *rejection) {
	if r.ContentLength >= 0 {
		return s.readSized(r)
	}
	return s.readChunked(w, r)
}

// hearOut answers a request whose body has not been read. What net/http does
// not read by itself is read here, for at most unheardWithin after the answer: a
// client that writes everything before it reads would else find a broken
// connection in its place.
func hearOut(w http.ResponseWriter, r *http.Request, answer func()) {
	if r.ContentLength >= 0 && r.ContentLength <= readByHTTP {
		answer()
		return
	}
	control := http.NewResponseController(w)
	_ = control.EnableFullDuplex()        // else net/http cuts what is over readByHTTP
	w.Header().Set("Connection", "close") // what is left unread would be taken for the next request
	answer()
	_ = control.Flush()
	_ = control.SetReadDeadline(time.Now().Add(unheardWithin))
	_, _ = io.Copy(io.Discard, r.Body)
}

// encoded reports whether the body is compressed, or otherwise not as it is.
func encoded(h http.Header) bool {
	v := h["Content-Encoding"]
	return len(v) > 0 && v[0] != "" && !strings.EqualFold(v[0], "identity")
}

func (s *Server) tooLarge(w http.ResponseWriter) *rejection {
	w.Header().Set("Connection", "close") // the rest of the body is not worth waiting for
	return reject(rejectTooLarge, llm.TooLarge, fmt.Sprintf("the request body is larger than %d bytes", s.cfg.MaxRequestBytes))
}

// readSized reads a body whose length the client has told. Room is taken for what has
// come, in few steps, not for what was told: clients that send nothing more
// would else keep it from all others.
func (s *Server) readSized(r *http.Request) ([]byte, *rejection) {
	var body []byte
	for {
		size := min(r.ContentLength, max(firstRoom, 4*int64(len(body))))
		if !s.bodies.take(size - int64(len(body))) {
			s.bodies.give(int64(len(body)))
			return nil, noMemory()
		}
		had := len(body)
		body = append(make([]byte, 0, size), body...)[:size]
		if _, err := io.ReadFull(r.Body, body[had:]); err != nil {
			s.bodies.give(size)
			return nil, unreadable(err)
		}
		if size == r.ContentLength {
			return body, nil
		}
	}
}

// readChunked reads a body of unknown length, taking room as it grows.
func (s *Server) readChunked(w http.ResponseWriter, r *http.Request) ([]byte, *rejection) {
	var body []byte
	fail := func(e *rejection) ([]byte, *rejection) {
		s.bodies.give(int64(cap(body)))
		return nil, e
	}
	for {
		if len(body) == cap(body) {
			grow := min(max(int64(cap(body)), 4<<10), s.cfg.MaxRequestBytes+1-int64(len(body)))
			if grow <= 0 {
				return fail(s.tooLarge(w))
			}
			if !s.bodies.take(grow) {
				return fail(noMemory())
			}
			body = append(make([]byte, 0, int64(cap(body))+grow), body...)
		}
		n, err := r.Body.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		if int64(len(body)) > s.cfg.MaxRequestBytes {
			return fail(s.tooLarge(w))
		}
		if err == io.EOF {
			s.bodies.give(int64(cap(body) - len(body))) // the caller gives back the rest
			return body, nil
		}
		if err != nil {
			return fail(unreadable(err))
		}
	}
}

func noMemory() *rejection {
	e := reject(rejectBus, llm.Unavailable, "too many large requests are being handled")
	e.RetryAfter = time.Second
	return e
}

func unreadable(err error) *rejection {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		e := reject(rejectInvalid, llm.BadRequest, "the request body did not arrive within a minute")
		e.Status = http.StatusRequestTimeout
		return e
	}
	return reject(rejectInvalid, llm.BadRequest, "the request body ended early or could not be read")
}

// asked is what a checked body asks for.
type asked struct {
	model     string
	stream    bool
	maxTokens int64
	params    []byte // a JSON object, nil if there are none
}

// inspect checks a body and reads what the ingress needs of it.
func inspect(body []byte, stream streamMode) (asked, *rejection) {
	var room [16]rawjson.Member
	found, err := rawjson.Check(room[:0], body, &members)
	if err != nil {
		return asked{}, reject(rejectInvalid, llm.BadRequest, "the request body is not a valid JSON object: "+err.Error())
	}
	a := asked{stream: stream == streamAlways}
	model, ok := rawjson.Unquote(found.Value(body, "model"))
	if !ok || model == "" {
		e := reject(rejectInvalid, llm.BadRequest, "model is missing or not a string")
		e.Param = "model"
		return asked{}, e
	}
	a.model = model
	if v := found.Value(body, "stream"); v != nil && stream == streamAsAsked {
		switch string(v) {
		case "true":
			a.stream = true
		case "false", "null":
		default:
			e := reject(rejectInvalid, llm.BadRequest, "stream must be true or false")
			e.Param = "stream"
			return asked{}, e
		}
	}
	for _, m := range found {
		if m.Name == "model" || m.Name == "stream" {
			continue
		}
		a.param(m.Name, body[m.Start:m.End])
	}
	if a.params != nil {
		a.params = append(a.params, '}')
	}
	return a, nil
}

// param keeps one parameter for the record, unless it is long.
func (a *asked) param(name string, raw []byte) {
	if n, ok := rawjson.Int(raw); ok && (name == "max_tokens" || name == "max_completion_tokens" || name == "max_output_tokens") {
		a.maxTokens = n
	}
	if len(raw) > 64 {
		return
	}
	if a.params == nil {
		a.params = append(make([]byte, 0, 128), '{')
	} else {
		a.params = append(a.params, ',')
	}
	a.params = rawjson.AppendString(a.params, name)
	a.params = append(a.params, ':')
	a.params = append(a.params, raw...)
}
