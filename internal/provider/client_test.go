package provider

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"model-proxy/config"
	"model-proxy/internal/provider/mock"
)

const chatBody = `{"model":"gpt-4o-mini","stream":true,"messages":[{"role":"user","content":"hello there"}]}`

func newClient(t testing.TB) *Client {
	t.Helper()
	c := New(Options{})
	t.Cleanup(c.Close)
	return c
}

// serve starts a server that ends with the test.
func serve(t testing.TB, h http.Handler) string {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv.URL
}

// serveMock starts a simulated provider.
func serveMock(t testing.TB) (*mock.Mock, string) {
	t.Helper()
	m := mock.New(mock.Options{})
	url := serve(t, m)
	t.Cleanup(m.Close) // before the server, which waits for its requests
	return m, url
}

func do(t testing.TB, c *Client, call Call) *Answer {
	t.Helper()
	a, err := c.Do(t.Context(), call)
	if err != nil {
		t.Fatalf("Do: %v", err)
	}
	t.Cleanup(a.Close)
	return a
}

// readStream reads all events of a.
func readStream(a *Answer) ([]event, error) {
	var list []event
	for {
		events, err := a.Next()
		if err != nil {
			return list, err
		}
		for _, e := range events {
			list = append(list, keep(e))
		}
	}
}

func rawOf(list []event) string {
	var b strings.Builder
	for _, e := range list {
		b.WriteString(e.Raw)
	}
	return b.String()
}

func TestStreamFromMock(t *testing.T) {
	_, url := serveMock(t)
	c := newClient(t)
	a := do(t, c, Call{URL: url + "/v1/chat/completions", Body: []byte(chatBody), Stream: true})
	if a.Status != 200 || !a.EventStream() {
		t.Errorf("got status %d, event stream %v; want 200, true", a.Status, a.EventStream())
	}
	events, err := readStream(a)
	if err != io.EOF {
		t.Errorf("got error %v, want EOF", err)
	}
	if n := len(events); n < 3 || events[n-1].Data != "[DONE]" {
		t.Errorf("got %d events, want several and [DONE] last", n)
	}
	if _, err := a.Next(); err != io.EOF {
		t.Errorf("Next after the end: got %v, want EOF", err)
	}
}

func TestRawIsWhatCame(t *testing.T) {
	const body = "\xef\xbb\xbf: hi\r\n\r\ndata: {\"a\":1}\n\nevent: x\ndata: b\n\n\n\ndata: left over"
	header := http.Header{"Content-Type": {"text/event-stream"}}
	for _, chunking := range []mock.Chunking{mock.Whole, mock.Every(1), mock.Every(7)} {
		a := do(t, newClient(t), Call{URL: serve(t, mock.Replay(200, header, []byte(body), chunking)), Stream: true})
		events, err := readStream(a)
		if got := rawOf(events); got != body || err != io.EOF {
			t.Errorf("got %q, error %v; want %q, EOF", got, err, body)
		}
	}
}

func TestReadAll(t *testing.T) {
	body := strings.Repeat("0123456789", 2000)
	tests := []struct {
		name     string
		status   int
		chunking mock.Chunking
		limit    int64
		want     string
		err      error
	}{
		{"plain", 200, nil, 1 << 20, body, nil},
		{"error body", 429, mock.Every(100), 1 << 20, body, nil},
		{"exactly the limit", 200, mock.Every(3000), 20000, body, nil},
		{"over the limit", 200, nil, 19999, body[:19999], ErrBodyTooLarge},
		{"far over the limit", 500, nil, 10, body[:10], ErrBodyTooLarge},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, sniffed := range []string{"before", "never"} {
				a := do(t, newClient(t), Call{URL: serve(t, mock.Replay(tt.status, nil, []byte(body), tt.chunking))})
				if sniffed == "before" && a.EventStream() {
					t.Error("EventStream: got true, want false")
				}
				got, err := a.ReadAll(tt.limit)
				if string(got) != tt.want || err != tt.err || a.Status != tt.status {
					t.Errorf("sniffed %s: got status %d, %d bytes, error %v; want %d, %d, %v", sniffed, a.Status, len(got), err, tt.status, len(tt.want), tt.err)
				}
			}
		})
	}
}

