package llm

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

// The prices here are the providers' own of July 2026; each sum is done by hand.
var (
	gpt52 = Price{Rates: Rates{Input: 1_750_000, CacheRead: 175_000, CacheWrite: 1_750_000, CacheWrite1h: 1_750_000, Output: 14_000_000, Reasoning: 14_000_000}}
	opus  = Price{Rates: Rates{Input: 5_000_000, CacheRead: 500_000, CacheWrite: 6_250_000, CacheWrite1h: 10_000_000, Output: 25_000_000, Reasoning: 25_000_000}}
	pro   = Price{
		Rates: Rates{Input: 1_250_000, CacheRead: 125_000, CacheWrite: 1_250_000, CacheWrite1h: 1_250_000, Output: 10_000_000, Reasoning: 10_000_000},
		Tiers: []PriceTier{{200_000, Rates{Input: 2_500_000, CacheRead: 250_000, CacheWrite: 2_500_000, CacheWrite1h: 2_500_000, Output: 15_000_000, Reasoning: 15_000_000}}},
	}
	thinker = Price{Rates: Rates{Input: 400_000, CacheRead: 400_000, CacheWrite: 400_000, CacheWrite1h: 400_000, Output: 1_200_000, Reasoning: 4_000_000}}
	tiny    = Price{Rates: Rates{Input: 100, Output: 300}}
)

func TestCost(t *testing.T) {
	for _, c := range []struct {
		name  string
		price Price
		usage Usage
		want  int64 // nano-dollars
	}{
		// 1,000 fresh × 1,750 + 9,000 cached × 175 + 500 × 14,000 nano-dollars
		{"OpenAI, cached input and reasoning inside the output", gpt52, Usage{Prompt: 10_000, CachedRead: 9_000, Completion: 500, Reasoning: 320}, 1_750_000 + 1_575_000 + 7_000_000},
		// 7 fresh × 5,000 + 10,000 read × 500 + 15 for 5 min × 6,250 + 5 for 1 h × 10,000 + 42 × 25,000
		{"Anthropic, both kinds of cache write, read, thinking", opus, Usage{Prompt: 10_027, CachedRead: 10_000, CachedWrite: 20, CachedWrite1h: 5, Completion: 42, Reasoning: 30}, 35_000 + 5_000_000 + 93_750 + 50_000 + 1_050_000},
		{"Gemini, the longest prompt at the short price", pro, Usage{Prompt: 200_000, Completion: 1_000}, 200_000*1_250 + 1_000*10_000},
		{"Gemini, one token more: all of it at the long price", pro, Usage{Prompt: 200_001, CachedRead: 100_000, Completion: 1_000}, 100_001*2_500 + 100_000*250 + 1_000*15_000},
		{"reasoning at a price of its own", thinker, Usage{Prompt: 100, Completion: 50, Reasoning: 40}, 100*400 + 10*1_200 + 40*4_000},
		{"a free model", Price{}, Usage{Prompt: 1_000_000, Completion: 1_000_000}, 0},
		{"nothing used", opus, Usage{}, 0},
		{"0.4 nano-dollars are 0", tiny, Usage{Prompt: 4}, 0},
		{"0.5 nano-dollars are 1", tiny, Usage{Prompt: 5}, 1},
		{"only the sum is rounded: 0.4 + 0.3 are 1", tiny, Usage{Prompt: 4, Completion: 1}, 1},
		{"counts that contradict each other: no more than the prompt", opus, Usage{Prompt: 10, CachedRead: 8, CachedWrite: 8, CachedWrite1h: 8}, 8*500 + 2*10_000},
		{"counts below 0", opus, Usage{Prompt: -5, CachedRead: -1, Completion: -7}, 0},
		{"more than can be said", Price{Rates: Rates{Input: 1e12}}, Usage{Prompt: math.MaxInt64}, math.MaxInt64},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, ok := c.price.Cost(c.usage); got != c.want || !ok {
				t.Errorf("got %d nano-dollars, want %d", got, c.want)
			}
		})
	}
}

