package llm

import (
	"math"
	"math/bits"
)

// Price is what the tokens of one model cost. The zero Price is that of a
// free model.
type Price struct {
	Rates
	Tiers    []PriceTier       // by AbovePrompt, ascending; nil means one price for every length
	Services map[string]*Price // by Usage.Tier; they have none themselves
}

// Rates are micro-dollars for a million tokens, which is the same as
// pico-dollars a token: $1.25 for a million is 1_250_000. A provider that has
// one price for several kinds of token has it in each of their fields.
type Rates struct {
	Input        int64 // of the prompt, what is neither read from nor written to a cache
	CacheRead    int64
	CacheWrite   int64 // kept for five minutes, or for as long as the provider likes
	CacheWrite1h int64 // kept for an hour
	Output       int64 // of the completion, all but reasoning
	Reasoning    int64
}

// PriceTier holds instead of the other rates, for the whole request, where
// the prompt, cached tokens included, has more than AbovePrompt tokens.
type PriceTier struct {
	AbovePrompt int64
	Rates
}

// Cost is the price of one attempt in nano-dollars, rounded to the nearest
// one, halves up; only the sum is rounded. It is never below 0 and stops at
// the largest int64. Counts below 0 stand for 0. It is not ok where the
// attempt was served in a tier whose price is not known.
func (p *Price) Cost(u Usage) (nanoUSD int64, ok bool) {
	if u.Tier != "" {
		if p = p.Services[u.Tier]; p == nil {
			return 0, false
		}
	}
	return p.cost(u), true
}

func (p *Price) cost(u Usage) int64 {
	r := p.ratesFor(u.Prompt)
	prompt, completion := max(u.Prompt, 0), max(u.Completion, 0)
	read := min(max(u.CachedRead, 0), prompt)
	write := min(max(u.CachedWrite, 0), prompt-read)
	hour := min(max(u.CachedWrite1h, 0), write)
	reasoning := min(max(u.Reasoning, 0), completion)
	var pico wide
	pico.add(prompt-read-write, r.Input)
	pico.add(read, r.CacheRead)
	pico.add(write-hour, r.CacheWrite)
	pico.add(hour, r.CacheWrite1h)
	pico.add(completion-reasoning, r.Output)
	pico.add(reasoning, r.Reasoning)
	return pico.thousandth()
}

func (p *Price) ratesFor(prompt int64) *Rates {
	r := &p.Rates
	for i := range p.Tiers {
		if prompt > p.Tiers[i].AbovePrompt {
			r = &p.Tiers[i].Rates
		}
	}
	return r
}

// wide is a sum of products that need not fit into 64 bits.
type wide struct{ hi, lo uint64 }

// add adds tokens × rate; neither is below 0.
func (w *wide) add(tokens, rate int64) {
	hi, lo := bits.Mul64(uint64(tokens), uint64(rate))
	var carry uint64
	w.lo, carry = bits.Add64(w.lo, lo, 0)
	w.hi, _ = bits.Add64(w.hi, hi, carry) // six products of 126 bits: the sum fits
}

// thousandth is the sum divided by 1,000, rounded, at most the largest int64.
func (w *wide) thousandth() int64 {
	lo, carry := bits.Add64(w.lo, 500, 0)
	hi := w.hi + carry
	if hi >= 1000 {
		return math.MaxInt64
	}
	n, _ := bits.Div64(hi, lo, 1000)
	return int64(min(n, math.MaxInt64))
}
