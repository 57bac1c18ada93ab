// Package config finds, reads and checks the JSON files and environment
// variables of an operator and makes one read-only Snapshot of them. It
// promises that a Snapshot is whole and consistent, and that every fault is
// told with its file, line and field; what the values mean for a request is
// left to those who read them. It also embeds the defaults, watches for
// changes, and writes configuration files.
package config

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
)

// Options say where to look.
type Options struct {
	Dir     string   // --config; must exist if given
	EnvFile string   // --env-file; must exist if given, else ./.env is read if it does
	Environ []string // as by os.Environ, which nil means; of two entries for one name the later counts
	Overlay fs.FS    // a configuration directory searched before all others; nil means none
	Writing bool     // EnvFile is about to be written and need not exist
	// Strict refuses a configuration with any fault. Without it an invalid
	// file is left out and stands in Problems, unless
	// FAIL_ON_STARTUP_VALIDATION is set.
	Strict bool
}

// Load reads everything afresh. The error is that of a configuration which
// cannot be used at all: a named file or directory is missing, Strict found
// faults (joined Problems), or REQUIRE_CLIENT_API_KEY found no client.
func Load(o Options) (*Snapshot, error) {
	env, err := o.Environment()
	if err != nil {
		return nil, err
	}
	dirs, err := layers(o, env)
	if err != nil {
		return nil, err
	}
	l := newLoader(env, dirs)
	if err := l.load(); err != nil {
		return nil, err
	}
	return l.finish(o.Strict || env.Vars.FailOnStartupValidation)
}

// Environment reads what the options name.
func (o Options) Environment() (*Environment, error) {
	environ := o.Environ
	if environ == nil {
		environ = os.Environ()
	}
	if _, err := os.Stat(o.EnvFile); o.Writing && o.EnvFile != "" && errors.Is(err, fs.ErrNotExist) {
		return newEnvironment(nil, environ), nil
	}
	return ReadEnvironment(o.EnvFile, environ)
}

// loader holds one run of Load.
type loader struct {
	env    *Environment
	layers []layer
	hash   *revision

	catalog   catalog
	prices    PriceList
	providers map[string]*Provider
	leftOut   map[string]Problem // the first fault of providers that have one, by name
	models    map[string]*Model
	dormant   map[string]*Model
	clients   *clientSet
	problems  []Problem
}

func newLoader(env *Environment, dirs []layer) *loader {
	return &loader{env: env, layers: dirs, problems: env.Problems(), hash: &revision{}, leftOut: map[string]Problem{}}
}

