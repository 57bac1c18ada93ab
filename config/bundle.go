package config

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Bundle is a whole configuration in one JSON value, as config export prints
// and config import reads it. Files stand in it as they were written: unknown
// fields are kept and ${NAME} is not replaced.
type Bundle struct {
	Version   int               `json:"version"` // 1
	Providers []json.RawMessage `json:"providers"`
	Models    []json.RawMessage `json:"models"`
	Clients   []json.RawMessage `json:"clients"`
	Env       map[string]string `json:"env"`
}

const bundleVersion = 1

// KeyPolicy says whether an export holds keys.
type KeyPolicy string

const (
	WithoutKeys KeyPolicy = "without keys" // keys are left out, ones written into a file become ${NAME}
	IncludeKeys KeyPolicy = "include keys"
)

// Export collects the operator's own files, without the defaults in the
// binary, and the variables that they and the gateway read. A file that is not
// valid JSON is an error.
func Export(o Options, keys KeyPolicy) (*Bundle, error) {
	env, err := o.Environment()
	if err != nil {
		return nil, err
	}
	dirs, err := layers(o, env)
	if err != nil {
		return nil, err
	}
	l := newLoader(env, dirs)
	e := exporter{loader: l, keys: keys, wanted: map[string]bool{}}
	b := &Bundle{Version: bundleVersion, Clients: []json.RawMessage{}, Env: map[string]string{}}
	if b.Providers, err = e.files("providers", "name"); err != nil {
		return nil, err
	}
	if b.Models, err = e.files("models", "logical_name"); err != nil {
		return nil, err
	}
	if err := e.clients(b); err != nil {
		return nil, err
	}
	e.env(b)
	return b, nil
}

type exporter struct {
	*loader
	keys   KeyPolicy
	wanted map[string]bool // variables that the files refer to
}

func (e *exporter) files(folder, field string) ([]json.RawMessage, error) {
	docs, err := e.named(folder, field)
	if err != nil {
		return nil, err
	}
	out := []json.RawMessage{}
	var faults []error
	for _, name := range slices.Sorted(maps.Keys(docs)) {
		d := docs[name]
		if folder == "providers" {
			e.wantKeys(name, d)
		} else {
			e.wantRouteKeys(d)
		}
		if d.shipped {
			continue
		}
		if d.root == nil || d.root.kind != object {
			faults = append(faults, refused(d.problems))
			continue
		}
		if d.text(field) == "" {
			d.root.set(field, name)
		}
		out = append(out, e.raw(name, d.root))
	}
	return out, errors.Join(faults...)
}

// wantKeys notes the variables that hold a provider's keys.
func (e *exporter) wantKeys(name string, d *document) {
	clone := parse(d.name, d.raw) // reading replaces references, the export must not
	p := readProvider(clone, e.loader.env)
	for _, variable := range e.loader.env.variables(name, p.KeyPatterns) {
		e.wanted[variable] = true
	}
}

// wantRouteKeys notes the variables that a model's routes name themselves.
func (e *exporter) wantRouteKeys(d *document) {
	var f modelFile
	parse(d.name, d.raw).decode(&f)
	for _, route := range f.Routes {
		for _, variable := range e.loader.env.variables(route.Provider, route.APIKeyEnv) {
			e.wanted[variable] = true
		}
	}
}

// raw is the file's content, with literal credentials taken out unless keys
// are to be included.
func (e *exporter) raw(name string, root *node) json.RawMessage {
	for _, ref := range reference.FindAllStringSubmatch(string(root.json()), -1) {
		e.wanted[ref[1]] = true
	}
	if e.keys == WithoutKeys {
		hideCredentials(name, root)
		e.hideKeysAsNames(name, root)
	}
	return root.json()
}