// A tier with a price of its own costs that; one without has no price, whatever
// the standard one costs.
func TestServiceTiers(t *testing.T) {
	p := gpt52
	p.Services = map[string]*Price{"flex": {Rates: Rates{Input: 875_000, Output: 7_000_000}}}
	u := Usage{Prompt: 100, Completion: 10}
	for tier, want := range map[string]int64{"": 100*1_750 + 10*14_000, "flex": 100*875 + 10*7_000, "priority": -1} {
		u.Tier = tier
		got, ok := p.Cost(u)
		if !ok {
			got = -1
		}
		if got != want {
			t.Errorf("%q: got %d, want %d", tier, got, want)
		}
	}
}

// Whatever the counts, the cost is that of exact arithmetic, and another token
// of any kind never makes it less.
func TestCostIsExactAndMonotone(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	count := func() int64 { return rnd.Int64N(1 << rnd.IntN(63)) }
	for range 20_000 {
		p := Price{Rates: Rates{Input: count() >> 22, CacheRead: count() >> 22, CacheWrite: count() >> 22, CacheWrite1h: count() >> 22, Output: count() >> 22, Reasoning: count() >> 22}}
		if rnd.IntN(2) == 0 { // a tier is no cheaper than what comes before it
			t := PriceTier{AbovePrompt: count(), Rates: p.Rates}
			t.Input, t.CacheRead, t.Output = t.Input*2, t.CacheRead+1, t.Output*3/2
			p.Tiers = []PriceTier{t}
		}
		u := Usage{CachedRead: count() / 8, CachedWrite1h: count() / 8, Reasoning: count() / 2}
		u.CachedWrite = u.CachedWrite1h + count()/8
		u.Prompt, u.Completion = u.CachedRead+u.CachedWrite+count()/8, u.Reasoning+count()/2
		got, want := p.cost(u), exactCost(&p, u)
		if got != want {
			t.Fatalf("%+v at %+v: got %d, want %d", u, p, got, want)
		}
		more := u
		add := count() / 8
		switch rnd.IntN(5) {
		case 0:
			more.Prompt += add
		case 1:
			more.Prompt, more.CachedRead = more.Prompt+add, more.CachedRead+add
		case 2:
			more.Prompt, more.CachedWrite = more.Prompt+add, more.CachedWrite+add
		case 3:
			more.Completion += add
		case 4:
			more.Completion, more.Reasoning = more.Completion+add, more.Reasoning+add
		}
		if more.Prompt < 0 || more.Completion < 0 {
			continue // more tokens than int64 holds
		}
		if c := p.cost(more); c < got || got < 0 {
			t.Fatalf("%+v costs %d, and with %d tokens more (%+v) %d", u, got, add, more, c)
		}
	}
}

// exactCost is Cost with numbers of any size.
func exactCost(p *Price, u Usage) int64 {
	r := p.Rates
	for _, t := range p.Tiers {
		if u.Prompt > t.AbovePrompt {
			r = t.Rates
		}
	}
	sum := big.NewInt(500)
	for _, part := range [][2]int64{
		{u.Prompt - u.CachedRead - u.CachedWrite, r.Input}, {u.CachedRead, r.CacheRead}, {u.CachedWrite - u.CachedWrite1h, r.CacheWrite},
		{u.CachedWrite1h, r.CacheWrite1h}, {u.Completion - u.Reasoning, r.Output}, {u.Reasoning, r.Reasoning},
	} {
		sum.Add(sum, new(big.Int).Mul(big.NewInt(part[0]), big.NewInt(part[1])))
	}
	sum.Div(sum, big.NewInt(1000))
	if !sum.IsInt64() {
		return math.MaxInt64
	}
	return sum.Int64()
}

func BenchmarkCost(b *testing.B) {
	u := Usage{Prompt: 250_000, CachedRead: 100_000, Completion: 1_000}
	b.ReportAllocs()
	for b.Loop() {
		pro.Cost(u)
	}
}
