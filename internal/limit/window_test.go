package limit

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

func TestRequestsOverThreeIngresses(t *testing.T) {
	all := startThree(t, startNATS(t))
	if got := len(burst(t, all, 1000, Client{ID: "c", RequestsPerMinute: 100}, Estimate{})); got != 100 {
		t.Errorf("1000 requests at once: got %d admitted, want 100", got)
	}
}

func TestAllOfTheLimitIsThere(t *testing.T) {
	for _, limit := range []int64{1, 7, 60, 1000} {
		inFakeTime(t, func(t *testing.T, s *server.Server) {
			all := startThree(t, s)
			c := Client{ID: "c", RequestsPerMinute: limit}
			for round := range 3 {
				if got := int64(len(burst(t, all, int(limit)*10, c, Estimate{}))); got != limit {
					t.Errorf("limit %d, round %d: got %d admitted, want all", limit, round, got)
				}
				time.Sleep(71 * time.Second)
			}
		})
	}
}

// One after the other over three ingresses, no lease may hide room.
func TestOneByOne(t *testing.T) {
	inFakeTime(t, func(t *testing.T, s *server.Server) {
		all := startThree(t, s)
		c := Client{ID: "c", RequestsPerMinute: 60}
		for i := range 60 {
			mustAdmit(t, all[i%3], c, Estimate{})
			time.Sleep(150 * time.Millisecond)
		}
		for i := range 9 {
			mustRefuse(t, all[i%3], c, Estimate{}, RPM)
		}
	})
}

// The rule itself: never more than the limit in any 60 s, whatever the clocks
// and the traffic are like.
func TestNeverMoreInAnyMinute(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			inFakeTime(t, func(t *testing.T, s *server.Server) {
				rnd := rand.New(rand.NewPCG(seed, 1))
				limit := 1 + rnd.Int64N(300)
				admitted := randomTraffic(t, s, rnd, Client{ID: "c", RequestsPerMinute: limit})
				if got := most(admitted, time.Minute); int64(got) > limit {
					t.Errorf("limit %d: got %d admitted within a minute", limit, got)
				}
				if len(admitted) < int(limit) {
					t.Errorf("limit %d: got %d admitted in all, want at least the limit once", limit, len(admitted))
				}
			})
		})
	}
}

// randomTraffic sends bursts and trickles for ten minutes over three ingresses
// whose clocks are as wrong as they may be, and returns when each request was
// admitted.
func randomTraffic(t *testing.T, s *server.Server, rnd *rand.Rand, c Client) []time.Time {
	t.Helper()
	var all []*ingress
	for i, wrong := range []time.Duration{-minute.skew / 2, 0, minute.skew / 2} {
		in := connect(t, s, fmt.Sprint(i)) // does not run: that would mend its clock
		if _, err := in.store.now(t.Context()); err != nil {
			t.Fatal(err)
		}
		in.store.clock.zero.Add(int64(wrong))
		all = append(all, in)
	}
	var admitted []time.Time
	for end := time.Now().Add(10 * time.Minute); time.Now().Before(end); {
		n := 1 + rnd.IntN(40)
		first := rnd.IntN(3)
		for range burst(t, append(all[first:], all[:first]...), n, c, Estimate{}) {
			admitted = append(admitted, time.Now())
		}
		for _, in := range all {
			in.tick()
		}
		// Often close to an edge, where clocks disagree about the bucket.
		wait := time.Duration(rnd.Int64N(int64(4 * time.Second)))
		if rnd.IntN(3) == 0 {
			edge := time.Until(time.Now().Truncate(minute.bucket).Add(minute.bucket))
			wait = max(0, edge+time.Duration(rnd.Int64N(int64(time.Second)))-500*time.Millisecond)
		}
		time.Sleep(wait + time.Millisecond)
	}
	return admitted
}

// most is the largest number of times within one stretch of length d.
func most(times []time.Time, d time.Duration) int {
	best, from := 0, 0
	for i, at := range times {
		for at.Sub(times[from]) >= d {
			from++
		}
		best = max(best, i-from+1)
	}
	return best
}

// A refused client that comes back when it was told to finds room, and none a
// bucket earlier; no more than 10 s pass between two returns of room.
func TestRetryAfterIsTrue(t *testing.T) {
	inFakeTime(t, func(t *testing.T, s *server.Server) {
		all := startThree(t, s)
		c := Client{ID: "c", RequestsPerMinute: 70}
		for range 7 { // ten in each of seven buckets
			if got := len(burst(t, all, 10, c, Estimate{})); got != 10 {
				t.Fatalf("got %d admitted, want 10", got)
			}
			time.Sleep(minute.bucket)
		}
		for step := range 6 {
			if got := len(burst(t, all, 30, c, Estimate{})); step > 0 && got != 10 {
				t.Errorf("step %d: got %d admitted, want the 10 of one bucket", step, got)
			}
			d := mustRefuse(t, all[step%3], c, Estimate{}, RPM)
			if d.RetryAfter > minute.bucket {
				t.Errorf("step %d: got retry after %v, want at most %v", step, d.RetryAfter, minute.bucket)
			}
			time.Sleep(d.RetryAfter - 2*lookPause) // a refusal looks twice
			mustRefuse(t, all[step%3], c, Estimate{}, RPM)
			time.Sleep(2*lookPause + time.Millisecond)
		}
	})
}

