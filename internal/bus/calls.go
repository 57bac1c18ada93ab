package bus

import (
	"hash/maphash"
	"sync"
)

// calls finds a call by its token. It is sharded: every frame looks one up.
type calls struct {
	seed   maphash.Seed
	shards [64]struct {
		mu sync.Mutex
		m  map[string]*Call
		_  [48]byte // a cache line each
	}
}

func newCalls() *calls {
	c := &calls{seed: maphash.MakeSeed()}
	for i := range c.shards {
		c.shards[i].m = map[string]*Call{}
	}
	return c
}

func (c *calls) shard(token string) int {
	return int(maphash.String(c.seed, token) % uint64(len(c.shards)))
}

func (c *calls) put(call *Call) {
	s := &c.shards[c.shard(call.token)]
	s.mu.Lock()
	s.m[call.token] = call
	s.mu.Unlock()
}

func (c *calls) get(token string) *Call {
	s := &c.shards[c.shard(token)]
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.m[token]
}

func (c *calls) del(token string) {
	s := &c.shards[c.shard(token)]
	s.mu.Lock()
	delete(s.m, token)
	s.mu.Unlock()
}

func (c *calls) len() int {
	n := 0
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		n += len(s.m)
		s.mu.Unlock()
	}
	return n
}

// each calls f for every call there is, without holding a shard meanwhile.
func (c *calls) each(f func(*Call)) {
	var batch []*Call
	for i := range c.shards {
		s := &c.shards[i]
		batch = batch[:0]
		s.mu.Lock()
		for _, call := range s.m {
			batch = append(batch, call)
		}
		s.mu.Unlock()
		for _, call := range batch {
			f(call)
		}
	}
}
