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
	model   *config.Model
	routes  []*config.Route
	ordered bool // by the model's strategy; done when the walk comes to it
}

// plan lists the model asked for and its fallback models, nearest first: the
// model's own list before its fallbacks' lists. A model that was met before is
// left out, which cuts cycles. Routes that cannot serve the endpoint are left
// out too, and so are models without any.
func plan(snap *config.Snapshot, first *config.Model, job Job) []stage {
	var stages []stage
	met := map[string]bool{first.LogicalName: true}
	queue := []*config.Model{first}
	for len(queue) > 0 {
		m := queue[0]
		queue = queue[1:]
		if routes := serving(m.Routes, job); len(routes) > 0 {
			stages = append(stages, stage{model: m, routes: routes})
		}
		for _, name := range m.Fallbacks {
			next := snap.Models[name]
			if next == nil || met[name] {
				continue
			}
			met[name] = true
			queue = append(queue, next)
		}
	}
	return stages
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
// the route lists it, else one with the same bytes, else the preferred one.
// Embeddings and token counts are not converted.
func protocolFor(r *config.Route, job Job) (llm.Protocol, bool) {
	if slices.Contains(r.Protocols, job.Protocol) {
		return job.Protocol, true
	}
	for _, p := range r.Protocols {
		if p.Wire() == job.Protocol.Wire() {
			return p, true
		}
	}
	if len(r.Protocols) == 0 || job.Endpoint == llm.Embeddings || job.Endpoint == llm.CountTokens {
		return "", false
	}
	return r.Protocols[0], true
}

// order puts the routes of a stage into the order of its model's strategy. It
// copies them: the snapshot is shared.
func (s *stage) order(now time.Time, pool Pool, random *rand.Rand) {
	if s.ordered || len(s.routes) < 2 {
		return
	}
	s.ordered = true
	switch s.model.Strategy {
	case "weighted":
		s.routes = shuffle(slices.Clone(s.routes), random)
	case "least_latency":
		s.routes = slices.Clone(s.routes)
		// A route whose latency is not known comes first: that is how it gets known.
		slices.SortStableFunc(s.routes, func(a, b *config.Route) int {
			return cmp.Compare(pool.Latency(now, a.Provider.Name, a.Model), pool.Latency(now, b.Provider.Name, b.Model))
		})
	}
}

// shuffle draws routes without putting them back, each with a chance in
// proportion to its weight. A weight below 1 counts as 1.
func shuffle(routes []*config.Route, random *rand.Rand) []*config.Route {
	weight := func(r *config.Route) int { return max(1, r.Weight) }
	total := 0
	for _, r := range routes {
		total += weight(r)
	}
	for i := range routes {
		n := random.IntN(total)
		j := i
		for n >= weight(routes[j]) {
			n -= weight(routes[j])
			j++
		}
		total -= weight(routes[j])
		drawn := routes[j]
		copy(routes[i+1:j+1], routes[i:j]) // the rest keeps its order
		routes[i] = drawn
	}
	return routes
}
