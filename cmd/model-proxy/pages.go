package main

import (
	"fmt"
	"net/http"

	"github.com/julienschmidt/httprouter"

	"model-proxy/ingress"
	"model-proxy/internal/web"
)

// mounted is a page on the ingress's port that is not the ingress's own.
type mounted struct {
	path    string
	handler http.Handler
}

// pages lists what this process mounts on its ingress, the description of the
// API among it, which describes the list too.
func (n *node) pages() ([]mounted, error) {
	site := new(web.Site) // filled below: the description lists its own pages
	all := []mounted{
		{"/metrics", n.metricsHandler()},
		{"/admin/usage", ingress.AdminOnly(n.source.Current, http.HandlerFunc(n.adminUsage))},
		{"/admin/records", ingress.AdminOnly(n.source.Current, http.HandlerFunc(n.adminRecords))},
		{"/admin/keys", ingress.AdminOnly(n.source.Current, http.HandlerFunc(n.adminKeys))},
		{"/openapi.json", http.HandlerFunc(site.OpenAPI)},
		{"/docs", http.HandlerFunc(site.Docs)},
		{"/redoc", http.HandlerFunc(site.Redoc)},
		{"/console", ingress.WithAdmin(n.source.Current, http.HandlerFunc(site.Console))},
	}
	described, err := web.New(version, routes(all))
	if err != nil {
		return nil, fmt.Errorf("API description: %w", err)
	}
	*site = *described
	return all, nil
}

// routes are all that an ingress with these pages serves.
func routes(pages []mounted) []web.Route {
	streams := map[ingress.Streaming]web.Streaming{ingress.StreamsIfAsked: web.StreamsIfAsked, ingress.StreamsAlways: web.StreamsAlways}
	var all []web.Route
	for _, r := range ingress.Routes() {
		all = append(all, web.Route{Method: r.Method, Path: r.Path, Endpoint: r.Endpoint, Streams: streams[r.Streams]})
	}
	for _, p := range pages {
		all = append(all, web.Route{Method: http.MethodGet, Path: p.path})
	}
	return all
}

// mount puts the pages on the ingress's router.
func mount(r *httprouter.Router, pages []mounted) {
	for _, p := range pages {
		handler := ingress.WithRequestID(p.handler)
		r.Handler(http.MethodGet, p.path, handler)
		r.Handler(http.MethodHead, p.path, handler)
	}
}