// hideKeysAsNames replaces what stands where a variable's name belongs, but may be
// a key, by the usual name.
func (e *exporter) hideKeysAsNames(name string, root *node) {
	e.hideKey(name, root.fields["api_key_env_patterns"])
	if keys := root.fields["api_keys"]; keys != nil {
		e.hideKey(name, keys.fields["env_var_pattern"])
		e.hideKey(name, keys.fields["env_var_patterns"])
	}
	if routes := root.fields["model_routings"]; routes != nil {
		for _, route := range routes.items {
			e.hideKey(route.text("provider"), route.fields["api_key_env"])
		}
	}
}

// hideKey does so for a string or a list of them; n may be nil.
func (e *exporter) hideKey(owner string, n *node) {
	if n == nil {
		return
	}
	for _, item := range n.items {
		e.hideKey(owner, item)
	}
	if n.kind != text || strings.Contains(n.scalar, "${") {
		return
	}
	if env := e.loader.env; !env.nameable(n.scalar) || !tellable(n.scalar) && len(env.variables(owner, []string{n.scalar})) == 0 {
		n.scalar = keyName(owner) + "_API_KEY"
	}
}

// hideCredentials replaces headers that hold a literal credential by a
// reference to a variable, for the importing side to set.
func hideCredentials(provider string, root *node) {
	auth := root.fields["authentication"]
	if auth == nil || auth.fields["additional_headers"] == nil {
		return
	}
	headers := auth.fields["additional_headers"]
	for _, name := range headers.order {
		value := headers.fields[name]
		if value.kind == text && holdsCredential(name) && !strings.Contains(value.scalar, "${") {
			value.scalar = "${" + keyName(provider) + "_" + keyName(name) + "}"
		}
	}
}

// text is a string field of an object, "" if there is none.
func (n *node) text(field string) string {
	if f := n.fields[field]; f != nil && f.kind == text {
		return f.scalar
	}
	return ""
}

// set adds a string field.
func (n *node) set(field, value string) {
	if n.fields[field] == nil {
		n.order = append([]string{field}, n.order...)
	}
	n.fields[field] = &node{kind: text, scalar: value}
}

func (e *exporter) clients(b *Bundle) error {
	for _, dir := range e.layers {
		d, err := dir.readFile("clients.json")
		if err != nil {
			return err
		}
		if d == nil {
			continue
		}
		if d.root == nil || d.root.kind != array {
			d.fault("", "must be a list of clients")
			return refused(d.problems)
		}
		for _, item := range d.root.items {
			if item.fields["key_env"] != nil {
				e.wanted[item.fields["key_env"].scalar] = true
			}
			if e.keys == WithoutKeys {
				e.hideKey(cmp.Or(item.text("id"), "client"), item.fields["key_env"])
			}
			b.Clients = append(b.Clients, item.json())
		}
		return nil
	}
	return nil
}

// env takes in the gateway's own variables where they are set, and with keys
// also those that hold one or that a file refers to.
func (e *exporter) env(b *Bundle) {
	values := e.loader.env
	vars := reflect.TypeFor[Vars]()
	for i := range vars.NumField() {
		f := vars.Field(i)
		name := f.Tag.Get("envconfig")
		secret := f.Type == reflect.TypeFor[Secret]()
		if name != "MODEL_PROXY_CONFIG" && (!secret || e.keys == IncludeKeys) { // a place means nothing elsewhere
			copyVariable(b.Env, values, name)
		}
	}
	if e.keys != IncludeKeys {
		return
	}
	for _, name := range values.variables("", clientKeyPatterns) {
		copyVariable(b.Env, values, name)
	}
	for name := range e.wanted {
		copyVariable(b.Env, values, name)
	}
}

func copyVariable(to map[string]string, env *Environment, name string) {
	if v, ok := env.Lookup(name); ok {
		to[name] = v
	}
}

// ParseBundle reads what Export made.
func ParseBundle(raw []byte) (*Bundle, error) {
	var b Bundle
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&b); err != nil {
		return nil, fmt.Errorf("not a configuration bundle: %w", err)
	}
	if b.Version != bundleVersion {
		return nil, fmt.Errorf("configuration bundle has version %d, known is %d", b.Version, bundleVersion)
	}
	return &b, nil
}
