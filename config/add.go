package config

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"model-proxy/internal/llm"
)

// ErrExists is returned by the Add functions when the name is taken.
var ErrExists = errors.New("already exists")

// NewProvider is what AddProvider needs to know.
type NewProvider struct {
	Name        string
	DisplayName string       // "" means Name
	BaseURL     string       // such as https://api.example.com/v1
	Protocol    llm.Protocol // "" means openai
	Keyless     bool         // no API key is needed
}

// NewModel is what AddModel needs to know.
type NewModel struct {
	LogicalName string
	Routes      []NewRoute // in the order of attempts
	Fallbacks   []string
}

// NewRoute is one provider and its own name of the model.
type NewRoute struct {
	Provider, Model string
}

type providerOut struct {
	Name        string `json:"name"`
	DisplayName string `json:"display_name,omitempty"`
	Enabled     bool   `json:"enabled"`
	APIKeys     struct {
		Patterns []string `json:"env_var_patterns"`
	} `json:"api_keys"`
	Endpoints struct {
		BaseURL string `json:"base_url"`
		Format  string `json:"compatible_format"`
	} `json:"endpoints"`
	Authentication *authOut `json:"authentication,omitempty"`
}

type authOut struct {
	Type string `json:"type"`
}

// AddProvider writes a provider file and returns its name. The error is
// ErrExists if the directory has that provider, or the joined Problems that
// the new file would have.
func AddProvider(o Options, p NewProvider) (string, error) {
	out := providerOut{Name: p.Name, DisplayName: p.DisplayName, Enabled: true}
	out.APIKeys.Patterns = defaultKeyPatterns
	out.Endpoints.BaseURL, out.Endpoints.Format = p.BaseURL, string(p.Protocol)
	if p.Protocol == "" {
		out.Endpoints.Format = string(llm.OpenAI)
	}
	if p.Keyless {
		out.APIKeys.Patterns = []string{}
		out.Authentication = &authOut{Type: "none"}
	}
	return addFile(o, "providers", "name", p.Name, marshal(out), func(d *document, env *Environment) { readProvider(d, env) })
}

// AddModel writes a model file and returns its name. The errors are as
// AddProvider's.
func AddModel(o Options, m NewModel) (string, error) {
	out := modelOut{LogicalName: m.LogicalName, Routes: []routeOut{}, Fallbacks: append([]string{}, m.Fallbacks...)}
	for i, r := range m.Routes {
		id := "primary"
		if i > 0 {
			id = fmt.Sprintf("route-%d", i+1)
		}
		out.Routes = append(out.Routes, routeOut{ID: id, Provider: r.Provider, Model: r.Model})
	}
	return addFile(o, "models", "logical_name", m.LogicalName, marshal(out), func(d *document, env *Environment) {
		r := modelReader{document: d, env: env, catalog: &catalog{}}
		r.read()
	})
}

func addFile(o Options, folder, field, name string, raw []byte, check func(*document, *Environment)) (string, error) {
	dir, err := WriteDir(o)
	if err != nil {
		return "", err
	}
	base, err := fileName(name)
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, folder, base)
	d := parse(file, raw)
	check(d, &Environment{open: true})
	if err := refused(d.problems); err != nil {
		return "", err
	}
	there, err := namesIn(dir, folder, field)
	if err != nil {
		return "", err
	}
	if own, ok := there[name]; ok {
		return "", fmt.Errorf("%q in %s %w", name, own, ErrExists)
	}
	return file, writeFile(file, raw, configMode)
}

// AddKey appends a provider's API key to the .env file under the next free
// variable and returns the variable's name. The error is ErrExists if one of
// the provider's variables holds that key already.
func AddKey(o Options, provider string, key Secret) (string, error) {
	env, err := o.Environment()
	if err != nil {
		return "", err
	}
	value := strings.TrimSpace(key.Reveal())
	if value == "" || !headerValue(value) {
		return "", errors.New("the key is empty or holds characters that no HTTP header can carry")
	}
	patterns := keyPatterns(o, provider)
	for _, name := range env.variables(provider, patterns) {
		if v, _ := env.Lookup(name); strings.TrimSpace(v) == value {
			return "", fmt.Errorf("this key of %s in %s %w", provider, name, ErrExists)
		}
	}
	name, err := env.nextVariable(provider, patterns)
	if err != nil {
		return "", err
	}
	return name, setEnv(o.envFile(), map[string]string{name: value})
}

// keyPatterns are the provider's own where it is configured.
func keyPatterns(o Options, provider string) []string {
	o.Strict = false
	if s, err := Load(o); err == nil {
		if p := s.Providers[provider]; p != nil && len(p.KeyPatterns) > 0 {
			return p.KeyPatterns
		}
	}
	return defaultKeyPatterns
}

// nextVariable is the first variable of the patterns that is not set: the one
// without {INDEX}, else the lowest number.
func (e *Environment) nextVariable(provider string, patterns []string) (string, error) {
	for _, p := range patterns {
		p = strings.ReplaceAll(p, "{PROVIDER}", keyName(provider))
		if strings.Contains(p, indexMark) {
			continue
		}
		if _, set := e.Lookup(p); !set {
			return p, nil
		}
	}
	i := slices.IndexFunc(patterns, func(p string) bool { return strings.Contains(p, indexMark) })
	if i < 0 {
		return "", fmt.Errorf("every variable of %s is set and none has {INDEX}; add one to api_keys.env_var_patterns", provider)
	}
	pattern := strings.ReplaceAll(patterns[i], "{PROVIDER}", keyName(provider))
	for n := 1; ; n++ {
		name := strings.ReplaceAll(pattern, indexMark, fmt.Sprint(n))
		if _, set := e.Lookup(name); !set {
			return name, nil
		}
	}
}
