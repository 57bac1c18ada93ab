package keysvc

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"model-proxy/config"
	"model-proxy/internal/llm"
)

func someKeys(n int) []config.Key {
	var keys []config.Key
	for i := range n {
		keys = append(keys, config.Key{Secret: config.NewSecret(fmt.Sprint("key-", i))})
	}
	return keys
}

func indices(n int) []int {
	var all []int
	for i := range n {
		all = append(all, i)
	}
	return all
}

// Over 300 short requests no key is off the mean by more than 5 %, each worker
// on a rotation of its own.
func TestKeysTakeTurns(t *testing.T) {
	for _, tt := range []struct{ keys, workers, models int }{{2, 1, 1}, {3, 1, 1}, {5, 2, 1}, {3, 2, 2}, {6, 1, 2}} {
		keys, among := someKeys(tt.keys), indices(tt.keys)
		var workers []*Service
		for range tt.workers {
			workers = append(workers, alone())
		}
		var mu sync.Mutex
		count := make([]int, tt.keys)
		var parts sync.WaitGroup
		for w := range 10 {
			parts.Go(func() {
				for i := range 30 {
					model := fmt.Sprint("m", i%tt.models)
					k := workers[w%tt.workers].Pick(time.Now(), "p", model, keys, among, 0)
					mu.Lock()
					count[k]++
					mu.Unlock()
				}
			})
		}
		parts.Wait()
		mean := 300 / float64(tt.keys)
		for k, n := range count {
			if off := float64(n)/mean - 1; off > 0.05 || off < -0.05 {
				t.Errorf("%+v: key %d was taken %d times, the mean is %.0f", tt, k, n, mean)
			}
		}
	}
}

func TestRotationsStartAnywhere(t *testing.T) {
	first := map[int]bool{}
	for range 50 {
		first[alone().Pick(time.Now(), "p", "m", someKeys(4), indices(4), 0)] = true
	}
	if len(first) < 2 {
		t.Errorf("50 workers all begin with key %v", first)
	}
}

func TestAffinityKeepsToAKey(t *testing.T) {
	s, other := alone(), alone()
	keys := someKeys(5)
	all, without2 := indices(5), []int{0, 1, 3, 4}
	count := make([]int, 5)
	for a := range uint64(1000) {
		affinity := mix(a + 1)
		i := s.Pick(time.Now(), "p", "m", keys, all, affinity)
		if again := other.Pick(time.Now(), "p", "m", keys, all, affinity); again != i {
			t.Fatalf("two workers take keys %d and %d", i, again)
		}
		j := s.Pick(time.Now(), "p", "m", keys, without2, affinity)
		if i != 2 && j != i {
			t.Fatalf("a prompt moved from key %d to %d though its own does not rest", i, j)
		}
		count[i]++
	}
	for i, n := range count {
		if n < 140 || n > 260 {
			t.Errorf("key %d has %d prompts of 1000, want about 200: %v", i, n, count)
		}
	}
}

// After a rest one request tries the key, while the others have other keys;
// its success brings the key back.
func TestSlowReturn(t *testing.T) {
	s := alone()
	keys, among := someKeys(3), indices(3)
	fp := keys[1].Secret.Fingerprint()
	start := time.Now()
	s.rest(start, llm.Rest{Scope: llm.ScopeKey, Provider: "p", Fingerprint: fp, For: time.Second}, start)
	after := start.Add(2 * time.Second)
	if got := s.Resting(after, "p", fp, "m"); got.For != 0 {
		t.Fatalf("the key still rests for %v", got.For)
	}
	count := func(now time.Time) (n int) {
		for range 30 {
			if s.Pick(now, "p", "m", keys, among, 0) == 1 {
				n++
			}
		}
		return n
	}
	if n := count(after); n != 1 {
		t.Errorf("on trial: taken %d times, want once", n)
	}
	if n := count(after.Add(trialFor + time.Second)); n != 1 {
		t.Errorf("the trial gave no word: taken %d times, want once more", n)
	}
	if got := s.Pick(after, "p", "m", keys, []int{1}, 0); got != 1 {
		t.Errorf("the only key is refused while on trial: got %d", got)
	}
	s.recovered(after, llm.Report{Provider: "p", Model: "m", Fingerprint: fp, Begun: after, Health: llm.HealthServed})
	if n := count(after); n != 10 {
		t.Errorf("proven: taken %d times of 30, want 10", n)
	}
}

func TestLatency(t *testing.T) {
	s, now := alone(), time.Now()
	if got := s.Latency(now, "p", "m"); got != 0 {
		t.Errorf("got %v, want 0: nothing is known", got)
	}
	served := llm.Report{Provider: "p", Model: "m", Health: llm.HealthServed, FirstToken: 100 * time.Millisecond}
	s.observe(now, served)
	served.FirstToken = 200 * time.Millisecond
	s.observe(now, served)
	if got := s.Latency(now, "p", "m"); got != 120*time.Millisecond {
		t.Errorf("got %v, want 120ms", got)
	}
	if got := s.Latency(now.Add(latencyKnown), "p", "m"); got != 0 {
		t.Errorf("a minute later: got %v, want 0", got)
	}
	s.observe(now.Add(latencyKnown), served)
	if got := s.Latency(now.Add(latencyKnown), "p", "m"); got != 200*time.Millisecond {
		t.Errorf("measured anew: got %v, want 200ms", got)
	}
}

func BenchmarkPick(b *testing.B) {
	s, keys, among := alone(), someKeys(4), indices(4)
	now := time.Now()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			s.Pick(now, "p", "m", keys, among, 0)
		}
	})
}

func BenchmarkResting(b *testing.B) {
	s, now := alone(), time.Now()
	for i := range 100 {
		s.rest(now, llm.Rest{Scope: llm.ScopeKey, Provider: "p", Fingerprint: fmt.Sprint(i), For: time.Hour}, now)
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			s.Resting(now, "p", "50", "m")
		}
	})
}

func BenchmarkReportServed(b *testing.B) {
	s := alone()
	r := llm.Report{Provider: "p", Fingerprint: "k", Model: "m", Begun: time.Now(), Health: llm.HealthServed, FirstToken: time.Millisecond}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			s.Report(r)
		}
	})
}
