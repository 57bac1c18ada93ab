package mock_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"model-proxy/internal/provider/mock"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// serve starts a mock that ends with the test.
func serve(t testing.TB, o mock.Options) (*mock.Mock, string) {
	t.Helper()
	m := mock.New(o)
	srv := httptest.NewServer(m)
	t.Cleanup(srv.Close)
	t.Cleanup(m.Close) // before the server, which waits for its requests
	return m, srv.URL
}

// send makes one request; headers come in pairs.
func send(t testing.TB, method, url, body string, headers ...string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

// fetch makes one request and reads the whole answer.
func fetch(t testing.TB, method, url, body string, headers ...string) (int, string) {
	t.Helper()
	resp := send(t, method, url, body, headers...)
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("read answer: %v", err)
	}
	return resp.StatusCode, string(answer)
}

func await(t testing.TB, m *mock.Mock, cond func([]mock.Entry) bool) {
	t.Helper()
	if err := m.Await(t.Context(), cond); err != nil {
		t.Fatalf("await: %v; ledger %+v", err, m.Requests())
	}
}

func chat(text string, more ...string) string {
	return fmt.Sprintf(`{"model":"m","messages":[{"role":"user","content":%q}]%s}`, text, strings.Join(more, ""))
}

const streamed = `,"stream":true`

var (
	created = regexp.MustCompile(`"created(_at)?":\d+`)
	boring  = strings.NewReplacer("\r\n", "\n")
)

// Each file of testdata holds a path, headers and a request, and the answer to it.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			ar, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			part := map[string]string{}
			for _, f := range ar.Files {
				part[f.Name] = strings.TrimSpace(string(f.Data))
			}
			_, url := serve(t, mock.Options{}) // a new one: ids begin at 1
			resp := send(t, http.MethodPost, url+part["path"], part["request.json"], strings.Fields(part["headers"])...)
			answer, err := io.ReadAll(resp.Body)
			got := fmt.Sprintf("%s\n%s\n\n%s\n", resp.Status, resp.Header.Get("Content-Type"), strings.TrimSpace(string(answer)))
			if err != nil {
				got += "error: " + err.Error() + "\n"
			}
			got = boring.Replace(created.ReplaceAllString(got, `"created$1":0`))
			if *update {
				rewrite(t, file, ar, got)
				return
			}
			if d := cmp.Diff(part["answer"], strings.TrimSpace(got)); d != "" {
				t.Errorf("(-want +got)\n%s", d)
			}
		})
	}
}