func TestEventStream(t *testing.T) {
	const sse, js = "text/event-stream; charset=utf-8", "application/json"
	tests := []struct {
		contentType, body string
		want              bool
	}{
		{sse, "data: {}\n\n", true},
		{sse, `{"error":{}}`, false},
		{sse, "\n\n [1]", false},
		{sse, "", true},
		{sse, "unknown", true},
		{js, `{"id":1}`, false},
		{js, "data: {}\n\n", true},
		{js, "event: error\ndata: {}\n\n", true},
		{js, ": keep-alive\n\n", true},
		{js, "\ufeffid: 1\n\n", true},
		{js, "", false},
		{js, "dat", false},
		{"text/html", "<html>", false},
		{"", "retry: 5\n\n", true},
		{"", "{}", false},
		{"", "events", true}, // undecided: the call asked for a stream
	}
	for _, tt := range tests {
		header := http.Header{"Content-Type": {tt.contentType}}
		if tt.contentType == "" {
			header["Content-Type"] = nil // keeps the server from guessing
		}
		for name, chunking := range map[string]mock.Chunking{"whole": mock.Whole, "bytes": mock.Every(1)} {
			a := do(t, newClient(t), Call{URL: serve(t, mock.Replay(200, header, []byte(tt.body), chunking)), Stream: true})
			if got := a.EventStream(); got != tt.want {
				t.Errorf("%q as %q, %s: got %v, want %v", tt.body, tt.contentType, name, got, tt.want)
			}
			if got, err := a.ReadAll(1 << 20); string(got) != tt.body || err != nil {
				t.Errorf("%q: body after looking: got %q, error %v", tt.body, got, err)
			}
		}
	}
}

func TestHeaders(t *testing.T) {
	tests := []struct {
		name string
		call Call
		want http.Header
	}{
		{"bearer by default", Call{Secret: config.NewSecret("k1")}, http.Header{"Authorization": {"Bearer k1"}}},
		{"key alone in another header", Call{Secret: config.NewSecret("k1"), KeyHeader: "x-api-key"}, http.Header{"X-Api-Key": {"k1"}}},
		{"format", Call{Secret: config.NewSecret("k1"), KeyHeader: "X-Key", KeyFormat: "Key {api_key}!"}, http.Header{"X-Key": {"Key k1!"}}},
		{"no key", Call{KeyHeader: "X-Key"}, http.Header{}},
		{"the key wins", Call{Secret: config.NewSecret("k1"), Header: http.Header{"authorization": {"Bearer client"}}}, http.Header{"Authorization": {"Bearer k1"}}},
		{"others pass", Call{Header: http.Header{"anthropic-version": {"2023-06-01"}, "User-Agent": {"me"}}}, http.Header{"Anthropic-Version": {"2023-06-01"}, "User-Agent": {"me"}}},
		{"stream", Call{Stream: true}, http.Header{"Accept": {"text/event-stream"}}},
		{"body", Call{Body: []byte("{}")}, http.Header{"Content-Type": {"application/json"}, "Content-Length": {"2"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			seen := make(chan http.Header, 1)
			url := serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen <- r.Header }))
			before := tt.call.Header.Clone()
			want := http.Header{"User-Agent": {"model-proxy"}, "Accept": {"application/json"}, "Content-Length": {"0"}}
			for name, values := range tt.want {
				want[name] = values
			}
			tt.call.URL = url
			a := do(t, newClient(t), tt.call)
			a.Finish()
			if d := cmp.Diff(want, <-seen); d != "" {
				t.Errorf("headers (-want +got)\n%s", d)
			}
			if d := cmp.Diff(before, tt.call.Header); d != "" {
				t.Errorf("the caller's headers changed (-want +got)\n%s", d)
			}
		})
	}
}

