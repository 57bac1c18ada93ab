package keysvc

import (
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/cespare/xxhash/v2"

	"model-proxy/config"
	"model-proxy/internal/llm"
)

// trialFor bounds how long one request keeps others from a key that comes back
// from a rest.
const trialFor = 30 * time.Second

// Pick takes one of keys by turns, each upstream model on a rotation of its
// own from a random start; with an affinity, the key that belongs to it.
// among holds the indices to choose from and is not empty.
//
// A key that comes back from a rest is tried by one request at a time until
// one succeeds, as long as there are others to choose.
func (s *Service) Pick(now time.Time, provider, model string, keys []config.Key, among []int, affinity uint64) int {
	if len(among) == 1 {
		return among[0]
	}
	among = s.proven(now, provider, model, keys, among)
	var i int
	if affinity != 0 {
		i = rendezvous(keys, among, affinity)
	} else {
		turn := s.rotations.get(upstream{provider, model}, func(t *atomic.Uint64) { t.Store(rand.Uint64()) })
		i = among[turn.Add(1)%uint64(len(among))]
	}
	s.tryOut(now, provider, model, keys[i])
	return i
}

// rendezvous gives each key a score for the affinity and takes the highest:
// when a key rests, only its own prompts move, and they move back.
func rendezvous(keys []config.Key, among []int, affinity uint64) int {
	best, top := among[0], uint64(0)
	for _, i := range among {
		if score := mix(affinity ^ xxhash.Sum64String(keys[i].Secret.Fingerprint())); score >= top {
			best, top = i, score
		}
	}
	return best
}

// mix spreads the bits of x (the finaliser of SplitMix64).
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// proven returns among without the keys that another request is trying out
// after a rest; all of them if none would be left.
func (s *Service) proven(now time.Time, provider, model string, keys []config.Key, among []int) []int {
	if s.board.quiet() {
		return among
	}
	var rest []int
	for _, i := range among {
		if c := s.returnee(provider, model, keys[i]); c == nil || c.trial.Load() <= now.UnixNano() {
			rest = append(rest, i)
		}
	}
	if len(rest) == 0 {
		return among
	}
	return rest
}

// tryOut marks a key that comes back from a rest as being tried.
func (s *Service) tryOut(now time.Time, provider, model string, k config.Key) {
	if s.board.quiet() {
		return
	}
	if c := s.returnee(provider, model, k); c != nil {
		c.trial.Store(now.Add(trialFor).UnixNano())
	}
}

// returnee is the cell of a key's last rest, nil if it is forgotten. The caller
// knows that the rest is over.
func (s *Service) returnee(provider, model string, k config.Key) *cell {
	fp := k.Secret.Fingerprint()
	if c := s.board.get(ref{scope: llm.ScopeKeyModel, provider: provider, fp: fp, model: model}); c != nil {
		return c
	}
	return s.board.get(ref{scope: llm.ScopeKey, provider: provider, fp: fp})
}
