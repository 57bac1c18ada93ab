package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// terminal opens a pseudo-terminal: what is typed at one end is read at the other.
func terminal(t *testing.T) (hands, tty *os.File) {
	t.Helper()
	hands, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = hands.Close() })
	if err := unix.IoctlSetPointerInt(int(hands.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(hands.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tty.Close() })
	return hands, tty
}

// typed runs a command in a terminal where the lines are typed.
func typed(t *testing.T, lines string, args ...string) result {
	t.Helper()
	hands, tty := terminal(t)
	var out, errs bytes.Buffer
	a := &app{environ: []string{"HOME=" + t.TempDir()}, stdin: tty, stdout: &out, stderr: &typist{w: &errs, hands: hands, lines: strings.Split(lines, "\n")}}
	return result{a.execute(t.Context(), args), out.String(), errs.String()}
}

// typist answers each question, once it has been put, with the next line.
type typist struct {
	w     *bytes.Buffer
	hands *os.File
	lines []string
}

func (y *typist) Write(p []byte) (int, error) {
	if text := string(p); len(y.lines) > 0 && (strings.HasSuffix(text, ": ")) {
		if _, err := y.hands.WriteString(y.lines[0] + "\n"); err != nil {
			return 0, err
		}
		y.lines = y.lines[1:]
	}
	return y.w.Write(p)
}

// In a terminal, add asks for what no flag gives, and again after an answer that
// cannot be.
func TestAddAsksInATerminal(t *testing.T) {
	t.Chdir(t.TempDir())
	typed(t, "acme\nnowhere\nhttps://acme.example/v1\n\n", "add", "provider").want(t, exitOK,
		"Name of the provider: ", `"nowhere" is not an http or https address`, "[openai]: ", "written: "+filepath.Join("config", "providers", "acme.json"))
	typed(t, "fast\nacme/up-1\nopenai/gpt-5-mini\n\n", "add", "model").want(t, exitOK, "First route", "Next route", "written: "+filepath.Join("config", "models", "fast.json"))
	r := typed(t, "sk-typed-a-long-key-000042", "add", "key", "acme").want(t, exitOK, "it is not shown", "written: ACME_API_KEY")
	if strings.Contains(r.out+r.errs, "sk-typed") {
		t.Errorf("the key is shown: %q%q", r.out, r.errs)
	}
	command(t, nil, "config", "show", "fast").want(t, exitOK, "1. primary: up-1 of acme", "…0042 ACME_API_KEY")
}
