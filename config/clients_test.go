package config

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func hexHash(key string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(key))) }

func TestClients(t *testing.T) {
	s := load(t, map[string]string{
		"models/m.json": `{}`,
		"clients.json": `[
			{"id": "alice", "key_sha256": "` + strings.ToUpper(hexHash("a")) + `"},
			{"id": "bob", "key_env": "BOB", "requests_per_minute": 0, "tokens_per_minute": 5, "max_parallel_requests": 2, "models": ["m"], "priority": "high"},
			{"id": "carol", "key_sha256": "` + hexHash("c") + `", "models": [], "disabled": true}
		]`,
	}, "CLIENT_API_KEY_9=nine", "CLIENT_API_KEY_3=three", "CLIENT_API_KEY_OLD=old", "BOB=b", "RATE_LIMIT_REQUESTS_PER_MINUTE=11", "RATE_LIMIT_TOKENS_PER_MINUTE=12")
	client := func(id, key string) *Client {
		return &Client{ID: id, KeySHA256: sha256.Sum256([]byte(key)), RequestsPerMinute: 11, TokensPerMinute: 12, Priority: "normal"}
	}
	bob := client("bob", "b")
	bob.RequestsPerMinute, bob.TokensPerMinute, bob.MaxParallelRequests, bob.Priority = 0, 5, 2, "high"
	bob.Models = map[string]bool{"m": true}
	carol := client("carol", "c")
	carol.Models, carol.Disabled = map[string]bool{}, true
	want := []*Client{client("default", "client"), client("client-3", "three"), client("client-9", "nine"), client("alice", "a"), bob, carol}
	if diff := cmp.Diff(want, s.Clients); diff != "" {
		t.Errorf("clients (-want +got):\n%s", diff)
	}
	for key, want := range map[string]string{"client": "default", "three": "client-3", "a": "alice", "b": "bob", "c": "", "": "", "old": "", "A": ""} {
		c, ok := s.Authenticate(key)
		if got := ok; got != (want != "") || ok && c.ID != want {
			t.Errorf("key %q: got %v %v, want %q", key, c, ok, want)
		}
	}
}

func TestNoClientIsNeverOpen(t *testing.T) {
	t.Chdir(t.TempDir())
	s := mustLoad(t, Options{Environ: []string{"CLIENT_API_KEY="}})
	for _, key := range []string{"", "x"} {
		if _, ok := s.Authenticate(key); ok {
			t.Errorf("key %q opens a gateway without clients", key)
		}
	}
	if len(s.Problems) != 1 || s.Problems[0].Field != "CLIENT_API_KEY" {
		t.Errorf("got %v, want one warning of CLIENT_API_KEY", lines(s.Problems))
	}
}

func TestOnlyTheFirstClientsFileCounts(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "flag/clients.json", `[{"id": "a", "key_sha256": "`+hexHash("a")+`"}]`)
	write(t, "config/clients.json", `[{"id": "b", "key_sha256": "`+hexHash("b")+`"}]`)
	s := mustLoad(t, Options{Dir: "flag", Environ: []string{}})
	if _, ok := s.Authenticate("b"); ok || len(s.Clients) != 1 {
		t.Errorf("got %d clients and %v for the second file's key, want the first file's only", len(s.Clients), ok)
	}
}

func BenchmarkAuthenticate(b *testing.B) {
	s := &Snapshot{}
	for i := range 1000 {
		s.Clients = append(s.Clients, &Client{KeySHA256: sha256.Sum256([]byte(fmt.Sprint(i)))})
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := s.Authenticate("999"); !ok {
			b.Fatal("the last client is not known")
		}
	}
}