func TestTokensAreAdmittedBelowTheLimit(t *testing.T) {
	inFakeTime(t, func(t *testing.T, s *server.Server) {
		all := startThree(t, s)
		c := Client{ID: "c", TokensPerMinute: 1000}
		e := Estimate{Prompt: 60, MaxTokens: 40}
		if got := len(burst(t, all, 100, c, e)); got != 10 {
			t.Errorf("requests of 100 tokens: got %d admitted, want 10", got)
		}
		mustRefuse(t, all[0], c, Estimate{Prompt: 1}, TPM)
		time.Sleep(71 * time.Second)
		mustAdmit(t, all[0], c, Estimate{Prompt: 999, MaxTokens: 0})
		mustRefuse(t, all[1], c, Estimate{Prompt: 1}, TPM)
	})
}

// Settling less must give room to every ingress at once, settling more must
// take it; also when the bucket of the admission is long over.
func TestSettle(t *testing.T) {
	rows := []struct {
		name          string
		after         time.Duration
		reserve, used int64
		remaining     int64 // then, at the other ingress, of 1000, after one request of 10
	}{
		{"less, at once", 0, 900, 100, 890},
		{"more, at once", 0, 100, 900, 90},
		{"the same", 0, 500, 500, 490},
		{"less, some buckets later", 35 * time.Second, 900, 100, 90}, // b remembers the bucket until it would refuse
		{"more, some buckets later", 35 * time.Second, 100, 900, 90},
		{"less, behind the window", 3 * time.Minute, 900, 100, 990},
		{"more, behind the window", 3 * time.Minute, 100, 900, 190},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T, s *server.Server) {
				a, b := startIngress(t, s, "a"), startIngress(t, s, "b")
				c := Client{ID: "c", TokensPerMinute: 1000}
				g := mustAdmit(t, a, c, Estimate{Prompt: row.reserve - 1, MaxTokens: 1})
				time.Sleep(row.after + 5*time.Second)
				// b has looked, so it could hold on to what it saw.
				look := mustAdmit(t, b, c, Estimate{Prompt: 9, MaxTokens: 1})
				look.Cancel()
				time.Sleep(2 * time.Second)
				g.Settle(row.used, 0)
				g.Settle(0, 0)
				g.Release()
				synctest.Wait()
				last, d := b.Admit(t.Context(), c, Estimate{Prompt: 9, MaxTokens: 1})
				if d != nil {
					t.Fatalf("got refused for %s, want admitted", d.Reason)
				}
				if got := last.Levels().Tokens.Remaining; got != row.remaining {
					t.Errorf("got %d remaining, want %d", got, row.remaining)
				}
			})
		})
	}
}

// A refusal never rests on what was remembered from before a refund.
func TestRefundOfAnOldBucketIsSeen(t *testing.T) {
	inFakeTime(t, func(t *testing.T, s *server.Server) {
		a, b := startIngress(t, s, "a"), startIngress(t, s, "b")
		c := Client{ID: "c", TokensPerMinute: 1000}
		g := mustAdmit(t, a, c, Estimate{Prompt: 999, MaxTokens: 1})
		time.Sleep(25 * time.Second)
		mustRefuse(t, b, c, Estimate{Prompt: 1}, TPM)
		g.Settle(10, 0)
		time.Sleep(2 * time.Second)
		mustAdmit(t, b, c, Estimate{Prompt: 1})
	})
}

// A client in a hurry is decided about here; the bus hears of it now and then.
func TestLeasesSpareTheBus(t *testing.T) {
	in := startIngress(t, startNATS(t), "a")
	c := Client{ID: "c", RequestsPerMinute: 1_000_000_000, TokensPerMinute: 1_000_000_000}
	const n = 50_000
	for range n {
		g := mustAdmit(t, in, c, Estimate{Prompt: 100, MaxTokens: 100})
		g.Settle(100, 50)
		g.Release()
	}
	if got, limit := in.nc.Stats().OutMsgs, uint64(n/20); got > limit {
		t.Errorf("%d requests: got %d messages to the bus, want at most %d", n, got, limit)
	}
}

func TestLostStreamsAreMadeAnew(t *testing.T) {
	inFakeTime(t, func(t *testing.T, s *server.Server) {
		in := startIngress(t, s, "a")
		c := Client{ID: "c", RequestsPerMinute: 10, MaxParallel: 5}
		mustAdmit(t, in, c, Estimate{}).Release()
		synctest.Wait()
		if err := in.store.js.DeleteStream(t.Context(), countStream); err != nil {
			t.Fatal(err)
		}
		if err := in.store.js.DeleteKeyValue(t.Context(), slotBucket); err != nil {
			t.Fatal(err)
		}
		mustAdmit(t, in, c, Estimate{}).Release()
	})
}

