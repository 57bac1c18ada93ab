package keysvc

import (
	"maps"
	"sync"
	"sync/atomic"
)

// upstream names one model of a provider.
type upstream struct{ provider, model string }

// perModel holds a T for each upstream model, made when it is first asked for.
// Looking one up takes no lock. The zero perModel is ready for use.
type perModel[T any] struct {
	all atomic.Pointer[map[upstream]*T]
	mu  sync.Mutex // guards replacing all
}

// get returns the T of u; first, if not nil, is called on a new one.
func (p *perModel[T]) get(u upstream, first func(*T)) *T {
	if m := p.all.Load(); m != nil {
		if t := (*m)[u]; t != nil {
			return t
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	next := map[upstream]*T{}
	if m := p.all.Load(); m != nil {
		if t := (*m)[u]; t != nil {
			return t
		}
		next = maps.Clone(*m)
	}
	t := new(T)
	if first != nil {
		first(t)
	}
	next[u] = t
	p.all.Store(&next)
	return t
}
