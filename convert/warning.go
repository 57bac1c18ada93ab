package convert

import (
	"strconv"

	"model-proxy/internal/llm"
)

// Action is what a conversion did to a field.
type Action string

const (
	Dropped  Action = "dropped"
	Clamped  Action = "clamped"
	Emulated Action = "emulated" // the same effect by other means
)

// Warning is one thing a conversion could not carry over as it was. Its parts
// come from a fixed vocabulary and from numbers, never from a prompt.
type Warning struct {
	Action Action
	Param  string // path of the field
	From   string // for Clamped; else ""
	To     string
}

const (
	maxWarnings     = 20
	maxWarningBytes = 2048
)

// AppendWarnings appends ws as the value of X-Model-Proxy-Warnings:
//
//	dropped;param="seed", clamped;param="temperature";from=1.7;to=1
//
// What does not fit into 20 items or 2 KB is counted as more;count=n.
func AppendWarnings(dst []byte, ws []Warning) []byte {
	start := len(dst)
	for i, w := range ws {
		mark := len(dst)
		if i > 0 {
			dst = append(dst, ", "...)
		}
		if i < maxWarnings {
			dst = appendWarning(dst, w)
		}
		if i == maxWarnings || len(dst)-start > maxWarningBytes-len(", more;count=1000") {
			dst = dst[:mark]
			if i > 0 {
				dst = append(dst, ", "...)
			}
			dst = append(dst, "more;count="...)
			return strconv.AppendInt(dst, int64(len(ws)-i), 10)
		}
	}
	return dst
}

func appendWarning(dst []byte, w Warning) []byte {
	dst = append(dst, w.Action...)
	dst = append(dst, `;param="`...)
	dst = appendToken(dst, w.Param)
	dst = append(dst, '"')
	if w.From != "" || w.To != "" {
		dst = append(dst, ";from="...)
		dst = appendToken(dst, w.From)
		dst = append(dst, ";to="...)
		dst = appendToken(dst, w.To)
	}
	return dst
}

// appendToken keeps a header's value safe from what a client named its fields:
// other characters become _, and 64 bytes are enough to recognise it by.
func appendToken(dst []byte, s string) []byte {
	for i := range min(len(s), 64) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9',
			c == '_', c == '.', c == '-', c == '[', c == ']', c == '+':
			dst = append(dst, c)
		default:
			dst = append(dst, '_')
		}
	}
	return dst
}

// AppendConversion appends the value of X-Model-Proxy-Conversion, such as
// "openai; target=anthropic".
func AppendConversion(dst []byte, client, target llm.Protocol) []byte {
	dst = append(dst, client...)
	dst = append(dst, "; target="...)
	return append(dst, target...)
}