func TestHostHeader(t *testing.T) {
	seen := make(chan string, 1)
	url := serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen <- r.Host }))
	do(t, newClient(t), Call{URL: url, Header: http.Header{"Host": {"api.example"}}})
	if got := <-seen; got != "api.example" {
		t.Errorf("got host %q, want api.example", got)
	}
}

func TestRedirectIsAnAnswer(t *testing.T) {
	url := serve(t, http.RedirectHandler("/elsewhere", http.StatusTemporaryRedirect))
	if a := do(t, newClient(t), Call{URL: url}); a.Status != 307 || a.Header.Get("Location") != "/elsewhere" {
		t.Errorf("got status %d to %q, want 307 to /elsewhere", a.Status, a.Header.Get("Location"))
	}
}

func TestDialError(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead := ln.Addr().String()
	ln.Close()
	_, err = newClient(t).Do(t.Context(), Call{URL: "http://" + dead})
	if e, ok := errors.AsType[*DialError](err); !ok || e.Unwrap() == nil {
		t.Errorf("got %T %v, want a *DialError with its cause", err, err)
	}
}

func TestBadURLHidesItself(t *testing.T) {
	_, err := newClient(t).Do(t.Context(), Call{URL: "http://host/?key=sk-secret\x7f"})
	if err == nil || strings.Contains(err.Error(), "sk-secret") {
		t.Errorf("got error %v, want one without the URL", err)
	}
}

func TestCut(t *testing.T) {
	m, url := serveMock(t)
	m.Script(func(*mock.Request) *mock.Fault { return &mock.Fault{CutAfter: new(3)} })
	call := Call{URL: url + "/v1/chat/completions", Body: []byte(chatBody), Stream: true}

	events, err := readStream(do(t, newClient(t), call))
	if _, ok := errors.AsType[*CutError](err); !ok || len(events) != 3 {
		t.Errorf("stream: got %d events, error %v; want 3 and a *CutError", len(events), err)
	}
	call.Body = []byte(strings.Replace(chatBody, "true", "false", 1))
	body, err := do(t, newClient(t), call).ReadAll(1 << 20)
	if _, ok := errors.AsType[*CutError](err); !ok || len(body) == 0 {
		t.Errorf("plain: got %d bytes, error %v; want some and a *CutError", len(body), err)
	}
}

func TestCutBeforeAnswer(t *testing.T) {
	var served atomic.Int64
	url := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if served.Add(1) > 1 {
			panic(http.ErrAbortHandler)
		}
		io.WriteString(w, "ok")
	}))
	c := newClient(t)
	do(t, c, Call{URL: url}).Finish()
	for _, stale := range []bool{true, false} { // the second one comes on a new connection
		_, err := c.Do(t.Context(), Call{URL: url})
		if e, ok := errors.AsType[*CutError](err); !ok || e.Stale != stale {
			t.Errorf("got %#v, want a *CutError with stale %v", err, stale)
		}
	}
	if got := served.Load(); got != 3 {
		t.Errorf("got %d requests, want 3: none may be repeated unasked", got)
	}
}

func TestCancel(t *testing.T) {
	m, url := serveMock(t)
	m.Script(func(r *mock.Request) *mock.Fault { return &mock.Fault{StallAfter: new(2)} })
	call := Call{URL: url + "/v1/chat/completions", Body: []byte(chatBody), Stream: true}
	gone := errors.New("client gone")

	ctx, cancel := context.WithCancelCause(t.Context())
	a, err := newClient(t).Do(ctx, call)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	for n := 0; n < 2; {
		events, err := a.Next()
		if err != nil {
			t.Fatalf("after %d events: %v", n, err)
		}
		n += len(events)
	}
	cancel(gone)
	if _, err := a.Next(); err != gone {
		t.Errorf("got error %v, want %v", err, gone)
	}
	if _, err := newClient(t).Do(ctx, call); err != gone {
		t.Errorf("Do with an ended context: got %v, want %v", err, gone)
	}
	err = m.Await(t.Context(), func(list []mock.Entry) bool { return list[0].Outcome == mock.OutcomeStalled })
	if err != nil {
		t.Error(err)
	}
}

