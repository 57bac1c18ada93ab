package config

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// What lies among the files and cannot be read is a fault of its own, like any
// other, and leaves the rest alone.
func TestUnreadableFiles(t *testing.T) {
	dir := t.TempDir()
	folder := filepath.Join(dir, "models")
	for _, err := range []error{
		os.MkdirAll(filepath.Join(folder, "folder.json"), 0o755),
		os.WriteFile(filepath.Join(folder, "good.json"), []byte(`{"model_routings":[]}`), 0o600),
		os.WriteFile(filepath.Join(folder, ".#good.json"), []byte("an editor's"), 0o600),
		os.Symlink("nowhere.json", filepath.Join(folder, "dangling.json")),
		os.Symlink("loop.json", filepath.Join(folder, "loop.json")),
		os.Symlink("folder.json", filepath.Join(folder, "to-a-folder.json")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	docs, err := layer{name: dir, fsys: os.DirFS(dir)}.read("models")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, d := range docs {
		for _, p := range d.problems {
			got = append(got, filepath.Base(p.File)+": "+p.Message)
		}
	}
	want := []string{
		"dangling.json: cannot be read: it is a link to a file that does not exist",
		"loop.json: cannot be read: too many levels of symbolic links",
		"to-a-folder.json: cannot be read: is a directory",
	}
	if len(docs) != 4 || !slices.Equal(got, want) {
		t.Errorf("got %d documents and %q, want 4 and %q", len(docs), got, want)
	}
}
