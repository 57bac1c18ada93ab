package limit

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// Whichever comes first after a sleep, the tick or the question: what was slept
// counts until others have had the time to renew.
func TestNap(t *testing.T) {
	start := time.Unix(1_700_000_000, 0)
	at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	var n nap
	want := func(ms int, want time.Duration) {
		t.Helper()
		if got := n.lately(at(ms)); got != want {
			t.Errorf("at %d ms: got %v slept, want %v", ms, got, want)
		}
	}
	want(0, 0)
	for ms := 0; ms <= 1000; ms += 200 {
		n.tick(at(ms))
	}
	want(1900, 0)
	want(4000, 3*time.Second)
	n.tick(at(4000))
	want(4100, 3*time.Second)
	n.tick(at(6000))
	want(6100, 5*time.Second)
	for ms := 6200; ms <= 9200; ms += 200 {
		n.tick(at(ms))
	}
	want(9300, 0)
}

// Slots that were not renewed because nobody on the machine ran are not given to
// others; those of a process that is gone are free as soon as that is certain.
func TestSlotsOutliveASleep(t *testing.T) {
	inFakeTime(t, func(t *testing.T, s *server.Server) {
		a, b := connect(t, s, "a"), connect(t, s, "b") // neither renews
		c := Client{ID: "c", MaxParallel: 1}
		g := mustAdmit(t, a, c, Estimate{})
		defer g.Release()
		b.store.nap.tick(time.Now())
		time.Sleep(slotLife + time.Second)
		synctest.Wait()
		mustRefuse(t, b, c, Estimate{}, Parallel)
		b.store.nap.tick(time.Now())
		for range int(napCounts/tickEvery) + 1 {
			time.Sleep(tickEvery)
			b.store.nap.tick(time.Now())
		}
		mustAdmit(t, b, c, Estimate{}).Release()
	})
}
