package config

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// bundleFiles are a configuration with everything a bundle can hold.
func bundleFiles(t *testing.T) Options {
	t.Helper()
	t.Chdir(t.TempDir())
	write(t, "config/providers/p.json", `{"colour": "blue", "endpoints": {"base_url": "https://${HOST}"},
		"authentication": {"additional_headers": {"X-Auth-Token": "literal", "X-Other": "${OTHER}"}}}`)
	write(t, "config/models/gpt-5-2.json", `{"logical_name": "gpt-5.2", "model_routings": [{"id": "a", "provider": "p", "model": "x", "api_key_env": "OWN"}]}`)
	write(t, "config/clients.json", `[{"id": "alice", "key_env": "ALICE"}]`)
	return Options{Environ: []string{
		"P_API_KEY_3=k3", "OWN=own", "OPENAI_API_KEY=ko", "UNUSED=u", "HOST=p.test", "OTHER=o", "CLIENT_API_KEY=c", "ALICE=a",
		"LOG_BODIES=all", "ADMIN_API_KEY=root", "CLICKHOUSE_DSN=dsn", "HOME=.",
	}}
}

func TestExport(t *testing.T) {
	o := bundleFiles(t)
	b, err := Export(o, WithoutKeys)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"version":1,"providers":[{"name":"p","colour":"blue","endpoints":{"base_url":"https://${HOST}"},` +
		`"authentication":{"additional_headers":{"X-Auth-Token":"${P_X_AUTH_TOKEN}","X-Other":"${OTHER}"}}}],` +
		`"models":[{"logical_name":"gpt-5.2","model_routings":[{"id":"a","provider":"p","model":"x","api_key_env":"OWN"}]}],` +
		`"clients":[{"id":"alice","key_env":"ALICE"}],"env":{"LOG_BODIES":"all"}}`
	if diff := cmp.Diff(want, string(raw)); diff != "" {
		t.Errorf("without keys (-want +got):\n%s", diff)
	}
	if b, err = Export(o, IncludeKeys); err != nil {
		t.Fatal(err)
	}
	wantEnv := []string{"ADMIN_API_KEY", "ALICE", "CLICKHOUSE_DSN", "CLIENT_API_KEY", "HOST", "LOG_BODIES", "OPENAI_API_KEY", "OTHER", "OWN", "P_API_KEY_3"}
	if diff := cmp.Diff(wantEnv, slices.Sorted(maps.Keys(b.Env))); diff != "" {
		t.Errorf("variables with keys (-want +got):\n%s", diff)
	}
	if !strings.Contains(string(b.Providers[0]), "literal") {
		t.Errorf("with keys: got %s, want the literal header", b.Providers[0])
	}
}

// Keys that stand where the names of variables belong are not exported either.
func TestExportHidesKeysThatStandForNames(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "config/providers/p.json", `{"api_keys": {"env_var_patterns": ["P_KEY", "sk-leak-1", "small_key"]}, "endpoints": {"base_url": "https://p.test"}}`)
	write(t, "config/models/m.json", `{"model_routings": [{"provider": "p", "model": "x", "api_key_env": "gsk_leak_2"}, {"provider": "p", "model": "x", "api_key_env": ["${P_KEY}", "A"]}]}`)
	write(t, "config/clients.json", `[{"id": "al-ice", "key_env": "leak_3"}]`)
	o := Options{Environ: []string{"P_KEY=leak4", "small_key=k", "HOME=."}}
	b, err := Export(o, WithoutKeys)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"env_var_patterns":["P_KEY","P_API_KEY","small_key"]`, `"api_key_env":"P_API_KEY"`, `"api_key_env":["${P_KEY}","A"]`, `"key_env":"AL_ICE_API_KEY"`} {
		if !strings.Contains(string(raw), want) {
			t.Errorf("got %s, want %s in it", raw, want)
		}
	}
	if strings.Contains(string(raw), "leak") {
		t.Errorf("a key is exported: %s", raw)
	}
}

