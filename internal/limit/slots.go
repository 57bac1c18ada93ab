package limit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	slotLife   = 4500 * time.Millisecond // others ignore our slots so long after a renewal
	slotMargin = time.Second             // we stop using idle ones so much sooner
	renewEvery = 2 * time.Second
	slotPause  = 20 * time.Millisecond // before the second look at a client that seems full
	slotShare  = 16                    // idle slots kept are at most this part of those free
	slotRetry  = time.Second           // what a refused client is told
)

// holding is what one ingress holds of a client's slots; its shape in PAR.
type holding struct {
	Slots int64 `json:"slots"`
	Until int64 `json:"until"` // milliseconds of the server's time since 1970
}

// slots is the limit on one client's requests at one time.
type slots struct {
	line

	// Fixed at construction.
	store *store
	me    string // this ingress in PAR
	key   string
	dirty func(*slots) // asks the keeper to give idle slots back

	io sync.Mutex // one change of the key at a time; taken before line.mu

	// Guarded by line.mu; held and good change under io too.
	held   int64  // as written to PAR
	used   int64  // of those, by running requests
	extra  int64  // idle ones to keep
	good   moment // idle ones may be used until then
	full   moment // refuse until then
	fullAt int64  // for this limit
	filled moment
	quiet  bool // nothing admitted since the last tick
}

func (s *slots) take(ctx context.Context, limit int64) verdict {
	now, _ := s.store.clock.now() // known since Admit asked for it
	return s.line.take(ctx, s, now, 1, limit)
}

func (s *slots) localLocked(now moment, n, limit int64) (verdict, bool) {
	switch {
	case s.used+n <= min(s.held, limit) && now < s.good:
		s.used += n
		s.quiet = false
		return verdict{admitted: true}, true
	case now < s.full && limit <= s.fullAt:
		return verdict{retry: slotRetry}, true
	}
	return verdict{}, false
}

// fill takes slots for batch. A client that seems full is looked at once more:
// the slot of a request that has just ended may be on its way back.
func (s *slots) fill(ctx context.Context, batch []*waiter) error {
	limit := batch[len(batch)-1].limit
	enough, err := s.grab(ctx, int64(len(batch)), limit)
	if err == nil && !enough {
		if err := pause(ctx, slotPause); err != nil {
			return err
		}
		_, err = s.grab(ctx, int64(len(batch)), limit)
	}
	if err != nil {
		return err
	}
	now, err := s.store.now(ctx)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.filled, s.quiet = now, false
	for _, b := range batch {
		if b.verdict.admitted = s.used < min(s.held, b.limit); b.verdict.admitted {
			s.used++
			continue
		}
		b.verdict.retry = slotRetry
		s.full, s.fullAt = now.add(slotPause), b.limit
	}
	return nil
}

// grab sees to it that n slots are idle here, or as many as there are, and
// tells whether they are enough.
func (s *slots) grab(ctx context.Context, n, limit int64) (bool, error) {
	enough := false
	err := s.change(ctx, func(now moment, others int64) (int64, bool) {
		s.mu.Lock()
		defer s.mu.Unlock()
		held := max(s.held, s.used)
		need := max(0, n-(held-s.used))
		free := max(0, limit-others-held)
		if now < s.filled.add(hurry) {
			s.extra = max(2*s.extra, n)
		}
		s.extra = max(0, min(s.extra, (free-need)/slotShare))
		enough = need <= free
		want := held + min(free, need+s.extra)
		return want, want != s.held || now >= s.good
	})
	return enough, err
}

// change writes how many slots this ingress holds, as decided by what the other
// living ones hold, and renews them; decide may also find that there is nothing
// to write. It is called again when another ingress was faster.
func (s *slots) change(ctx context.Context, decide func(now moment, others int64) (held int64, write bool)) error {
	s.io.Lock()
	defer s.io.Unlock()
	kv, err := s.store.kv(ctx)
	if err != nil {
		return err
	}
	for {
		all, rev, err := s.read(ctx, kv)
		if err != nil {
			return err
		}
		now, err := s.store.now(ctx)
		if err != nil {
			return err
		}
		delete(all, s.me)
		lapsed := now.add(-s.store.nap.lately(time.Now()))
		maps.DeleteFunc(all, func(_ string, h holding) bool { return moment(h.Until)*moment(time.Millisecond) < lapsed })
		var others int64
		for _, h := range all {
			others += h.Slots
		}
		held, write := decide(now, others)
		if !write {
			return nil
		}
		until := now.add(slotLife)
		if held > 0 {
			all[s.me] = holding{held, int64(until) / int64(time.Millisecond)}
		}
		switch err := s.write(ctx, kv, all, rev); {
		case errors.Is(err, jetstream.ErrKeyExists):
			continue
		case err != nil:
			return err
		}
		s.mu.Lock()
		s.held, s.good = held, until.add(-slotMargin)
		s.mu.Unlock()
		return nil
	}
}

// read returns who holds what, and the revision; 0 if there is no such key.
func (s *slots) read(ctx context.Context, kv jetstream.KeyValue) (map[string]holding, uint64, error) {
	all := map[string]holding{}
	entry, err := kv.Get(ctx, s.key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return all, 0, nil
	}
	if err != nil {
		s.store.lost(err)
		return nil, 0, fmt.Errorf("read slots: %w", err)
	}
	if err := json.Unmarshal(entry.Value(), &all); err != nil {
		return nil, 0, fmt.Errorf("read slots: %w", err)
	}
	return all, entry.Revision(), nil
}

func (s *slots) write(ctx context.Context, kv jetstream.KeyValue, all map[string]holding, rev uint64) error {
	value, err := json.Marshal(all)
	if err != nil {
		return fmt.Errorf("write slots: %w", err)
	}
	if _, err := kv.Update(ctx, s.key, value, rev); err != nil {
		s.store.lost(err)
		return fmt.Errorf("write slots: %w", err)
	}
	return nil
}

// release ends one request's slot. It stays here idle if the client is in a
// hurry and far from its limit, else the keeper gives it back at once.
func (s *slots) release() {
	s.mu.Lock()
	s.used--
	idle := s.held - s.used
	back := idle > s.extra
	s.mu.Unlock()
	if back {
		s.dirty(s)
	}
}

// settle gives back the idle slots that are not to be kept, and renews the rest.
func (s *slots) settle(ctx context.Context) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	return s.change(ctx, func(moment, int64) (int64, bool) {
		s.mu.Lock()
		defer s.mu.Unlock()
		// Lowered before the write: nobody may take a slot on its way out.
		s.held = max(s.used, min(s.held, s.used+s.extra))
		return s.held, true
	})
}

// tick gives up the idle slots of a client that has paused, and tells whether
// any slots are held.
func (s *slots) tick() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.quiet {
		s.extra = 0
	}
	s.quiet = true
	return s.held > 0 || s.used > 0
}

// surplus tells whether more slots are idle here than are to be kept.
func (s *slots) surplus() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.held-s.used > s.extra
}

// leased is how many slots are held here.
func (s *slots) leased() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return max(s.held, s.used)
}

// giveBack gives back all idle slots.
func (s *slots) giveBack(ctx context.Context) error {
	s.mu.Lock()
	s.extra = 0
	s.mu.Unlock()
	return s.settle(ctx)
}
