package config

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"model-proxy/internal/llm"
)

// load lays out files of ./config in a new working directory and loads them.
// Variables are NAME=value.
func load(t *testing.T, files map[string]string, environ ...string) *Snapshot {
	t.Helper()
	t.Chdir(t.TempDir())
	for name, content := range files {
		write(t, filepath.Join("config", name), content)
	}
	return mustLoad(t, Options{Environ: append([]string{"CLIENT_API_KEY=client"}, environ...)})
}

func mustLoad(t *testing.T, o Options) *Snapshot {
	t.Helper()
	s, err := Load(o)
	if err != nil {
		t.Fatalf("load: %v", err)
	}
	return s
}

// lines are the texts of problems.
func lines(problems []Problem) []string {
	var out []string
	for _, p := range problems {
		out = append(out, p.Error())
	}
	return out
}

func TestPredecessorsFiles(t *testing.T) {
	s := mustLoad(t, Options{Dir: "testdata/seed", Strict: true, Environ: []string{
		"CLIENT_API_KEY=c", "OPENAI_API_KEY=o", "GEMINI_API_KEY_2=g2", "GEMINI_API_KEY=g", "ANTHROPIC_API_KEY_1=a", "MISTRAL_API_KEY=m",
		"TEAM_KEY=t1", "TEAM_KEY_BACKUP=t2", "TEAM_KEY_COPY=t1",
	}})
	type route struct {
		ID, URL, Stream, Model string
		Keys                   []string
		FirstToken             time.Duration
	}
	var got []route
	for _, r := range append(slices.Clone(s.Models["glm-4.6"].Routes), s.Models["claude-4.5-opus"].Routes...) {
		e := mainEndpoint(r.Protocols[0])
		var keys []string
		for _, k := range r.Keys {
			keys = append(keys, k.Env)
		}
		got = append(got, route{r.ID, r.URL(e), r.StreamURL(e), r.Model, keys, r.Timers.FirstToken})
	}
	want := []route{
		{"primary", "https://api.openai.com/v1/chat/completions", "https://api.openai.com/v1/chat/completions", "gpt-4-turbo-preview",
			[]string{"TEAM_KEY_BACKUP", "TEAM_KEY"}, 90 * time.Second},
		{"secondary", "https://generativelanguage.googleapis.com/v1beta/openai/chat/completions",
			"https://generativelanguage.googleapis.com/v1beta/openai/chat/completions", "gemini-2.5-pro",
			[]string{"GEMINI_API_KEY", "GEMINI_API_KEY_2"}, 90 * time.Second},
		{"primary", "https://api.anthropic.com/v1/messages", "https://api.anthropic.com/v1/messages", "claude-opus-4-5-20251101",
			[]string{"ANTHROPIC_API_KEY_1"}, 60 * time.Second},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("routes (-want +got):\n%s", diff)
	}
	wantLines := []string{
		filepath.FromSlash("testdata/seed/models/glm-4.6.json") + `:20: model_routings[2].provider: "nowhere" is not defined; the route is skipped; define it with: model-proxy add provider nowhere`,
		filepath.FromSlash("testdata/seed/models/qwen3-coder.json") + `:5: model_routings[0].provider: "nowhere" is not defined; the route is skipped; define it with: model-proxy add provider nowhere`,
	}
	if diff := cmp.Diff(wantLines, lines(s.Problems)); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
	if got, want := s.Models["qwen3-coder"].Unusable, `no usable route: provider "nowhere" is not defined`; got != want {
		t.Errorf("unusable: got %q, want %q", got, want)
	}
	if got := s.Providers["mistral"].Quirks.ToolCallID; got != "mistral9" {
		t.Errorf("a file without quirks: got tool_call_id %q, want the vendor's mistral9", got)
	}
	if got, want := s.Providers["anthropic"].DefaultParameters, map[string]json.RawMessage{"max_tokens": json.RawMessage("1024")}; !cmp.Equal(got, want) {
		t.Errorf("default parameters: got %s, want %s", got, want)
	}
}

