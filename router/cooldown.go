package router

import (
	"time"

	"model-proxy/internal/llm"
)

// asked is what the upstream itself says about the length of a rest.
type asked struct {
	wait time.Duration
	set  bool
}

// restFor makes the rest that an action sets, or the zero Rest if it sets
// none, its length is 0, or cooldowns are switched off.
func (w *Walk) restFor(a Action, c Class, status int, said asked) llm.Rest {
	if !a.rests() || w.snap.Settings.KeyCooldown <= 0 {
		return llm.Rest{}
	}
	r := llm.Rest{Provider: w.step.Route.Provider.Name, Cause: string(c), Status: status}
	switch a {
	case GlobalKeyFailure:
		r.Scope, r.Fingerprint = llm.ScopeKey, w.step.Key.Secret.Fingerprint()
	case ModelKeyFailure:
		r.Scope, r.Fingerprint, r.Model = llm.ScopeKeyModel, w.step.Key.Secret.Fingerprint(), w.step.Route.Model
	case ProviderCooldown:
		r.Scope = llm.ScopeProvider
	}
	r.For = w.restLength(r.Scope, c, status, said)
	if r.For <= 0 {
		return llm.Rest{}
	}
	return r
}

// restLength is the first length that is set: what the upstream says, the
// file's for this status, then for one model the route's, the provider's for
// the model and the model's, for a whole key or provider the provider's, and
// last KEY_COOLDOWN_SECONDS. A negative length counts as not set.
func (w *Walk) restLength(scope llm.Scope, c Class, status int, said asked) time.Duration {
	if said.set {
		limit := saidAtMost
		if c == Quota {
			limit = saidAtMostQuota
		}
		return min(said.wait, limit)
	}
	route, p := w.step.Route, w.step.Route.Provider
	sources := []*int64{p.Errors[status].CooldownSeconds}
	if scope == llm.ScopeKeyModel {
		sources = append(sources, route.CooldownSeconds, p.ModelOverrides[route.Model].CooldownSeconds, w.modelDefault())
	} else {
		sources = append(sources, p.CooldownSeconds)
	}
	for _, s := range sources {
		if s != nil && *s >= 0 {
			return min(time.Duration(min(*s, maxSeconds))*time.Second, saidAtMostQuota)
		}
	}
	return w.snap.Settings.KeyCooldown
}

// maxSeconds keeps a configured length from overflowing a time.Duration.
const maxSeconds = int64(saidAtMostQuota / time.Second)

func (w *Walk) modelDefault() *int64 {
	if m := w.snap.Models[w.step.LogicalModel]; m != nil {
		return m.CooldownSeconds
	}
	return nil
}
