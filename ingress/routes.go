package ingress

import (
	"net/http"
	"slices"
	"strings"

	"github.com/julienschmidt/httprouter"

	"model-proxy/internal/llm"
)

// page is one path that the ingress answers by itself.
type page struct {
	path   string // in httprouter's notation
	handle func(*Server, http.ResponseWriter, *http.Request, httprouter.Params)
}

var pages = []page{
	{"/v1/models", (*Server).listModels},
	{"/v1/models/*id", (*Server).showModel},
	{"/health", (*Server).health},
	{"/health/detailed", (*Server).healthDetailed},
}

// tidied serves a path that there is not as the one that was meant, if there is
// that: clients put slashes and /v1 together with their base URL, and so there
// come to be two of them or none. Pages outside /v1 send the caller to themselves
// without the last slash, for what they refer to goes by their own path.
func (s *Server) tidied(router *httprouter.Router) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		bare := strings.TrimRight(r.URL.Path, "/")
		if page, _, _ := router.Lookup(http.MethodGet, bare); page != nil && bare != r.URL.Path && !strings.HasPrefix(bare, "/v1") {
			setRequestID(w, r, pathProtocol(r))
			http.Redirect(w, r, bare, http.StatusPermanentRedirect)
			return
		}
		path := tidy(r.URL.Path)
		if path == r.URL.Path {
			s.notFound(w, r)
			return
		}
		r.URL.Path = path
		router.ServeHTTP(w, r)
	}
}

// tidy puts a path under /v1, with single slashes and none at its end. Dots stay
// as they are: nobody needs them to reach a path. It leaves its own results alone.
func tidy(path string) string {
	parts := strings.FieldsFunc(path, func(c rune) bool { return c == '/' })
	for len(parts) > 0 && parts[0] == "v1" {
		parts = parts[1:]
	}
	return "/v1/" + strings.Join(parts, "/")
}

// Route is one method and path that every ingress serves.
type Route struct {
	Method, Path string       // a parameter stands in braces: /v1/models/{id}
	Endpoint     llm.Endpoint // what a path that takes requests for models stands for, else ""
	Streams      Streaming
}

// Streaming says when the answer is a stream.
type Streaming string

const (
	StreamsNever   Streaming = "never"
	StreamsIfAsked Streaming = "if asked" // by the body's stream member
	StreamsAlways  Streaming = "always"
)

// Routes lists what every ingress serves, without what Config.Mount adds. It
// is made from the tables that the router is made from.
func Routes() []Route {
	streams := map[streamMode]Streaming{streamNever: StreamsNever, streamAsAsked: StreamsIfAsked, streamAlways: StreamsAlways}
	var all []Route
	for _, e := range endpoints {
		all = append(all, Route{http.MethodPost, e.path, e.Endpoint, streams[e.mode]})
	}
	for _, p := range pages {
		all = append(all, Route{http.MethodGet, inBraces(p.path), "", StreamsNever})
	}
	return slices.Clip(all)
}

// inBraces writes httprouter's /*id as /{id}.
func inBraces(path string) string {
	before, name, found := strings.Cut(path, "*")
	if !found {
		return path
	}
	return before + "{" + name + "}"
}