func TestImportGivesWhatWasExported(t *testing.T) {
	o := bundleFiles(t)
	before := mustLoad(t, o)
	b, err := Export(o, IncludeKeys)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	if b, err = ParseBundle(raw); err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	changes, err := Import(Options{Environ: []string{}}, b, ReplaceAll)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(changes, Change{filepath.FromSlash("config/models/gpt-5.2.json"), Written}) {
		t.Errorf("got changes %v, want the model written", changes)
	}
	after := mustLoad(t, Options{Environ: []string{}, Strict: true})
	ignoreFiles := cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".File" }, cmp.Ignore())
	for _, pair := range [][2]any{{before.Providers["p"].Paths, after.Providers["p"].Paths}, {before.Clients, after.Clients}, {before.Settings, after.Settings}} {
		if diff := cmp.Diff(pair[0], pair[1], ignoreFiles); diff != "" {
			t.Errorf("after the import (-before +after):\n%s", diff)
		}
	}
	if got := after.Models["gpt-5.2"].Routes[0].Keys[0].Secret.Reveal(); got != "own" {
		t.Errorf("route's key: got %q, want own", got)
	}
}

func TestImportModes(t *testing.T) {
	b, err := ParseBundle([]byte(`{"version": 1, "clients": [{"id": "alice", "key_sha256": "` + hexHash("new") + `"}, {"id": "bob", "key_sha256": "` + hexHash("b") + `"}],
		"providers": [{"name": "p", "endpoints": {"base_url": "https://new.test"}}], "models": [{"logical_name": "a/b"}], "env": {"LOG_BODIES": "all", "KEY_AFFINITY": "off"}}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		mode            ImportMode
		host, alice, md string
		own             bool // is the model that only the directory has still there
		bodies          string
	}{
		{ReplaceAll, "new", "new", "a/b", false, "all"},
		{KeepOwn, "old", "old", "a/b", true, "errors"},
	} {
		t.Run(string(test.mode), func(t *testing.T) {
			t.Chdir(t.TempDir())
			write(t, "config/providers/own-name.json", `{"name": "p", "endpoints": {"base_url": "https://old.test"}}`)
			write(t, "config/models/own.json", `{}`)
			write(t, "config/clients.json", `[{"id": "alice", "key_sha256": "`+hexHash("old")+`"}]`)
			write(t, ".env", "LOG_BODIES=errors\n")
			o := Options{Environ: []string{}}
			if _, err := Import(o, b, test.mode); err != nil {
				t.Fatal(err)
			}
			s := mustLoad(t, Options{Environ: []string{}, Strict: true})
			if got := s.Providers["p"].BaseURL; got != "https://"+test.host+".test" {
				t.Errorf("provider: got %s, want %s", got, test.host)
			}
			if c, ok := s.Authenticate(test.alice); !ok || c.ID != "alice" {
				t.Errorf("alice's key: got %v, want the %s one", c, test.alice)
			}
			if _, ok := s.Authenticate("b"); !ok {
				t.Error("bob was not added")
			}
			if s.Models["a/b"] == nil || (s.Models["own"] != nil) != test.own {
				t.Errorf("models: got a/b %v and own %v, want own kept %v", s.Models["a/b"] != nil, s.Models["own"] != nil, test.own)
			}
			if s.Settings.LogBodies != test.bodies || s.Settings.KeyAffinity {
				t.Errorf("variables: got %q and %v, want %q and false", s.Settings.LogBodies, s.Settings.KeyAffinity, test.bodies)
			}
			if _, err := os.Stat("config/models/own.json.bak"); (err == nil) == test.own {
				t.Errorf("what was replaced is set aside: got error %v", err)
			}
			if _, err := os.Stat("config/models/a--b.json"); err != nil {
				t.Errorf("file name of a/b: %v", err)
			}
		})
	}
}

func TestImportWritesNothingThatWouldNotLoad(t *testing.T) {
	t.Chdir(t.TempDir())
	for bundle, want := range map[string]string{
		`{"version": 2}`: "version 2",
		`{"version": 1, "providers": [{"name": "p"}]}`:                                                    "endpoints.base_url: is missing",
		`{"version": 1, "providers": [{"endpoints": {}}]}`:                                                "has no name",
		`{"version": 1, "providers": [{"name": "../../p", "endpoints": {"base_url": "https://p.test"}}]}`: "cannot be the name of a file",
		`{"version": 1, "models": [{"logical_name": "m"}, {"logical_name": "m"}]}`:                        "stands twice",
		`{"version": 1, "models": [{"logical_name": "m", "strategy": "x"}], "env": {"A": "1"}}`:           "strategy",
		`{"version": 1, "env": {"A B": "1"}}`:                                                             "cannot be the name of an environment variable",
		`{"version": 1, "clients": [{"id": "a", "key_sha256": "00"}], "providers": [], "models": []}`:     "64 hexadecimal digits",
		`{"version": 1, "provider": []}`:                                                                  "unknown field",
	} {
		b, err := ParseBundle([]byte(bundle))
		if err == nil {
			_, err = Import(Options{Environ: []string{}}, b, ReplaceAll)
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got error %v, want one with %q", bundle, err, want)
		}
	}
	if entries, _ := os.ReadDir("."); len(entries) > 0 {
		t.Errorf("got %v, want nothing written", entries)
	}
}

func TestImportWaitsForVariables(t *testing.T) {
	t.Chdir(t.TempDir())
	b, err := ParseBundle([]byte(`{"version": 1, "clients": [{"id": "a", "key_env": "LATER"}],
		"providers": [{"name": "p", "endpoints": {"base_url": "https://${LATER_HOST}/v1"}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Import(Options{Environ: []string{}}, b, ReplaceAll); err != nil {
		t.Errorf("variables that are set later: got error %v, want none", err)
	}
}

func TestMigrate(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "config/models.json", `{
		"groq/kimi-k2": {"provider": "groq", "provider_model": "moonshotai/kimi-k2-instruct-0905"},
		"plain": {"provider": "openai", "api_key_env": "OWN"},
		"there": {"provider": "openai"}
	}`)
	write(t, "config/models/named-otherwise.json", `{"logical_name": "there", "pool": "own"}`)
	o := Options{Environ: []string{"GROQ_API_KEY=g", "OWN=o"}}
	changes, err := Migrate(o, "config/models.json")
	if err != nil {
		t.Fatal(err)
	}
	want := []Change{
		{filepath.FromSlash("config/models/groq--kimi-k2.json"), Written},
		{filepath.FromSlash("config/models/plain.json"), Written},
		{filepath.FromSlash("config/models/named-otherwise.json"), Kept},
	}
	if diff := cmp.Diff(want, changes); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
	s := mustLoad(t, o)
	if r := s.Models["groq/kimi-k2"].Routes[0]; r.Model != "moonshotai/kimi-k2-instruct-0905" || r.Provider.Name != "groq" {
		t.Errorf("got %s at %v, want moonshotai/kimi-k2-instruct-0905 at groq", r.Model, r.Provider)
	}
	if r := s.Models["plain"].Routes[0]; r.Model != "plain" || r.Keys[0].Env != "OWN" {
		t.Errorf("got %s with %v, want plain with OWN", r.Model, r.Keys)
	}
	if got := s.Models["there"].Pool; got != "own" {
		t.Errorf("a model that was there: got pool %q, want its own", got)
	}
	raw, err := os.ReadFile("config/models/groq--kimi-k2.json")
	if err != nil {
		t.Fatal(err)
	}
	wantFile := `{
  "logical_name": "groq/kimi-k2",
  "model_routings": [
    {
      "id": "primary",
      "provider": "groq",
      "model": "moonshotai/kimi-k2-instruct-0905"
    }
  ],
  "fallback_model_routings": []
}
`
	if diff := cmp.Diff(wantFile, string(raw)); diff != "" {
		t.Errorf("file (-want +got):\n%s", diff)
	}
}

func TestMigrateFaults(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "models.json", "{\n \"a/b\": {\"provider\": \"x\"},\n \"a--b\": {\"provider\": \"x\"},\n \"../c\": {\"provider\": \"x\"},\n \"d\": {\"model\": \"x\"}\n}")
	_, err := Migrate(Options{Environ: []string{}}, "models.json")
	want := `models.json:3: a--b: would stand in the same file as "a/b"; rename one of the two
models.json:4: ../c: "../c" cannot be the name of a file; use letters, digits, dots and dashes
models.json:5: d.provider: is missing`
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if _, err := os.Stat("config"); !errors.Is(err, os.ErrNotExist) {
		t.Error("something was written in spite of faults")
	}
}
