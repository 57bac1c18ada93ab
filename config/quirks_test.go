package config

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"model-proxy/internal/llm"
)

// Every switch is in the documentation.
func TestQuirksAreDocumented(t *testing.T) {
	doc, err := os.ReadFile("../docs/quirks.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, typ := range []reflect.Type{reflect.TypeFor[llm.Quirks](), reflect.TypeFor[llm.Capabilities]()} {
		for field := range typ.Fields() {
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			if !strings.Contains(string(doc), "`"+name+"`") {
				t.Errorf("docs/quirks.md does not name %s", name)
			}
		}
	}
}
