package ingress

import (
	"net/http"
	"slices"
)

// cors answers browsers: CORS_ORIGINS says whose pages may call.
func (s *Server) cors(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		origin := r.Header["Origin"]
		if len(origin) == 0 {
			next.ServeHTTP(w, r)
			return
		}
		h := w.Header()
		h.Add("Vary", "Origin")
		origins := s.cfg.Snapshot().Settings.CORSOrigins
		switch {
		case slices.Contains(origins, "*"):
			h.Set("Access-Control-Allow-Origin", "*")
		case slices.Contains(origins, origin[0]):
			h.Set("Access-Control-Allow-Origin", origin[0])
		default:
			next.ServeHTTP(w, r)
			return
		}
		if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
			h.Set("Access-Control-Expose-Headers", "*, X-Request-Id, Request-Id, Retry-After")
			next.ServeHTTP(w, r)
			return
		}
		h.Set("Access-Control-Allow-Methods", "GET, HEAD, POST, OPTIONS")
		if asked := r.Header.Get("Access-Control-Request-Headers"); asked != "" {
			h.Set("Access-Control-Allow-Headers", asked) // Authorization is never covered by a star
		}
		h.Set("Access-Control-Max-Age", "600")
		s.options(w, r)
	})
}