// rewrite puts the answer last in the file.
func rewrite(t *testing.T, file string, ar *txtar.Archive, answer string) {
	t.Helper()
	kept := ar.Files[:0]
	for _, f := range ar.Files {
		if f.Name != "answer" {
			kept = append(kept, f)
		}
	}
	ar.Files = append(kept, txtar.File{Name: "answer", Data: []byte(answer)})
	if err := os.WriteFile(file, txtar.Format(ar), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestPaths(t *testing.T) {
	tests := []struct {
		method, path, body string
		status             int
		want               string
	}{
		{"POST", "/v1/chat/completions", chat("hi"), 200, `"model":"m"`},
		{"POST", "/openai/v1/chat/completions", chat("hi"), 200, `"model":"m"`},
		{"POST", "/openai/deployments/gpt-x/chat/completions?api-version=1", `{"messages":[{"role":"user","content":"hi"}]}`, 200, `"model":"gpt-x"`},
		{"POST", "/v1/messages/count_tokens", chat("12345678"), 200, `{"input_tokens":2}`},
		{"POST", "/v1/responses/input_tokens", `{"model":"m","input":"12345678"}`, 200, `{"object":"response.input_tokens","input_tokens":2}`},
		{"POST", "/v1/embeddings", `{"model":"e","input":["a","b"],"dimensions":2}`, 200, `"embedding":[0,1]`},
		{"POST", "/v1/embeddings", `{"model":"e","input":"a","dimensions":1,"encoding_format":"base64"}`, 200, `"embedding":"AACAPw=="`},
		{"POST", "/v1/embeddings", `{"model":"e","input":[1,2,3]}`, 200, `"index":0`},
		{"GET", "/v1/models", "", 200, `"object":"list"`},
		{"GET", "/v1/models/gpt-9", "", 200, `{"id":"gpt-9"`},
		{"GET", "/v1/other", "", 404, `"type":"invalid_request_error"`},
		{"POST", "/v1/chat/completions", `{"model"`, 400, `"type":"invalid_request_error"`},
		{"POST", "/v1/messages", `{}`, 400, `{"type":"error","error":{"type":"invalid_request_error"`},
	}
	_, url := serve(t, mock.Options{})
	for _, tt := range tests {
		status, got := fetch(t, tt.method, url+tt.path, tt.body)
		if status != tt.status || !strings.Contains(got, tt.want) || !json.Valid([]byte(got)) {
			t.Errorf("%s %s: got %d %s; want %d and %s", tt.method, tt.path, status, got, tt.status, tt.want)
		}
	}
	if _, got := fetch(t, "GET", url+"/v1/models", "", "anthropic-version", "2023-06-01"); !strings.Contains(got, `"type":"model"`) {
		t.Errorf("models for Anthropic's clients: got %s", got)
	}
}

func TestAnswers(t *testing.T) {
	const weather = `,"tools":[{"type":"function","function":{"name":"a","parameters":{}}},{"type":"function","function":{"name":"b","parameters":{}}}]`
	tests := []struct{ name, body, want string }{
		{"echo", chat("hi"), `"content":"You said: hi"`},
		{"weather", chat("the Weather?", weather), `"name":"a"`},
		{"not the weather", chat("hi", weather), `"content":"You said: hi"`},
		{"no tools", chat("weather"), `"content":"You said: weather"`},
		{"choice none", chat("weather", weather, `,"tool_choice":"none"`), `"content":"You said: weather"`},
		{"choice required", chat("hi", weather, `,"tool_choice":"required"`), `"finish_reason":"tool_calls"`},
		{"choice by name", chat("hi", weather, `,"tool_choice":{"type":"function","function":{"name":"b"}}`), `"name":"b"`},
		{"forced ends with stop", chat("hi", weather, `,"tool_choice":{"type":"function","function":{"name":"b"}}`), `"finish_reason":"stop"`},
		{"tool result", `{"model":"m","messages":[{"role":"user","content":"weather"},{"role":"assistant","content":null},{"role":"tool","content":"rain"}]` + weather + `}`, `"content":"The tool said: rain"`},
		{"image", `{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"look"},{"type":"image_url","image_url":{"url":"data:"}}]}]}`, `I see 1 image(s). You said: look`},
		{"image tokens", `{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"look"},{"type":"image_url","image_url":{"url":"data:"}}]}]}`, `"prompt_tokens":86`},
		{"length", chat("a long question", `,"max_tokens":2`), `"content":"You said"`},
		{"length reason", chat("a long question", `,"max_tokens":2`), `"finish_reason":"length"`},
		{"length tokens", chat("a long question", `,"max_tokens":2`), `"completion_tokens":2`},
		{"schema", chat("hi", `,"response_format":{"type":"json_schema","json_schema":{"schema":{"type":"object","properties":{"city":{"type":"string"}}}}}`), `"content":"{\"city\":\"Paris\"}"`},
		{"cached", chat("0123456789abcdef", `,"x":{"cache_control":{}}`), `"cached_tokens":2`},
	}
	_, url := serve(t, mock.Options{})
	for _, tt := range tests {
		if _, got := fetch(t, "POST", url+"/v1/chat/completions", tt.body); !strings.Contains(got, tt.want) {
			t.Errorf("%s: got %s; want %s", tt.name, got, tt.want)
		}
	}
}

func TestFaults(t *testing.T) {
	const chatPath, messagesPath = "/v1/chat/completions", "/v1/messages"
	tests := []struct {
		name, path, more string
		headers          []string
		status           int
		want             string
		events           int // in a stream; -1: any
		err              error
		outcome          mock.Outcome
	}{
		{"status", chatPath, streamed, []string{"X-Mock-Status", "429", "X-Mock-Retry-After", "7"}, 429, `"type":"rate_limit_error"`, 0, nil, mock.OutcomeError},
		{"overloaded", messagesPath, "", []string{"X-Mock-Status", "529"}, 529, `"type":"overloaded_error"`, 0, nil, mock.OutcomeError},
		{"own error", chatPath, "", []string{"X-Mock-Status", "400", "X-Mock-Error-Type", "odd", "X-Mock-Error-Message", "no \"way\""}, 400, `{"error":{"message":"no \"way\"","type":"odd"`, 0, nil, mock.OutcomeError},
		{"error in the stream", messagesPath, streamed, []string{"X-Mock-First-Event-Error", "1"}, 200, "event: error\ndata: {\"type\":\"error\"", 1, nil, mock.OutcomeError},
		{"error in a plain 200", chatPath, "", []string{"X-Mock-First-Event-Error", "1"}, 200, `{"error":`, 0, nil, mock.OutcomeError},
		{"cut", chatPath, streamed, []string{"X-Mock-Cut-After", "2"}, 200, `"content":"You "`, 2, io.ErrUnexpectedEOF, mock.OutcomeCut},
		{"cut at once", chatPath, streamed, []string{"X-Mock-Cut-After", "0"}, 200, "", 0, io.ErrUnexpectedEOF, mock.OutcomeCut},
		{"cut behind the end", chatPath, streamed, []string{"X-Mock-Cut-After", "6"}, 200, "[DONE]", 6, io.ErrUnexpectedEOF, mock.OutcomeCut},
		{"cut plain", chatPath, "", []string{"X-Mock-Cut-After", "1"}, 200, `{"id"`, 0, io.ErrUnexpectedEOF, mock.OutcomeCut},
		{"malformed", chatPath, streamed, []string{"X-Mock-Malformed-After", "1"}, 200, `"object":"chat.com`, 6, nil, mock.OutcomeDone},
		{"no done", chatPath, streamed, []string{"X-Mock-No-Done", "1"}, 200, `"finish_reason":"stop"`, 5, nil, mock.OutcomeDone},
		{"no message_stop", messagesPath, streamed, []string{"X-Mock-No-Done", "1"}, 200, `"stop_reason":"end_turn"`, -1, nil, mock.OutcomeDone},
		{"chunks", chatPath, streamed, []string{"X-Mock-Chunks", "50"}, 200, "[DONE]", 53, nil, mock.OutcomeDone},
		{"text", chatPath, streamed, []string{"X-Mock-Text", "abcdef", "X-Mock-Chunks", "3"}, 200, `"content":"cd"`, 6, nil, mock.OutcomeDone},
		{"short text", chatPath, streamed, []string{"X-Mock-Text", "é", "X-Mock-Chunks", "3"}, 200, `"content":"é"`, 4, nil, mock.OutcomeDone},
		{"waits", chatPath, streamed, []string{"X-Mock-Ttft", "2ms", "X-Mock-Delay", "1"}, 200, "[DONE]", 6, nil, mock.OutcomeDone},
		{"unknown header", chatPath, "", []string{"X-Mock-Colour", "1"}, 400, `X-Mock-Colour`, 0, nil, mock.OutcomeError},
		{"bad header", chatPath, "", []string{"X-Mock-Chunks", "-1"}, 400, `X-Mock-Chunks`, 0, nil, mock.OutcomeError},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m, url := serve(t, mock.Options{})
			resp := send(t, "POST", url+tt.path, chat("hi", tt.more), tt.headers...)
			answer, err := io.ReadAll(resp.Body)
			if resp.StatusCode != tt.status || !strings.Contains(string(answer), tt.want) || !errors.Is(err, tt.err) {
				t.Errorf("got %d, error %v, %s; want %d, %v, %s", resp.StatusCode, err, answer, tt.status, tt.err, tt.want)
			}
			await(t, m, func(list []mock.Entry) bool { return list[0].Outcome != mock.OutcomeRunning })
			e := m.Requests()[0]
			events := strings.Count(string(answer), "\n\n")
			if e.Outcome != tt.outcome || e.Status != tt.status || int(e.Chunks) != events || tt.events >= 0 && events != tt.events {
				t.Errorf("got outcome %s, status %d, %d events of which the ledger says %d; want %s, %d, %d", e.Outcome, e.Status, events, e.Chunks, tt.outcome, tt.status, tt.events)
			}
		})
	}
}

