package config

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"strings"
)

// Headers are HTTP headers by name. Printed or logged, those whose names speak
// of a credential show only a fingerprint.
type Headers map[string]string

// headerName reports whether s can be the name of an HTTP header.
func headerName(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && !strings.ContainsRune("!#$%&'*+-.^_`|~", r)
	})
}

// headerValue reports whether s can be the value of an HTTP header.
func headerValue(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' && r != '\t' || r > '~' })
}

// credentialWords stand in the names of headers that are not to be shown.
var credentialWords = []string{"auth", "key", "token", "secret", "cookie", "password"}

func holdsCredential(header string) bool {
	header = strings.ToLower(header)
	for _, word := range credentialWords {
		if strings.Contains(header, word) {
			return true
		}
	}
	return false
}

// Conceal returns text without the credentials in h, as Secret.Conceal does. What
// stands before them in a header, such as Bearer, stays.
func (h Headers) Conceal(text []byte) []byte {
	for name, value := range h {
		if holdsCredential(name) {
			text = conceal(text, value[strings.LastIndexByte(value, ' ')+1:])
		}
	}
	return text
}

// shown is h as it may be printed.
func (h Headers) shown() map[string]string {
	out := maps.Clone(map[string]string(h))
	for name, value := range out {
		if holdsCredential(name) {
			out[name] = NewSecret(value).String()
		}
	}
	return out
}

// Format prints h alike for every verb: %d would show strings too.
func (h Headers) Format(f fmt.State, _ rune) { fmt.Fprint(f, h.shown()) }

// LogValue keeps credentials out of logs.
func (h Headers) LogValue() slog.Value { return slog.AnyValue(h.shown()) }

// MarshalJSON keeps credentials out of JSON too.
func (h Headers) MarshalJSON() ([]byte, error) { return json.Marshal(h.shown()) }
