package bus

import (
	"testing"
	"time"
)

// Whichever of the two goroutines runs first after a sleep, the ticker's or the
// inbox's: jobs that piled up are doubted, later ones are not.
func TestVigil(t *testing.T) {
	start := time.Unix(1_700_000_000, 0)
	v := vigil{last: start}
	for after := probeEvery; after <= 2*time.Second; after += probeEvery {
		v.tick(start.Add(after))
	}
	if v.slept(start.Add(2*time.Second + probeEvery)) {
		t.Error("a worker that was awake doubts its jobs")
	}
	woke := start.Add(6 * time.Second)
	if !v.slept(woke) {
		t.Error("before the tick: a worker that has slept does not doubt its jobs")
	}
	v.tick(woke)
	if !v.slept(woke.Add(time.Millisecond)) {
		t.Error("after the tick: a worker that has slept does not doubt its jobs")
	}
	v.tick(woke.Add(probeEvery))
	if v.slept(woke.Add(ackWait)) {
		t.Error("the doubts do not end")
	}
}

// Whatever comes first after the server was mute, the worker's own beat or a job: jobs
// that lay at the server are doubted, later ones are not.
func TestVigilOverAMuteServer(t *testing.T) {
	start := time.Unix(1_700_000_000, 0)
	v := vigil{last: start}
	awake := func(from, to time.Duration) {
		for after := from; after <= to; after += probeEvery {
			v.tick(start.Add(after))
		}
	}
	awake(probeEvery, time.Second)
	v.heard(start.Add(time.Second))
	if v.slept(start.Add(time.Second + beatEvery)) {
		t.Error("a worker that hears its own beats doubts its jobs")
	}
	awake(time.Second, 6*time.Second)
	back := start.Add(6 * time.Second)
	if !v.slept(back) {
		t.Error("before its beat: a worker that heard nothing does not doubt its jobs")
	}
	v.heard(back)
	if !v.slept(back.Add(time.Millisecond)) {
		t.Error("after its beat: a worker that heard nothing does not doubt its jobs")
	}
	awake(6*time.Second, 7*time.Second)
	v.heard(back.Add(beatEvery))
	if v.slept(back.Add(ackWait)) {
		t.Error("the doubts do not end")
	}
}