func TestRetryAfter(t *testing.T) {
	_, url := serve(t, mock.Options{Fault: mock.Fault{Status: 503, RetryAfter: "7"}})
	if got := send(t, "POST", url+"/v1/messages", chat("hi")).Header.Get("Retry-After"); got != "7" {
		t.Errorf("Retry-After: got %q, want 7", got)
	}
}

func TestBodySize(t *testing.T) {
	_, url := serve(t, mock.Options{})
	for _, more := range []string{"", streamed} {
		_, got := fetch(t, "POST", url+"/v1/chat/completions", chat("hi", more), "X-Mock-Body-Size", "100000", "X-Mock-Chunks", "1")
		if len(got) < 100000 || len(got) > 102000 {
			t.Errorf("%q: got %d bytes, want a little over 100000", more, len(got))
		}
	}
}

func TestWhoDecides(t *testing.T) {
	m, url := serve(t, mock.Options{Fault: mock.Fault{Status: 500}})
	post := func(headers ...string) int {
		status, _ := fetch(t, "POST", url+"/v1/chat/completions", chat("hi"), headers...)
		return status
	}
	if got := post(); got != 500 {
		t.Errorf("options: got %d, want 500", got)
	}
	m.FailKey("k2", mock.Fault{Status: 429})
	if got := post("Authorization", "Bearer k2"); got != 429 {
		t.Errorf("key: got %d, want 429", got)
	}
	if got := post("x-api-key", "k1"); got != 500 {
		t.Errorf("another key: got %d, want 500", got)
	}
	m.Script(func(r *mock.Request) *mock.Fault {
		if r.Model != "m" || r.Key != "k2" {
			return nil
		}
		return &mock.Fault{Status: 401}
	})
	if got := post("Authorization", "bearer k2"); got != 401 {
		t.Errorf("script: got %d, want 401", got)
	}
	if got := post("Authorization", "Bearer k2", "X-Mock-Status", "402"); got != 402 {
		t.Errorf("header: got %d, want 402", got)
	}
	m.Script(nil)
	m.FailKey("k2", mock.Fault{})
	if got := post("Authorization", "Bearer k2"); got != 500 {
		t.Errorf("healed: got %d, want 500", got)
	}
}

