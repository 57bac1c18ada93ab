package convert

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The map in doc.go has every file: by its name, or by its prefix and the rest.
func TestDocNamesEveryFile(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files, error %v", err)
	}
	for _, f := range files {
		if f == "doc.go" || strings.HasSuffix(f, "_test.go") {
			continue
		}
		name := f
		for _, prefix := range []string{"chat_", "messages_", "responses_"} {
			if rest, ok := strings.CutPrefix(strings.TrimSuffix(f, ".go"), prefix); ok {
				name = "_" + rest
			}
		}
		if !strings.Contains(string(doc), name) {
			t.Errorf("doc.go does not name %s (as %s)", f, name)
		}
	}
}
