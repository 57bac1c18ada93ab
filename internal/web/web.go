// Package web describes the HTTP API as an OpenAPI document and serves it with
// two readers of it and the console, all from the binary: the pages load nothing
// from anywhere else, and their content security policy keeps it so. The answers
// to the operations themselves are ingress's and cmd's.
package web

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"

	"model-proxy/internal/llm"
)

// Route is one method and path that the process serves.
type Route struct {
	Method, Path string       // a parameter stands in braces
	Endpoint     llm.Endpoint // what a path that takes requests for models stands for, else ""
	Streams      Streaming    // of an Endpoint's answer
}

// Streaming says when an answer is a stream.
type Streaming int

const (
	StreamsNever Streaming = iota
	StreamsIfAsked
	StreamsAlways
)

// Site is the description of the API, its readers, and the console. It is
// immutable and safe for concurrent use.
type Site struct {
	document           []byte
	docs, ref, console page
}

// New describes routes. A route without a description is an error.
func New(version string, routes []Route) (*Site, error) {
	d, err := describe(version, routes)
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(d); err != nil {
		return nil, fmt.Errorf("write the API description: %w", err)
	}
	s := &Site{document: text.Bytes()}
	for _, p := range []struct {
		to          *page
		name, title string
		scripts     []string
	}{
		{&s.docs, "docs", "API", []string{"assets/base.js", "assets/openapi.js", "assets/docs.js"}},
		{&s.ref, "redoc", "API reference", []string{"assets/base.js", "assets/openapi.js", "assets/redoc.js"}},
		{&s.console, "console", "console", []string{"assets/base.js", "assets/console.js"}},
	} {
		if *p.to, err = newPage(p.name, p.title, p.scripts...); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// OpenAPI serves the description, /openapi.json.
func (s *Site) OpenAPI(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-cache")
	_, _ = w.Write(s.document) // a reader that is gone needs no answer
}

// Docs serves /docs: every operation, its schemas, and a form to try it out.
func (s *Site) Docs(w http.ResponseWriter, _ *http.Request) { s.docs.serve(w) }

// Redoc serves /redoc: the same as a reference in three columns.
func (s *Site) Redoc(w http.ResponseWriter, _ *http.Request) { s.ref.serve(w) }

// Console serves /console: health, usage, and requests with their attempts. The
// page itself holds nothing of those; it asks for them with the admin key that
// it is given.
func (s *Site) Console(w http.ResponseWriter, _ *http.Request) { s.console.serve(w) }
