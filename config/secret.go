package config

import (
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
)

// Secret is a provider's API key. Printed or logged, it shows only its
// fingerprint; plain is a pointer because fmt prints unexported fields.
// The zero Secret holds no key. It is safe for concurrent use.
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

// IsZero reports whether s holds no key.
func (s Secret) IsZero() bool { return s.plain == nil }

// Fingerprint is the first 12 hex digits of the key's SHA-256.
func (s Secret) Fingerprint() string { return s.fp }

func (s Secret) String() string       { return "key:" + s.fp }
func (s Secret) GoString() string     { return s.String() }
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText keeps a key out of JSON too.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Reveal returns the key itself. It has one caller: provider, where it sets
// the authentication header. It panics if s is zero.
func (s Secret) Reveal() string { return *s.plain }