func TestClientGoes(t *testing.T) {
	for name, tt := range map[string]struct {
		headers []string
		read    int // events read before the client goes
		want    mock.Outcome
	}{
		"before the answer": {[]string{"X-Mock-Ttft", "1h"}, 0, mock.OutcomeCancelled},
		"between events":    {[]string{"X-Mock-Delay", "1h"}, 2, mock.OutcomeCancelled},
		"stalled":           {[]string{"X-Mock-Stall-After", "2"}, 2, mock.OutcomeStalled},
	} {
		t.Run(name, func(t *testing.T) {
			m, url := serve(t, mock.Options{})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			req, err := http.NewRequestWithContext(ctx, "POST", url+"/v1/chat/completions", strings.NewReader(chat("hi", streamed)))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set(tt.headers[0], tt.headers[1])
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				defer cancel()
				if resp, err := http.DefaultClient.Do(req); err == nil {
					readEvents(resp.Body, tt.read)
					resp.Body.Close()
				}
			}()
			await(t, m, func(list []mock.Entry) bool { return len(list) == 1 })
			if tt.read == 0 {
				cancel()
			}
			<-ended
			await(t, m, func(list []mock.Entry) bool { return list[0].Outcome != mock.OutcomeRunning })
			if e := m.Requests()[0]; e.Outcome != tt.want || e.CancelledMS == nil || int(e.Chunks) != tt.read {
				t.Errorf("got outcome %s, %d events, cancelled after %v ms; want %s, %d and a time", e.Outcome, e.Chunks, e.CancelledMS, tt.want, tt.read)
			}
		})
	}
}

// readEvents reads n events and no further.
func readEvents(body io.Reader, n int) {
	lines := bufio.NewReader(body)
	for n > 0 {
		line, err := lines.ReadString('\n')
		if err != nil {
			return
		}
		if line == "\n" {
			n--
		}
	}
}

func TestCloseEndsStalls(t *testing.T) {
	m, url := serve(t, mock.Options{Fault: mock.Fault{StallAfter: new(1)}})
	resp := send(t, "POST", url+"/v1/chat/completions", chat("hi", streamed))
	m.Close()
	m.Close()
	if _, err := io.ReadAll(resp.Body); err != nil {
		t.Errorf("got error %v, want a plain end", err)
	}
}

func BenchmarkStream(b *testing.B) {
	m := mock.New(mock.Options{Fault: mock.Fault{Chunks: 50}})
	body := chat(strings.Repeat("some words of a question ", 80), streamed)
	b.ReportAllocs()
	for b.Loop() {
		req := httptest.NewRequest("POST", "/v1/chat/completions", strings.NewReader(body))
		m.ServeHTTP(discard{http.Header{}}, req)
	}
}

// discard is a ResponseWriter that keeps nothing.
type discard struct{ h http.Header }

func (d discard) Header() http.Header         { return d.h }
func (d discard) Write(p []byte) (int, error) { return len(p), nil }
func (d discard) WriteHeader(int)             {}
