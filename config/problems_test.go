package config

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// Each archive is a configuration directory and, as env, its environment. The
// section want lists the problems of loading it.
func TestProblems(t *testing.T) {
	files, err := filepath.Glob("testdata/problems/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			name, err := filepath.Abs(file)
			if err != nil {
				t.Fatal(err)
			}
			o, want := unpack(t, archive)
			got := problems(t, o)
			if *update {
				setSection(archive, "want", got)
				if err := os.WriteFile(name, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

// unpack lays the archive out as ./config of a new working directory.
func unpack(t *testing.T, a *txtar.Archive) (o Options, want string) {
	t.Helper()
	t.Chdir(t.TempDir())
	o.Environ = []string{}
	for _, f := range a.Files {
		switch f.Name {
		case "env":
			o.Environ = strings.Split(strings.TrimSpace(string(f.Data)), "\n")
		case "want":
			want = string(f.Data)
		default:
			write(t, filepath.Join("config", f.Name), string(f.Data))
		}
	}
	return o, want
}

// problems loads without Strict and lists what was found, one a line. It
// checks that Strict refuses the same configuration exactly if it has a fault.
func problems(t *testing.T, o Options) string {
	t.Helper()
	s, err := Load(o)
	if err != nil {
		t.Fatalf("load: %v", err)
	}
	var b strings.Builder
	faults := 0
	for _, p := range s.Problems {
		what := "warning"
		if !p.Warning {
			what = "fault"
			faults++
		}
		b.WriteString(what + " " + p.Error() + "\n")
	}
	o.Strict = true
	if _, err := Load(o); (err != nil) != (faults > 0) {
		t.Errorf("strict load with %d faults: got error %v", faults, err)
	}
	return b.String()
}

func setSection(a *txtar.Archive, name, text string) {
	for i, f := range a.Files {
		if f.Name == name {
			a.Files[i].Data = []byte(text)
			return
		}
	}
	a.Files = append(a.Files, txtar.File{Name: name, Data: []byte(text)})
}

func write(t *testing.T, name, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
