package provider

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"testing"
)

// compressed answers with body in gzip, whatever was asked for.
func compressed(status int, contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("Content-Encoding", "gzip")
		w.WriteHeader(status)
		z := gzip.NewWriter(w)
		_, _ = z.Write([]byte(body))
		_ = z.Close()
	}
}

func TestCompressedAnswer(t *testing.T) {
	for _, status := range []int{http.StatusOK, http.StatusBadRequest} {
		const body = `{"id":"x"}`
		a := do(t, newClient(t), Call{URL: serve(t, compressed(status, "application/json", body))})
		if a.EventStream() {
			t.Errorf("status %d: got an event stream, want none", status)
		}
		if got, err := a.ReadAll(1 << 10); string(got) != body || err != nil {
			t.Errorf("status %d: got %q, %v, want %q", status, got, err, body)
		}
	}
}

func TestCompressedStream(t *testing.T) {
	const body = "data: 1\n\ndata: 2\n\n"
	a := do(t, newClient(t), Call{URL: serve(t, compressed(http.StatusOK, "text/event-stream", body)), Stream: true})
	if !a.EventStream() {
		t.Error("got no event stream, want one")
	}
	events, err := readStream(a)
	if len(events) != 2 || err != io.EOF {
		t.Errorf("got %v, %v, want two events", events, err)
	}
}

// A body that only claims to be compressed is an answer that cannot be read.
func TestFalselyCompressed(t *testing.T) {
	url := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(bytes.Repeat([]byte("{}"), 10))
	}))
	a := do(t, newClient(t), Call{URL: url})
	var cut *CutError
	if _, err := a.ReadAll(1 << 10); !errors.As(err, &cut) {
		t.Errorf("got %v, want a CutError", err)
	}
}
