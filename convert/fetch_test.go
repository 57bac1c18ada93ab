package convert

import (
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"testing"

	"model-proxy/internal/llm"
	"model-proxy/internal/rawjson"
)

// Files named by their address are asked for where the target takes none and the
// operator allows it, and stand in the request once they are there.
func TestFetchedFiles(t *testing.T) {
	no := false
	const (
		image = "https://example.com/a"
		paper = "https://example.com/b"
		body  = `{"model":"m","max_tokens":9,"messages":[{"role":"user","content":[{"type":"image","source":{"type":"url","url":"` + image + `"}},` +
			`{"type":"document","title":"t","source":{"type":"url","url":"` + paper + `"}}]}]}`
	)
	files := map[string]File{image: {"image/png", []byte("png")}, paper: {"application/pdf", []byte("%PDF-")}}
	in := Input{Client: llm.Anthropic, Endpoint: llm.Messages, Body: []byte(body), Model: "m"}
	for _, c := range []struct {
		name   string
		target Target
		needs  []string
	}{
		{"documents alone to Chat Completions", Target{Protocol: llm.OpenAI, Quirks: llm.Quirks{FetchFiles: true}}, []string{paper}},
		{"both to a model without addresses", Target{Protocol: llm.OpenAI, Quirks: llm.Quirks{FetchFiles: true}, Capabilities: llm.Capabilities{SupportsImageURL: &no}}, []string{image, paper}},
		{"nothing to Responses", Target{Protocol: llm.Responses, Quirks: llm.Quirks{FetchFiles: true}}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := New(in, c.target)
			var needs *NeedsFiles
			if errors.As(err, &needs) != (c.needs != nil) || needs != nil && !slices.Equal(needs.URLs, c.needs) {
				t.Fatalf("got %v, want to be asked for %v", err, c.needs)
			}
			given := in
			given.Files = files
			x, err := New(given, c.target)
			if err != nil {
				t.Fatal(err)
			}
			for _, url := range c.needs {
				want := base64.StdEncoding.EncodeToString(files[url].Data)
				if got := string(x.Body()); !strings.Contains(got, "data:"+files[url].Type+";base64,"+want) || strings.Contains(got, url) || !rawjson.Valid(x.Body()) {
					t.Errorf("got %s, want %s in place of its address", got, want)
				}
			}
		})
	}
	_, err := New(in, Target{Protocol: llm.OpenAI})
	var refused *llm.Error
	if !errors.As(err, &refused) || refused.Kind != llm.BadRequest {
		t.Errorf("without fetch_files: got %v, want a refusal", err)
	}
}
