package bus

import (
	"testing"
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