// The whole set of the predecessor's files, where its folder is given.
func TestPredecessorsFolder(t *testing.T) {
	dir := os.Getenv("SEED")
	if dir == "" {
		t.Log("SEED names no folder; the files in testdata stand for it")
		return
	}
	s := mustLoad(t, Options{Dir: filepath.Join(dir, "config"), Strict: true, Environ: []string{"CLIENT_API_KEY=c", "CEREBRAS_API_KEY=k"}})
	for _, p := range s.Problems {
		if !strings.Contains(p.Message, "the route is skipped") {
			t.Errorf("got problem %v, want only skipped routes", p)
		}
	}
	if got := s.Models["glm-4.6"].Routes[0].Model; got != "zai-glm-4.6" {
		t.Errorf("first route: got model %q, want zai-glm-4.6", got)
	}
}

func TestSearchOrder(t *testing.T) {
	provider := func(name, host string) string {
		return `{"name": "` + name + `", "endpoints": {"base_url": "https://` + host + `/v1"}}`
	}
	t.Chdir(t.TempDir())
	write(t, "flag/providers/a.json", provider("a", "flag"))
	write(t, "env/providers/a.json", provider("a", "env"))
	write(t, "env/providers/other-file.json", provider("b", "env"))
	write(t, "config/providers/b.json", provider("b", "work"))
	write(t, "config/providers/c.json", provider("c", "work"))
	write(t, "home/.model-proxy/config/providers/c.json", provider("c", "home"))
	write(t, "home/.model-proxy/config/providers/d.json", provider("d", "home"))
	write(t, "home/.model-proxy/config/providers/openai.json", provider("openai", "home"))
	s := mustLoad(t, Options{Dir: "flag", Environ: []string{"MODEL_PROXY_CONFIG=env", "HOME=home"}})
	want := map[string]string{"a": "flag", "b": "env", "c": "work", "d": "home", "openai": "home", "groq": "api.groq.com/openai"}
	for name, host := range want {
		if got := s.Providers[name].BaseURL; got != "https://"+host+"/v1" {
			t.Errorf("provider %s: got %s, want the one of %s", name, got, host)
		}
	}
}

func TestInvalidFileHidesTheShippedOne(t *testing.T) {
	s := load(t, map[string]string{"providers/openai.json": `{"name": "openai", "enabled": "yes"}`}, "OPENAI_API_KEY=k")
	if p := s.Providers["openai"]; p != nil {
		t.Errorf("provider openai: got %s, want none: a key must not go to an address that its operator replaced", p.BaseURL)
	}
	if got, want := s.Dormant["gpt-4o"].Unusable, `no usable route: provider "openai" is left out because its file has a fault`; got != want {
		t.Errorf("gpt-4o: got %q, want %q", got, want)
	}
}

func TestNamedPlacesMustExist(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, o := range []Options{
		{Dir: "nowhere", Environ: []string{}},
		{Environ: []string{"MODEL_PROXY_CONFIG=nowhere"}},
		{EnvFile: "nowhere.env", Environ: []string{}},
	} {
		if _, err := Load(o); err == nil || !strings.Contains(err.Error(), "nowhere") {
			t.Errorf("%+v: got error %v, want one that names it", o, err)
		}
	}
}

func TestShippedFilesAreWhole(t *testing.T) {
	t.Chdir(t.TempDir())
	environ := []string{"CLIENT_API_KEY=c", "AZURE_OPENAI_ENDPOINT=https://mine.openai.azure.com/"}
	for name := range mustLoad(t, Options{Environ: []string{}}).Providers {
		environ = append(environ, keyName(name)+"_API_KEY=k")
	}
	environ = append(environ, "AZURE_API_KEY=k")
	s := mustLoad(t, Options{Environ: environ, Strict: true})
	if len(s.Problems) > 0 || len(s.Dormant) > 0 {
		t.Errorf("got problems %v and dormant models %v, want none", lines(s.Problems), s.Dormant)
	}
	if got, want := s.Providers["azure"].Paths[llm.Embeddings], "/openai/deployments/{model}/embeddings?api-version="+azureVersion; got != want {
		t.Errorf("azure embeddings: got %s, want %s", got, want)
	}
	for _, folder := range []string{"providers", "models"} {
		docs, err := layer{name: shippedDir, fsys: shipped}.read(folder)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range docs {
			if got := d.text("name") + d.text("logical_name"); got != d.stem() {
				t.Errorf("%s: got name %q, want the file's", d.name, got)
			}
		}
	}
}

