package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

// shown prints a value in every way a log or an answer could.
func shown(t *testing.T, v any) string {
	t.Helper()
	var b bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&b, verb+"\n", v)
	}
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	b.Write(raw)
	slog.New(slog.NewTextHandler(&b, nil)).Info("x", "v", v)
	slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "v", v)
	return b.String()
}

func TestConceal(t *testing.T) {
	for _, c := range []struct{ key, text, want string }{
		{"a-key-of-some-length", `{"error":"a-key-of-some-length is not a-key-of-some-length"}`, `{"error":"[redacted] is not [redacted]"}`},
		{"a-key-of-some-length", "a-key-of-some", "a-key-of-some"},
		{"short", "a short text", "a short text"},
		{"", "text", "text"},
	} {
		text := []byte(c.text)
		if got := NewSecret(c.key).Conceal(text); string(got) != c.want || string(text) != c.text {
			t.Errorf("%q in %q: got %q, want %q and the text unchanged", c.key, text, got, c.want)
		}
	}
	headers := Headers{"X-Gateway-Token": "Bearer a-token-of-some-length", "X-Title": "not a secret", "X-Auth": "short"}
	if got := headers.Conceal([]byte("Bearer a-token-of-some-length, secret, short")); string(got) != "Bearer [redacted], secret, short" {
		t.Errorf("headers: got %q", got)
	}
	if got := (Secret{}).Conceal([]byte("text")); string(got) != "text" {
		t.Errorf("no key: got %q", got)
	}
}

func TestSecretsAreNeverShown(t *testing.T) {
	const plain = "sk-very-secret-wxyz" // no part of it is a number, such as a pointer's, by chance
	s := load(t, map[string]string{
		"providers/p.json": `{"endpoints": {"base_url": "https://p.test"}, "authentication": {"additional_headers": {"X-Auth": "${OTHER}"}}}`,
		"models/m.json":    `{"model_routings": [{"provider": "p", "model": "x"}]}`,
	}, "P_API_KEY="+plain, "OTHER="+plain, "ADMIN_API_KEY="+plain, "CLIENT_API_KEY_1="+plain)
	environ := []string{"NATS_URL=" + plain, "NATS_TOKEN=" + plain, "CLICKHOUSE_DSN=" + plain, "ADMIN_API_KEY=" + plain}
	env, err := ReadEnvironment("", environ)
	if err != nil {
		t.Fatal(err)
	}
	for name, v := range map[string]any{
		"secret": NewSecret(plain), "pointer": new(NewSecret(plain)), "key": s.Providers["p"].Keys[0], "headers": s.Providers["p"].Headers,
		"provider": s.Providers["p"], "route": s.Models["m"].Routes[0], "snapshot": s, "environment": env, "variables": env.Vars,
	} {
		got := shown(t, v)
		for _, form := range []string{plain, fmt.Sprintf("%x", plain), plain[len(plain)-4:]} {
			if strings.Contains(got, form) {
				t.Errorf("%s shows %q", name, form)
			}
		}
	}
}

func TestSecret(t *testing.T) {
	s := NewSecret("sk-very-secret-0123")
	if got, want := s.Fingerprint(), hexHash("sk-very-secret-0123")[:12]; got != want {
		t.Errorf("fingerprint: got %s, want %s", got, want)
	}
	for key, want := range map[string]string{"sk-very-secret-0123": "0123", "short-key-01234": ""} {
		if got := NewSecret(key).LastFour(); got != want {
			t.Errorf("last four of %q: got %q, want %q", key, got, want)
		}
	}
	var zero Secret
	if !zero.IsZero() || zero.Reveal() != "" || zero.LastFour() != "" || zero.String() != "key:keyless" {
		t.Errorf("zero secret: got %v %q %q %s", zero.IsZero(), zero.Reveal(), zero.LastFour(), zero)
	}
}
