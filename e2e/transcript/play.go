package transcript

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"model-proxy/internal/provider/mock"
)

// ModelPrefix begins the names of the upstream models that the script plays.
// One that also has "forgetful" in its name allows clients that do not send
// thinking back.
const ModelPrefix = "script"

// protocol judges a request and writes the round that is due.
type protocol struct {
	path   string
	turns  func(request map[string]any) ([]turn, error)
	wire   wire
	answer func(n int, r Round, request map[string]any) []byte
	stream func(n int, r Round, request map[string]any) []byte
	refuse func(message string) any
}

var protocols = []protocol{chat, messages, responses}

// Handler plays t for models whose names begin with ModelPrefix, at the paths
// of the three protocols. Everything else goes to others. A request that breaks
// a rule gets a 400 that says which.
func (t *Transcript) Handler(others http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the gateway has gone
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		var request map[string]any
		_ = json.Unmarshal(body, &request) // what is no object names no model
		model, _ := request["model"].(string)
		for _, p := range protocols {
			if strings.HasPrefix(model, ModelPrefix) && strings.HasSuffix(r.URL.Path, p.path) {
				t.play(w, r, p, body)
				return
			}
		}
		others.ServeHTTP(w, r)
	})
}

func (t *Transcript) play(w http.ResponseWriter, r *http.Request, p protocol, body []byte) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var request map[string]any
	if err := d.Decode(&request); err != nil {
		refuse(w, r, p, err)
		return
	}
	turns, err := p.turns(request)
	if err != nil {
		refuse(w, r, p, err)
		return
	}
	model, _ := request["model"].(string)
	how := rules{wire: p.wire, remembers: !strings.Contains(model, "forgetful")}
	if strings.HasPrefix(r.Header.Get("User-Agent"), "Anthropic/") {
		how.numbers = asFloats // its libraries decode what a tool is called with, and encode it again
	}
	n, err := t.judge(turns, how)
	if err != nil {
		refuse(w, r, p, err)
		return
	}
	if request["stream"] == true {
		mock.Replay(http.StatusOK, http.Header{"Content-Type": {"text/event-stream"}}, p.stream(n, t.Rounds[n], request), mock.Every(211)).ServeHTTP(w, r)
		return
	}
	reply(w, r, http.StatusOK, p.answer(n, t.Rounds[n], request))
}

func refuse(w http.ResponseWriter, r *http.Request, p protocol, err error) {
	reply(w, r, http.StatusBadRequest, encode(p.refuse(err.Error())))
}

func reply(w http.ResponseWriter, r *http.Request, status int, body []byte) {
	mock.Replay(status, http.Header{"Content-Type": {"application/json"}}, body, nil).ServeHTTP(w, r)
}

type object = map[string]any

// encode is v as compact JSON without HTML escapes, as providers write it.
func encode(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(err) // what is encoded here is made here
	}
	return bytes.TrimSpace(b.Bytes())
}

// pieces cuts text into runs of n characters.
func pieces(text string, n int) (list []string) {
	for runes := []rune(text); len(runes) > 0; {
		k := min(n, len(runes))
		list, runes = append(list, string(runes[:k])), runes[k:]
	}
	return list
}

// list returns the members of a JSON array that are objects.
func list(v any) (all []object) {
	items, _ := v.([]any)
	for _, item := range items {
		if o, ok := item.(object); ok {
			all = append(all, o)
		}
	}
	return all
}

func text(v any) string {
	s, _ := v.(string)
	return s
}

// textOf is a content that is a string or a list of parts with texts.
func textOf(v any) (string, error) {
	if s, ok := v.(string); ok || v == nil {
		return s, nil
	}
	all := ""
	for _, part := range list(v) {
		s, ok := part["text"].(string)
		if !ok {
			return "", fmt.Errorf("a part of the type %v where only text may stand", part["type"])
		}
		all += s
	}
	return all, nil
}
