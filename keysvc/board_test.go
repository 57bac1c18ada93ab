package keysvc

import (
	"math/rand/v2"
	"testing"
	"time"
)

// Whatever comes in which order, a rest ends with the latest of all ends that
// were asked for since it began.
func TestBoardTakesTheLatestEnd(t *testing.T) {
	for seed := range uint64(500) {
		random := rand.New(rand.NewPCG(seed, 0))
		b, now := newBoard("self"), time.Now()
		var end time.Time
		revision := uint64(0)
		for range 20 {
			now = now.Add(time.Duration(random.IntN(2000)) * time.Millisecond)
			r := keyRest(time.Duration(1+random.IntN(5000)) * time.Millisecond)
			if random.IntN(2) == 0 {
				b.set(now, r, now)
			} else {
				revision++
				v := value{Scope: r.Scope, Provider: r.Provider, Key: r.Fingerprint, Model: r.Model, MS: r.For.Milliseconds()}
				b.adopt(now, v, r.For, revision)
			}
			if e := now.Add(r.For); e.After(end) {
				end = e
			}
			if got := b.get(refOf(r)).until; !got.Equal(end) {
				t.Fatalf("seed %d: ends %v off", seed, got.Sub(end))
			}
		}
	}
}

// A write whose acknowledgement was lost counts once, when the watch shows it.
func TestLostAcknowledgement(t *testing.T) {
	b, now := newBoard("self"), time.Now()
	r := keyRest(time.Minute)
	b.set(now, r, now)
	d, ok, _ := b.draft(now)
	if !ok || !d.event {
		t.Fatalf("got %+v, %v, want a draft of an event", d, ok)
	}
	v := value{Scope: r.Scope, Provider: r.Provider, Key: r.Fingerprint, Model: r.Model, MS: r.For.Milliseconds(), By: "self", Event: true}
	if !b.adopt(now, v, r.For, 7) {
		t.Error("the watch shows our write, and it is not counted")
	}
	b.unwritten(d)
	if d, ok, _ := b.draft(now); ok {
		t.Errorf("written again: %+v", d)
	}
	if b.adopt(now, v, r.For, 7) {
		t.Error("counted twice")
	}
}

// A rest that ends before the bus is back still counts as an event.
func TestOverBeforeWritten(t *testing.T) {
	b, now := newBoard("self"), time.Now()
	b.set(now, keyRest(time.Second), now)
	_, ok, over := b.draft(now.Add(2 * time.Second))
	if ok || len(over) != 1 {
		t.Errorf("got a draft %v and %d over, want none and 1", ok, len(over))
	}
	if _, _, over := b.draft(now.Add(2 * time.Second)); len(over) != 0 {
		t.Errorf("got %d over a second time", len(over))
	}
}

// Rests that returned long ago take no room.
func TestBoardForgets(t *testing.T) {
	b, now := newBoard("self"), time.Now()
	for i := range 100 {
		r := keyRest(time.Second)
		r.Fingerprint = string(rune('a' + i))
		b.set(now, r, now)
	}
	now = now.Add(returning + 2*time.Second)
	r := keyRest(time.Second)
	r.Fingerprint = "last"
	b.set(now, r, now)
	if n, l, k := len(*b.cells.Load()), len(b.links), len(b.byKey); n != 1 || l != 1 || k != 1 {
		t.Errorf("got %d cells, %d links, %d names, want 1 each", n, l, k)
	}
}
