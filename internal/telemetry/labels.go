package telemetry

import (
	"slices"

	"model-proxy/internal/llm"
	"model-proxy/internal/usage"
	"model-proxy/router"
)

// The closed sets of words that labels take. What is not among them becomes
// other, so that neither a client nor an upstream can make series.
var (
	endpoints = []llm.Endpoint{llm.ChatCompletions, llm.Messages, llm.CountTokens, llm.ResponsesAPI, llm.Embeddings}
	outcomes  = []usage.Outcome{usage.OK, usage.Error, usage.Incomplete, usage.ClientGone, usage.Expired, usage.Cut, usage.TimedOut,
		usage.Cancelled, usage.WorkerLost, usage.Fenced}
	actions = []string{"", string(router.GlobalKeyFailure), string(router.ModelKeyFailure), string(router.ProviderCooldown),
		string(router.FallbackNoCooldown), string(router.FixToolResponses), string(router.ReturnToClient)}
	faults = []string{"", string(llm.BadRequest), string(llm.Unauthorized), string(llm.Forbidden), string(llm.NotFound), string(llm.Conflict),
		string(llm.TooLarge), string(llm.RateLimited), string(llm.QuotaSpent), string(llm.ServerError), string(llm.BadGateway), string(llm.Unavailable),
		string(llm.Overloaded), string(llm.TimedOut), string(llm.ClientGone), "cut", "timeout", "unreachable",
		string(usage.Cancelled), string(usage.WorkerLost), string(usage.Fenced)}
)

// within returns v if it is one of the words, else other.
func within[T ~string](v T, words []T) T {
	if slices.Contains(words, v) {
		return v
	}
	return other
}

// knownRequest replaces what the labels of a request may not hold.
func (m *Metrics) knownRequest(k requestLabels) requestLabels {
	snap := m.snapshot()
	k.endpoint, k.outcome, k.fault = within(k.endpoint, endpoints), within(k.outcome, outcomes), within(k.fault, faults)
	if snap.Models[k.model] == nil {
		k.model = other
	}
	if k.provider != "" && snap.Providers[k.provider] == nil {
		k.provider = other
	}
	return k
}

// knownAttempt replaces what the labels of an attempt may not hold.
func (m *Metrics) knownAttempt(k attemptLabels) attemptLabels {
	k.outcome, k.fault, k.action = within(k.outcome, outcomes), within(k.fault, faults), within(k.action, actions)
	snap := m.snapshot()
	if k.provider != "" && snap.Providers[k.provider] == nil {
		k.provider = other
	}
	if k.model == "" {
		return k
	}
	for _, model := range snap.Models {
		for _, r := range model.Routes {
			if r.Model == k.model && r.Provider.Name == k.provider {
				return k
			}
		}
	}
	k.model = other
	return k
}
