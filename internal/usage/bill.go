package usage

import (
	"math"

	"model-proxy/internal/llm"
)

// Cost is what an attempt at an endpoint costs in nano-dollars. It is not ok
// where p is nil or has no price for the tier: nobody knows. Providers count tokens without charging.
func Cost(p *llm.Price, e llm.Endpoint, u llm.Usage) (nanoUSD int64, ok bool) {
	switch {
	case p == nil:
		return 0, false
	case !e.UsesTokens():
		return 0, true
	}
	return p.Cost(u)
}

// Bill adds up what the attempts of one request cost. The zero Bill is that
// of a request without attempts.
type Bill struct {
	nanoUSD int64
	priced  bool // at least one attempt has a cost
	unknown bool // an attempt used tokens that nobody knows the price of
}

// Add adds an attempt.
func (b *Bill) Add(s *Spend) {
	switch {
	case s.CostNanoUSD != nil:
		b.priced = true
		b.nanoUSD += min(*s.CostNanoUSD, math.MaxInt64-b.nanoUSD)
	case s.UsageSource != "" && s.UsageSource != llm.UsageNone:
		b.unknown = true
	}
}

// Total is the sum in nano-dollars. It is not ok where no attempt has a cost,
// or where one that has none used tokens: part of a sum is none. An attempt
// that used nothing adds nothing, whether its model has a price or not.
func (b *Bill) Total() (nanoUSD int64, ok bool) {
	if !b.priced || b.unknown {
		return 0, false
	}
	return b.nanoUSD, true
}
