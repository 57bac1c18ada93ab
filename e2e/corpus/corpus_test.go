// Package corpus_test sends recorded traffic through a running gateway, in front
// of an upstream that answers as recorded, and compares every byte on both sides.
package corpus_test

import (
	"bytes"
	"encoding/json"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"model-proxy/e2e/gatewaytest"
	"model-proxy/internal/llm"
	"model-proxy/internal/provider/mock"
	"model-proxy/internal/rawjson"
)

func TestMain(m *testing.M) { os.Exit(gatewaytest.Main(m)) }

// recording is one file of the corpus: what a client sent and a provider said.
type recording struct {
	ID              string            `json:"id"`
	Endpoint        llm.Endpoint      `json:"endpoint"`
	Stream          bool              `json:"stream"`
	Request         json.RawMessage   `json:"request"`
	Status          int               `json:"status"`
	ResponseHeaders map[string]string `json:"response_headers"`
	Response        json.RawMessage   `json:"response"`
	SSE             string            `json:"sse"`
}

// load reads the recordings from the folder that CORPUS names.
func load(t *testing.T) []recording {
	t.Helper()
	dir := os.Getenv("CORPUS")
	if dir == "" {
		t.Skip("CORPUS is not set: no recorded traffic was swept; set it to the folder of the recordings")
	}
	var all []recording
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".json" {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var r recording
		if err := json.Unmarshal(data, &r); err != nil {
			return err
		}
		all = append(all, r)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) == 0 {
		t.Fatalf("no recordings in CORPUS=%s", dir)
	}
	return all
}

// Models that clients ask for, and what they are upstream.
var models = map[llm.Protocol]string{llm.OpenAI: "corpus-chat", llm.Anthropic: "corpus-messages", llm.Responses: "corpus-responses"}

const upstreamSuffix = "-upstream"

// idHeader tells the upstream which recording to answer with. It is among the
// forwarded headers of the test's providers.
const idHeader = "X-Recording"

// setup serves each protocol by a provider of its own, which never rests.
func setup(url string) gatewaytest.Setup {
	s := gatewaytest.Setup{Env: []string{"KEY_COOLDOWN_SECONDS=0", "CORPUS_API_KEY=sk-e2e-corpus-40b1c9"}, Files: map[string]gatewaytest.JSON{}}
	for protocol, model := range models {
		provider := gatewaytest.With(gatewaytest.Provider(model, string(protocol), url), gatewaytest.JSON{
			"forward_headers": []string{idHeader}, "vendor": model, "api_keys": gatewaytest.JSON{"env_var_patterns": []string{"CORPUS_API_KEY"}}})
		s.Files["providers/"+model+".json"] = provider
		s.Files["models/"+model+".json"] = gatewaytest.Model(model, model)
	}
	return s
}

// replay answers with the recordings and keeps the last request for each.
type replay struct {
	byID map[string]recording

	mu   sync.Mutex // guards seen
	seen map[string][]byte
}

func (p *replay) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the gateway has gone
	}
	id := r.Header.Get(idHeader)
	p.mu.Lock()
	p.seen[id] = body
	p.mu.Unlock()
	one, ok := p.byID[id]
	if !ok {
		http.Error(w, "no such recording: "+id, http.StatusNotFound)
		return
	}
	answer, header := one.answer(), http.Header{"Content-Type": {"application/json"}}
	if one.SSE != "" {
		header.Set("Content-Type", "text/event-stream")
	}
	for name, value := range one.ResponseHeaders {
		header.Set(name, value)
	}
	header.Del("Content-Length")
	// Pieces of an odd size cut events, lines and runes anywhere.
	mock.Replay(one.Status, header, answer, mock.Every(max(37, len(answer)/200))).ServeHTTP(w, r)
}

func (p *replay) request(id string) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen[id]
}

// answer is what the upstream says.
func (r recording) answer() []byte {
	if r.SSE != "" {
		return []byte(r.SSE)
	}
	return r.Response
}

// body is what the client sends: the recorded request for a model of ours, or a
// made one where only the answer is known.
func (r recording) body() []byte {
	model := models[r.Endpoint.Protocol()]
	body := []byte(r.Request)
	if len(body) == 0 || body[0] != '{' {
		body = []byte(`{"max_tokens":1000,"messages":[{"role":"user","content":"hello"}]}`)
		if r.Endpoint == llm.ResponsesAPI {
			body = []byte(`{"input":"hello"}`)
		}
	}
	drop := map[string]bool{`"model"`: true, `"stream"`: true}
	body = rawjson.AppendWithout(nil, body, func(name, _ []byte) bool { return drop[string(name)] })
	var e rawjson.Edits
	e.Add("model", rawjson.AppendString(nil, model))
	if r.SSE != "" {
		e.Add("stream", []byte("true"))
	}
	return e.Append(nil, body)
}

