package main

import (
	"strings"
	"time"

	"model-proxy/config"
	"model-proxy/ingress"
	"model-proxy/internal/llm"
	"model-proxy/keysvc"
)

// States of a key as the commands show them.
const (
	keyUsable  = "usable"
	keyResting = "resting"
	keyPartly  = "resting for some models"
	keyUnknown = "unknown" // no gateway could be asked
)

// keyRow is one key as the commands and the control socket show it: never the
// key itself.
type keyRow struct {
	Provider string    `json:"provider"`
	Env      string    `json:"env"` // the variable it came from, "" where no key is needed
	KeyFP    string    `json:"key_fp"`
	LastFour string    `json:"last_four"`
	State    string    `json:"state"`
	Rests    []restRow `json:"rests"`
}

// restRow is one cooldown that keeps a key from work.
type restRow struct {
	Scope   llm.Scope `json:"scope"`
	Model   string    `json:"model,omitempty"` // upstream model
	Seconds float64   `json:"seconds"`         // what is left
	Cause   string    `json:"cause"`
	Status  int       `json:"status,omitempty"` // of the answer that caused it
}

func keyRows(states []keysvc.KeyState) []keyRow {
	rows := make([]keyRow, 0, len(states))
	for _, k := range states {
		row := keyRow{k.Provider, k.Env, k.Fingerprint, k.LastFour, stateOf(k), []restRow{}}
		for _, r := range k.Rests {
			row.Rests = append(row.Rests, restRow{r.Scope, r.Model, r.For.Round(100 * time.Millisecond).Seconds(), r.Cause, r.Status})
		}
		rows = append(rows, row)
	}
	return rows
}

// stateOf sums up a key's cooldowns.
func stateOf(k keysvc.KeyState) string {
	state := keyUsable
	for _, r := range k.Rests {
		if r.Model == "" {
			return keyResting
		}
		state = keyPartly
	}
	return state
}

// describe tells of a cooldown in a few words: "14m58s for gpt-x (quota_spent, 429)".
func (r restRow) describe() string {
	text := time.Duration(r.Seconds * float64(time.Second)).Round(time.Second).String()
	if r.Model != "" {
		text += " for " + r.Model
	}
	switch r.Scope {
	case llm.ScopeProvider:
		text += ", the whole provider"
	case llm.ScopeBreaker:
		text += ", every key"
	}
	if r.Cause != "" {
		text += " (" + strings.ReplaceAll(r.Cause, "_", " ") + ")"
	}
	return text
}

// providerKeys counts a provider's keys.
type providerKeys struct {
	Keys   int `json:"keys"`
	Usable int `json:"usable"`
}

// keyCounts counts the keys of the providers that models use.
func keyCounts(states []keysvc.KeyState, snap *config.Snapshot) map[string]providerKeys {
	counts := map[string]providerKeys{}
	for name := range routed(snap) {
		counts[name] = providerKeys{}
	}
	for _, k := range states {
		c, used := counts[k.Provider]
		if !used {
			continue
		}
		c.Keys++
		if stateOf(k) != keyResting {
			c.Usable++
		}
		counts[k.Provider] = c
	}
	return counts
}

// keyHealth tells of those keys. It is degraded where every key of one rests.
func keyHealth(states []keysvc.KeyState, snap *config.Snapshot) ingress.Health {
	counts := keyCounts(states, snap)
	h := ingress.Health{Status: ingress.Healthy, Detail: counts}
	for _, c := range counts {
		if c.Keys > 0 && c.Usable == 0 {
			h.Status = ingress.Degraded
		}
	}
	return h
}
