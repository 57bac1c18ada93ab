package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// The modes of what this package writes. Files with keys are the owner's only.
const (
	configMode  fs.FileMode = 0o644
	secretMode  fs.FileMode = 0o600
	foldersMode fs.FileMode = 0o755
)

// writeFile replaces a file whole: a reader sees the old or the new content,
// and a crash leaves one of them.
func writeFile(name string, content []byte, mode fs.FileMode) error {
	dir := filepath.Dir(name)
	if err := os.MkdirAll(dir, foldersMode); err != nil {
		return err
	}
	// A link, such as .env in a deployment, stays and its target is replaced.
	if target, err := filepath.EvalSymlinks(name); err == nil {
		name, dir = target, filepath.Dir(target)
	}
	f, err := os.CreateTemp(dir, ".model-proxy-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // after the rename there is nothing to remove
	_, err = f.Write(content)
	for _, step := range []func() error{func() error { return f.Chmod(mode) }, f.Sync, f.Close} {
		if stepErr := step(); err == nil {
			err = stepErr
		}
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return os.Rename(f.Name(), name)
}

// indent is a configuration file's layout.
func indent(raw []byte) []byte {
	var b bytes.Buffer
	if err := json.Indent(&b, raw, "", "  "); err != nil {
		return raw // the callers pass checked JSON
	}
	b.WriteByte('\n')
	return b.Bytes()
}

// marshal lays out a value as a configuration file, < > and & as they are.
func marshal(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		panic("config: no JSON form: " + err.Error()) // only plain structs come here
	}
	return b.Bytes()
}

// fileName is the file for a provider's or model's name. A / becomes -- in the
// file's name only. The error is that of a name no file can have.
func fileName(name string) (string, error) {
	file := strings.ReplaceAll(name, "/", "--")
	bad := func(r rune) bool { return r < ' ' || r == 0x7f || strings.ContainsRune(`\:*?"<>|`, r) }
	if file == "" || strings.HasPrefix(file, ".") || strings.ContainsFunc(file, bad) || len(file) > 200 {
		return "", fmt.Errorf("%q cannot be the name of a file; use letters, digits, dots and dashes", name)
	}
	return file + ".json", nil
}
