package main

import (
	"net/http"
	"testing"
)

// OPTIONS tells the methods, and like every answer carries an id.
func TestOptions(t *testing.T) {
	g := startGateway(t)
	for path, want := range map[string]string{"/v1/messages": "OPTIONS, POST", "/health": "GET, HEAD, OPTIONS", "/metrics": "GET, HEAD, OPTIONS"} {
		a := g.do(t, http.MethodOptions, path, "", "")
		if a.status != http.StatusNoContent || a.header.Get("Allow") != want || a.header.Get("X-Request-Id") == "" {
			t.Errorf("%s: got %d, Allow %q, id %q; want 204, %q and an id", path, a.status, a.header.Get("Allow"), a.header.Get("X-Request-Id"), want)
		}
	}
}

// HEAD is answered like GET, without the body: monitors ask so.
func TestHeadAnswersAsGet(t *testing.T) {
	g := startGateway(t)
	for _, path := range []string{"/health", "/v1/models", "/v1/models/m-openai", "/metrics", "/docs", "/openapi.json", "/admin/usage"} {
		get, head := g.do(t, http.MethodGet, path, clientKey, ""), g.do(t, http.MethodHead, path, clientKey, "")
		if head.status != get.status || head.body != "" || head.header.Get("Content-Type") != get.header.Get("Content-Type") {
			t.Errorf("%s: HEAD got %d, %s and %q, want %d, %s and no body", path, head.status, head.header.Get("Content-Type"), head.body,
				get.status, get.header.Get("Content-Type"))
		}
	}
}