func TestBusAway(t *testing.T) {
	for _, c := range []Client{{ID: "c", RequestsPerMinute: 10}, {ID: "c", TokensPerMinute: 10}, {ID: "c", MaxParallel: 10}} {
		inFakeTime(t, func(t *testing.T, s *server.Server) {
			in := startIngress(t, s, "a")
			mustAdmit(t, in, Client{ID: "other", RequestsPerMinute: 10}, Estimate{})
			s.Shutdown()
			s.WaitForShutdown()
			began := time.Now()
			mustRefuse(t, in, c, Estimate{}, Bus)
			if took := time.Since(began); took > 2*time.Second {
				t.Errorf("%+v: got the refusal after %v, want it within 2 s", c, took)
			}
		})
	}
}

// The tokens of any minute stay below the limit but for the request that
// reaches it, whatever is reserved and settled, and by whichever ingress.
func TestTokensOfAnyMinute(t *testing.T) {
	for seed := range uint64(2) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			inFakeTime(t, func(t *testing.T, s *server.Server) {
				rnd := rand.New(rand.NewPCG(seed, 3))
				all := startThree(t, s)
				c := Client{ID: "c", TokensPerMinute: 1000 + rnd.Int64N(100_000)}
				most := c.TokensPerMinute / 5 // of one request
				var used usage
				admitted := 0
				for range 1500 {
					e := Estimate{Prompt: 1 + rnd.Int64N(most/2), MaxTokens: 1 + rnd.Int64N(most/2)}
					g, d := all[rnd.IntN(3)].Admit(t.Context(), c, e)
					if d != nil && d.Reason == Bus {
						t.Fatal(d.Cause)
					}
					time.Sleep(time.Duration(rnd.Int64N(int64(300 * time.Millisecond))))
					if d != nil {
						continue
					}
					admitted++
					real := 1 + rnd.Int64N(g.reserved) // less than reserved: nothing is added later
					g.Settle(real, 0)
					g.Release()
					used = append(used, spent{time.Now(), real})
					if got := used.since(time.Now().Add(-time.Minute)); got >= c.TokensPerMinute+most {
						t.Fatalf("limit %d: got %d tokens within a minute", c.TokensPerMinute, got)
					}
				}
				if admitted < 20 {
					t.Errorf("got %d admitted in all, want many more", admitted)
				}
			})
		})
	}
}

// usage is what was spent, in the order of time.
type usage []spent

type spent struct {
	at     time.Time
	tokens int64
}

func (u usage) since(from time.Time) (sum int64) {
	for i := len(u) - 1; i >= 0 && u[i].at.After(from); i-- {
		sum += u[i].tokens
	}
	return sum
}

// Room that comes back here is there at once, though others were just refused.
func TestRefundEndsARefusal(t *testing.T) {
	inFakeTime(t, func(t *testing.T, s *server.Server) {
		a := startIngress(t, s, "a")
		c := Client{ID: "c", RequestsPerMinute: 1}
		g := mustAdmit(t, a, c, Estimate{})
		mustRefuse(t, a, c, Estimate{}, RPM)
		g.Cancel()
		mustAdmit(t, a, c, Estimate{})
	})
}

// An addition that nobody waits for any more is taken back.
func TestLateAcknowledgement(t *testing.T) {
	inFakeTime(t, func(t *testing.T, s *server.Server) {
		st := startIngress(t, s, "a").store
		if _, err := st.now(t.Context()); err != nil {
			t.Fatal(err)
		}
		over, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := st.send(over, []delta{{"rl.c.requests.1", 5}, {"rl.c.requests.2", 0}}); !errors.Is(err, context.Canceled) {
			t.Fatalf("got error %v, want %v", err, context.Canceled)
		}
		synctest.Wait()
		sums, err := st.send(t.Context(), []delta{{"rl.c.requests.1", 0}})
		if err != nil || sums[0] != 0 {
			t.Errorf("got %v, error %v; want a sum of 0", sums, err)
		}
		time.Sleep(lateWithin)
		synctest.Wait()
		if n := len(st.inbox.open); n != 0 {
			t.Errorf("%d exchanges are kept, want 0", n)
		}
	})
}

// A deadline that passed while the process did not run is no fault of the bus:
// what it has answered counts. A bus that has not is given up all the same.
func TestDeadlineThatWasSlept(t *testing.T) {
	inFakeTime(t, func(t *testing.T, s *server.Server) {
		in := startIngress(t, s, "a")
		if _, err := in.store.now(t.Context()); err != nil {
			t.Fatal(err)
		}
		slept, cancel := context.WithDeadline(t.Context(), time.Now().Add(-3*time.Second))
		defer cancel()
		if sums, err := in.store.send(slept, []delta{{"rl.c.requests.1", 5}}); err != nil || sums[0] != 5 {
			t.Errorf("got %v, error %v; want a sum of 5", sums, err)
		}
		s.Shutdown()
		s.WaitForShutdown()
		if sums, err := in.store.send(slept, []delta{{"rl.c.requests.1", 5}}); err == nil {
			t.Errorf("without a bus: got %v, want an error", sums)
		}
	})
}
