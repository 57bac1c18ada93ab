package config

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

//go:embed providers/*.json models/*.json catalog.json prices.json
var shipped embed.FS

// shippedDir stands for the embedded files' folder in messages.
const shippedDir = "built-in"

// layer is one configuration directory. What an earlier layer defines hides
// the same name in a later one.
type layer struct {
	name string // as the user wrote it
	fsys fs.FS
}

// candidate is a directory that may be a layer.
type candidate struct {
	dir  string
	flag string // how the user named it, who must then have it; "" if it is optional
}

// candidates are the directories in search order: --config,
// MODEL_PROXY_CONFIG, ./config, ~/.model-proxy/config.
func candidates(o Options, env *Environment) []candidate {
	all := []candidate{{o.Dir, "--config"}, {env.Vars.ConfigDir, "MODEL_PROXY_CONFIG"}, {"config", ""}}
	if home, ok := env.Lookup("HOME"); ok {
		all = append(all, candidate{filepath.Join(home, ".model-proxy", "config"), ""})
	}
	return slices.DeleteFunc(all, func(c candidate) bool { return c.dir == "" })
}

// layers opens the candidates that exist, each directory once, and the
// defaults in the binary after them.
func layers(o Options, env *Environment) ([]layer, error) {
	var found []layer
	var seen []fs.FileInfo
	if o.Overlay != nil {
		found = append(found, layer{name: "overlay", fsys: o.Overlay})
	}
	for _, c := range candidates(o, env) {
		info, err := os.Stat(c.dir)
		if err != nil || !info.IsDir() {
			if c.flag != "" {
				return nil, fmt.Errorf("configuration directory %s (%s) does not exist or is not a directory", c.dir, c.flag)
			}
			continue
		}
		if slices.ContainsFunc(seen, func(s fs.FileInfo) bool { return os.SameFile(s, info) }) {
			continue
		}
		seen = append(seen, info)
		found = append(found, layer{name: c.dir, fsys: os.DirFS(c.dir)})
	}
	return append(found, layer{name: shippedDir, fsys: shipped}), nil
}

// WriteDir is the directory to which commands write configuration: the one
// that is named, else the first that exists, else ./config.
func WriteDir(o Options) (string, error) {
	env, err := o.Environment()
	if err != nil {
		return "", err
	}
	for _, c := range candidates(o, env) {
		if info, err := os.Stat(c.dir); c.flag != "" || err == nil && info.IsDir() {
			return c.dir, nil
		}
	}
	return "config", nil
}

// read returns the documents of one folder of the layer, by file name. Files
// whose names begin with a dot are editors' and are left alone.
func (l layer) read(folder string) ([]*document, error) {
	entries, err := fs.ReadDir(l.fsys, folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", l.path(folder), err)
	}
	var docs []*document
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".json") || strings.HasPrefix(e.Name(), ".") || e.IsDir() {
			continue
		}
		name := path.Join(folder, e.Name())
		d, err := l.readFile(name)
		switch {
		case err != nil:
			d = unreadable(l.path(name), err)
		case d == nil && e.Type() == fs.ModeSymlink:
			d = unreadable(l.path(name), errors.New("it is a link to a file that does not exist"))
		case d == nil:
			continue // it was removed just now
		}
		docs = append(docs, d)
	}
	return docs, nil
}

// unreadable is the document of a file that cannot be read.
func unreadable(name string, err error) *document {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		err = e.Err // the name stands before it anyway
	}
	d := &document{name: name}
	d.fault("", "cannot be read: %v", err)
	return d
}

// readFile returns one document, or nil if the file does not exist. A file
// equal to the one in the binary counts as shipped, so that a copy of the
// defaults warns no more than they do.
func (l layer) readFile(name string) (*document, error) {
	raw, err := fs.ReadFile(l.fsys, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", l.path(name), err)
	}
	d := parse(l.path(name), raw)
	own, err := fs.ReadFile(shipped, name)
	d.shipped = err == nil && string(own) == string(raw)
	return d, nil
}

// path is a file's name as the user would write it.
func (l layer) path(name string) string {
	return filepath.Join(l.name, filepath.FromSlash(name))
}

// stem is a document's file name without folder and .json.
func (d *document) stem() string {
	return strings.TrimSuffix(filepath.Base(d.name), ".json")
}

// text returns a top-level string field, "" if there is none.
func (d *document) text(field string) string {
	if d.root == nil {
		return ""
	}
	return d.root.text(field)
}
