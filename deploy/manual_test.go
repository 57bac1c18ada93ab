package deploy

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The manual is docs/operations.md and the heads of the files here.
const manual = "docs/operations.md"

// quoted is a span of code in the manual.
var quoted = regexp.MustCompile("`([^`\n]+)`")

// logLine is a line of the log as the manual cites it.
var logLine = regexp.MustCompile(`msg="([^"]+)"`)

// upperName is a variable as the manual writes it, with what may follow.
var upperName = regexp.MustCompile(`^([A-Z][A-Z0-9]*_[A-Z0-9_]+)(?:=.*)?$`)

// commandFlag is a flag in a line of code.
var commandFlag = regexp.MustCompile(`(?:^|\s)--([a-z][a-z-]+)`)

// commandWords are the words of a command before its arguments.
var commandWords = regexp.MustCompile(`^model-proxy((?: [a-z]+)+)`)

// Every message of the log that the manual cites is one that the program writes.
func TestManualLogLines(t *testing.T) {
	t.Parallel()
	source := programText(t)
	cited := logLine.FindAllStringSubmatch(string(read(t, manual)), -1)
	if len(cited) < 10 {
		t.Errorf("%d lines of the log are cited: is the manual read rightly?", len(cited))
	}
	for _, m := range cited {
		if !strings.Contains(source, `"`+m[1]+`"`) {
			t.Errorf("%s: nothing logs %q", manual, m[1])
		}
	}
}

// The messages that users ask about are ones that the program gives.
func TestManualMessages(t *testing.T) {
	t.Parallel()
	source := programText(t)
	_, questions, _ := strings.Cut(string(read(t, manual)), "## Questions that messages raise")
	for _, m := range regexp.MustCompile(`(?m)^- \*\*"([^"]+)"\*\*( \(from NATS\))?`).FindAllStringSubmatch(questions, -1) {
		for part := range strings.SplitSeq(m[1], "…") {
			if part = strings.TrimSpace(part); m[2] == "" && part != "" && !strings.Contains(source, part) {
				t.Errorf("%s: the program does not say %q", manual, part)
			}
		}
	}
}

// Flags, variables and paths of the manual exist.
func TestManualNames(t *testing.T) {
	t.Parallel()
	for _, m := range quoted.FindAllStringSubmatch(string(read(t, manual)), -1) {
		for _, flag := range commandFlag.FindAllStringSubmatch(m[1], -1) {
			checkManualFlag(t, m[1], flag[1])
		}
		if name := upperName.FindStringSubmatch(m[1]); name != nil && !strings.HasPrefix(m[1], "OTEL_") {
			checkVariable(t, manual, name[1])
		}
		if path, ok := strings.CutPrefix(m[1], "deploy/"); ok && !strings.ContainsAny(path, " *") && !strings.HasPrefix(path, "secrets/") {
			if _, err := os.Stat(path); err != nil {
				t.Errorf("%s: %v", manual, err)
			}
		}
	}
	for _, m := range regexp.MustCompile(`\]\(([^)#:]+)`).FindAllStringSubmatch(string(read(t, manual)), -1) {
		if _, err := os.Stat(filepath.Join(root, "docs", m[1])); err != nil {
			t.Errorf("%s: %v", manual, err)
		}
	}
}

// checkManualFlag checks a flag in a line of code: that its command has it, or
// where it stands alone that some role has it.
func checkManualFlag(t *testing.T, code, flag string) {
	t.Helper()
	commands := append(slices.Clone(roles), "config export")
	if words := commandWords.FindStringSubmatch(code); words != nil {
		commands = []string{strings.TrimSpace(words[1])}
	} else if !strings.HasPrefix(code, "--") {
		return // another program's
	}
	for _, command := range commands {
		flags, err := flagsOf(command)
		if err != nil {
			t.Errorf("%s: `%s`: %v", manual, code, err)
		}
		if _, ok := flags[flag]; ok {
			return
		}
	}
	t.Errorf("%s: `%s`: there is no flag --%s", manual, code, flag)
}

// programText is the text of all Go files of the program, without their tests.
func programText(t *testing.T) string {
	t.Helper()
	var text strings.Builder
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		switch name := d.Name(); {
		case d.IsDir() && slices.Contains([]string{".git", "node_modules", "e2e", "bench", "deploy"}, name) && path != root:
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		b, err := os.ReadFile(path)
		text.Write(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return text.String()
}
