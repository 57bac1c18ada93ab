package config

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const upstream = `{"endpoints": {"base_url": "https://p.test"}}`

func TestTimers(t *testing.T) {
	const s = time.Second
	for _, test := range []struct {
		name                   string
		provider, model, route string // fields
		want                   Timers
		deadline               time.Duration
	}{
		{"defaults", "", "", "", Timers{5 * s, 60 * s, 60 * s, 600 * s}, 600 * s},
		{"provider", `"timeout_seconds": 7, "connect_timeout_seconds": 1.5, "idle_timeout_seconds": 8, "total_timeout_seconds": 900`, "", "",
			Timers{1500 * time.Millisecond, 7 * s, 8 * s, 900 * s}, 900 * s},
		{"model before provider", `"timeout_seconds": 7`, `"timeout_seconds": 9, "total_timeout_seconds": 30`, "", Timers{5 * s, 9 * s, 9 * s, 30 * s}, 30 * s},
		{"route before model", `"timeout_seconds": 7`, `"timeout_seconds": 9, "total_timeout_seconds": 30`, `"timeout_seconds": 3, "total_timeout_seconds": 40`,
			Timers{5 * s, 3 * s, 3 * s, 40 * s}, 30 * s},
		{"idle stays when the wait is shorter", `"idle_timeout_seconds": 100`, "", `"timeout_seconds": 3`, Timers{5 * s, 3 * s, 100 * s, 600 * s}, 600 * s},
		{"null is not set", `"timeout_seconds": null`, `"timeout_seconds": null`, "", Timers{5 * s, 60 * s, 60 * s, 600 * s}, 600 * s},
	} {
		t.Run(test.name, func(t *testing.T) {
			comma := func(fields string) string {
				if fields == "" {
					return ""
				}
				return ", " + fields
			}
			m := load(t, map[string]string{
				"providers/p.json": `{"endpoints": {"base_url": "https://p.test"}, "request_config": {` + test.provider + `}}`,
				"models/m.json":    `{"model_routings": [{"provider": "p", "model": "x"` + comma(test.route) + `}]` + comma(test.model) + `}`,
			}, "P_API_KEY=k").Models["m"]
			if got := m.Routes[0].Timers; got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
			if m.TotalTimeout != test.deadline {
				t.Errorf("deadline: got %v, want %v", m.TotalTimeout, test.deadline)
			}
		})
	}
}

func TestModelFields(t *testing.T) {
	m := load(t, map[string]string{
		"providers/p.json": `{"pool": "eu", "endpoints": {"base_url": "https://p.test"}, "model_mapping": {"short": "long-2026"}, "models": {"long-2026": {"cooldown_seconds": 4}}}`,
		"models/a--b.json": `{"logical_name": "a/b", "default_cooldown_seconds": 9, "strategy": "weighted", "model_routings": [
			{"provider": "p", "model": "short", "weight": 3, "cooldown_seconds": 2},
			{"provider": "p", "model": "other"}
		]}`,
	}, "P_API_KEY=k").Models["a/b"]
	if m == nil {
		t.Fatal("the logical name is not the field's")
	}
	if m.Strategy != "weighted" || m.Pool != "eu" || *m.CooldownSeconds != 9 {
		t.Errorf("got strategy %s, pool %s, cooldown %d, want weighted, the provider's eu, 9", m.Strategy, m.Pool, *m.CooldownSeconds)
	}
	first, second := m.Routes[0], m.Routes[1]
	if first.ID != "route-1" || first.Model != "long-2026" || first.Weight != 3 || *first.CooldownSeconds != 2 {
		t.Errorf("first route: got %+v", first)
	}
	if own := first.Provider.ModelOverrides[first.Model].CooldownSeconds; own == nil || *own != 4 {
		t.Errorf("the provider's cooldown for the model: got %v, want 4, kept apart from the route's", own)
	}
	if second.Weight != 1 || second.CooldownSeconds != nil {
		t.Errorf("second route: got weight %d and cooldown %v, want 1 and none", second.Weight, second.CooldownSeconds)
	}
}

func TestUnusableModels(t *testing.T) {
	route := func(provider string) string {
		return `"model_routings": [{"provider": "` + provider + `", "model": "x"}]`
	}
	s := load(t, map[string]string{
		"providers/p.json":     upstream,
		"providers/bare.json":  upstream,
		"models/good.json":     `{` + route("p") + `}`,
		"models/bare.json":     `{` + route("bare") + `}`,
		"models/empty.json":    `{}`,
		"models/saved.json":    `{` + route("bare") + `, "fallback_model_routings": ["middle"]}`,
		"models/middle.json":   `{` + route("bare") + `, "fallback_model_routings": ["good", "saved"]}`,
		"models/circle.json":   `{` + route("bare") + `, "fallback_model_routings": ["circle", "circle-2"]}`,
		"models/circle-2.json": `{"fallback_model_routings": ["circle"]}`,
	}, "P_API_KEY=k")
	bare := `no usable route: provider "bare" has no key (BARE_API_KEY or BARE_API_KEY_1)`
	want := map[string]string{
		"good": "", "bare": bare, "empty": "no route is configured", "saved": "", "middle": "", "circle": bare, "circle-2": "no route is configured",
	}
	got := map[string]string{}
	for name, m := range s.Models {
		got[name] = m.Unusable
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("unusable (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"circle", "circle-2"}, s.Models["circle"].Fallbacks); diff != "" {
		t.Errorf("cycles are the router's to cut (-want +got):\n%s", diff)
	}
}
