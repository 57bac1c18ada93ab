package config

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"model-proxy/internal/llm"
)

// modelFile is the form of models/<file>.json.
type modelFile struct {
	timersFile
	LogicalName     string      `json:"logical_name"`
	DisplayName     note        `json:"display_name"`
	Description     note        `json:"description"`
	CooldownSeconds *int64      `json:"default_cooldown_seconds"`
	Routes          []routeFile `json:"model_routings"`
	Fallbacks       []string    `json:"fallback_model_routings"`
	Strategy        string      `json:"strategy"`
	Pool            string      `json:"pool"`
}

type routeFile struct {
	timersFile
	ID              string `json:"id"`
	Provider        string `json:"provider"`
	Model           string `json:"model"`
	WireProtocol    string `json:"wire_protocol"`
	BaseURL         string `json:"base_url"`
	APIKeyEnv       names  `json:"api_key_env"`
	CooldownSeconds *int64 `json:"cooldown_seconds"`
	Weight          *int   `json:"weight"`
	Description     note   `json:"description"`
}

// The timers of an attempt that nothing else sets.
const (
	defaultFirstToken = 60 * time.Second
	defaultConnect    = 5 * time.Second
	defaultTotal      = 600 * time.Second
)

// maxWeight keeps the sum of a model's weights far from overflowing.
const maxWeight = 1_000_000

var strategies = []string{"ordered", "weighted", "least_latency"}

// modelReader checks one model file and builds the Model of it.
type modelReader struct {
	*document
	file      modelFile
	env       *Environment
	providers map[string]*Provider
	leftOut   map[string]Problem // the first fault of providers that were left out
	catalog   *catalog
	prices    *PriceList
	m         *Model
	timers    Timers   // the model's own
	causes    []string // why routes were skipped
}

// read builds the model from the reader's document.
func (r *modelReader) read() *Model {
	r.expand(r.env)
	r.decode(&r.file)
	f := &r.file
	r.m = &Model{
		File: r.name, Shipped: r.shipped,
		LogicalName: cmp.Or(f.LogicalName, r.stem()),
		Fallbacks:   f.Fallbacks, Strategy: cmp.Or(f.Strategy, "ordered"),
		Pool: f.Pool, CooldownSeconds: f.CooldownSeconds,
	}
	if !slices.Contains(strategies, r.m.Strategy) {
		r.fault("strategy", "%q is not one of %s%s", r.m.Strategy, strings.Join(strategies, ", "), didYouMean(r.m.Strategy, strategies))
	}
	r.notNegative("default_cooldown_seconds", f.CooldownSeconds)
	r.timers = r.document.timers("", f.timersFile)
	r.m.TotalTimeout = r.timers.Total
	r.routes()
	for _, route := range r.m.Routes {
		r.m.Pool = cmp.Or(r.m.Pool, route.Provider.Pool)
		if r.timers.Total == 0 {
			r.m.TotalTimeout = max(r.m.TotalTimeout, route.Timers.Total)
		}
	}
	r.m.Pool = cmp.Or(r.m.Pool, "default")
	r.m.TotalTimeout = cmp.Or(r.m.TotalTimeout, defaultTotal)
	return r.m
}

func (r *modelReader) routes() {
	lines := map[string]int{}
	for i, f := range r.file.Routes {
		field := "model_routings[" + strconv.Itoa(i) + "]"
		id := cmp.Or(f.ID, "route-"+strconv.Itoa(i+1))
		if first, twice := lines[id]; twice {
			r.fault(field+".id", "%q is already the id of the route at line %d; give each route its own", id, first)
		} else {
			lines[id] = r.line(field + ".id")
		}
		if !r.checkVariables(field+".api_key_env", f.APIKeyEnv, r.env) {
			continue
		}
		route := r.route(field, f)
		route.ID = id
		if cause := r.unusable(field, f, route); cause != "" {
			r.causes = append(r.causes, cause)
			continue
		}
		r.m.Routes = append(r.m.Routes, route)
	}
}

