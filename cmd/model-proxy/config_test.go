package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"model-proxy/config"
)

// folder writes files into a new directory.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		writeFile(t, filepath.Join(dir, name), text)
	}
	return dir
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// own is a configuration with one good model and one whose provider is not there.
var own = map[string]string{
	"providers/acme.json": `{"name":"acme","endpoints":{"base_url":"https://acme.example/v1"},
		"authentication":{"additional_headers":{"X-Api-Secret":"literal-secret"}}}`,
	"models/good.json": `{"logical_name":"good","model_routings":[{"id":"a","provider":"acme","model":"up"}],"fallback_model_routings":["bad"]}`,
	"models/bad.json":  `{"logical_name":"bad","model_routings":[{"id":"a","provider":"nobody","model":"up"}]}`,
}

var ownEnv = []string{"ACME_API_KEY=sk-acme-secret-0001", "CLIENT_API_KEY=ck-secret-0002"}

func TestConfigListAndShow(t *testing.T) {
	dir := folder(t, own)
	rows := command(t, ownEnv, "config", "list", "--config", dir, "--format", "json").want(t, exitOK,
		`{"kind":"model","name":"good","state":"ok","detail":"acme/up; then bad","file":"`+filepath.Join(dir, "models", "good.json")+`"}`,
		`"name":"bad","state":"degraded"`, `{"kind":"client","name":"default","state":"ok","detail":"60 requests and 100000 tokens a minute","file":""}`)
	command(t, ownEnv, "config", "list", "--config", dir).want(t, exitOK, "KIND", "degraded", "built-in",
		`bad.json:1: model_routings[0].provider: "nobody" is not defined`)
	shown := command(t, ownEnv, "config", "show", "good", "--config", dir, "--format", "json")
	var m modelView
	if err := json.Unmarshal([]byte(shown.out), &m); err != nil {
		t.Fatal(err)
	}
	key := config.NewSecret("sk-acme-secret-0001")
	if len(m.Routes) != 1 || m.Routes[0].Keys[0] != (keyView{"ACME_API_KEY", key.Fingerprint(), key.LastFour()}) {
		t.Errorf("got %+v, want one route with the key by fingerprint and last four", m)
	}
	command(t, ownEnv, "config", "show", "good", "--config", dir).want(t, exitOK, "1. a: up of acme by openai", "…0001 ACME_API_KEY", "then bad")
	command(t, ownEnv, "config", "show", "none", "--config", dir).want(t, exitFailure, `no model "none"`)
	command(t, ownEnv, "config", "show").want(t, exitUsage, "MODEL is missing")
	for _, said := range []string{rows.out, shown.out} {
		if strings.Contains(said, "sk-acme") || strings.Contains(said, "ck-secret") || strings.Contains(said, "literal-secret") {
			t.Errorf("a secret in %q", said)
		}
	}
	command(t, ownEnv, "models", "list", "--config", dir, "--format", "json").want(t, exitOK, `{"name":"good","state":"ok","routes":["acme/up"],"fallbacks":["bad"]}`)
	command(t, nil, "models", "list", "--all").want(t, exitOK, "gpt-5.2", "OPENAI_API_KEY")
}

