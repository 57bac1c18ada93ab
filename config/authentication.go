package config

import (
	"slices"
	"strconv"
	"strings"

	"model-proxy/internal/llm"
)

// keyHeaders are the usual places of a key, where the file names none.
var keyHeaders = map[llm.Protocol]string{llm.Anthropic: "x-api-key", llm.Azure: "api-key"}

// authentication settles which headers go with every request.
func (r *providerReader) authentication() {
	a := r.file.Authentication
	header := "Authorization"
	if len(r.p.Protocols) > 0 && keyHeaders[r.p.Protocols[0]] != "" {
		header = keyHeaders[r.p.Protocols[0]]
	}
	if a.HeaderName != nil {
		header = *a.HeaderName
	}
	r.p.KeyHeader, r.p.KeyFormat = header, a.HeaderFormat
	if r.p.KeyFormat == "" {
		r.p.KeyFormat = "{api_key}"
		if strings.EqualFold(header, "Authorization") {
			r.p.KeyFormat = "Bearer {api_key}"
		}
	}
	if header != "" && !headerName(header) {
		r.fault("authentication.header_name", "%q cannot be the name of an HTTP header", header)
	}
	if !strings.Contains(r.p.KeyFormat, "{api_key}") {
		r.fault("authentication.header_format", "must hold {api_key} where the key belongs, such as \"Bearer {api_key}\"")
	}
	for name, value := range a.AdditionalHeaders {
		if !headerName(name) || !headerValue(value) {
			r.fault("authentication.additional_headers."+name, "cannot be sent as an HTTP header; use printable ASCII")
		}
	}
	r.forwardHeaders()
}

// neverForwarded are request headers that hold the client's own credentials.
var neverForwarded = []string{"authorization", "x-api-key", "api-key", "cookie", "proxy-authorization"}

func (r *providerReader) forwardHeaders() {
	for i, name := range r.file.ForwardHeaders {
		field := "forward_headers[" + strconv.Itoa(i) + "]"
		prefix, open := strings.CutSuffix(strings.ToLower(name), "*")
		leaks := slices.ContainsFunc(neverForwarded, func(secret string) bool {
			return secret == prefix || open && strings.HasPrefix(secret, prefix)
		})
		switch {
		case leaks:
			r.fault(field, "%q would hand the client's own key to the provider; name other headers", name)
		case !headerName(prefix):
			r.fault(field, "%q cannot be the name of an HTTP header", name)
		default:
			r.p.ForwardHeaders = append(r.p.ForwardHeaders, name)
		}
	}
}

// keyless reports whether the provider can be called without any key.
func (r *providerReader) keyless() bool {
	a := r.file.Authentication
	return a.Type == "none" || a.HeaderName != nil && *a.HeaderName == ""
}

// keys reads the provider's API keys. Where none is needed and none is set,
// one zero Secret stands for them, so that every usable route has a key.
func (r *providerReader) keys() {
	f := r.file
	patterns := f.APIKeys.Patterns
	if f.APIKeys.Pattern != "" {
		patterns = append([]string{f.APIKeys.Pattern}, patterns...)
	}
	patterns = append(patterns, f.LegacyPatterns...)
	if len(patterns) == 0 && !r.keyless() {
		patterns = defaultKeyPatterns
	}
	r.p.KeyPatterns = patterns
	var bad []string
	if r.checkVariables("api_keys", patterns, r.env) && r.p.KeyHeader != "" {
		r.p.Keys, bad = r.env.keys(r.p.Name, patterns)
	}
	for _, name := range bad {
		r.warn("api_keys", "the value of %s holds characters that no HTTP header can carry and is left out; set it again without line ends and spaces", name)
	}
	if len(r.p.Keys) == 0 && r.keyless() {
		r.p.Keys = []Key{{}}
	}
}