// asksForUsage is the same recording for a client who asks for the stream's
// usage: then not a byte may differ.
func asksForUsage(r recording) recording {
	body := r.Request
	if len(body) == 0 || body[0] != '{' {
		body = []byte(`{"messages":[{"role":"user","content":"hello"}]}`)
	}
	body = rawjson.AppendWithout(nil, body, func(name, _ []byte) bool { return string(name) == `"stream_options"` })
	var e rawjson.Edits
	e.Add("stream_options", []byte(`{"include_usage":true}`))
	r.Request = e.Append(nil, body)
	r.ID += "-with-usage"
	return r
}

// counts says what was compared.
type counts struct{ plain, streams, errors, cut, upstream atomic.Int64 }

// Where client and upstream speak one protocol, bytes pass through the running
// gateway as they are, but for the differences that expected spells out.
func TestSameProtocol(t *testing.T) {
	all := load(t)
	for _, r := range all {
		if hidesUsage(r) {
			all = append(all, asksForUsage(r))
		}
	}
	p := &replay{byID: map[string]recording{}, seen: map[string][]byte{}}
	for _, r := range all {
		p.byID[r.ID] = r
	}
	u := gatewaytest.NewUpstream(t, mock.Options{})
	u.Instead(p)
	g := gatewaytest.Run(t, u, setup(u.URL))
	var n counts
	t.Run("recordings", func(t *testing.T) {
		for _, r := range all {
			t.Run(r.ID, func(t *testing.T) {
				t.Parallel()
				sweep(t, g, p, r, &n)
			})
		}
	})
	t.Logf("%d recordings: %d plain answers, %d streams, %d streams with an error, %d errors; %d requests compared",
		len(all), n.plain.Load(), n.streams.Load(), n.cut.Load(), n.errors.Load(), n.upstream.Load())
	gatewaytest.Await(t, 20*time.Second, "a record for each request", func() bool { return len(g.Requests(t, "")) >= len(all) })
	if got := len(g.Requests(t, "")); got != len(all) {
		t.Errorf("%d request records, want %d", got, len(all))
	}
}

func sweep(t *testing.T, g *gatewaytest.Gateway, p *replay, r recording, n *counts) {
	sent := r.body()
	a := g.Do(t, gatewaytest.Request{Path: string(r.Endpoint), Body: string(sent),
		Header: map[string]string{idHeader: r.ID, "X-Request-Id": "corpus", "Anthropic-Version": "2023-06-01"}})
	if a.Err != nil {
		t.Fatalf("the answer ended with %v after %q", a.Err, a.Body)
	}
	if want := requestUpstream(r, sent); !bytes.Equal(p.request(r.ID), want) {
		t.Errorf("the upstream got %.400q, want %.400q", p.request(r.ID), want)
	}
	n.upstream.Add(1)
	want := expected(r)
	if want.status == anyError && a.Status >= 400 {
		want.status = a.Status
	}
	if a.Status != want.status {
		t.Fatalf("got %d: %.400s; want %d for the upstream's %d: %.300s", a.Status, a.Body, want.status, r.Status, r.answer())
	}
	switch {
	case want.status != http.StatusOK:
		n.errors.Add(1)
		checkError(t, r, a.Body, want)
	case r.SSE == "":
		n.plain.Add(1)
		if a.Body != want.body {
			t.Errorf("got %.400q, want %.400q", a.Body, want.body)
		}
	case want.cut:
		n.cut.Add(1)
		if !strings.HasPrefix(a.Body, want.body) || !strings.Contains(a.Body[len(want.body):], "error") {
			t.Errorf("got %q, want %q and an error event", a.Body, want.body)
		}
	default:
		n.streams.Add(1)
		if a.Body != want.body {
			t.Errorf("got %q, want %q", a.Body, want.body)
		}
	}
}

// requestUpstream is what the upstream has to get: the client's bytes with
// another model, and with its usage asked for where a stream of Chat Completions
// did not.
func requestUpstream(r recording, sent []byte) []byte {
	model := models[r.Endpoint.Protocol()]
	want := bytes.Replace(sent, []byte(`"model":"`+model+`"`), []byte(`"model":"`+model+upstreamSuffix+`"`), 1)
	if !hidesUsage(r) {
		return want
	}
	options := rawjson.Get(sent, "stream_options")
	if options == nil {
		members := bytes.TrimRight(bytes.TrimSuffix(want, []byte("}")), " \n")
		return slices.Concat(members, []byte(`,"stream_options":{"include_usage":true}`), want[len(members):])
	}
	return want
}

// hidesUsage reports whether the gateway asks for usage that the client did not
// ask for.
func hidesUsage(r recording) bool {
	return r.SSE != "" && r.Endpoint == llm.ChatCompletions && string(rawjson.Get(r.Request, "stream_options", "include_usage")) != "true"
}
