package config

import (
	"net/url"
	"slices"
	"strings"

	"model-proxy/internal/llm"
)

func (r *providerReader) addresses() {
	e := r.file.Endpoints
	for field, path := range map[string]string{"endpoints.completions": e.Completions, "endpoints.streaming": e.Streaming} {
		if strings.Contains(path, ":generateContent") || strings.Contains(path, ":streamGenerateContent") {
			r.fault(field, "Gemini's native API is not spoken here; use its OpenAI-compatible address: "+
				"base_url https://generativelanguage.googleapis.com/v1beta/openai and completions /chat/completions")
		}
	}
	r.p.BaseURL = e.BaseURL
	field := "endpoints.base_url"
	if r.file.ProxySupport.Enabled {
		field = "proxy_support.base_url_override"
		r.p.BaseURL = r.file.ProxySupport.BaseURLOverride
	}
	r.checkURL(field, r.p.BaseURL)
	if len(r.p.Protocols) > 0 {
		r.paths(r.p.Protocols[0])
	}
}

// checkURL notes a fault unless raw is an address that can be called.
func (d *document) checkURL(field, raw string) {
	if strings.Contains(raw, "${") {
		return // told where it was not replaced
	}
	switch u, err := url.Parse(raw); {
	case raw == "":
		d.fault(field, "is missing; give the provider's address, such as https://api.example.com/v1")
	case err == nil && u.User != nil:
		d.fault(field, "holds a user name or password, which would show in messages; put it in authentication.additional_headers as ${NAME}")
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		d.fault(field, "is not an http or https address such as https://api.example.com/v1")
	}
}

// paths fills Paths, StreamPaths and ModelsPath. What the file leaves out
// stands beside the path of completions, or is the protocol's usual one.
func (r *providerReader) paths(main llm.Protocol) {
	e := r.file.Endpoints
	first := mainEndpoint(main)
	known := e.Completions
	if known == "" {
		known = defaultPaths[first]
		if main == llm.Azure {
			known = "/openai/deployments/{model}/chat/completions?api-version=" + azureVersion
		}
	}
	r.p.Paths = map[llm.Endpoint]string{first: known}
	for _, given := range []struct {
		endpoint llm.Endpoint
		path     string
	}{
		{llm.ChatCompletions, ""}, {llm.Messages, e.Messages}, {llm.ResponsesAPI, e.Responses},
		{llm.Embeddings, e.Embeddings}, {r.counter(), e.CountTokens}, {llm.CountTokens, ""},
	} {
		if given.path != "" {
			r.p.Paths[given.endpoint] = given.path
		}
		if given.endpoint == llm.ResponsesTokens {
			continue // few hosts have it: those whose file says so
		}
		if r.p.Paths[given.endpoint] == "" {
			r.p.Paths[given.endpoint] = sibling(known, first, defaultPaths[given.endpoint])
		}
		if r.p.Paths[given.endpoint] == "" {
			r.p.Paths[given.endpoint] = defaultPaths[given.endpoint]
		}
	}
	if e.Streaming != "" && e.Streaming != r.p.Paths[first] {
		r.p.StreamPaths = map[llm.Endpoint]string{first: e.Streaming}
	}
	r.p.ModelsPath = r.modelsPath(main, known, first)
}

// counter is what endpoints.count_tokens means: the counting of Messages, or
// that of Responses where the provider speaks this and not the other.
func (r *providerReader) counter() llm.Endpoint {
	if slices.Contains(r.p.Protocols, llm.Responses) && !slices.Contains(r.p.Protocols, llm.Anthropic) {
		return llm.ResponsesTokens
	}
	return llm.CountTokens
}

func (r *providerReader) modelsPath(main llm.Protocol, known string, first llm.Endpoint) string {
	if given := r.file.Endpoints.Models; given != "" {
		return given
	}
	if main == llm.Azure {
		_, query, _ := strings.Cut(known, "?")
		if query == "" {
			query = "api-version=" + azureVersion
		}
		return "/openai/models?" + query
	}
	if beside := sibling(known, first, defaultModelsPath); beside != "" {
		return beside
	}
	return defaultModelsPath
}

// mainEndpoint is what endpoints.completions means in each protocol.
func mainEndpoint(p llm.Protocol) llm.Endpoint {
	switch p.Wire() {
	case llm.Anthropic:
		return llm.Messages
	case llm.Responses:
		return llm.ResponsesAPI
	}
	return llm.ChatCompletions
}
