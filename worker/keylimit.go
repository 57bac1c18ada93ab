package worker

import (
	"net/http"
	"strconv"
	"time"

	"model-proxy/convert"
	"model-proxy/internal/limit"
	"model-proxy/internal/usage"
	"model-proxy/router"
)

// reserve asks the limits that a provider's file sets for each of its keys
// (rate_limiting). They hold over the cluster. Where a key has no room left it
// is treated as if the provider had said so, without asking it. The grant is
// nil where there are no limits, or nobody could be asked for them.
func (j *job) reserve(s router.Step) (*limit.Grant, *failure) {
	p := s.Route.Provider
	requests, tokens := p.KeyRequestsPerMinute, p.KeyTokensPerMinute
	if !j.run.Endpoint.UsesTokens() {
		tokens = 0
	}
	if requests == 0 && tokens == 0 {
		return nil, nil
	}
	grant, denied := j.w.limits.Admit(j.run.Context(), limit.Client{ID: "key." + p.Name + "." + s.Key.Secret.Fingerprint(),
		RequestsPerMinute: requests, TokensPerMinute: tokens},
		limit.Estimate{Prompt: convert.EstimateTokens(len(j.run.Body))})
	if denied == nil || denied.Reason == limit.Bus {
		return grant, nil
	}
	wait := int64((denied.RetryAfter + time.Second - 1) / time.Second)
	return nil, &failure{outcome: usage.Error, kind: "key_limit", message: "the key's own limit (rate_limiting) is reached",
		Failure: router.Failure{Fault: router.Answered, Unasked: true, Status: http.StatusTooManyRequests,
			Header: http.Header{"Retry-After": {strconv.FormatInt(wait, 10)}}}}
}

// settle tells a key's limits what the attempt has used.
func (j *job) settle(grant *limit.Grant) {
	if grant == nil {
		return
	}
	grant.Settle(j.last.Prompt, j.last.Completion)
	grant.Release()
}
