package gatewaytest

import (
	"bytes"
	"embed"
	"io"
	"net/http"
	"path"
	"strings"

	"model-proxy/internal/provider/mock"
)

// protocols are what EachProtocol has a model for, named "e2e-<protocol>".
var protocols = []string{"openai", "anthropic", "openai-responses"}

// EachProtocol is a setup with a provider and a model of that name for each
// protocol: e2e-openai, e2e-anthropic and e2e-openai-responses. Clients may ask
// for what Recorded has.
func EachProtocol(url string) Setup {
	files := map[string]JSON{}
	for _, protocol := range protocols {
		name := "e2e-" + protocol
		provider := Provider(name, protocol, url)
		provider["vendor"] = protocol
		provider["api_keys"] = JSON{"env_var_patterns": []string{"OPENAI_API_KEY"}}
		provider["forward_headers"] = []string{"X-Mock-*", AnswerHeader}
		files["providers/"+name+".json"] = provider
		files["models/"+name+".json"] = Model(name, name)
	}
	return Setup{Files: files, Env: []string{"KEY_COOLDOWN_SECONDS=0"}}
}

// AnswerHeader names a recorded answer to give in place of the mock's own.
const AnswerHeader = "X-E2e-Answer"

//go:embed testdata
var recorded embed.FS

// Recorded serves testdata/<answer>.<protocol>.json or .sse to requests that
// ask for one by AnswerHeader, and others by h.
func Recorded(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := r.Header.Get(AnswerHeader)
		if name == "" {
			h.ServeHTTP(w, r)
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the gateway has gone
		}
		file, contentType := name+"."+protocolOf(r.URL.Path)+".json", "application/json"
		if bytes.Contains(body, []byte(`"stream":true`)) {
			file, contentType = name+"."+protocolOf(r.URL.Path)+".sse", "text/event-stream"
		}
		answer, err := recorded.ReadFile(path.Join("testdata", file))
		if err != nil {
			http.Error(w, err.Error(), http.StatusNotFound)
			return
		}
		mock.Replay(http.StatusOK, http.Header{"Content-Type": {contentType}}, answer, mock.Every(37)).ServeHTTP(w, r)
	})
}

func protocolOf(path string) string {
	switch {
	case strings.HasSuffix(path, "/messages"):
		return "anthropic"
	case strings.HasSuffix(path, "/responses"):
		return "openai-responses"
	}
	return "openai"
}
