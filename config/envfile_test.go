package config

import (
	"os"
	"strings"
	"testing"

	"github.com/joho/godotenv"
)

func TestParseEnv(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{`A=pa$5Word`, "pa$5Word"},
		{`A="pa$WORD"`, "pa$WORD"},
		{`A='pa$WORD'`, "pa$WORD"},
		{`A="pa\$WORD"`, "pa$WORD"},
		{`A=$$x$`, "$$x$"},
		{"B=b\nA=${B}$B", "b$B"},
		{"B=b$1\nA=\"${B}\"", "b$1"},
		{`A='${B}'`, "${B}"},
		{"A=1 # costs $5", "1"},
		{"\ufeffA=1\r\n", "1"},
	} {
		got, err := parseEnv([]byte(c.text))
		if err != nil || got["A"] != c.want {
			t.Errorf("%q: got %q and error %v, want %q", c.text, got["A"], err, c.want)
		}
	}
}

func TestSetEnv(t *testing.T) {
	for _, test := range []struct {
		name, before string
		set          map[string]string
		want         string
	}{
		{"no file", "", map[string]string{"A": "1"}, "A=1\n"},
		{"other lines stay", "# keys\nA=1 # old\n\nB='x y'\n", map[string]string{"A": "2"}, "# keys\nA=2\n\nB='x y'\n"},
		{"appended", "A=1", map[string]string{"B": "2", "C": "3"}, "A=1\nB=2\nC=3\n"},
		{"exported", "export A=1\n", map[string]string{"A": "2"}, "A=2\n"},
		{"a name that ends alike", "XA=1\nA=1\n", map[string]string{"A": "2"}, "XA=1\nA=2\n"},
		{"quoted", "", map[string]string{"A": "a b#$c"}, "A='a b#$c'\n"},
		{"a quote inside", "", map[string]string{"A": "it's $5 \\ \"x\" y"}, "A=\"it's \\$5 \\\\ \\\"x\\\" y\"\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			if test.before != "" {
				write(t, ".env", test.before)
			}
			if err := setEnv(".env", test.set); err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(".env")
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
			if info, err := os.Stat(".env"); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("mode: got %v, want 0600", info.Mode())
			}
		})
	}
}

func TestSetEnvRefusesToBreakLines(t *testing.T) {
	t.Chdir(t.TempDir())
	const before = "A=\"one\nB=two\"\nC=3\n"
	write(t, ".env", before)
	if err := setEnv(".env", map[string]string{"A": "1"}); err == nil || !strings.Contains(err.Error(), "by hand") {
		t.Errorf("a value over two lines: got error %v, want a refusal", err)
	}
	if got, _ := os.ReadFile(".env"); string(got) != before {
		t.Errorf("got %q, want the file unchanged", got)
	}
}

// Whatever value is set is read back, and another variable keeps its own.
func FuzzSetEnv(f *testing.F) {
	f.Add("sk-123", "A=1\n")
	f.Add("it's $HOME\n", "# x\nKEY=\"a\nb\"\n")
	f.Fuzz(func(t *testing.T, value, before string) {
		file := t.TempDir() + "/.env"
		if err := os.WriteFile(file, []byte(before), 0o600); err != nil {
			t.Fatal(err)
		}
		want, err := parseEnv([]byte(before))
		if err != nil || setEnv(file, map[string]string{"KEY": value}) != nil {
			return // refused: the file stays
		}
		want["KEY"] = value
		got, err := godotenv.Read(file)
		if err != nil || got["KEY"] != value || len(got) != len(want) {
			t.Errorf("got %v and error %v, want %v", got, err, want)
		}
	})
}
