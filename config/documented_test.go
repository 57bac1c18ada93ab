package config

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// Every field of a configuration file and every variable is in the
// documentation.
func TestConfigurationIsDocumented(t *testing.T) {
	for page, types := range map[string][]reflect.Type{
		"../docs/configuration.md": {reflect.TypeFor[providerFile](), reflect.TypeFor[modelFile](), reflect.TypeFor[clientFile]()},
		"../README.md":             {reflect.TypeFor[Vars]()},
	} {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		text = regexp.MustCompile("(?s)```.*?```").ReplaceAll(text, nil) // examples explain nothing
		named := map[string]bool{}
		for _, code := range regexp.MustCompile("`[^`]+`").FindAllString(string(text), -1) {
			for _, word := range regexp.MustCompile(`\w+`).FindAllString(code, -1) {
				named[word] = true
			}
		}
		for _, typ := range types {
			for _, name := range fieldNames(typ) {
				if !named[name] {
					t.Errorf("%s does not name %s", page, name)
				}
			}
		}
	}
}

// fieldNames are the names of a struct's fields, and of those within, as files
// and the environment spell them. docs/quirks.md has capabilities and quirks.
func fieldNames(typ reflect.Type) (names []string) {
	for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice || typ.Kind() == reflect.Map {
		typ = typ.Elem()
	}
	if typ.Kind() != reflect.Struct || typ == noteType || strings.HasSuffix(typ.PkgPath(), "/llm") {
		return nil
	}
	for f := range typ.Fields() {
		name := f.Tag.Get("json") + f.Tag.Get("envconfig")
		if name != "" && f.Type != noteType {
			names = append(names, name)
		}
		names = append(names, fieldNames(f.Type)...)
	}
	return names
}

// The clients in the documentation can be copied.
func TestDocumentedClientsLoad(t *testing.T) {
	page, err := os.ReadFile("../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	_, example, _ := strings.Cut(string(page), "```json\n")
	example, _, ok := strings.Cut(example, "```")
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "clients.json"), []byte(example), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Load(Options{Dir: dir, EnvFile: os.DevNull, Environ: []string{"ALICE_KEY=a", "OPENAI_API_KEY=b"}, Strict: true})
	if err != nil || !ok {
		t.Fatal("the example cannot be used: ", err)
	}
	if len(s.Clients) != 2 {
		t.Errorf("got %d clients, want the two of the example", len(s.Clients))
	}
}
