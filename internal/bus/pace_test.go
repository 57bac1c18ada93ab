package bus

import (
	"encoding/binary"
	"testing"
	"testing/synctest"
	"time"
)

func TestPace(t *testing.T) {
	for _, c := range []struct {
		perSecond float64
		jobs      int64
		share     int64
		wait      time.Duration
	}{
		{0, 5, 1, 10 * time.Second},
		{0.5, 5, 1, 10 * time.Second},
		{8, 100, 1, 13 * time.Second},
		{8, 1, 1, time.Second},
		{200, 100, 2, time.Second},
		{5000, 2000, 32, time.Second},
		{2, 2000, 1, time.Minute},
	} {
		p := pace{c.perSecond}
		if share, wait := p.share(), p.wait(c.jobs); share != c.share || wait != c.wait {
			t.Errorf("%v a second: share %d, %d jobs take %v; want %d, %v", c.perSecond, share, c.jobs, wait, c.share, c.wait)
		}
	}
	var p pace
	for range 40 {
		p.see(25, quickPace)
	}
	if p.perSecond < 99 || p.perSecond > 101 {
		t.Errorf("after 10 s of 25 jobs every 250 ms: %v a second, want 100", p.perSecond)
	}
}

// An ingress that dies while it holds jobs never says that it holds none.
func TestWhatTheDeadHeldIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const subject = "req.default.normal.a"
		g := newGate(bounds{10, 10, 1000})
		body := binary.AppendUvarint(appendString(binary.AppendUvarint(nil, 3), subject), 3)
		g.hear("i-dead", &reader{b: body})
		if got := g.elsewhere(subject); got.jobs != 3 || got.tenant != 3 {
			t.Fatalf("while it lives: got %+v, want 3 jobs of the tenant", got)
		}
		time.Sleep(hungAfter) // in the bubble's time
		g.tick(1)
		if len(g.others) != 0 || g.crowd.Load() {
			t.Errorf("got %d ingresses that hold jobs, want none", len(g.others))
		}
	})
}
