package config

import "strings"

// Forwards reports whether any provider lists the request header in
// forward_headers. name is in canonical form.
func (s *Snapshot) Forwards(name string) bool { return forwards(s.forward, name) }

// Forwards reports whether the provider lists the request header in
// forward_headers. name is in canonical form.
func (p *Provider) Forwards(name string) bool { return forwards(p.ForwardHeaders, name) }

func forwards(patterns []string, name string) bool {
	for _, p := range patterns {
		if prefix, open := strings.CutSuffix(p, "*"); open {
			if len(name) >= len(prefix) && strings.EqualFold(name[:len(prefix)], prefix) {
				return true
			}
			continue
		}
		if strings.EqualFold(name, p) {
			return true
		}
	}
	return false
}

// collectForward joins the forward_headers of all providers, so that the
// ingress looks at one short list.
func (s *Snapshot) collectForward() {
	for _, p := range s.Providers {
		s.forward = append(s.forward, p.ForwardHeaders...)
	}
}
