package config

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func upstreamAt(host string) string {
	return `{"endpoints": {"base_url": "https://` + host + `.test"}}`
}

func TestReloadIsRefusedWhole(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "config/providers/p.json", upstreamAt("old"))
	s, err := Open(Options{Environ: []string{"CLIENT_API_KEY=c"}})
	if err != nil {
		t.Fatal(err)
	}
	before, changed := s.Current(), s.Changed()
	write(t, "config/providers/p.json", upstreamAt("new"))
	write(t, "config/models/m.json", "{\n  \"strategy\": \"fastest\"\n}")
	err = s.Reload()
	want := filepath.FromSlash("config/models/m.json") + `:2: strategy: "fastest" is not one of ordered, weighted, least_latency`
	if err == nil || err.Error() != want {
		t.Errorf("reload: got error %v, want %s", err, want)
	}
	if s.Current() != before {
		t.Error("a refused reload replaced the snapshot")
	}
	write(t, "config/models/m.json", `{}`)
	if err := s.Reload(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-changed:
	default:
		t.Error("the reload was not told")
	}
	if got := s.Current().Providers["p"].BaseURL; got != "https://new.test" {
		t.Errorf("got %s, want the new address", got)
	}
	if got := before.Providers["p"].BaseURL; got != "https://old.test" {
		t.Errorf("a request under way: got %s, want the snapshot it began with", got)
	}
}

// watching is a Source under Watch. wait returns the next report.
func watching(t *testing.T, o Options) (s *Source, wait func() error) {
	t.Helper()
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	reports, ended := make(chan error, 10), make(chan error, 1)
	go func() { ended <- s.Watch(ctx, func(err error) { reports <- err }) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("watch: got %v, want nil", err)
		}
	})
	return s, func() error {
		t.Helper()
		select {
		case err := <-reports:
			return err
		case <-ctx.Done():
			t.Fatal("no report of the change")
			return nil
		}
	}
}

func TestWatch(t *testing.T) {
	replace := func(t *testing.T, name, content string) {
		t.Helper()
		write(t, name+"~", content)
		if err := os.Rename(name+"~", name); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		name   string
		before func(t *testing.T)
		change func(t *testing.T)
	}{
		{"a file written over",
			func(t *testing.T) { write(t, "config/providers/p.json", upstreamAt("old")) },
			func(t *testing.T) { write(t, "config/providers/p.json", upstreamAt("new")) }},
		{"a file renamed over, as editors do",
			func(t *testing.T) { write(t, "config/providers/p.json", upstreamAt("old")) },
			func(t *testing.T) { replace(t, "config/providers/p.json", upstreamAt("new")) }},
		{"a folder that was not there",
			func(t *testing.T) {},
			func(t *testing.T) {
				write(t, "elsewhere/providers/p.json", upstreamAt("new"))
				if err := os.Rename("elsewhere", "config"); err != nil {
					t.Fatal(err)
				}
			}},
		{"a link turned, as Kubernetes does",
			func(t *testing.T) {
				write(t, "mount/1/p.json", upstreamAt("old"))
				link(t, "1", "mount/..data")
				link(t, "../mount", "config/providers")
				link(t, "..data/p.json", "mount/p.json")
			},
			func(t *testing.T) {
				write(t, "mount/2/p.json", upstreamAt("new"))
				link(t, "2", "mount/..data_tmp")
				if err := os.Rename("mount/..data_tmp", "mount/..data"); err != nil {
					t.Fatal(err)
				}
			}},
		{"the .env file",
			func(t *testing.T) {
				write(t, "config/providers/p.json", upstreamAt("${WHERE}"))
				write(t, ".env", "WHERE=old\n")
			},
			func(t *testing.T) { replace(t, ".env", "WHERE=new\n") }},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			test.before(t)
			s, wait := watching(t, Options{Environ: []string{"CLIENT_API_KEY=c"}})
			test.change(t)
			if err := wait(); err != nil {
				t.Fatalf("got %v, want the new configuration", err)
			}
			if got := s.Current().Providers["p"].BaseURL; got != "https://new.test" {
				t.Errorf("got %s, want https://new.test", got)
			}
		})
	}
}

