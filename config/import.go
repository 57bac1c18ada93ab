package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
)

// ImportMode says what happens to configuration that is there already.
type ImportMode string

const (
	ReplaceAll ImportMode = "replace" // what the bundle does not hold is set aside as <file>.bak
	KeepOwn    ImportMode = "merge"   // what is there stays, only new names are added
)

// Change is what became of one file or variable.
type Change struct {
	Name string // file, or variable of the .env file
	What ChangeKind
}

// ChangeKind is a Change in one word for the user.
type ChangeKind string

const (
	Written  ChangeKind = "written"
	Kept     ChangeKind = "kept"
	SetAside ChangeKind = "set aside"
)

// Import writes a bundle into the directory that WriteDir names and its
// variables into the .env file. Nothing is written if the result would not
// load: the error is its Problems joined. Variables that are not set are no
// fault here.
func Import(o Options, b *Bundle, mode ImportMode) ([]Change, error) {
	dir, err := WriteDir(o)
	if err != nil {
		return nil, err
	}
	env, err := o.Environment()
	if err != nil {
		return nil, err
	}
	im := importer{mode: mode, here: layer{name: dir, fsys: os.DirFS(dir)}, result: map[string][]byte{}}
	steps := []func() error{
		func() error { return im.files("providers", "name", b.Providers) },
		func() error { return im.files("models", "logical_name", b.Models) },
		func() error { return im.clients(b.Clients) },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return nil, err
		}
	}
	values := im.env(env, b.Env)
	if err := im.check(env.with(values)); err != nil {
		return nil, err
	}
	if err := im.write(dir); err != nil {
		return nil, err
	}
	return im.changes, setEnv(o.envFile(), values)
}

// envFile is the .env file's name.
func (o Options) envFile() string {
	if o.EnvFile == "" {
		return ".env"
	}
	return o.EnvFile
}

// with returns e with other values on top, for a check before they are set.
func (e *Environment) with(values map[string]string) *Environment {
	all := maps.Clone(e.values)
	maps.Copy(all, values)
	return &Environment{Vars: e.Vars, values: all, open: true}
}

type importer struct {
	mode    ImportMode
	here    layer             // the directory as it is
	result  map[string][]byte // the directory as it will be, by path inside it
	old     []string          // what is there now
	changes []Change
}

// files merges one folder into the result.
func (im *importer) files(folder, field string, incoming []json.RawMessage) error {
	docs, err := im.here.read(folder)
	if err != nil {
		return err
	}
	fileOf := map[string]string{} // name to path
	for _, d := range docs {
		name := d.text(field)
		if name == "" {
			name = d.stem()
		}
		file := path.Join(folder, filepath.Base(d.name))
		im.old = append(im.old, file)
		fileOf[name] = file
		if im.mode == KeepOwn {
			im.keep(file, d.raw)
		}
	}
	for i, raw := range incoming {
		d := parse(fmt.Sprintf("%s[%d]", folder, i), raw)
		name := d.text(field)
		if name == "" {
			return fmt.Errorf("%s[%d] of the bundle has no %s", folder, i, field)
		}
		file, there := fileOf[name]
		if there && im.mode == KeepOwn {
			continue
		}
		if !there {
			base, err := fileName(name)
			if err != nil {
				return fmt.Errorf("%s[%d] of the bundle: %w", folder, i, err)
			}
			file = path.Join(folder, base)
		}
		if im.result[file] != nil {
			return fmt.Errorf("%s[%d] of the bundle: %s stands twice", folder, i, name)
		}
		im.result[file] = indent(raw)
		im.changes = append(im.changes, Change{im.here.path(file), Written})
	}
	return nil
}

func (im *importer) keep(file string, raw []byte) {
	im.result[file] = raw
	im.changes = append(im.changes, Change{im.here.path(file), Kept})
}

func (im *importer) clients(incoming []json.RawMessage) error {
	const file = "clients.json"
	d, err := im.here.readFile(file)
	if err != nil {
		return err
	}
	all := incoming
	if d != nil {
		im.old = append(im.old, file)
		if im.mode == KeepOwn {
			if all, err = addClients(d, incoming); err != nil {
				return err
			}
			if len(all) == len(d.root.items) {
				im.keep(file, d.raw)
				return nil
			}
		}
	}
	if len(all) == 0 {
		return nil
	}
	im.result[file] = marshal(all)
	im.changes = append(im.changes, Change{im.here.path(file), Written})
	return nil
}

// addClients returns the clients of d and, after them, those with other ids.
func addClients(d *document, incoming []json.RawMessage) ([]json.RawMessage, error) {
	if d.root == nil || d.root.kind != array {
		d.fault("", "must be a list of clients")
		return nil, refused(d.problems)
	}
	var all []json.RawMessage
	taken := map[string]bool{}
	for _, item := range d.root.items {
		all = append(all, item.json())
		if id := item.fields["id"]; id != nil {
			taken[id.scalar] = true
		}
	}
	for _, raw := range incoming {
		if !taken[parse("clients", raw).text("id")] {
			all = append(all, raw)
		}
	}
	return all, nil
}

// env returns the variables to set.
func (im *importer) env(there *Environment, incoming map[string]string) map[string]string {
	values := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(incoming)) {
		if _, set := there.Lookup(name); set && im.mode == KeepOwn {
			im.changes = append(im.changes, Change{name, Kept})
			continue
		}
		values[name] = incoming[name]
		im.changes = append(im.changes, Change{name, Written})
	}
	return values
}

// check loads the result from a folder aside.
func (im *importer) check(env *Environment) error {
	stage, err := os.MkdirTemp("", "model-proxy-import-")
	if err != nil {
		return fmt.Errorf("check bundle: %w", err)
	}
	defer os.RemoveAll(stage)
	for file, raw := range im.result {
		if err := writeFile(filepath.Join(stage, filepath.FromSlash(file)), raw, secretMode); err != nil {
			return fmt.Errorf("check bundle: %w", err)
		}
	}
	l := newLoader(env, []layer{{name: im.here.name, fsys: os.DirFS(stage)}, {name: shippedDir, fsys: shipped}})
	if err := l.load(); err != nil {
		return err
	}
	return refused(sorted(l.problems))
}

func (im *importer) write(dir string) error {
	for _, file := range im.old {
		if im.result[file] != nil {
			continue
		}
		name := im.here.path(file)
		if err := os.Rename(name, name+".bak"); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("set aside %s: %w", name, err)
		}
		im.changes = append(im.changes, Change{name, SetAside})
	}
	for _, file := range slices.Sorted(maps.Keys(im.result)) {
		name := filepath.Join(dir, filepath.FromSlash(file))
		if slices.Contains(im.changes, Change{name, Kept}) {
			continue
		}
		if err := writeFile(name, im.result[file], configMode); err != nil {
			return err
		}
	}
	return nil
}