func TestShippedFilesAreQuietWithoutKeys(t *testing.T) {
	s := load(t, map[string]string{})
	if len(s.Problems) > 0 {
		t.Errorf("got %v, want no problems", lines(s.Problems))
	}
	if len(s.Models) > 0 {
		t.Errorf("got %d models, want none on offer", len(s.Models))
	}
	want := `no usable route: provider "xai" has no key (XAI_API_KEY or XAI_API_KEY_1)`
	if got := s.Dormant["grok-4.3"].Unusable; got != want {
		t.Errorf("grok-4.3: got %q, want %q", got, want)
	}
}

func TestCopyOfShippedFilesIsQuiet(t *testing.T) {
	files := map[string]string{}
	for _, name := range []string{"providers/openai.json", "models/gpt-4o.json", "providers/azure.json"} {
		raw, err := shipped.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		files[name] = string(raw)
	}
	if s := load(t, files); len(s.Problems) > 0 {
		t.Errorf("got %v, want no problems", lines(s.Problems))
	}
}

func TestRequireClientKey(t *testing.T) {
	t.Chdir(t.TempDir())
	_, err := Load(Options{Environ: []string{"REQUIRE_CLIENT_API_KEY=true"}})
	if err == nil || !strings.Contains(err.Error(), "CLIENT_API_KEY") {
		t.Errorf("without a client: got error %v, want one that names CLIENT_API_KEY", err)
	}
	mustLoad(t, Options{Environ: []string{"REQUIRE_CLIENT_API_KEY=true", "CLIENT_API_KEY_7=x"}})
}

func TestFailOnStartupValidation(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "config/providers/a.json", "{\n\"name\": \"a\"\n}")
	_, err := Load(Options{Environ: []string{"FAIL_ON_STARTUP_VALIDATION=true"}})
	want := filepath.FromSlash("config/providers/a.json") + ":1: endpoints.base_url: is missing; give the provider's address, such as https://api.example.com/v1"
	if err == nil || err.Error() != want {
		t.Errorf("got error %v, want %s", err, want)
	}
}

func TestRevision(t *testing.T) {
	files := map[string]string{"providers/a.json": `{"endpoints": {"base_url": "https://${HOST:-a}.test"}}`}
	first := load(t, files, "A_API_KEY=k").Revision
	if len(first) != 12 {
		t.Errorf("got revision %q, want 12 digits", first)
	}
	if again := load(t, files, "A_API_KEY=k", "UNRELATED=1").Revision; again != first {
		t.Errorf("the same in another place: got %s, want %s", again, first)
	}
	files["clients.json"] = `[]`
	for name, other := range map[string]string{
		"file":    load(t, files, "A_API_KEY=k").Revision,
		"key":     load(t, map[string]string{"providers/a.json": files["providers/a.json"]}, "A_API_KEY=other").Revision,
		"setting": load(t, map[string]string{"providers/a.json": files["providers/a.json"]}, "A_API_KEY=k", "KEY_COOLDOWN_SECONDS=1").Revision,
		"host":    load(t, map[string]string{"providers/a.json": files["providers/a.json"]}, "A_API_KEY=k", "HOST=b").Revision,
	} {
		if other == first {
			t.Errorf("another %s: got the same revision %s", name, other)
		}
	}
}

func TestOverlayComesFirst(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "config/providers/p.json", upstreamAt("file"))
	s := mustLoad(t, Options{Environ: []string{}, Overlay: fstest.MapFS{"providers/p.json": {Data: []byte(upstreamAt("overlay"))}}})
	if got := s.Providers["p"].BaseURL; got != "https://overlay.test" {
		t.Errorf("got %s, want the overlay's", got)
	}
}
