package harness

import (
	"bytes"
	"embed"
	"io"
	"net/http"
	"path"
	"strings"

	"model-proxy/internal/provider/mock"
)

// answerHeader names a recorded answer to give in place of the mock's own.
const answerHeader = "X-E2e-Answer"

//go:embed testdata
var recorded embed.FS

// answers serves m, and testdata/<answer>.<protocol>.json or .sse to those who
// ask for it by answerHeader.
func answers(m *mock.Mock) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := r.Header.Get(answerHeader)
		if name == "" {
			m.ServeHTTP(w, r)
			return
		}
		protocol := "openai"
		switch {
		case strings.HasSuffix(r.URL.Path, "/messages"):
			protocol = "anthropic"
		case strings.HasSuffix(r.URL.Path, "/responses"):
			protocol = "openai-responses"
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the gateway has gone
		}
		file, contentType := name+"."+protocol+".json", "application/json"
		if bytes.Contains(body, []byte(`"stream":true`)) {
			file, contentType = name+"."+protocol+".sse", "text/event-stream"
		}
		answer, err := recorded.ReadFile(path.Join("testdata", file))
		if err != nil {
			http.Error(w, err.Error(), http.StatusNotFound)
			return
		}
		mock.Replay(http.StatusOK, http.Header{"Content-Type": {contentType}}, answer, mock.Every(37)).ServeHTTP(w, r)
	})
}
