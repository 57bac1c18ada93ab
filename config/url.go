package config

import (
	"net/url"
	"slices"
	"strings"

	"model-proxy/internal/llm"
)

// defaultPaths stand for what a provider file leaves out.
var defaultPaths = map[llm.Endpoint]string{
	llm.ChatCompletions: "/chat/completions",
	llm.Embeddings:      "/embeddings",
	llm.ResponsesAPI:    "/responses",
	llm.Messages:        "/messages",
	llm.CountTokens:     "/messages/count_tokens",
}

const defaultModelsPath = "/models"

// azureVersion is the api-version of Azure addresses that name none.
const azureVersion = "2024-10-21"

// URL is the address of endpoint e at the route's upstream, for an answer in
// one piece. e is in the upstream's protocol.
func (r *Route) URL(e llm.Endpoint) string {
	return r.address(r.Provider.Paths[e], e)
}

// StreamURL is the address of endpoint e for an answer as a stream.
func (r *Route) StreamURL(e llm.Endpoint) string {
	if p, ok := r.Provider.StreamPaths[e]; ok {
		return r.address(p, e)
	}
	return r.URL(e)
}

// CountsTokens reports whether the route's upstream counts the tokens of
// requests for Responses.
func (r *Route) CountsTokens() bool {
	return r.Provider.Paths[llm.ResponsesTokens] != "" && slices.Contains(r.Protocols, llm.Responses)
}

func (r *Route) address(path string, e llm.Endpoint) string {
	if path == "" {
		path = defaultPaths[e]
	}
	return address(r.BaseURL, path, r.Model)
}

// ModelsURL is the address of the provider's list of models.
func (p *Provider) ModelsURL() string {
	path := p.ModelsPath
	if path == "" {
		path = defaultModelsPath
	}
	return address(p.BaseURL, path, "")
}

// address joins base and path with one slash, keeps a query of either, and
// puts the model, escaped, in the place of {model}. A path that is a whole
// URL stands alone.
func address(base, path, model string) string {
	whole := path
	if !strings.HasPrefix(path, "http://") && !strings.HasPrefix(path, "https://") {
		base, query, _ := strings.Cut(base, "?")
		path, more, _ := strings.Cut(path, "?")
		whole = strings.TrimRight(base, "/") + "/" + strings.TrimLeft(path, "/")
		if q := strings.Trim(query+"&"+more, "&"); q != "" {
			whole += "?" + q
		}
	}
	return strings.ReplaceAll(whole, "{model}", url.PathEscape(model))
}

// sibling is the path of another endpoint beside the one that is known:
// /v1/embeddings beside /v1/chat/completions. It is "" if known does not end
// as its endpoint usually does.
func sibling(known string, e llm.Endpoint, other string) string {
	path, query, hasQuery := strings.Cut(known, "?")
	usual := strings.TrimPrefix(defaultPaths[e], "/")
	before, ok := strings.CutSuffix(path, usual)
	if !ok {
		return ""
	}
	path = before + strings.TrimPrefix(other, "/")
	if hasQuery {
		path += "?" + query
	}
	return path
}
