package convert

import (
	"bytes"
	"strings"

	"model-proxy/internal/llm"
)

// events splits an event stream as the wire gives it: every event's Raw, joined,
// is the text again.
func events(text string) []llm.Event {
	var out []llm.Event
	raw := []byte(text)
	start, fields := 0, [][]byte(nil)
	flush := func(end int) {
		e := llm.Event{Raw: raw[start:end:end]}
		var data [][]byte
		for _, line := range fields {
			name, value, _ := bytes.Cut(line, []byte(":"))
			value = bytes.TrimPrefix(value, []byte(" "))
			switch string(name) {
			case "event":
				e.Type = value
			case "data":
				data = append(data, value)
			}
		}
		if len(data) == 1 {
			e.Data = data[0]
		} else if data != nil {
			e.Data = bytes.Join(data, []byte("\n"))
		}
		out = append(out, e)
		start, fields = end, nil
	}
	for at := 0; at < len(raw); {
		line, next := raw[at:], len(raw)
		if n := bytes.IndexAny(line, "\r\n"); n >= 0 {
			next = at + n + 1
			if line[n] == '\r' && next < len(raw) && raw[next] == '\n' {
				next++
			}
			line = line[:n]
		}
		if len(line) == 0 {
			flush(next)
		} else {
			fields = append(fields, line)
		}
		at = next
	}
	if start < len(raw) {
		flush(len(raw))
	}
	return out
}

// relay feeds a whole stream through x. out is what the client got; the error is
// that of the stream or of its end.
func relay(x *Exchange, text string) (out string, first Emitted, err error) {
	return relayEach(x, text, func(*Stream) {})
}

// relayEach is relay with something done before each event.
func relayEach(x *Exchange, text string, before func(*Stream)) (out string, first Emitted, err error) {
	s := x.Stream()
	var dst []byte
	for _, e := range events(text) {
		before(s)
		var em Emitted
		if dst, em, err = s.Event(dst, e); err != nil {
			return string(dst), first, err
		}
		if em.Content {
			first = em
		}
		if em.Done {
			return string(dst), first, nil
		}
	}
	dst, err = s.End(dst)
	return string(dst), first, err
}

// frames writes each argument as one data-only event.
func frames(data ...string) string {
	var b strings.Builder
	for _, d := range data {
		b.WriteString("data: " + d + "\n\n")
	}
	return b.String()
}

// named writes each argument as an event whose name is its type.
func named(data ...string) string {
	var b strings.Builder
	for _, d := range data {
		_, rest, _ := strings.Cut(d, `"type":"`)
		name, _, _ := strings.Cut(rest, `"`)
		b.WriteString("event: " + name + "\ndata: " + d + "\n\n")
	}
	return b.String()
}
