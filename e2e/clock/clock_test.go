package clock

import (
	"testing"
	"time"
)

// What the clock missed is left out, as far as it lies in what is measured.
func TestClockLeavesOutWhatItMissed(t *testing.T) {
	start := time.Unix(1_700_000_000, 0)
	at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	c := &Clock{last: at(3010), lapses: []lapse{{at(110), at(2110)}, {at(2500), at(2600)}}}
	for _, m := range []struct{ from, to, want int }{
		{0, 100, 100},
		{0, 1110, 110},
		{0, 2200, 200},
		{1110, 1200, 0},
		{2000, 2200, 90},
		{0, 3010, 910},
		{0, 3022, 922},   // a little late
		{3000, 9000, 20}, // it has not run since
		{9000, 9500, 0},  // nor then
	} {
		if got, want := c.Between(at(m.from), at(m.to)), time.Duration(m.want)*time.Millisecond; got != want {
			t.Errorf("between %d and %d ms: got %v, want %v", m.from, m.to, got, want)
		}
	}
}

// A clock that runs goes as others do.
func TestClockRuns(t *testing.T) {
	c := New(t)
	began := time.Now()
	for c.Since(began) < 50*time.Millisecond {
		<-time.After(askEvery)
	}
	if had, all := c.Since(began), time.Since(began); had > all {
		t.Errorf("got %v of %v, want no more than that", had, all)
	}
}