// route checks a route's own fields and resolves it against its provider.
func (r *modelReader) route(field string, f routeFile) *Route {
	if f.Provider == "" {
		r.fault(field+".provider", "is missing; name one of the providers: %s", strings.Join(slices.Sorted(maps.Keys(r.providers)), ", "))
	}
	if f.Model == "" {
		r.fault(field+".model", "is missing; give the provider's own name of the model")
	}
	r.notNegative(field+".cooldown_seconds", f.CooldownSeconds)
	if f.BaseURL != "" {
		r.checkURL(field+".base_url", f.BaseURL)
	}
	route := &Route{Model: f.Model, Weight: 1, CooldownSeconds: f.CooldownSeconds}
	if f.Weight != nil {
		route.Weight = *f.Weight
		switch {
		case route.Weight < 0:
			r.fault(field+".weight", "must be 0 or more, is %d", route.Weight)
		case route.Weight > maxWeight:
			r.fault(field+".weight", "must be %d or less, is %d", maxWeight, route.Weight)
		}
	}
	var wire llm.Protocol
	if f.WireProtocol != "" {
		wire, _ = r.readProtocol(field+".wire_protocol", f.WireProtocol)
	}
	timers := r.document.timers(field, f.timersFile)
	p := r.providers[f.Provider]
	if p == nil {
		return route
	}
	route.Provider = p
	if mapped := p.ModelMapping[f.Model]; mapped != "" {
		route.Model = mapped
	}
	route.Protocols = routeProtocols(p, wire)
	route.BaseURL = cmp.Or(f.BaseURL, p.BaseURL)
	route.Timers = resolveTimers(timers, r.timers, p.Timers)
	route.Keys = p.Keys
	if len(f.APIKeyEnv) > 0 {
		route.Keys = r.routeKeys(field, f)
	}
	route.Capabilities = r.catalog.capabilities(p, route.Model)
	route.Price = r.prices.Find(p.Name, p.Vendor, route.Model)
	return route
}

func (r *modelReader) routeKeys(field string, f routeFile) []Key {
	keys, bad := r.env.keys(f.Provider, f.APIKeyEnv)
	for _, name := range bad {
		r.warn(field+".api_key_env", "the value of %s holds characters that no HTTP header can carry and is left out; set it again without line ends and spaces", name)
	}
	return keys
}

// routeProtocols is wire alone where given. A provider's own dialect of it,
// azure for openai, is kept, because the addresses depend on it.
func routeProtocols(p *Provider, wire llm.Protocol) []llm.Protocol {
	if wire == "" {
		return p.Protocols
	}
	if slices.Contains(p.Protocols, wire) {
		return []llm.Protocol{wire}
	}
	for _, own := range p.Protocols {
		if own.Wire() == wire {
			return []llm.Protocol{own}
		}
	}
	return []llm.Protocol{wire}
}

// resolveTimers takes each timer from the first source that sets it.
func resolveTimers(sources ...Timers) Timers {
	var t Timers
	for _, s := range sources {
		t.Connect = cmp.Or(t.Connect, s.Connect)
		t.FirstToken = cmp.Or(t.FirstToken, s.FirstToken)
		t.Idle = cmp.Or(t.Idle, s.Idle)
		t.Total = cmp.Or(t.Total, s.Total)
	}
	t.Connect = cmp.Or(t.Connect, defaultConnect)
	t.FirstToken = cmp.Or(t.FirstToken, defaultFirstToken)
	t.Idle = cmp.Or(t.Idle, t.FirstToken)
	t.Total = cmp.Or(t.Total, defaultTotal)
	return t
}

// unusable warns about a route that cannot be tried and returns the cause in
// short; "" if the route is usable.
func (r *modelReader) unusable(field string, f routeFile, route *Route) string {
	p := route.Provider
	fault, leftOut := r.leftOut[f.Provider]
	switch {
	case f.Provider == "":
		return "a route names no provider"
	case p == nil && leftOut:
		r.warn(field+".provider", "%q is left out; the route is skipped until this is mended: %v", f.Provider, fault)
		return fmt.Sprintf("provider %q is left out because its file has a fault", f.Provider)
	case p == nil:
		hint := cmp.Or(didYouMean(f.Provider, slices.Collect(maps.Keys(r.providers))), "; define it with: model-proxy add provider "+f.Provider)
		r.warn(field+".provider", "%q is not defined; the route is skipped%s", f.Provider, hint)
		return fmt.Sprintf("provider %q is not defined", f.Provider)
	case !p.Enabled:
		r.warn(field+".provider", "%q is disabled; the route is skipped, set enabled in %s to use it", f.Provider, p.File)
		return fmt.Sprintf("provider %q is disabled", f.Provider)
	case len(route.Keys) == 0 && len(f.APIKeyEnv) > 0:
		want := keyNames(f.Provider, f.APIKeyEnv)
		r.warn(field+".api_key_env", "no key is set; the route is skipped, set %s", want)
		return fmt.Sprintf("provider %q has no key (%s)", f.Provider, want)
	case len(route.Keys) == 0:
		want := keyNames(p.Name, p.KeyPatterns)
		r.warn(field+".provider", "%q has no key; the route is skipped, set %s", f.Provider, want)
		return fmt.Sprintf("provider %q has no key (%s)", f.Provider, want)
	}
	return ""
}

// cause says in one line why none of the model's own routes is usable.
func (r *modelReader) cause() string {
	if len(r.m.Routes) > 0 {
		return ""
	}
	if len(r.causes) == 0 {
		return "no route is configured"
	}
	slices.Sort(r.causes)
	return "no usable route: " + strings.Join(slices.Compact(r.causes), "; ")
}
