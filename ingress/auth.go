package ingress

import (
	"net/http"
	"strings"

	"github.com/google/uuid"

	"model-proxy/config"
	"model-proxy/internal/llm"
)

// Header names in their canonical form: http.Header's map is used directly on
// the hot path.
const (
	headerRequestID = "X-Request-Id"
	anthropicID     = "Request-Id"
)

// setRequestID keeps the client's own id if it is well formed, makes one if
// not, and tells the client. ours says that it was made here: a UUIDv7.
func setRequestID(w http.ResponseWriter, r *http.Request, p llm.Protocol) (id string, ours bool) {
	if v := r.Header[headerRequestID]; len(v) > 0 && wellFormed(v[0]) {
		id = v[0]
	} else {
		id, ours = newID(), true
	}
	h := w.Header()
	h[headerRequestID] = []string{id}
	if p == llm.Anthropic {
		h[anthropicID] = h[headerRequestID]
	}
	return id, ours
}

// newID is a UUIDv7: it sorts by time.
func newID() string { return uuid.Must(uuid.NewV7()).String() }

// wellFormed reports whether id matches [A-Za-z0-9._-]{1,64}.
func wellFormed(id string) bool {
	if len(id) == 0 || len(id) > 64 {
		return false
	}
	for i := range len(id) {
		switch c := id[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '.', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}

// authenticate finds the client by its key.
func (s *Server) authenticate(r *http.Request, snap *config.Snapshot) (*config.Client, *rejection) {
	key := clientKey(r.Header)
	if key == "" {
		e := reject(rejectAuth, llm.Unauthorized, "no client key: send it as Authorization: Bearer KEY or x-api-key: KEY")
		return nil, e
	}
	if c, ok := snap.Authenticate(key); ok {
		return c, nil
	}
	e := reject(rejectAuth, llm.Unauthorized, "the client key is not valid")
	e.Code = "invalid_api_key"
	return nil, e
}

// clientKey reads Authorization, with or without Bearer, or x-api-key.
func clientKey(h http.Header) string {
	if v := h["Authorization"]; len(v) > 0 {
		key := strings.TrimSpace(v[0])
		if scheme, rest, _ := strings.Cut(key, " "); strings.EqualFold(scheme, "bearer") {
			key = strings.TrimSpace(rest)
		}
		if key != "" {
			return key
		}
	}
	if v := h["X-Api-Key"]; len(v) > 0 {
		return strings.TrimSpace(v[0])
	}
	return ""
}
