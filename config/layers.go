package config

import (
	"embed"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

//go:embed providers/*.json models/*.json catalog.json
var shipped embed.FS

// shippedDir stands for the embedded files' folder in messages.
const shippedDir = "built-in"

// layer is one configuration directory. What an earlier layer defines hides
// the same name in a later one.
type layer struct {
	name string // as the user wrote it
	fsys fs.FS
}

// layers lists the directories in search order: --config, MODEL_PROXY_CONFIG,
// ./config, ~/.model-proxy/config, then the defaults in the binary. The first
// two must exist if they are named.
func layers(o Options, env *Environment) ([]layer, error) {
	var found []layer
	var seen []fs.FileInfo
	add := func(dir string, mustExist string) error {
		if dir == "" {
			return nil
		}
		info, err := os.Stat(dir)
		if err != nil || !info.IsDir() {
			if mustExist == "" {
				return nil
			}
			return fmt.Errorf("configuration directory %s (%s) does not exist or is not a directory", dir, mustExist)
		}
		for _, s := range seen {
			if os.SameFile(s, info) {
				return nil
			}
		}
		seen = append(seen, info)
		found = append(found, layer{name: dir, fsys: os.DirFS(dir)})
		return nil
	}
	if err := add(o.Dir, "--config"); err != nil {
		return nil, err
	}
	if err := add(env.Vars.ConfigDir, "MODEL_PROXY_CONFIG"); err != nil {
		return nil, err
	}
	_ = add("config", "") // optional, so never an error
	if home, ok := env.Lookup("HOME"); ok {
		_ = add(filepath.Join(home, ".model-proxy", "config"), "")
	}
	return append(found, layer{name: shippedDir, fsys: shipped}), nil
}

// read returns the documents of one folder of the layer, by file name. Files
// whose names begin with a dot are editors' and are left alone.
func (l layer) read(folder string) ([]*document, error) {
	entries, err := fs.ReadDir(l.fsys, folder)
	if os.IsNotExist(err) {
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
		d, err := l.readFile(path.Join(folder, e.Name()))
		if err != nil {
			return nil, err
		}
		docs = append(docs, d)
	}
	return docs, nil
}

// readFile returns one document, or nil if the file does not exist. A file
// equal to the one in the binary counts as shipped, so that a copy of the
// defaults warns no more than they do.
func (l layer) readFile(name string) (*document, error) {
	raw, err := fs.ReadFile(l.fsys, name)
	if os.IsNotExist(err) {
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
	if d.root == nil || d.root.fields[field] == nil || d.root.fields[field].kind != text {
		return ""
	}
	return d.root.fields[field].scalar
}
