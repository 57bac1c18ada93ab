package worker

import (
	"model-proxy/internal/bus"
	"model-proxy/internal/llm"
	"model-proxy/internal/usage"
)

// spend is what the attempt has used, as its record says it, with what that
// costs by the price of its route. ok is false where it used nothing.
func (a *attempt) spend(used llm.Usage, ok bool) usage.Spend {
	s := usage.Spend{UsageSource: llm.UsageNone}
	if ok {
		s = usage.SpendOf(used)
	}
	p := a.step.Route.Price
	if p == nil {
		return s
	}
	a.cost = 0
	if ok && !a.free() {
		a.cost = p.Cost(used)
	}
	s.CostNanoUSD = &a.cost
	return s
}

// free reports whether the provider answers without charging: counting tokens
// costs nothing, but its answer has the count where others have their usage.
func (a *attempt) free() bool { return a.job.run.Endpoint == llm.CountTokens }

// countUnpriced tells of tokens without a price.
func (a *attempt) countUnpriced(used llm.Usage) {
	known := used.Source != "" && used.Source != llm.UsageNone
	if tell := a.job.w.cfg.Unpriced; tell != nil && known && a.step.Route.Price == nil && !a.free() {
		tell(a.step.LogicalModel)
	}
}

// charge writes into the job's end what its attempts have cost.
func (j *job) charge(end *bus.End, b *usage.Bill) {
	if j.attempts == 0 {
		return
	}
	end.PriceVersion = j.snap.Prices.Version
	end.CostNanoUSD, end.Priced = b.Total()
}
