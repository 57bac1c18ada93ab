package config

import (
	"sync"
	"sync/atomic"
)

// Source holds the current Snapshot and replaces it whole on a reload. It is
// safe for concurrent use.
type Source struct {
	options Options // fixed
	current atomic.Pointer[Snapshot]

	mu      sync.Mutex    // one reload at a time; guards changed
	changed chan struct{} // closed by the next reload that succeeds
}

// Open loads the configuration for the first time, as Load does.
func Open(o Options) (*Source, error) {
	snapshot, err := Load(o)
	if err != nil {
		return nil, err
	}
	s := &Source{options: o, changed: make(chan struct{})}
	s.current.Store(snapshot)
	return s, nil
}

// Current is the snapshot in force. A request keeps the one it began with.
func (s *Source) Current() *Snapshot { return s.current.Load() }

// Changed returns a channel that is closed when the current snapshot has been
// replaced. To miss no change, take the channel before Current.
func (s *Source) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

// Reload reads everything afresh. A configuration with any fault is refused
// whole: the error is its Problems joined, and the old snapshot stays.
func (s *Source) Reload() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.options
	o.Strict = true
	snapshot, err := Load(o)
	if err != nil {
		return err
	}
	s.current.Store(snapshot)
	close(s.changed)
	s.changed = make(chan struct{})
	return nil
}
