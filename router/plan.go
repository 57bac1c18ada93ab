package router

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"time"

	"model-proxy/config"
	"model-proxy/internal/llm"
)

// stage is the routes of one logical model, in the order they are tried.
type stage struct {
	model  *config.Model
	routes []*config.Route
}

// plan is the order of models for one job: the one asked for, then its
// fallback models, nearest first: the model's own list before its fallbacks'
// lists. It is unfolded as the walk goes, since most requests need no
// fallback.
type plan struct {
	snap  *config.Snapshot
	job   Job
	last  *config.Model   // whose fallbacks are yet to be queued
	queue []*config.Model // to come
	met   map[string]bool // logical names that were queued; cuts cycles
}

// next returns the next model that has a route for the endpoint, and whether
// there is one.
func (p *plan) next() (stage, bool) {
	for {
		if p.last != nil {
			p.enqueue(p.last.Fallbacks)
		}
		if len(p.queue) == 0 {
			return stage{}, false
		}
		m := p.queue[0]
		p.last, p.queue = m, p.queue[1:]
		if routes := serving(m.Routes, p.job); len(routes) > 0 {
			return stage{m, routes}, true
		}
	}
}

// enqueue adds models that were not met before. Names that are not defined
// were warned about when the configuration was read.
func (p *plan) enqueue(names []string) {
	for _, name := range names {
		m := p.snap.Models[name]
		if m == nil || p.met[name] {
			continue
		}
		put(&p.met, name, true)
		p.queue = append(p.queue, m)
	}
}

// serving returns the routes that speak a protocol which has the endpoint; the
// same slice if that is all of them.
func serving(routes []*config.Route, job Job) []*config.Route {
	unable := func(r *config.Route) bool {
		_, ok := protocolFor(r, job)
		return !ok || len(r.Keys) == 0
	}
	if !slices.ContainsFunc(routes, unable) {
		return routes
	}
	return slices.DeleteFunc(slices.Clone(routes), unable)
}

// protocolFor chooses what to speak upstream: the client's own protocol where
// the route lists it, else one with the same bytes, else the preferred one;
// Messages has thinking, which models that reason keep in Responses only.
// Embeddings are not converted, token counts only to those of Responses.
func protocolFor(r *config.Route, job Job) (llm.Protocol, bool) {
	if slices.Contains(r.Protocols, job.Protocol) {
		return job.Protocol, true
	}
	for _, p := range r.Protocols {
		if p.Wire() == job.Protocol.Wire() {
			return p, true
		}
	}
	if job.Endpoint == llm.CountTokens && r.CountsTokens() {
		return llm.Responses, true
	}
	if len(r.Protocols) == 0 || job.Endpoint == llm.Embeddings || job.Endpoint == llm.CountTokens {
		return "", false
	}
	if job.Protocol == llm.Anthropic && len(r.Capabilities.ReasoningEffortLevels) > 0 && slices.Contains(r.Protocols, llm.Responses) {
		return llm.Responses, true
	}
	return r.Protocols[0], true
}

// ordered returns the stage with its routes in the order of its model's
// strategy. It copies them: the snapshot is shared.
func (s stage) ordered(now time.Time, pool Pool, random func() *rand.Rand) stage {
	if len(s.routes) < 2 {
		return s
	}
	switch s.model.Strategy {
	case "weighted":
		s.routes = shuffle(slices.Clone(s.routes), random())
	case "least_latency":
		s.routes = slices.Clone(s.routes)
		// A route whose latency is not known comes first: that is how it gets known.
		slices.SortStableFunc(s.routes, func(a, b *config.Route) int {
			return cmp.Compare(pool.Latency(now, a.Provider.Name, a.Model), pool.Latency(now, b.Provider.Name, b.Model))
		})
	}
	return s
}

// shuffle draws routes without putting them back, each with a chance in
// proportion to its weight. Those of weight 0 come last, as written.
func shuffle(routes []*config.Route, random *rand.Rand) []*config.Route {
	total := 0
	for _, r := range routes {
		total += r.Weight
	}
	for i := 0; total > 0; i++ {
		n := random.IntN(total)
		j := i
		for n >= routes[j].Weight {
			n -= routes[j].Weight
			j++
		}
		total -= routes[j].Weight
		drawn := routes[j]
		copy(routes[i+1:j+1], routes[i:j]) // the rest keeps its order
		routes[i] = drawn
	}
	return routes
}
