//go:build linux

package main

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func chunked(parts ...string) string {
	var sb strings.Builder
	for _, p := range parts {
		fmt.Fprintf(&sb, "%x\r\n%s\r\n", len(p), p)
	}
	return sb.String() + "0\r\n\r\n"
}

const sseHead = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"

func TestAnswersInPiecesOfAnySize(t *testing.T) {
	plainBody := `{"choices":[{"message":{"content":"~answer~ The quick brown fox ~end~"}}],"usage":{"completion_tokens":123}}`
	event := func(i int) string { return fmt.Sprintf("data: {\"content\":\"~%04d~ x\"}\n\n", i) }
	cases := []struct {
		name, answer string
		stream       bool
		want         string
	}{
		{"plain", fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(plainBody), plainBody), false, ""},
		{"plain, chunked", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + chunked(plainBody[:7], plainBody[7:]), false, ""},
		{"stream", sseHead + chunked(event(1), event(2), event(3)[:9], event(3)[9:]+"data: [DONE]\n\n"), true, ""},
		{"several pieces in one event", sseHead + chunked("data: ~0001~ a ~0002~ b\n\n", event(3), "data: [DONE]\n\n"), true, ""},
		{"a piece lost", sseHead + chunked(event(1), event(3), "data: [DONE]\n\n"), true, "text out of order"},
		{"a piece doubled", sseHead + chunked(event(1), event(1), event(2), event(3), "data: [DONE]\n\n"), true, "text out of order"},
		{"cut short", sseHead + chunked(event(1), event(2), "data: [DONE]\n\n"), true, "texts missing"},
		{"no end", sseHead + chunked(event(1), event(2), event(3)), true, "stream without its end"},
		{"not a stream", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", true, "no event stream"},
		{"wrong plain answer", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", false, "wrong text"},
		{"malformed size", sseHead + "zz\r\n", true, "malformed chunk size"},
	}
	for _, tc := range cases {
		for size := 1; size <= len(tc.answer); size = size*2 + 1 {
			l := &load{o: options{stream: tc.stream, chunks: 3, api: "openai"}}
			c := &conn{}
			c.begin(time.Now())
			for b := tc.answer; len(b) > 0 && c.bad == ""; b = b[min(size, len(b)):] {
				c.take(l, []byte(b[:min(size, len(b))]), time.Now())
			}
			got := c.bad
			if got == "" && c.phase != complete {
				got = "unfinished"
			} else if got == "" {
				got = c.verdict(&l.o)
			}
			if got != tc.want {
				t.Errorf("%s in pieces of %d: got %q, want %q", tc.name, size, got, tc.want)
			}
		}
	}
}
