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
