package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"
	"testing"
)

// startMock serves on a free port until the test ends.
func startMock(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{openAI: newOpenAI("gpt-4o-mini"), anthropic: newAnthropic(), models: modelList("gpt-4o-mini")}
	s.pace.Store(&pace{Chunks: 3})
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.accept(ln) // ends when the listener is closed
	}()
	t.Cleanup(func() { ln.Close(); <-done })
	return "http://" + ln.Addr().String()
}

// The ready-made bytes must be what the protocols say: valid JSON in valid
// events in valid HTTP.
func TestAnswersAreWellFormed(t *testing.T) {
	url := startMock(t)
	rows := []struct{ path, body, end string }{
		{"/v1/chat/completions", `{"messages":[]}`, ""},
		{"/v1/chat/completions", `{"stream":true}`, "[DONE]"},
		{"/v1/chat/completions", `{"stream":true,"stream_options":{"include_usage": true}}`, "[DONE]"},
		{"/v1/messages", `{"messages":[]}`, ""},
		{"/v1/messages", `{"stream": true}`, `{"type":"message_stop"}`},
	}
	for _, row := range rows {
		resp, err := http.Post(url+row.path, "application/json", strings.NewReader(row.body))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != 200 {
			t.Fatalf("%s %s: got status %d, error %v", row.path, row.body, resp.StatusCode, err)
		}
		if row.end == "" {
			if !json.Valid(body) {
				t.Errorf("%s %s: got invalid JSON %s", row.path, row.body, body)
			}
			continue
		}
		last := ""
		for line := range bytes.Lines(body) {
			data, ok := strings.CutPrefix(strings.TrimSpace(string(line)), "data: ")
			if !ok {
				continue
			}
			if last = data; data != "[DONE]" && !json.Valid([]byte(data)) {
				t.Errorf("%s %s: got invalid JSON %s", row.path, row.body, data)
			}
		}
		if last != row.end {
			t.Errorf("%s %s: got last event %q, want %q", row.path, row.body, last, row.end)
		}
	}
}

func TestChunkedRequestOnOneConnection(t *testing.T) {
	conn, err := net.Dial("tcp", strings.TrimPrefix(startMock(t), "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var req bytes.Buffer
	req.WriteString("POST /v1/chat/completions HTTP/1.1\r\nHost: mock\r\nTransfer-Encoding: chunked\r\n\r\n")
	w := httputil.NewChunkedWriter(&req)
	io.WriteString(w, `{"mess`)
	io.WriteString(w, `ages":[]}`)
	w.Close()
	req.WriteString("\r\nGET /v1/models HTTP/1.1\r\nHost: mock\r\nConnection: close\r\n\r\n")
	if _, err := conn.Write(req.Bytes()); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"~answer~", `"object":"list"`} {
		if !strings.Contains(string(got), want) {
			t.Errorf("got %s, want it to hold %s", got, want)
		}
	}
}
