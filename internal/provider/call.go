package provider

import (
	"net/http"
	"strings"
	"time"

	"model-proxy/config"
)

// Call is one request to an upstream.
type Call struct {
	Method string // "" means POST
	URL    string
	Header http.Header // left as it is; a Host entry replaces the URL's host
	Body   []byte      // must not be changed any more, not even after the call
	Stream bool        // an event stream is asked for

	// Secret is the API key; the zero Secret sends none.
	Secret config.Secret
	// KeyHeader carries the key; "" means Authorization.
	KeyHeader string
	// KeyFormat is the header's value, where {api_key} stands for the key;
	// "" means "Bearer {api_key}" for Authorization, else the key alone.
	KeyFormat string

	Timers   config.Timers // zero fields mean the defaults of config.Timers
	Deadline time.Time     // no timer runs past it; zero means none
}

// headers copies c.Header, so that neither the key nor our own additions reach
// the caller's map. The values are shared: nothing here changes them.
func (c *Call) headers() http.Header {
	h := make(http.Header, len(c.Header)+3)
	for name, values := range c.Header {
		h[http.CanonicalHeaderKey(name)] = values
	}
	if _, ok := h["User-Agent"]; !ok {
		h["User-Agent"] = ownAgent
	}
	if _, ok := h["Accept"]; !ok {
		h["Accept"] = acceptJSON
		if c.Stream {
			h["Accept"] = acceptStream
		}
	}
	if _, ok := h["Content-Type"]; !ok && len(c.Body) > 0 {
		h["Content-Type"] = acceptJSON
	}
	return h
}

// Shared header values; never changed.
var (
	ownAgent     = []string{"model-proxy"}
	acceptJSON   = []string{"application/json"}
	acceptStream = []string{"text/event-stream"}
)

// authorize puts the key into h. No other code of this package sees it in plain.
func (c *Call) authorize(h http.Header) {
	if c.Secret.IsZero() {
		return
	}
	name, format := c.KeyHeader, c.KeyFormat
	if name == "" {
		name = "Authorization"
	}
	if format == "" {
		format = "{api_key}"
		if strings.EqualFold(name, "Authorization") {
			format = "Bearer {api_key}"
		}
	}
	h.Set(name, strings.ReplaceAll(format, "{api_key}", c.Secret.Reveal()))
}
