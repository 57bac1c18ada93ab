package convert

import (
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"model-proxy/internal/llm"
	"model-proxy/internal/rawjson"
)

// pairs are the conversions there are, client first.
var pairs = [][2]llm.Protocol{
	{llm.OpenAI, llm.Anthropic}, {llm.Anthropic, llm.OpenAI}, {llm.Responses, llm.OpenAI},
	{llm.Responses, llm.Anthropic}, {llm.OpenAI, llm.Responses}, {llm.Anthropic, llm.Responses},
}

// hello is a request that every protocol takes.
const hello = `{"max_tokens":9,"messages":[{"role":"user","content":"x"}],"input":"x"}`

// seed gives f that section of every golden file.
func seed(f *testing.F, section string) {
	files, err := filepath.Glob("testdata/*_to_*/*.txtar")
	if err != nil || len(files) == 0 {
		f.Fatalf("no golden files, error %v", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for _, s := range txtar.Parse(data).Files {
			if s.Name == section {
				f.Add(s.Data)
			}
		}
	}
}

// Whatever object a client sends, the target gets valid JSON or the client a
// refusal; what passes through for one protocol and back is unharmed.
func FuzzRequest(f *testing.F) {
	seed(f, "request.json")
	f.Fuzz(func(t *testing.T, body []byte) {
		body = []byte(strings.TrimSpace(string(body)))
		if !rawjson.Valid(body) || body[0] != '{' {
			return
		}
		sent := string(body)
		defer func() {
			if string(body) != sent {
				t.Fatalf("the client's bytes have become %s", body)
			}
		}()
		for _, p := range pairs {
			x, err := New(Input{Client: p[0], Endpoint: endpoints[p[0]], Body: body, Model: "m"}, Target{Protocol: p[1], Provider: "up", Model: "up"})
			var e *llm.Error
			if err != nil {
				if !errors.As(err, &e) || e.Kind != llm.BadRequest {
					t.Fatalf("error %v, want a bad_request", err)
				}
				continue
			}
			if err := rawjson.Validate(x.Body()); err != nil {
				t.Fatalf("%s to %s: %v in %s", p[0], p[1], err, x.Body())
			}
			back, err := New(Input{Client: p[1], Endpoint: endpoints[p[1]], Body: x.Body(), Model: "m"}, Target{Protocol: p[0], Provider: "up", Model: "up"})
			if err == nil && !rawjson.Valid(back.Body()) {
				t.Fatalf("back again: %s", back.Body())
			}
		}
	})
}

// Whatever an upstream sends, a client's stream keeps the rules of its SDKs,
// ends properly exactly if no error is told, and is the same whether or not
// events are known from those before them.
func FuzzStream(f *testing.F) {
	seed(f, "answer.sse")
	search := map[string]json.RawMessage{"tools": json.RawMessage(`[{"type":"web_search_20250305","name":"web_search"}]`)} // so that answers may pause
	f.Fuzz(func(t *testing.T, sse []byte) {
		for _, p := range pairs {
			for _, stream := range []bool{true, false} {
				made := func() *Exchange {
					target := Target{Protocol: p[1], Provider: "up", Model: "up", Quirks: llm.Quirks{ReasoningCache: len(sse)%5 == 0}}
					if p[1] == llm.Anthropic && len(sse)%2 == 0 {
						target.Defaults = search
					}
					x, err := New(Input{Client: p[0], Endpoint: endpoints[p[0]], Stream: stream, Body: []byte(hello), Model: "m", ContentBlocks: len(sse)%3 == 0}, target)
					if err != nil {
						t.Fatal(err)
					}
					return x
				}
				x := made()
				got, _, err := relay(x, string(sse))
				alone, _, errAlone := relayEach(made(), string(sse), func(s *Stream) { s.repeat = repeat{} })
				if got != alone || (err == nil) != (errAlone == nil) {
					t.Fatalf("%s from %s: got %s, error %v; each event alone %s, error %v", p[0], p[1], got, err, alone, errAlone)
				}
				if key, thinking := x.Kept(); key != "" && !rawjson.Valid(thinking) {
					t.Fatalf("%s from %s: kept %s", p[0], p[1], thinking)
				}
				if x.Paused() {
					if x.Continue(); !rawjson.Valid(x.Body()) {
						t.Fatalf("%s from %s goes on with %s", p[0], p[1], x.Body())
					}
					continue
				}
				if !stream {
					if err == nil && !rawjson.Valid([]byte(got)) {
						t.Fatalf("%s from %s: not JSON: %s", p[0], p[1], got)
					}
					continue
				}
				faults, whole := streamFaults(p[0], got)
				if faults != nil || whole != (err == nil) {
					t.Fatalf("%s from %s: %v, whole %v, error %v\n%s", p[0], p[1], faults, whole, err, got)
				}
			}
		}
	})
}

// Whatever an upstream calls an error, a client gets one in its own shape.
func FuzzError(f *testing.F) {
	seed(f, "answer.json")
	f.Add([]byte("<html>502</html>"))
	f.Add([]byte(`{"error":{"message":"'temperature' is not supported","param":"temperature"}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, p := range []llm.Protocol{llm.OpenAI, llm.Anthropic, llm.Responses} {
			x, err := New(Input{Client: p, Endpoint: endpoints[p], Body: []byte(`{"model":"m"}`)}, Target{Protocol: p, Model: "m"})
			if err != nil {
				t.Fatal(err)
			}
			for _, status := range []int{200, 400, 401, 429, 500, 503} {
				e := x.Error(status, http.Header{}, body)
				if told := AppendError(nil, p, e, "r"); !rightShape(p, told) || e.HTTPStatus(p) < 400 {
					t.Fatalf("%d %q became %d %s", status, body, e.HTTPStatus(p), told)
				}
			}
			if _, err := x.Answer(nil, 200, http.Header{}, body); err == nil && !rawjson.Valid(body) {
				t.Fatalf("%q passed as an answer", body)
			}
		}
		for _, p := range pairs {
			x, err := New(Input{Client: p[0], Endpoint: endpoints[p[0]], Body: []byte(`{"temperature":1,` + hello[1:]), Model: "m"}, Target{Protocol: p[1], Model: "m"})
			if err != nil {
				t.Fatal(err)
			}
			if x.WithoutRefused(400, body) && !rawjson.Valid(x.Body()) {
				t.Fatalf("%q made the request %s", body, x.Body())
			}
		}
	})
}
