package ingress

import (
	"net/http"

	"model-proxy/config"
	"model-proxy/internal/llm"
)

// WithAdmin serves next only where an ADMIN_API_KEY is configured: without one
// the path does not exist, 404.
func WithAdmin(snapshot func() *config.Snapshot, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if snapshot().Settings.AdminKeySHA256 == nil {
			WriteError(w, llm.NewError(llm.NotFound, noSuchPath))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// AdminOnly is WithAdmin that lets only requests with ADMIN_API_KEY through.
func AdminOnly(snapshot func() *config.Snapshot, next http.Handler) http.Handler {
	return WithAdmin(snapshot, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !snapshot().AuthenticateAdmin(clientKey(r.Header)) {
			e := llm.NewError(llm.Unauthorized, "this path wants the admin key: send it as Authorization: Bearer KEY")
			e.Code = "invalid_api_key"
			WriteError(w, e)
			return
		}
		next.ServeHTTP(w, r)
	}))
}

// WithRequestID gives the answers of a mounted page the id that all others have.
func WithRequestID(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		setRequestID(w, r, llm.OpenAI)
		next.ServeHTTP(w, r)
	})
}

// WriteError answers with an error in OpenAI's format, for the pages that cmd
// mounts.
func WriteError(w http.ResponseWriter, e *llm.Error) { writeError(w, llm.OpenAI, e) }
