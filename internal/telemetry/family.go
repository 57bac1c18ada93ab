package telemetry

import (
	"maps"
	"sync"
	"sync/atomic"
)

// family keeps what is counted under each combination of labels. Reading is one
// look-up in a map that nobody changes: no lock and no allocation on the way of
// a request. A new combination replaces the map.
type family[K comparable, S any] struct {
	all  atomic.Pointer[map[K]*S]
	make func(K) *S

	mu sync.Mutex // guards the replacing
}

func newFamily[K comparable, S any](build func(K) *S) *family[K, S] {
	f := &family[K, S]{make: build}
	f.all.Store(&map[K]*S{})
	return f
}

// get returns the series of k, nil if there are none yet.
func (f *family[K, S]) get(k K) *S { return (*f.all.Load())[k] }

// add returns the series of k, made if need be.
func (f *family[K, S]) add(k K) *S {
	f.mu.Lock()
	defer f.mu.Unlock()
	if s := f.get(k); s != nil {
		return s
	}
	next := maps.Clone(*f.all.Load())
	s := f.make(k)
	next[k] = s
	f.all.Store(&next)
	return s
}
