package seed_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every test that docs/seed-parity.md names exists in the package it is said to
// be in.
func TestParityNamesRealTests(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/seed-parity.md")
	if err != nil {
		t.Fatal(err)
	}
	named := 0
	place, name := regexp.MustCompile("`([a-z0-9/-]+)`[ :]"), regexp.MustCompile(`\bTest\w+`)
	for line := range strings.Lines(string(page)) {
		if !strings.HasPrefix(line, "| ") {
			continue
		}
		cells := strings.Split(line, " | ")
		for part := range strings.SplitSeq(cells[len(cells)-1], ";") {
			at := place.FindStringSubmatch(part)
			tests := name.FindAllString(part, -1)
			if at == nil || tests == nil {
				continue
			}
			for _, test := range tests {
				named++
				if !declares(t, "../../"+at[1], test) {
					t.Errorf("%s has no %s", at[1], test)
				}
			}
		}
	}
	if named < 50 {
		t.Errorf("got %d names, want those of the whole page", named)
	}
}

// declares reports whether a test file of the folder declares the test.
func declares(t *testing.T, folder, test string) bool {
	t.Helper()
	files, err := fs.Glob(os.DirFS(folder), "*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		text, err := os.ReadFile(filepath.Join(folder, f))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "\nfunc "+test+"(") {
			return true
		}
	}
	return false
}
