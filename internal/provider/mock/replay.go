package mock

import "net/http"

// Chunking says in what pieces a body is sent. It yields the size of the next
// piece given the bytes left; 0 or less, or more than is left, means all.
type Chunking func(left int) int

// Whole sends a body at once.
func Whole(left int) int { return left }

// Every sends a body in pieces of n bytes.
func Every(n int) Chunking { return func(int) int { return n } }

// Replay answers every request with exactly the given status, headers and
// body, each piece in a write of its own; nil chunking means Whole.
func Replay(status int, header http.Header, body []byte, chunking Chunking) http.Handler {
	if chunking == nil {
		chunking = Whole
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		for name, values := range header {
			h[http.CanonicalHeaderKey(name)] = values
		}
		w.WriteHeader(status)
		flusher := http.NewResponseController(w)
		for rest := body; len(rest) > 0 && r.Context().Err() == nil; {
			n := chunking(len(rest))
			if n <= 0 || n > len(rest) {
				n = len(rest)
			}
			if _, err := w.Write(rest[:n]); err != nil {
				return // the client has gone
			}
			if flusher.Flush() != nil {
				return
			}
			rest = rest[n:]
		}
	})
}