func (l *loader) load() error {
	for _, step := range []func() error{l.loadCatalog, l.loadPrices, l.loadProviders, l.loadModels, l.loadClients} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (l *loader) finish(strict bool) (*Snapshot, error) {
	s := &Snapshot{
		Settings: l.env.settings(), Prices: l.prices, Providers: l.providers, Models: l.models, Dormant: l.dormant,
		Clients: l.clients.clients, Problems: sorted(l.problems),
	}
	if !slices.ContainsFunc(s.Clients, func(c *Client) bool { return !c.Disabled }) {
		none := Problem{File: environmentFile, Field: "CLIENT_API_KEY", Warning: true,
			Message: "no client key is configured, so every API request is answered 401; set it to a key of your choice"}
		if l.env.Vars.RequireClientAPIKey {
			return nil, fmt.Errorf("REQUIRE_CLIENT_API_KEY is set: %w", none)
		}
		s.Problems = append(s.Problems, none)
	}
	if strict {
		if err := refused(s.Problems); err != nil {
			return nil, err
		}
	}
	s.collectForward()
	s.Revision = l.hash.sum(s)
	return s, nil
}

// collect takes over a document's problems. Those of shipped files matter
// only to us, not to the operator, unless they are asked for.
func (l *loader) collect(d *document) {
	if !d.shipped {
		l.problems = append(l.problems, d.problems...)
	}
}

func (l *loader) loadCatalog() error {
	for _, dir := range l.layers {
		d, err := dir.readFile("catalog.json")
		if err != nil {
			return err
		}
		if d == nil {
			continue
		}
		f := readCatalog(d)
		l.collect(d)
		if d.valid() {
			l.hash.add(d)
			l.catalog.files = append(l.catalog.files, f)
		}
	}
	return nil
}

// named returns the documents of one folder over all layers, by the name in
// the given field, else the file's. What an earlier layer names hides it in
// the later ones, also when its own file is invalid: the name is taken. Two
// files of one layer with one name are a fault of the second.
func (l *loader) named(folder, field string) (map[string]*document, error) {
	found := map[string]*document{}
	for _, dir := range l.layers {
		docs, err := dir.read(folder)
		if err != nil {
			return nil, err
		}
		here := map[string]*document{}
		for _, d := range docs {
			if d.root != nil && d.root.kind != object {
				d.fault("", "must be an object, is %s", d.root.kind)
			}
			name := d.text(field)
			if name == "" {
				name = d.stem()
			}
			if first := here[name]; first != nil {
				d.fault(field, "%q is already defined in %s; rename or remove one of the two", name, first.name)
				l.collect(d)
				continue
			}
			here[name] = d
			if found[name] == nil {
				found[name] = d
				l.hash.add(d)
			}
		}
	}
	return found, nil
}

func (l *loader) loadProviders() error {
	docs, err := l.named("providers", "name")
	if err != nil {
		return err
	}
	l.providers = map[string]*Provider{}
	for name, d := range docs {
		if !d.valid() { // not JSON, or not an object: there is nothing to read
			l.collect(d)
			l.leftOut[name] = d.firstFault()
			continue
		}
		p := readProvider(d, l.env)
		if !p.Enabled { // nothing will call it, whatever it lacks
			d.problems = asWarnings(d.problems)
		}
		if d.shipped && !d.valid() && len(p.Keys) > 0 {
			l.problems = append(l.problems, asWarnings(d.problems)...)
		}
		l.collect(d)
		if !d.valid() {
			l.leftOut[name] = d.firstFault()
			continue
		}
		l.providers[name] = p
	}
	return nil
}

// asWarnings keeps faults of a file that is not used from refusing the others.
func asWarnings(problems []Problem) []Problem {
	out := slices.Clone(problems)
	for i := range out {
		out[i].Warning = true
	}
	return out
}

func (l *loader) loadModels() error {
	docs, err := l.named("models", "logical_name")
	if err != nil {
		return err
	}
	l.models, l.dormant = map[string]*Model{}, map[string]*Model{}
	causes := map[string]string{}
	for name, d := range docs {
		if !d.valid() {
			continue
		}
		r := &modelReader{document: d, env: l.env, providers: l.providers, leftOut: l.leftOut, catalog: &l.catalog, prices: &l.prices}
		m := r.read()
		if d.valid() {
			l.models[name] = m
			causes[name] = r.cause()
		}
	}
	l.resolveFallbacks(docs, causes)
	for _, d := range docs {
		l.collect(d)
	}
	return l.warnLegacy()
}

// resolveFallbacks drops fallbacks that lead nowhere and says of each model
// whether anything can serve it.
func (l *loader) resolveFallbacks(docs map[string]*document, causes map[string]string) {
	for name, m := range l.models {
		if m.Unusable = causes[name]; m.Unusable != "" && l.reaches(m, map[string]bool{}) {
			m.Unusable = ""
		}
	}
	for name, m := range l.models {
		if m.Shipped && m.Unusable != "" {
			l.dormant[name] = m
			delete(l.models, name)
		}
	}
	for name, m := range l.models {
		var known []string
		for i, fallback := range m.Fallbacks {
			field := fmt.Sprintf("fallback_model_routings[%d]", i)
			switch {
			case l.models[fallback] != nil:
				known = append(known, fallback)
			case l.dormant[fallback] != nil:
				docs[name].warn(field, "model %q has %s; the fallback is skipped", fallback, l.dormant[fallback].Unusable)
			default:
				docs[name].warn(field, "model %q is not defined; the fallback is skipped%s", fallback, didYouMean(fallback, slices.Collect(maps.Keys(l.models))))
			}
		}
		m.Fallbacks = known
	}
}

// reaches reports whether the model or one of its fallbacks has a usable route.
func (l *loader) reaches(m *Model, seen map[string]bool) bool {
	if m == nil || seen[m.LogicalName] {
		return false
	}
	seen[m.LogicalName] = true
	return len(m.Routes) > 0 || slices.ContainsFunc(m.Fallbacks, func(f string) bool { return l.reaches(l.models[f], seen) })
}

// warnLegacy points out a flat models.json of the predecessor.
func (l *loader) warnLegacy() error {
	for _, dir := range l.layers {
		d, err := dir.readFile("models.json")
		if err != nil {
			return err
		}
		if d != nil && !l.split(d) {
			l.problems = append(l.problems, Problem{File: d.name, Warning: true,
				Message: "the flat list of models is not read; split it with: model-proxy config migrate " + d.name})
		}
	}
	return nil
}

// split reports whether every model of the flat list stands in a file of its own.
func (l *loader) split(d *document) bool {
	for _, m := range d.legacyModels() {
		if own := l.models[m.LogicalName]; own == nil || own.Shipped {
			return false
		}
	}
	return d.valid()
}

// loadClients takes the clients of the environment and of the first
// clients.json. Later ones are not read: a key must not open the gateway
// because of a file its operator has forgotten.
func (l *loader) loadClients() error {
	l.clients = newClientSet(l.env.settings())
	l.problems = append(l.problems, l.clients.addFromEnvironment(l.env)...)
	for _, dir := range l.layers {
		d, err := dir.readFile("clients.json")
		if err != nil {
			return err
		}
		if d == nil {
			continue
		}
		l.clients.addFromFile(d, l.env, l.models)
		l.collect(d)
		l.hash.add(d)
		return nil
	}
	return nil
}