// A directory may be spoken of by several names: the system tells of what
// happens in it under one of them.
func TestWatchOneFolderByTwoNames(t *testing.T) {
	for _, test := range []struct {
		name            string
		config, envFile string // below the working directory, whose absolute name is @
	}{
		{"relative folder, absolute file", "config", "@/.env"},
		{"absolute folder, relative file", "@/config", ".env"},
		{"both absolute", "@/config", "@/.env"},
		{"a file by way of a link", "config", "@/here/.env"},
		{"a folder by way of a link", "here/config", "@/.env"},
	} {
		t.Run(test.name, func(t *testing.T) {
			here := t.TempDir()
			t.Chdir(here)
			link(t, ".", "here")
			write(t, "config/providers/p.json", upstreamAt("${WHERE}"))
			write(t, ".env", "WHERE=old\n")
			s, wait := watching(t, Options{Environ: []string{"CLIENT_API_KEY=c"},
				Dir: strings.ReplaceAll(test.config, "@", here), EnvFile: strings.ReplaceAll(test.envFile, "@", here)})
			// More than once: the first changes may be seen by the look at the start.
			for _, host := range []string{"new", "newer", "newest"} {
				write(t, ".env", "WHERE="+host+"\n")
				if err := wait(); err != nil {
					t.Fatalf("got %v, want the new configuration", err)
				}
				if got, want := s.Current().Providers["p"].BaseURL, "https://"+host+".test"; got != want {
					t.Errorf("got %s, want %s", got, want)
				}
			}
			write(t, "config/providers/p.json", upstreamAt("last"))
			if err := wait(); err != nil || s.Current().Providers["p"].BaseURL != "https://last.test" {
				t.Errorf("provider: got %s, %v, want https://last.test", s.Current().Providers["p"].BaseURL, err)
			}
		})
	}
}

func link(t *testing.T, target, name string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, name); err != nil {
		t.Fatal(err)
	}
}

func TestWatchRefusesAndRecovers(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "config/providers/p.json", upstreamAt("old"))
	s, wait := watching(t, Options{Environ: []string{"CLIENT_API_KEY=c"}})
	before := s.Current().Revision
	write(t, "config/providers/p.json", `{"endpoints"`)
	if err := wait(); err == nil || !strings.Contains(err.Error(), "p.json:1:12") {
		t.Errorf("got %v, want a refusal with file, line and column", err)
	}
	if got := s.Current().Revision; got != before {
		t.Errorf("got revision %s, want the old %s", got, before)
	}
	write(t, "config/providers/p.json", upstreamAt("old"))
	if err := wait(); err != nil {
		t.Errorf("mended: got %v, want nil", err)
	}
	write(t, "config/providers/p.json", upstreamAt("new"))
	if err := wait(); err != nil || s.Current().Revision == before {
		t.Errorf("changed: got %v and revision %s, want another than %s", err, s.Current().Revision, before)
	}
}

// The gateway goes on with what it has, and sees the folder when it is back.
func TestWatchOutlivesAFolderThatIsNone(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "config/providers/p.json", upstreamAt("old"))
	s, wait := watching(t, Options{Environ: []string{"CLIENT_API_KEY=c"}})
	write(t, "config/providers/p.json", upstreamAt("watched"))
	if err := wait(); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename("config", "away"); err != nil {
		t.Fatal(err)
	}
	write(t, "config", "not a folder")
	if err := wait(); err == nil || !strings.Contains(err.Error(), "config") {
		t.Errorf("got %v, want an error that names the folder", err)
	}
	if err := os.Remove("config"); err != nil {
		t.Fatal(err)
	}
	write(t, "away/providers/p.json", upstreamAt("new"))
	if err := os.Rename("away", "config"); err != nil {
		t.Fatal(err)
	}
	for s.Current().Providers["p"] == nil || s.Current().Providers["p"].BaseURL != "https://new.test" {
		_ = wait() // whatever is told meanwhile; no report within 20 s fails the test
	}
}
