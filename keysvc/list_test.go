package keysvc

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"model-proxy/config"
	"model-proxy/internal/llm"
)

func TestList(t *testing.T) {
	const one, two, own = "sk-first-key-of-this-test-1111", "sk-second-key-of-this-test-2222", "sk-a-route-of-its-own-key-3333"
	p := &config.Provider{Name: "p", Keys: []config.Key{{Secret: config.NewSecret(one), Env: "P_API_KEY_1"}, {Secret: config.NewSecret(two), Env: "P_API_KEY_2"}}}
	q := &config.Provider{Name: "q", Keys: []config.Key{{Secret: config.NewSecret(one), Env: "Q_API_KEY"}}}
	snap := &config.Snapshot{Providers: map[string]*config.Provider{"p": p, "q": q}, Models: map[string]*config.Model{
		"m": {Routes: []*config.Route{{Provider: p, Keys: []config.Key{p.Keys[0], {Secret: config.NewSecret(own), Env: "OWN"}}}}}}}
	s, now := alone(), time.Now()
	fp := p.Keys[0].Secret.Fingerprint()
	for _, r := range []llm.Rest{
		{Scope: llm.ScopeKey, Provider: "p", Fingerprint: fp, For: time.Minute, Cause: "auth", Status: 401},
		{Scope: llm.ScopeKeyModel, Provider: "p", Fingerprint: fp, Model: "x", For: time.Hour, Cause: "rate_limit", Status: 429},
		{Scope: llm.ScopeKey, Provider: "p", Fingerprint: p.Keys[1].Secret.Fingerprint(), For: time.Second, Cause: "auth"},
		{Scope: llm.ScopeProvider, Provider: "q", For: time.Minute, Cause: "overloaded"},
		{Scope: llm.ScopeBreaker, Provider: "q", Model: "x", For: 30 * time.Second, Cause: "repeated_failures"},
	} {
		s.rest(now, r, now)
	}
	states := s.List(now.Add(2*time.Second), snap)
	var got []string
	for _, st := range states {
		line := fmt.Sprintf("%s %s %s", st.Provider, st.Env, st.LastFour)
		for _, r := range st.Rests {
			line += fmt.Sprintf(" %s %s %v", r.Scope, r.Cause, r.For)
		}
		got = append(got, line)
	}
	want := []string{
		"p P_API_KEY_1 1111 key_model rate_limit 59m58s key auth 58s",
		"p P_API_KEY_2 2222",
		"p OWN 3333",
		"q Q_API_KEY 1111 provider overloaded 58s breaker repeated_failures 28s",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if n := s.Cooldowns(now.Add(2 * time.Second)); n["p"] != 2 || n["q"] != 2 {
		t.Errorf("got cooldowns %v, want 2 of p and 2 of q", n)
	}
	data, err := json.Marshal(states)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(data), "sk-") {
		t.Errorf("a key is printed: %s", data)
	}
}

func TestKeyNames(t *testing.T) {
	for _, tt := range []struct {
		ref  ref
		want string
	}{
		{ref{llm.ScopeProvider, "openai", "", ""}, "p.openai"},
		{ref{llm.ScopeKey, "openai", "0123456789ab", ""}, "k.openai.0123456789ab"},
		{ref{llm.ScopeKeyModel, "openai", "0123456789ab", "gpt-5.2"}, "m.openai.0123456789ab.x_131e2083b68bde4fe879"},
		{ref{llm.ScopeBreaker, "openai", "", "gpt-4o"}, "b.openai.gpt-4o"},
	} {
		if got := keyOf(tt.ref); got != tt.want {
			t.Errorf("%+v: got %s, want %s", tt.ref, got, tt.want)
		}
	}
}
