package bus

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// tokenMax is the longest name that stands as it is.
const tokenMax = 40

// hashedPrefix marks a token made from a hash. A name that begins with it is
// hashed too, so that no outside name can pass for another one's token.
const hashedPrefix = "x_"

// Token turns an outside name (client, model, provider, key fingerprint) into
// one token of a NATS subject or KV key. A name of 1 to 40 characters out of
// A–Z, a–z, 0–9, '_' and '-' that does not begin with "x_" stands as it is;
// any other, the empty one too, becomes "x_" and the first 20 hex digits of
// its SHA-256. The name itself cannot be read back: it travels in a header or
// a value.
func Token(name string) string {
	if stands(name) {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return hashedPrefix + hex.EncodeToString(sum[:10])
}

func stands(name string) bool {
	if name == "" || len(name) > tokenMax || strings.HasPrefix(name, hashedPrefix) {
		return false
	}
	for i := range len(name) {
		c := name[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}
