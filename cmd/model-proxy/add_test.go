package main

import (
	"io"
	"os"
	"testing"
)

// Outside of a terminal flags say everything, and a missing one is named.
func TestAddByFlags(t *testing.T) {
	t.Chdir(t.TempDir())
	command(t, nil, "add", "provider", "acme", "--base-url", "https://acme.example/v1").want(t, exitOK, "written: ", "next: model-proxy add key acme")
	command(t, nil, "add", "provider", "acme", "--base-url", "https://acme.example/v1").want(t, exitUsage, "already exists")
	command(t, nil, "add", "provider", "--name", "lab", "--base-url", "http://10.0.0.7/v1", "--keyless", "--protocol", "anthropic").want(t, exitOK)
	command(t, nil, "add", "provider", "x", "--base-url", "ftp://x").want(t, exitUsage, `--base-url: "ftp://x" is not an http or https address`)
	command(t, nil, "add", "provider", "x", "--name", "y").want(t, exitUsage, "two names")
	command(t, nil, "add", "provider", "x", "--base-url", "http://x.example", "--protocol", "smtp").want(t, exitUsage, `--protocol: "smtp" is none of`)
	command(t, nil, "add", "model", "fast", "--route", "acme/vendor/up", "--route", "lab/b", "--fallback", "gpt-5.2").want(t, exitOK)
	command(t, nil, "add", "model", "bad", "--route", "acme").want(t, exitUsage, `--route "acme" is not provider/model`)
	command(t, nil, "add", "key", "acme", "--key", "sk-one-a-long-key-000001").want(t, exitOK, "written: ACME_API_KEY, key ")
	command(t, nil, "add", "key", "acme", "--key", "sk-two-a-long-key-000002").want(t, exitOK, "written: ACME_API_KEY_")
	command(t, nil, "add", "key", "acme", "--key", "sk-one-a-long-key-000001").want(t, exitUsage, "already exists")
	command(t, []string{"OPENAI_API_KEY=k"}, "models", "list").want(t, exitOK, "fast", "acme/vendor/up, lab/b; then gpt-5.2")
	command(t, nil, "add", "key", "amce", "--key", "sk-two-a-long-key-000003", "--env-file", "new.env").want(t, exitOK, "written: AMCE_API_KEY", `warning: no provider "amce" is defined`)
	command(t, nil, "keys", "list").want(t, exitOK, "ACME_API_KEY", "…0001", "…0002", "unknown")
}

func TestAddNamesTheMissingFlag(t *testing.T) {
	t.Chdir(t.TempDir())
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	for _, c := range []struct {
		missing string
		args    []string
	}{
		{"--name", []string{"add", "provider"}},
		{"--base-url", []string{"add", "provider", "acme"}},
		{"--name", []string{"add", "model"}},
		{"--route", []string{"add", "model", "fast"}},
		{"--provider", []string{"add", "key"}},
		{"--key", []string{"add", "key", "openai"}},
	} {
		var r result
		r.code = (&app{stdin: null, stdout: io.Discard, stderr: &writer{&r.errs}}).execute(t.Context(), c.args)
		r.want(t, exitUsage, c.missing+" is missing, and there is no terminal to ask in")
	}
}

// writer appends to a string.
type writer struct{ to *string }

func (w *writer) Write(p []byte) (int, error) { *w.to += string(p); return len(p), nil }
