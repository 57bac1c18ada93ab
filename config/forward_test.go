package config

import "testing"

func TestForwards(t *testing.T) {
	s := load(t, map[string]string{
		"providers/p.json": `{"endpoints": {"base_url": "https://p.test"}, "forward_headers": ["X-Mock-*", "x-team"]}`,
		"providers/q.json": `{"endpoints": {"base_url": "https://q.test"}}`,
	})
	for name, want := range map[string]bool{"X-Mock-Ttft": true, "X-Mock-": true, "X-Mock": false, "X-Team": true, "X-Team-2": false, "X-Api-Key": false} {
		if got := s.Providers["p"].Forwards(name); got != want {
			t.Errorf("provider with %s: got %v, want %v", name, got, want)
		}
		if got := s.Forwards(name); got != want {
			t.Errorf("any provider with %s: got %v, want %v", name, got, want)
		}
		if s.Providers["q"].Forwards(name) {
			t.Errorf("provider without forward_headers with %s: got true", name)
		}
	}
}
