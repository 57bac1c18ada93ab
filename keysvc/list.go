package keysvc

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"model-proxy/config"
	"model-proxy/internal/llm"
)

// KeyState is one key of a provider as an operator sees it. Rests holds what
// keeps it from work, longest first; their For is what is left. A rest of
// scope key_model keeps it from that model only, one of scope breaker keeps every
// key from it.
type KeyState struct {
	Provider    string
	Fingerprint string
	LastFour    string
	Env         string // the variable it came from
	Rests       []llm.Rest
}

// List returns the state of every key of the configuration, by provider and
// in configured order.
func (s *Service) List(now time.Time, snap *config.Snapshot) []KeyState {
	rests := s.Rests(now)
	var all []KeyState
	for _, name := range slices.Sorted(maps.Keys(snap.Providers)) {
		for _, k := range configuredKeys(snap, name) {
			st := KeyState{Provider: name, Fingerprint: k.Secret.Fingerprint(), LastFour: k.Secret.LastFour(), Env: k.Env}
			for _, r := range rests {
				if r.Provider == name && (r.Fingerprint == "" || r.Fingerprint == st.Fingerprint) {
					st.Rests = append(st.Rests, r)
				}
			}
			all = append(all, st)
		}
	}
	return all
}

// configuredKeys lists the provider's keys and those that single routes bring,
// each once.
func configuredKeys(snap *config.Snapshot, provider string) []config.Key {
	keys := slices.Clone(snap.Providers[provider].Keys)
	for _, name := range slices.Sorted(maps.Keys(snap.Models)) {
		for _, r := range snap.Models[name].Routes {
			if r.Provider.Name == provider {
				keys = append(keys, r.Keys...)
			}
		}
	}
	seen := map[string]bool{}
	return slices.DeleteFunc(keys, func(k config.Key) bool {
		fp := k.Secret.Fingerprint()
		again := seen[fp]
		seen[fp] = true
		return again
	})
}

// Rests returns everything that rests at now, longest first.
func (s *Service) Rests(now time.Time) []llm.Rest {
	var all []llm.Rest
	for _, c := range *s.board.cells.Load() {
		if left := c.left(now); left > 0 {
			r := c.rest
			r.For = left
			all = append(all, r)
		}
	}
	slices.SortFunc(all, func(a, b llm.Rest) int { return cmp.Compare(b.For, a.For) })
	return all
}

// Cooldowns counts what rests at now, by provider.
func (s *Service) Cooldowns(now time.Time) map[string]int {
	n := map[string]int{}
	for _, c := range *s.board.cells.Load() {
		if c.left(now) > 0 {
			n[c.rest.Provider]++
		}
	}
	return n
}
