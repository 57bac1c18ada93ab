package config

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestAdd(t *testing.T) {
	t.Chdir(t.TempDir())
	o := Options{Environ: []string{"CLIENT_API_KEY=c"}}
	file, err := AddProvider(o, NewProvider{Name: "acme", BaseURL: "https://acme.test/v1", Protocol: "anthropic"})
	if want := filepath.FromSlash("config/providers/acme.json"); err != nil || file != want {
		t.Fatalf("provider: got %s, %v, want %s", file, err, want)
	}
	if _, err := AddProvider(o, NewProvider{Name: "house", BaseURL: "http://localhost:1/v1", Keyless: true}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"ACME_API_KEY", "ACME_API_KEY_1", "ACME_API_KEY_2"} {
		got, err := AddKey(o, "acme", NewSecret("key for "+want))
		if err != nil || got != want {
			t.Errorf("key: got %s, %v, want %s", got, err, want)
		}
	}
	m := NewModel{LogicalName: "a/m", Routes: []NewRoute{{"acme", "x"}, {"house", "y"}}}
	if file, err := AddModel(o, m); err != nil || file != filepath.FromSlash("config/models/a--m.json") {
		t.Errorf("model: got %s, %v", file, err)
	}
	s := mustLoad(t, Options{Environ: o.Environ, Strict: true})
	routes := s.Models["a/m"].Routes
	if len(routes) != 2 || len(routes[0].Keys) != 3 || !routes[1].Keys[0].Secret.IsZero() || len(s.Problems) > 0 {
		t.Errorf("got routes %v and problems %v, want two routes, with three keys and with none needed", routes, lines(s.Problems))
	}
	if info, err := os.Stat(".env"); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode of .env: got %v %v, want 0600", info, err)
	}
}

func TestAddRefuses(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "config/providers/other-file.json", `{"name": "acme", "endpoints": {"base_url": "https://acme.test"}}`)
	o := Options{Environ: []string{"ACME_API_KEY_4=taken"}}
	if _, err := AddProvider(o, NewProvider{Name: "acme", BaseURL: "https://acme.test"}); !errors.Is(err, ErrExists) {
		t.Errorf("a name that is taken: got %v, want ErrExists", err)
	}
	if _, err := AddKey(o, "acme", NewSecret("taken")); !errors.Is(err, ErrExists) {
		t.Errorf("a key that is there: got %v, want ErrExists", err)
	}
	for _, p := range []NewProvider{{Name: "x"}, {Name: "x", BaseURL: "x.test"}, {Name: "../x", BaseURL: "https://x.test"}, {Name: "x", BaseURL: "https://x.test", Protocol: "soap"}} {
		if _, err := AddProvider(o, p); err == nil {
			t.Errorf("%+v: got no error", p)
		}
	}
	if _, err := AddKey(o, "acme", NewSecret("a\nb")); err == nil {
		t.Error("a key over two lines: got no error")
	}
	entries, err := filepath.Glob("config/*/*")
	if err != nil || !slices.Equal(entries, []string{filepath.FromSlash("config/providers/other-file.json")}) {
		t.Errorf("got files %v, want nothing added", entries)
	}
}
