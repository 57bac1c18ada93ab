package convert

import (
	"bytes"
	"strconv"
	"strings"

	"model-proxy/internal/rawjson"
)

// failure is an error body in any of the forms hosts use.
type failure struct {
	status                     int // where the body names one; else 0
	message, kind, code, param string
}

// parseFailure reads {"error":{…}}, Anthropic's with or without its outer type,
// {"error":"text"}, {"code","error"}, {"detail"}, {"object":"error"}, an array
// of those, {"type":"error",…} and response.failed of Responses, HTML, text, and
// nothing.
func parseFailure(body []byte) failure {
	body = bytes.TrimSpace(body)
	if !rawjson.Valid(body) {
		return failure{message: plainText(body)}
	}
	if first := rawjson.First(body); first != nil {
		body = first
	}
	if inner := rawjson.Get(body, "response", "error"); len(inner) > 0 && inner[0] == '{' {
		return readFailure(inner)
	}
	inner := rawjson.Get(body, "error")
	if len(inner) > 0 && inner[0] == '{' {
		return unwrap(readFailure(inner))
	}
	f := readFailure(body)
	if s, ok := rawjson.Unquote(inner); ok {
		f.message = s
	}
	if f.message == "" {
		f.message = detail(rawjson.Get(body, "detail"))
	}
	if f.kind == "error" {
		f.kind = ""
	}
	return unwrap(f)
}

func readFailure(obj []byte) failure {
	var f failure
	for name, v := range rawjson.Object(obj) {
		switch name {
		case "message":
			f.message, _ = rawjson.Unquote(v)
		case "type":
			f.kind, _ = rawjson.Unquote(v)
		case "param":
			f.param, _ = rawjson.Unquote(v)
		case "status_code", "status":
			f.status = max(f.status, statusIn(v))
		case "code":
			if s, ok := rawjson.Unquote(v); ok {
				f.code = s
			}
			if f.status == 0 {
				f.status = statusIn(v)
			}
		case "details":
			if s, ok := rawjson.Unquote(rawjson.Get(v, "error_code")); ok && f.code == "" {
				f.code = s
			}
		}
	}
	if f.status != 0 && f.code == strconv.Itoa(f.status) {
		f.code = "" // Azure's "429" says no more than the status
	}
	return f
}

// statusIn reads a status that stands in a body, as a number or as text.
func statusIn(raw []byte) int {
	if s, ok := rawjson.Unquote(raw); ok {
		raw = []byte(s)
	}
	if len(raw) != 3 {
		return 0
	}
	n, ok := rawjson.Int(raw)
	if !ok || n < 400 || n > 599 {
		return 0
	}
	return int(n)
}

func detail(raw []byte) string {
	if s, ok := rawjson.Unquote(raw); ok {
		return s
	}
	if first := rawjson.First(raw); first != nil { // FastAPI's list of faults
		s, _ := rawjson.Unquote(rawjson.Get(first, "msg"))
		return s
	}
	return ""
}

// unwrap looks one level into a message that is itself an error in JSON.
func unwrap(f failure) failure {
	m := strings.TrimSpace(f.message)
	if !strings.HasPrefix(m, "{") || !rawjson.Valid([]byte(m)) {
		return f
	}
	inner := rawjson.Get([]byte(m), "error")
	if len(inner) == 0 || inner[0] != '{' {
		inner = []byte(m)
	}
	if g := readFailure(inner); g.message != "" {
		f.message = g.message
	}
	return f
}

// plainText keeps a short text answer and nothing of a page of HTML.
func plainText(body []byte) string {
	if len(body) == 0 || len(body) > 300 || bytes.ContainsAny(body, "<>") {
		return ""
	}
	return strings.ToValidUTF8(string(body), "")
}