func TestCloseUnblocksNext(t *testing.T) {
	m, url := serveMock(t)
	m.Script(func(*mock.Request) *mock.Fault { return &mock.Fault{StallAfter: new(1)} })
	a := do(t, newClient(t), Call{URL: url + "/v1/chat/completions", Body: []byte(chatBody), Stream: true})
	if _, err := a.Next(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { _, err := a.Next(); ended <- err }()
	a.Close()
	if err := <-ended; err != errClosed {
		t.Errorf("got %v, want %v", err, errClosed)
	}
}

func TestConnectionIsKept(t *testing.T) {
	_, url := serveMock(t)
	ends := map[string]func(*Answer){
		"read to the end": func(a *Answer) { readStream(a) },
		"finished":        (*Answer).Finish,
		"finished after the first event": func(a *Answer) {
			a.Next()
			a.Finish()
		},
		"read as a body": func(a *Answer) { a.ReadAll(1 << 20) },
	}
	for name, end := range ends {
		c := newClient(t)
		call := Call{URL: url + "/v1/chat/completions", Body: []byte(chatBody), Stream: true}
		end(do(t, c, call))
		a := do(t, c, call)
		if !a.watch.reused {
			t.Errorf("%s: got a new connection, want the same", name)
		}
	}
}

func TestHTTP2(t *testing.T) {
	m := mock.New(mock.Options{})
	srv := httptest.NewUnstartedServer(m)
	srv.EnableHTTP2 = true
	srv.StartTLS()
	t.Cleanup(srv.Close)
	t.Cleanup(m.Close)
	c := New(Options{TLS: srv.Client().Transport.(*http.Transport).TLSClientConfig})
	t.Cleanup(c.Close)

	call := Call{URL: srv.URL + "/v1/chat/completions", Body: []byte(chatBody), Stream: true}
	a := do(t, c, call)
	if events, err := readStream(a); a.resp.ProtoMajor != 2 || err != io.EOF || len(events) < 3 {
		t.Errorf("got HTTP/%d, %d events, error %v; want HTTP/2, several, EOF", a.resp.ProtoMajor, len(events), err)
	}
	m.Script(func(*mock.Request) *mock.Fault { return &mock.Fault{CutAfter: new(3)} })
	_, err := readStream(do(t, c, call))
	if _, ok := errors.AsType[*CutError](err); !ok {
		t.Errorf("cut: got %v, want a *CutError", err)
	}
}

func TestConcurrentCalls(t *testing.T) {
	_, url := serveMock(t)
	c := newClient(t)
	errs := make(chan error)
	const calls = 50
	for i := range calls {
		go func() {
			text := fmt.Sprintf("number-%d", i)
			a, err := c.Do(t.Context(), Call{
				URL: url + "/v1/chat/completions", Stream: true, Body: []byte(chatBody),
				Header: http.Header{"X-Mock-Text": {text}},
			})
			if err != nil {
				errs <- err
				return
			}
			events, err := readStream(a)
			if err != io.EOF || !strings.Contains(rawOf(events), `"`+text+`"`) {
				err = fmt.Errorf("%s: got %q, error %w", text, rawOf(events), err)
			} else {
				err = nil
			}
			errs <- err
		}()
	}
	for range calls {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

func BenchmarkStream(b *testing.B) {
	body := benchmarkStream()
	url := serve(b, mock.Replay(200, http.Header{"Content-Type": {"text/event-stream"}}, body, nil))
	c := newClient(b)
	call := Call{URL: url, Body: []byte(chatBody), Stream: true, Secret: config.NewSecret("k")}
	b.ReportAllocs()
	for b.Loop() {
		a, err := c.Do(b.Context(), call)
		if err != nil {
			b.Fatal(err)
		}
		for err == nil {
			_, err = a.Next()
		}
		a.Close()
	}
}
