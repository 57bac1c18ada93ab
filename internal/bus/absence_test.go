package bus

import (
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
	for name, looks := range map[string][]look{
		"all is well":        {{tick, true, present}, {tick, true, present}},
		"stopped for 3 s":    {{tick, true, present}, {3 * time.Second, true, away}, {tick, true, present}},
		"reconnected":        {{tick, false, away}, {tick, false, away}, {tick, true, away}, {tick, true, present}},
		"gone for good":      {{tick, false, away}, {time.Second, false, away}, {cutOffAfter, false, cutOff}, {tick, false, cutOff}},
		"back after that":    {{tick, false, away}, {cutOffAfter, false, cutOff}, {tick, true, away}, {tick, true, present}},
		"gone twice briefly": {{tick, false, away}, {cutOffAfter - tick, false, away}, {tick, true, away}, {tick, false, away}},
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
