package config

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
)

// Secret is a provider's API key, or another value that must not be shown.
// Printed or logged, it shows only its fingerprint; plain is a pointer because
// fmt prints unexported fields.
// The zero Secret stands for "no key is needed", as for a server in the
// operator's own house. It is safe for concurrent use.
type Secret struct {
	plain *string
	fp    string
}

// NewSecret wraps an API key.
func NewSecret(plain string) Secret {
	return Secret{plain: &plain, fp: fingerprint(plain)}
}

func fingerprint(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:6])
}

// IsZero reports whether s holds no key: no authentication header is sent.
func (s Secret) IsZero() bool { return s.plain == nil }

// Fingerprint is the first 12 hex digits of the key's SHA-256, or "keyless"
// for the zero Secret, which needs a name too where pools are kept.
func (s Secret) Fingerprint() string {
	if s.IsZero() {
		return "keyless"
	}
	return s.fp
}

// LastFour is the end of the key, by which its owner knows it; "" if the key
// is so short that four characters would give too much of it away.
func (s Secret) LastFour() string {
	if s.IsZero() || len(*s.plain) < 16 {
		return ""
	}
	return (*s.plain)[len(*s.plain)-4:]
}

func (s Secret) String() string       { return "key:" + s.Fingerprint() }
func (s Secret) GoString() string     { return s.String() }
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText keeps a key out of JSON too.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText makes s the secret that the text is.
func (s *Secret) UnmarshalText(plain []byte) error {
	*s = NewSecret(string(plain))
	return nil
}

// concealed stands where a key stood.
const concealed = "[redacted]"

// Conceal returns text without the key, for some upstreams repeat it in their
// errors. text itself stays as it is. A key under 8 bytes may stand in any text
// by chance and is left.
func (s Secret) Conceal(text []byte) []byte {
	if s.IsZero() {
		return text
	}
	return conceal(text, *s.plain)
}

func conceal(text []byte, plain string) []byte {
	if len(plain) < 8 {
		return text
	}
	return bytes.ReplaceAll(text, []byte(plain), []byte(concealed))
}

// Reveal returns the key itself, "" for the zero Secret. It is called only
// where the key is put to its use: by provider, in the authentication header,
// and by cmd, where it connects to NATS and ClickHouse.
func (s Secret) Reveal() string {
	if s.IsZero() {
		return ""
	}
	return *s.plain
}
