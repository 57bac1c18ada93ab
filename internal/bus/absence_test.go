package bus

import (
	"slices"
	"testing"
	"time"
)

func TestAbsence(t *testing.T) {
	type look struct {
		after     time.Duration // the look before
		connected bool
		want      standing
	}
	const tick = probeEvery
	gone := slices.Repeat([]look{{tick, false, away}}, int(cutOffAfter/tick)) // the first of them notes that it is
	for name, looks := range map[string][]look{
		"all is well":        {{tick, true, present}, {tick, true, present}},
		"stopped for 3 s":    {{tick, true, present}, {3 * time.Second, true, present}, {tick, true, present}},
		"reconnected":        {{tick, false, away}, {tick, false, away}, {tick, true, away}, {tick, true, present}},
		"gone for good":      slices.Concat(gone, []look{{tick, false, cutOff}, {tick, false, cutOff}}),
		"back after that":    slices.Concat(gone, []look{{tick, false, cutOff}, {tick, true, away}, {tick, true, present}}),
		"gone and stopped":   {{tick, false, away}, {3 * time.Second, false, away}, {3 * time.Second, false, away}, {tick, true, away}},
		"gone twice briefly": slices.Concat(gone, []look{{tick, true, away}, {tick, false, away}}),
	} {
		now := time.Unix(1_700_000_000, 0)
		a := absence{last: now}
		for i, l := range looks {
			now = now.Add(l.after)
			if got := a.look(now, l.connected); got != l.want {
				t.Errorf("%s: look %d: got %d, want %d", name, i+1, got, l.want)
			}
		}
	}
}

// The time in which a process did not run is nobody's silence, however often it
// happens; a peer that was silent before stays so.
func TestSleepIsNobodysSilence(t *testing.T) {
	now := time.Now().Add(-time.Hour)
	a, p := absence{last: now}, newPeers()
	p.since = now
	p.m["w-1"], p.m["w-2"] = &peer{seen: now}, &peer{seen: now.Add(-1500 * time.Millisecond)}
	for range 10 {
		now = now.Add(3 * time.Second)
		if got := a.look(now, true); got != present {
			t.Errorf("got standing %d after a sleep, want present", got)
		}
		p.excuse(a.slept)
	}
	for id, want := range map[string]bool{"w-1": false, "w-2": false} {
		if e := p.state(id); e.gone(now, false) != want {
			t.Errorf("%s after ten sleeps: silent for %v, gone %t; want %t", id, now.Sub(e.seen), !want, want)
		}
	}
	for range 4 {
		now = now.Add(probeEvery)
		if a.look(now, true); a.slept != 0 {
			t.Errorf("got a sleep of %v while awake, want none", a.slept)
		}
	}
	for id, want := range map[string]bool{"w-1": false, "w-2": true} {
		if e := p.state(id); e.gone(now, false) != want {
			t.Errorf("%s a second later: silent for %v, gone %t; want %t", id, now.Sub(e.seen), !want, want)
		}
	}
	heard := time.Now()
	p.m["w-1"].seen = heard
	if p.excuse(3 * time.Second); p.m["w-1"].seen.After(time.Now()) {
		t.Errorf("a worker counts as heard of %v from now", time.Until(p.m["w-1"].seen))
	}
}
