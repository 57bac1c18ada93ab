package usage

import (
	"math"
	"testing"

	"model-proxy/internal/llm"
)

func TestBill(t *testing.T) {
	cost := func(n int64) Spend { return Spend{UsageSource: llm.UsageProvider, CostNanoUSD: &n} }
	unpriced := Spend{UsageSource: llm.UsageEstimated, PromptTokens: 3}
	refused := Spend{UsageSource: llm.UsageNone}
	for _, c := range []struct {
		name     string
		attempts []Spend
		want     int64
		ok       bool
	}{
		{"no attempt", nil, 0, false},
		{"one", []Spend{cost(7)}, 7, true},
		{"one that was free", []Spend{cost(0)}, 0, true},
		{"the sum of all", []Spend{cost(7), cost(5)}, 12, true},
		{"a refusal by a model without a price adds nothing", []Spend{refused, cost(5)}, 5, true},
		{"refusals by models without a price only", []Spend{refused, refused}, 0, false},
		{"tokens without a price make the sum unknown, first", []Spend{unpriced, cost(5)}, 0, false},
		{"tokens without a price make the sum unknown, last", []Spend{cost(5), unpriced}, 0, false},
		{"no overflow", []Spend{cost(math.MaxInt64), cost(5)}, math.MaxInt64, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var b Bill
			for i := range c.attempts {
				b.Add(&c.attempts[i])
			}
			if got, ok := b.Total(); got != c.want || ok != c.ok {
				t.Errorf("got %d, %v; want %d, %v", got, ok, c.want, c.ok)
			}
		})
	}
}
