package limit

import "sync/atomic"

const (
	defaultAnswer = 256 // tokens; of a client that has had none, where the request says nothing
	meanWeight    = 8   // a new answer moves the mean by one part in so many

	// mostTokens is what counts at most of any number of tokens: what a request or
	// an upstream says can be any, and many of it have to add up.
	mostTokens = 1 << 31
)

// mean is a client's recent mean answer in tokens. The zero mean knows none.
type mean struct {
	millis atomic.Int64 // thousandths of a token; 0: none yet
}

// note adds one answer. Empty ones, of failed requests, say nothing about the
// length of the next.
func (m *mean) note(tokens int64) {
	if tokens <= 0 {
		return
	}
	for {
		old := m.millis.Load()
		next := min(tokens, mostTokens) * 1000
		if old != 0 {
			next = old + (next-old)/meanWeight
		}
		if m.millis.CompareAndSwap(old, max(1, next)) {
			return
		}
	}
}

// expect is the answer to reserve for: the lesser of maxTokens (0: not given)
// and the mean; maxTokens alone while no answer is known.
func (m *mean) expect(maxTokens int64) int64 {
	known := m.millis.Load() / 1000
	maxTokens = min(maxTokens, mostTokens)
	switch {
	case known == 0 && maxTokens > 0:
		return maxTokens
	case known == 0:
		return defaultAnswer
	case maxTokens > 0:
		return min(known, maxTokens)
	}
	return known
}
