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
	if cost, known := usage.Cost(a.price(), a.job.run.Endpoint, s.Usage()); known {
		a.cost = cost
		s.CostNanoUSD = &a.cost
	}
	return s
}

// price is that of the attempt's route, nil if it has none.
func (a *attempt) price() *llm.Price {
	if p := a.step.Route.Price; p != nil {
		return &p.Price
	}
	return nil
}

// countUnpriced tells of tokens without a price.
func (a *attempt) countUnpriced(s *usage.Spend) {
	tell := a.job.w.cfg.Unpriced
	if tell != nil && s.CostNanoUSD == nil && s.UsageSource != llm.UsageNone {
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