// What export prints, import writes back elsewhere; keys travel only if asked.
func TestExportAndImport(t *testing.T) {
	dir := folder(t, own)
	bare := command(t, ownEnv, "config", "export", "--config", dir).want(t, exitOK, `"version": 1`, `"logical_name": "good"`)
	for _, secret := range []string{"sk-acme", "ck-secret", "literal-secret"} {
		if strings.Contains(bare.out, secret) {
			t.Errorf("export prints %s without being asked", secret)
		}
	}
	full := command(t, ownEnv, "config", "export", "--config", dir, "--include-keys").want(t, exitOK, "sk-acme-secret-0001", "ck-secret-0002")

	work := t.TempDir()
	t.Chdir(work)
	writeFile(t, "bundle.json", full.out)
	writeFile(t, "config/models/mine.json", `{"logical_name":"mine","model_routings":[{"id":"a","provider":"acme","model":"x"}]}`)
	writeFile(t, "config/models/good.json", `{"logical_name":"good","model_routings":[{"id":"a","provider":"acme","model":"mine"}]}`)
	command(t, nil, "config", "import", "bundle.json", "--merge", "--format", "json").want(t, exitOK, `{"what":"kept"`, `{"what":"written"`)
	command(t, nil, "models", "list", "--format", "json").want(t, exitOK, `"routes":["acme/mine"]`, `"name":"mine"`)
	command(t, nil, "config", "import", "bundle.json").want(t, exitOK, "set aside")
	if r := command(t, nil, "models", "list", "--format", "json").want(t, exitOK, `"routes":["acme/up"]`); strings.Contains(r.out, "mine") {
		t.Errorf("got %q, want that the import has replaced everything", r.out)
	}
	env, err := os.ReadFile(".env")
	if err != nil || !strings.Contains(string(env), "sk-acme-secret-0001") {
		t.Errorf("got .env %q, %v; want the exported key", env, err)
	}
	command(t, nil, "config", "import", "bundle.json", "--config", "elsewhere/config", "--env-file", "elsewhere/.env").want(t, exitOK, "elsewhere/config/models/good.json")
	command(t, nil, "keys", "list", "--config", "elsewhere/config", "--env-file", "elsewhere/.env").want(t, exitOK, "…0001")
	command(t, nil, "models", "list", "--env-file", "none.env").want(t, exitUsage, "none.env")
	writeFile(t, "broken.json", `{"version":1,"models":[{"logical_name":"x","model_routings":[{"provider":7}]}]}`)
	command(t, nil, "config", "import", "broken.json").want(t, exitUsage, "model_routings[0].provider")
	command(t, nil, "config", "import", "none.json").want(t, exitFailure, "none.json")
}

func TestMigrate(t *testing.T) {
	t.Chdir(t.TempDir())
	writeFile(t, "config/models.json", `{"gpt-4":{"provider":"openai","provider_model":"gpt-4-turbo"},"vendor/x":{"provider":"openai","provider_model":"x"}}`)
	const advice = "split it with: model-proxy config migrate config/models.json"
	command(t, nil, "config", "validate").want(t, exitOK, advice)
	command(t, nil, "config", "migrate", "config/models.json").want(t, exitOK, "written", "gpt-4.json", "vendor--x.json")
	if r := command(t, nil, "config", "validate").want(t, exitOK); strings.Contains(r.out+r.errs, advice) {
		t.Errorf("got %q, want no advice that has been followed", r.out+r.errs)
	}
	command(t, []string{"OPENAI_API_KEY=k"}, "models", "list").want(t, exitOK, "openai/gpt-4-turbo", "vendor/x")
	command(t, nil, "config", "migrate", "none.json").want(t, exitUsage, "none.json")
}

// Each kind of fault is told with file, line, field and what to do: exit code 2.
func TestValidate(t *testing.T) {
	for name, c := range map[string]struct{ file, text, want string }{
		"syntax":   {"models/a.json", "{\n  \"logical_name\": \"a\",\n}", "a.json:3"},
		"type":     {"providers/p.json", `{"name":"p","enabled":"yes","endpoints":{"base_url":"https://x.example"}}`, "p.json:1: enabled:"},
		"variable": {"providers/p.json", "{\"name\":\"p\",\n\"endpoints\":{\"base_url\":\"https://${NOT_SET_HERE}/v1\"}}", "p.json:2: endpoints.base_url:"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := folder(t, map[string]string{c.file: c.text})
			command(t, ownEnv, "config", "validate", "--config", dir).want(t, exitUsage, c.want)
		})
	}
	command(t, ownEnv, "config", "validate", "--config", folder(t, own)).want(t, exitOK, "valid: ", "warning: ")
}
