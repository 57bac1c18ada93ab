package span

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// conventions are the GenAI names of OpenTelemetry's semantic conventions v1.41
// (docs/gen-ai and docs/registry/attributes/gen-ai.md) that a gateway can know.
const conventions = `
gen_ai.operation.name gen_ai.provider.name gen_ai.request.model gen_ai.response.model gen_ai.response.id
gen_ai.response.finish_reasons gen_ai.conversation.id gen_ai.output.type gen_ai.request.stream gen_ai.request.choice.count
gen_ai.request.seed gen_ai.request.max_tokens gen_ai.request.temperature gen_ai.request.top_p gen_ai.request.top_k
gen_ai.request.stop_sequences gen_ai.request.frequency_penalty gen_ai.request.presence_penalty gen_ai.request.encoding_formats
gen_ai.response.time_to_first_chunk gen_ai.embeddings.dimension.count gen_ai.usage.input_tokens
gen_ai.usage.cache_read.input_tokens gen_ai.usage.cache_creation.input_tokens gen_ai.usage.output_tokens
gen_ai.usage.reasoning.output_tokens gen_ai.token.type gen_ai.client.token.usage gen_ai.client.operation.duration
gen_ai.client.operation.time_to_first_chunk gen_ai.client.operation.time_per_output_chunk
gen_ai.server.request.duration gen_ai.server.time_to_first_token gen_ai.server.time_per_output_token`

// The GenAI names stand in one table, and are names that the conventions have.
func TestOneTableOfNames(t *testing.T) {
	known := map[string]bool{}
	for name := range strings.FieldsSeq(conventions) {
		known[name] = true
	}
	name := regexp.MustCompile(`"gen_ai[._][a-z._]*"`)
	root := filepath.Join("..", "..")
	found := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && (d.Name() == ".git" || d.Name() == "node_modules") {
			return errorOr(err, fs.SkipDir)
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		code, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, quoted := range name.FindAllString(string(code), -1) {
			found++
			if !strings.HasSuffix(path, filepath.Join("internal", "span", "names.go")) {
				t.Errorf("%s names %s itself: internal/span/names.go is the place", path, quoted)
			}
			if !known[strings.Trim(quoted, `"`)] {
				t.Errorf("%s: the conventions have no %s", path, quoted)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if found < 20 {
		t.Errorf("%d names found, want the whole table", found)
	}
}

func errorOr(err, otherwise error) error {
	if err != nil {
		return err
	}
	return otherwise
}
