package config

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// legacyEntry is one model of the predecessor's flat models.json.
type legacyEntry struct {
	Provider      string   `json:"provider"`
	ProviderModel string   `json:"provider_model"`
	WireProtocol  string   `json:"wire_protocol"`
	BaseURL       string   `json:"base_url"`
	APIKeyEnv     names    `json:"api_key_env"`
	Timeout       *float64 `json:"timeout_seconds"`
	Fallbacks     []string `json:"fallback_model_routings"`
}

// modelOut is the form in which models are written.
type modelOut struct {
	LogicalName string     `json:"logical_name"`
	Timeout     *float64   `json:"timeout_seconds,omitempty"`
	Routes      []routeOut `json:"model_routings"`
	Fallbacks   []string   `json:"fallback_model_routings"`
}

type routeOut struct {
	ID           string `json:"id"`
	Provider     string `json:"provider"`
	Model        string `json:"model"`
	WireProtocol string `json:"wire_protocol,omitempty"`
	BaseURL      string `json:"base_url,omitempty"`
	APIKeyEnv    names  `json:"api_key_env,omitempty"`
}

// Migrate splits a flat models.json into one file a model, in the directory
// that WriteDir names. Models that are there already stay as they are. The
// flat file is only read. Nothing is written if any entry has a fault.
func Migrate(o Options, file string) ([]Change, error) {
	dir, err := WriteDir(o)
	if err != nil {
		return nil, err
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the flat list of models: %w", err)
	}
	d := parse(file, raw)
	models := d.legacyModels()
	if !d.valid() {
		return nil, refused(sorted(d.problems))
	}
	there, err := modelsIn(dir)
	if err != nil {
		return nil, err
	}
	var changes []Change
	for _, m := range models {
		if own, ok := there[m.LogicalName]; ok {
			changes = append(changes, Change{own, Kept})
			continue
		}
		base, err := fileName(m.LogicalName)
		if err != nil {
			return changes, err
		}
		name := filepath.Join(dir, "models", base)
		if err := writeFile(name, marshal(m), configMode); err != nil {
			return changes, err
		}
		changes = append(changes, Change{name, Written})
	}
	return changes, nil
}

// modelsIn returns the files of a directory's models by logical name.
func modelsIn(dir string) (map[string]string, error) {
	return namesIn(dir, "models", "logical_name")
}

func namesIn(dir, folder, field string) (map[string]string, error) {
	docs, err := layer{name: dir, fsys: os.DirFS(dir)}.read(folder)
	if err != nil {
		return nil, err
	}
	files := map[string]string{}
	for _, d := range docs {
		files[cmp.Or(d.text(field), d.stem())] = d.name
	}
	return files, nil
}

// legacyModels reads the flat list, in its own order. Two names that differ
// only in a way no file name can show are a fault.
func (d *document) legacyModels() []modelOut {
	if d.root == nil {
		return nil
	}
	if d.root.kind != object {
		d.fault("", `must be an object of models, such as {"name": {"provider": "groq", "provider_model": "kimi-k2"}}`)
		return nil
	}
	var out []modelOut
	nameOf := map[string]string{} // by file
	for _, name := range d.root.order {
		var e legacyEntry
		d.intoStruct(d.root.fields[name], &e, name)
		if e.Provider == "" {
			d.fault(name+".provider", "is missing")
		}
		file, err := fileName(name)
		switch {
		case err != nil:
			d.fault(name, "%s", err)
		case nameOf[file] != "":
			d.fault(name, "would stand in the same file as %q; rename one of the two", nameOf[file])
		}
		nameOf[file] = name
		out = append(out, modelOut{
			LogicalName: name, Timeout: e.Timeout,
			Routes: []routeOut{{
				ID: "primary", Provider: e.Provider, Model: cmp.Or(e.ProviderModel, name),
				WireProtocol: e.WireProtocol, BaseURL: e.BaseURL, APIKeyEnv: e.APIKeyEnv,
			}},
			Fallbacks: append([]string{}, slices.Clone(e.Fallbacks)...),
		})
	}
	return out
}
