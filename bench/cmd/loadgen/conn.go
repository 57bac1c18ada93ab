//go:build linux

package main

import (
	"bytes"
	"strconv"
	"time"
)

// phase is how far the reading of an answer has come.
type phase int

const (
	inHead phase = iota
	inBody
	complete
)

// conn is one connection and the answer it is reading.
type conn struct {
	fd   int
	used bool // has carried an answer before

	busy               bool
	due, written       time.Time
	firstByte          time.Time
	firstText, lastOne time.Time

	phase      phase
	raw        []byte // bytes of the head, or of a chunk's size line, seen so far
	status     int
	left       int // of the body, or of the chunk
	chunked    bool
	inChunk    bool
	untilClose bool
	closing    bool
	sse        bool

	body   []byte // a plain answer
	line   []byte // a stream's unfinished line
	texts  int
	ended  bool
	bad    string // what is wrong with the answer
	recent []byte // of a stream, for the report
}

func (c *conn) begin(due time.Time) {
	*c = conn{
		fd: c.fd, used: c.used, busy: true, due: due, written: time.Now(),
		raw: c.raw[:0], body: c.body[:0], line: c.line[:0],
	}
}

// sample is a piece of the answer for the report.
func (c *conn) sample() string {
	if len(c.body) > 0 {
		return string(c.body)
	}
	return string(c.recent)
}

// take reads on in the answer.
func (c *conn) take(l *load, b []byte, now time.Time) {
	if c.phase == inHead {
		c.raw = append(c.raw, b...)
		i := bytes.Index(c.raw, []byte("\r\n\r\n"))
		if i < 0 {
			return
		}
		b = bytes.Clone(c.raw[i+4:])
		c.head(c.raw[:i])
		c.raw = c.raw[:0]
		if c.bad != "" {
			return
		}
		c.phase = inBody
	}
	switch {
	case c.chunked:
		c.takeChunked(l, b, now)
	case c.untilClose:
		c.content(l, b, now)
	default:
		if len(b) > c.left {
			c.bad = "more than Content-Length"
			return
		}
		c.left -= len(b)
		c.content(l, b, now)
		if c.left == 0 {
			c.phase = complete
		}
	}
}

func (c *conn) head(h []byte) {
	lines := bytes.Split(h, []byte("\r\n"))
	if len(lines[0]) < 12 {
		c.bad = "malformed head"
		return
	}
	c.status, _ = strconv.Atoi(string(lines[0][9:12]))
	c.left = -1
	for _, line := range lines[1:] {
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimSpace(value)
		switch {
		case bytes.EqualFold(name, []byte("content-length")):
			c.left, _ = strconv.Atoi(string(value))
		case bytes.EqualFold(name, []byte("transfer-encoding")):
			c.chunked = bytes.EqualFold(value, []byte("chunked"))
		case bytes.EqualFold(name, []byte("connection")):
			c.closing = bytes.EqualFold(value, []byte("close"))
		case bytes.EqualFold(name, []byte("content-type")):
			c.sse = bytes.HasPrefix(value, []byte("text/event-stream"))
		}
	}
	if c.left < 0 && !c.chunked {
		c.untilClose, c.closing = true, true
	}
}

func (c *conn) takeChunked(l *load, b []byte, now time.Time) {
	for len(b) > 0 && c.bad == "" {
		if c.inChunk && c.left > 0 {
			n := min(c.left, len(b))
			c.content(l, b[:n], now)
			c.left -= n
			b = b[n:]
			continue
		}
		// A line: the end of a chunk, or the size of the next.
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			c.raw = append(c.raw, b...)
			return
		}
		c.raw = append(c.raw, b[:i+1]...)
		b = b[i+1:]
		line := bytes.TrimSpace(c.raw)
		c.raw = c.raw[:0]
		switch {
		case c.inChunk:
			if len(line) > 0 {
				c.bad = "malformed chunk"
			}
			c.inChunk = false
			if c.left == -1 { // behind the last chunk
				c.phase = complete
				if len(b) > 0 {
					c.bad = "bytes behind the answer"
				}
				return
			}
		default:
			size, _, _ := bytes.Cut(line, []byte(";"))
			n, err := strconv.ParseInt(string(size), 16, 32)
			if err != nil {
				c.bad = "malformed chunk size"
				return
			}
			c.inChunk, c.left = true, int(n)
			if n == 0 {
				c.left = -1
			}
		}
	}
}

func (c *conn) content(l *load, b []byte, now time.Time) {
	if !c.sse || !l.o.stream {
		c.body = append(c.body, b...)
		return
	}
	c.recent = append(c.recent[:0], b[:min(len(b), 400)]...)
	for {
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			c.line = append(c.line, b...)
			return
		}
		line := b[:i]
		if len(c.line) > 0 {
			c.line = append(c.line, line...)
			line = c.line
		}
		c.event(l, line, now)
		c.line = c.line[:0]
		b = b[i+1:]
	}
}

// event looks at one line of a stream. A gateway may put several pieces of
// text into one event.
func (c *conn) event(l *load, line []byte, now time.Time) {
	rest, ok := bytes.CutPrefix(line, []byte("data:"))
	if !ok {
		return
	}
	end := "[DONE]"
	if l.o.api == "anthropic" {
		end = "message_stop"
	}
	c.ended = c.ended || bytes.Contains(rest, []byte(end))
	for {
		i := bytes.IndexByte(rest, '~')
		if i < 0 || len(rest) < i+6 {
			return
		}
		n, err := strconv.Atoi(string(rest[i+1 : i+5]))
		if err != nil || rest[i+5] != '~' {
			c.bad = "broken text"
			return
		}
		if n != c.texts+1 {
			c.bad = "text out of order"
			return
		}
		c.text(l, n, now)
		rest = rest[i+6:]
	}
}

// text notes piece n of a stream.
func (c *conn) text(l *load, n int, now time.Time) {
	if l.measuring && now.Before(l.end) {
		l.chunks++
		if n > 1 {
			l.gap.Add(now.Sub(c.lastOne))
		}
	}
	if n == 1 {
		c.firstText = now
	}
	c.texts, c.lastOne = n, now
}

// verdict tells what is wrong with a complete answer, or nothing.
func (c *conn) verdict(o *options) string {
	if o.stream {
		switch {
		case !c.sse:
			return "no event stream"
		case c.texts != o.chunks:
			return "texts missing"
		case !c.ended:
			return "stream without its end"
		}
		return ""
	}
	for _, want := range []struct{ part, missing string }{
		{"~answer~ The quick brown fox", "wrong text"}, {"~end~", "wrong text"}, {`tokens":123`, "no usage"},
	} {
		if !bytes.Contains(c.body, []byte(want.part)) {
			return want.missing
		}
	}
	return ""
}
