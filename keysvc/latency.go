package keysvc

import (
	"sync/atomic"
	"time"

	"model-proxy/internal/llm"
)

const (
	// latencyWeight is the share of a new measurement in the mean.
	latencyWeight = 0.2
	// latencyKnown is how long a mean counts. A route that nobody took for
	// longer is measured again.
	latencyKnown = time.Minute
)

// latency is a moving mean of the time to first token.
type latency struct {
	mean atomic.Int64 // ns; 0: none
	at   atomic.Int64 // Unix ns of the last measurement
}

func (s *Service) observe(now time.Time, r llm.Report) {
	if r.FirstToken <= 0 {
		return
	}
	l := s.latencies.get(upstream{r.Provider, r.Model}, nil)
	for {
		old := l.mean.Load()
		next := int64(r.FirstToken)
		if old != 0 && now.UnixNano()-l.at.Load() < int64(latencyKnown) {
			next = old + int64(latencyWeight*float64(next-old))
		}
		if l.mean.CompareAndSwap(old, max(1, next)) {
			l.at.Store(now.UnixNano())
			return
		}
	}
}

// Latency is the mean time to first token of late, 0 if it is not known.
func (s *Service) Latency(now time.Time, provider, model string) time.Duration {
	l := s.latencies.get(upstream{provider, model}, nil)
	if now.UnixNano()-l.at.Load() >= int64(latencyKnown) {
		return 0
	}
	return time.Duration(l.mean.Load())
}
