package corpus_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"model-proxy/internal/llm"
	"model-proxy/internal/rawjson"
)

// answer is what the client has to get.
type answer struct {
	status int
	body   string
	cut    bool // body is what stands before an error event
	same   bool // an error body that passes as it is
}

// anyError stands for the status of an error that came with 200: what kind it is
// stands in the event alone.
const anyError = 0

// hidden reports whether an upstream's error is about the gateway's own account,
// and so none of the client's business.
func hidden(r recording) bool {
	switch r.Status {
	case 401, 402, 403:
		return true
	case 400: // xAI's way to refuse a key
		return bytes.Contains(r.Response, []byte("Incorrect API key"))
	}
	return false
}

// final reports whether an error speaks of the request itself: such a one ends it
// at once, and passes as it is if its shape is the protocol's. After any other the
// gateway looks for another route, finds none, and adds what it tried.
func final(r recording) bool {
	switch r.Status {
	case 400, 413, 422:
	default:
		return false
	}
	shape := r.Endpoint.Protocol() != llm.Anthropic || rawjson.EqualString(rawjson.Get(r.Response, "type"), "error")
	inner := rawjson.Get(r.Response, "error")
	return shape && len(inner) > 0 && inner[0] == '{' && !rawjson.EqualString(rawjson.Get(inner, "code"), "model_not_found")
}

// expected is the upstream's answer with the only differences that are allowed.
func expected(r recording) answer {
	switch {
	case hidden(r):
		return answer{status: http.StatusBadGateway}
	case r.Status != http.StatusOK:
		return answer{status: r.Status, body: string(r.Response), same: final(r)}
	case r.SSE != "":
		return expectedStream(r)
	case !rawjson.IsNull(rawjson.Get(r.Response, "error")): // an error in spite of the status
		return answer{status: anyError}
	}
	return answer{status: http.StatusOK, body: string(r.Response)}
}

// event is one event of a stream: its lines and the empty one, and its data.
type event struct{ raw, data string }

var eventEnd = regexp.MustCompile(`\r?\n\r?\n`)

func events(sse string) []event {
	var list []event
	for sse != "" {
		raw := sse
		if at := eventEnd.FindStringIndex(sse); at != nil {
			raw = sse[:at[1]]
		}
		sse = sse[len(raw):]
		var data []string
		for line := range strings.SplitSeq(strings.ReplaceAll(raw, "\r", ""), "\n") {
			if rest, ok := strings.CutPrefix(line, "data:"); ok {
				data = append(data, strings.TrimPrefix(rest, " "))
			}
		}
		list = append(list, event{raw, strings.Join(data, "\n")})
	}
	return list
}

// chunk is what the test has to know of an event's data.
type chunk struct {
	Type    string            `json:"type"`
	Error   json.RawMessage   `json:"error"`
	Usage   json.RawMessage   `json:"usage"`
	Choices []json.RawMessage `json:"choices"`
}

// expectedStream walks through a stream as it has to reach the client.
func expectedStream(r recording) answer {
	want := answer{status: http.StatusOK}
	finished, done := false, false
	for _, e := range events(r.SSE) {
		if done {
			break // nothing follows the proper end
		}
		if e.data == "" { // a comment, or nothing at all
			want.body += e.raw
			continue
		}
		if strings.TrimSpace(e.data) == "[DONE]" {
			done = true
			want.body += whole(e.raw)
			continue
		}
		var c chunk
		if json.Unmarshal([]byte(e.data), &c) != nil {
			want.cut = true
			return want
		}
		if isError(r, c) {
			if want.body == "" {
				return answer{status: anyError} // nothing was sent yet: a failed attempt
			}
			want.cut = true
			return want
		}
		finished = finished || strings.Contains(e.data, `"finish_reason"`) && !onlyNullFinish(e.data)
		if raw, keep := edited(r, e, c); keep {
			want.body += whole(raw)
		}
		done = terminal(r, c)
	}
	if done {
		return want
	}
	if r.Endpoint == llm.ChatCompletions && finished { // a missing [DONE] is added
		want.body += "data: [DONE]\n\n"
		return want
	}
	want.cut = true
	return want
}

var (
	nullUsage  = regexp.MustCompile(`(, ?"usage": ?null)|("usage": ?null, ?)`)
	nullError  = regexp.MustCompile(`(, ?"error": ?null)|("error": ?null, ?)`)
	realFinish = regexp.MustCompile(`"finish_reason": ?"`)
)

func onlyNullFinish(data string) bool { return !realFinish.MatchString(data) }

// edited is an event as the client gets it; keep is false for the usage that
// only the gateway has asked for.
func edited(r recording, e event, c chunk) (raw string, keep bool) {
	raw = e.raw
	if r.Endpoint != llm.ChatCompletions {
		return raw, true
	}
	hide := hidesUsage(r)
	if hide && len(c.Choices) == 0 && len(c.Usage) > 0 && string(c.Usage) != "null" {
		return "", false
	}
	if string(c.Error) == "null" {
		raw = nullError.ReplaceAllString(raw, "")
	}
	if hide && string(c.Usage) == "null" {
		raw = nullUsage.ReplaceAllString(raw, "")
	}
	return raw, true
}

// whole ends a last event that lacks its empty line.
func whole(raw string) string {
	switch {
	case eventEnd.MatchString(raw):
		return raw
	case strings.HasSuffix(raw, "\n"):
		return raw + "\n"
	}
	return raw + "\n\n"
}

func isError(r recording, c chunk) bool {
	return len(c.Error) > 0 && string(c.Error) != "null" || c.Type == "error" || r.Endpoint == llm.ResponsesAPI && c.Type == "response.failed"
}

// terminal reports whether an event is its protocol's last.
func terminal(r recording, c chunk) bool {
	switch r.Endpoint {
	case llm.Messages:
		return c.Type == "message_stop"
	case llm.ResponsesAPI:
		return c.Type == "response.completed" || c.Type == "response.incomplete"
	}
	return false
}

// checkError compares an error answer.
func checkError(t *testing.T, r recording, got string, want answer) {
	t.Helper()
	if want.same && got != want.body {
		t.Errorf("got %.400q, want %.400q as the upstream said", got, want.body)
	}
	if hidden(r) && strings.Contains(got, "API key") {
		t.Errorf("the client is told of the gateway's key: %s", got)
	}
	var shape struct {
		Error struct{ Message string }
	}
	if err := json.Unmarshal([]byte(got), &shape); err != nil || shape.Error.Message == "" {
		t.Errorf("error answer %.400q: %v; want a message", got, err)
	}
}
