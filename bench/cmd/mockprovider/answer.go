package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// answer writes one answer and tells whether the connection is still good.
func (s *server) answer(conn net.Conn, br *bufio.Reader, r *request) bool {
	path, query, _ := strings.Cut(r.path, "?")
	switch {
	case strings.HasPrefix(path, "/_mock/"):
		return s.admin(conn, path, query)
	case r.method == "GET" && strings.HasSuffix(path, "/models"):
		return write(conn, s.models)
	case strings.HasSuffix(path, "/chat/completions"):
		return s.chat(conn, br, r, s.openAI)
	case strings.HasSuffix(path, "/messages"):
		return s.chat(conn, br, r, s.anthropic)
	}
	return write(conn, response(404, `{"error":{"message":"no such path","type":"invalid_request_error"}}`))
}

func (s *server) chat(conn net.Conn, br *bufio.Reader, r *request, a *api) bool {
	s.requests.Add(1)
	p := *s.pace.Load()
	var ok bool
	switch {
	case !isTrue(r.body, `"stream"`):
		time.Sleep(p.TTFT)
		ok = write(conn, a.plain)
	case p.Delay > 0 || p.TTFT > 0:
		ok = s.paced(conn, br, a, r, p)
	default:
		ok = s.burst(conn, a, r, p)
	}
	if ok {
		s.completed.Add(1)
	} else {
		s.cancelled.Add(1)
	}
	return ok
}

// burst writes a stream as fast as it goes, one write a chunk.
func (s *server) burst(conn net.Conn, a *api, r *request, p pace) bool {
	if !write(conn, a.head) {
		return false
	}
	for _, f := range a.deltas(p.Chunks) {
		if !write(conn, f) {
			return false
		}
		s.chunks.Add(1)
	}
	return write(conn, a.end(r.body))
}

// paced writes chunk i at start + TTFT + i*Delay, and stops as soon as the
// other side has gone.
func (s *server) paced(conn net.Conn, br *bufio.Reader, a *api, r *request, p pace) bool {
	gone, stop := watch(conn, br)
	defer stop()
	if !write(conn, a.head) {
		return false
	}
	due := time.Now().Add(p.TTFT)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for _, f := range a.deltas(p.Chunks) {
		timer.Reset(time.Until(due))
		select {
		case <-timer.C:
		case <-gone:
			return false
		}
		if !write(conn, f) {
			return false
		}
		s.chunks.Add(1)
		due = due.Add(p.Delay)
	}
	return write(conn, a.end(r.body))
}

// watch closes gone when the other side closes the connection, until stop is
// called.
func watch(conn net.Conn, br *bufio.Reader) (gone chan struct{}, stop func()) {
	gone = make(chan struct{})
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		_, err := br.Peek(1)
		var timeout net.Error
		if err != nil && !(errors.As(err, &timeout) && timeout.Timeout()) {
			close(gone)
		}
	}()
	return gone, func() {
		_ = conn.SetReadDeadline(time.Unix(1, 0)) // wakes Peek; a closed connection does so too
		<-watched
		_ = conn.SetReadDeadline(time.Time{})
	}
}

// isTrue tells whether the JSON text holds the quoted key with the value true.
func isTrue(body []byte, key string) bool {
	i := bytes.Index(body, []byte(key))
	if i < 0 {
		return false
	}
	rest := bytes.TrimLeft(body[i+len(key):], " \t\r\n:")
	return bytes.HasPrefix(rest, []byte("true"))
}

func write(conn net.Conn, b []byte) bool {
	_, err := conn.Write(b)
	return err == nil
}

func response(status int, body string) []byte {
	reason := map[int]string{200: "OK", 404: "Not Found"}[status]
	return fmt.Appendf(nil, "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nX-Request-Id: req_mock\r\nContent-Length: %d\r\n\r\n%s",
		status, reason, len(body), body)
}

// admin changes the pace or tells the counts.
func (s *server) admin(conn net.Conn, path, query string) bool {
	var v any
	switch path {
	case "/_mock/config":
		v = s.configure(query)
	case "/_mock/stats":
		v = map[string]int64{
			"requests": s.requests.Load(), "completed": s.completed.Load(),
			"cancelled": s.cancelled.Load(), "chunks": s.chunks.Load(),
		}
	default:
		return write(conn, response(404, `{"error":"no such command"}`))
	}
	b, err := json.Marshal(v)
	return err == nil && write(conn, response(200, string(b)))
}

func (s *server) configure(query string) pace {
	p := *s.pace.Load()
	q, _ := url.ParseQuery(query) // what cannot be read is left as it is
	if n, err := strconv.Atoi(q.Get("chunks")); err == nil {
		p.Chunks = n
	}
	if d, err := time.ParseDuration(q.Get("delay")); err == nil {
		p.Delay = d
	}
	if d, err := time.ParseDuration(q.Get("ttft")); err == nil {
		p.TTFT = d
	}
	s.pace.Store(&p)
	return p
}
