package limit

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

func TestParallelOverThreeIngresses(t *testing.T) {
	inFakeTime(t, func(t *testing.T, s *server.Server) {
		all := startThree(t, s)
		for _, limit := range []int64{1, 2, 10, 50} {
			c := Client{ID: fmt.Sprint("c", limit), MaxParallel: limit}
			for round := range 3 {
				grants := burst(t, all, 300, c, Estimate{})
				if got := int64(len(grants)); got != limit {
					t.Errorf("limit %d, round %d: got %d admitted, want all", limit, round, got)
				}
				for _, g := range grants {
					g.Release()
					g.Release()
				}
				time.Sleep(50 * time.Millisecond)
			}
		}
	})
}

// One slot must go from ingress to ingress as fast as its requests end.
func TestSlotWanders(t *testing.T) {
	inFakeTime(t, func(t *testing.T, s *server.Server) {
		all := startThree(t, s)
		c := Client{ID: "c", MaxParallel: 1}
		for i := range 50 {
			g := mustAdmit(t, all[i%3], c, Estimate{})
			mustRefuse(t, all[(i+1)%3], c, Estimate{}, Parallel)
			time.Sleep(50 * time.Millisecond)
			g.Release()
		}
	})
}

func TestSlotsOutliveLongRequests(t *testing.T) {
	inFakeTime(t, func(t *testing.T, s *server.Server) {
		a, b := startIngress(t, s, "a"), startIngress(t, s, "b")
		c := Client{ID: "c", MaxParallel: 3}
		grants := burst(t, []*ingress{a}, 3, c, Estimate{})
		for range 60 {
			time.Sleep(time.Second)
			mustRefuse(t, b, c, Estimate{}, Parallel)
		}
		for _, g := range grants {
			g.Release()
		}
		time.Sleep(50 * time.Millisecond)
		if got := len(burst(t, []*ingress{b}, 9, c, Estimate{})); got != 3 {
			t.Errorf("after the release: got %d admitted, want 3", got)
		}
	})
}

func TestDeadIngressFreesItsSlots(t *testing.T) {
	inFakeTime(t, func(t *testing.T, s *server.Server) {
		a, b := startIngress(t, s, "a"), startIngress(t, s, "b")
		c := Client{ID: "c", MaxParallel: 10}
		burst(t, []*ingress{a}, 10, c, Estimate{})
		time.Sleep(renewEvery + time.Millisecond) // just renewed: the worst case
		a.kill()
		died := time.Now()
		for {
			if g, _ := b.Admit(t.Context(), c, Estimate{}); g != nil {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		if took := time.Since(died); took > 5*time.Second {
			t.Errorf("got the first slot %v after the death, want it within 5 s", took)
		}
		if got := len(burst(t, []*ingress{b}, 30, c, Estimate{})); got != 9 {
			t.Errorf("got %d more slots, want 9", got)
		}
	})
}

// At no time may more run than the limit allows, and at the end all is free.
func TestNeverMoreInParallel(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			inFakeTime(t, func(t *testing.T, s *server.Server) {
				rnd := rand.New(rand.NewPCG(seed, 2))
				all := startThree(t, s)
				limit := 1 + rnd.IntN(120)
				c := Client{ID: "c", MaxParallel: int64(limit)}
				var running []*Grant
				for range 200 {
					running = append(running, burst(t, all[rnd.IntN(3):], 1+rnd.IntN(40), c, Estimate{})...)
					if len(running) > limit {
						t.Fatalf("limit %d: got %d running", limit, len(running))
					}
					rnd.Shuffle(len(running), func(i, j int) { running[i], running[j] = running[j], running[i] })
					ended := rnd.IntN(len(running) + 1)
					for _, g := range running[:ended] {
						g.Release()
					}
					running = running[ended:]
					time.Sleep(time.Duration(rnd.Int64N(int64(300 * time.Millisecond))))
				}
				for _, g := range running {
					g.Release()
				}
				time.Sleep(5 * time.Second)
				synctest.Wait()
				if got := len(burst(t, all, 3*limit, c, Estimate{})); got != limit {
					t.Errorf("at the end: got %d admitted, want all %d", got, limit)
				}
			})
		})
	}
}
