package keysvc

import (
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"model-proxy/internal/llm"
)

// alone is a Service that shares nothing and counts nothing.
func alone() *Service { return New(Options{Log: slog.New(slog.DiscardHandler)}) }

// outcome is a report of an attempt on p's model m.
func outcome(h llm.Health, begun time.Time) llm.Report {
	return llm.Report{Provider: "p", Fingerprint: "k", Model: "m", Begun: begun, Health: h, BreakerFailures: 5, BreakerRest: 30 * time.Second}
}

func TestBreakerCounts(t *testing.T) {
	type strike struct {
		after  time.Duration // since the start
		health llm.Health
	}
	fail := func(seconds ...int) (all []strike) {
		for _, s := range seconds {
			all = append(all, strike{time.Duration(s) * time.Second, llm.HealthFailing})
		}
		return all
	}
	for _, tt := range []struct {
		name    string
		strikes []strike
		open    bool
	}{
		{"four failures", fail(0, 1, 2, 3), false},
		{"five failures", fail(0, 1, 2, 3, 4), true},
		{"five within 30 s", fail(0, 10, 20, 25, 30), true},
		{"five in more than 30 s", fail(0, 10, 20, 30, 31), false},
		{"six, five of them within 30 s", fail(0, 20, 25, 30, 40, 45), true},
		{"a success in between", append(append(fail(0, 1, 2, 3), strike{4 * time.Second, llm.HealthServed}), fail(5)...), false},
		{"an answer in between", append(append(fail(0, 1, 2, 3), strike{4 * time.Second, llm.HealthAlive}), fail(5)...), false},
		{"a cancelled one in between", append(append(fail(0, 1, 2, 3), strike{4 * time.Second, llm.HealthUnknown}), fail(5)...), true},
	} {
		s, start := alone(), time.Now()
		var now time.Time
		for _, k := range tt.strikes {
			now = start.Add(k.after)
			r := outcome(k.health, now)
			switch k.health {
			case llm.HealthFailing:
				s.strike(now, r)
			case llm.HealthUnknown:
				s.Report(r)
			default:
				s.reached(r)
			}
		}
		got := s.Admit(now, "p", "m")
		if (got.For > 0) != tt.open {
			t.Errorf("%s: got rest %v, want open %v", tt.name, got.For, tt.open)
		}
		if tt.open && (got.For != 30*time.Second || got.Scope != llm.ScopeBreaker) {
			t.Errorf("%s: got %+v, want a breaker's rest of 30 s", tt.name, got)
		}
		if other := s.Admit(now, "p", "other"); other.For > 0 {
			t.Errorf("%s: the breaker of another model is open", tt.name)
		}
	}
}

func TestBreakerSwitchedOff(t *testing.T) {
	s := alone()
	for range 20 {
		r := outcome(llm.HealthFailing, time.Now())
		r.BreakerFailures = 0
		s.Report(r)
	}
	if got := s.Admit(time.Now(), "p", "m"); got.For > 0 {
		t.Errorf("got rest %v, want none", got.For)
	}
}

// openBreaker opens the breaker of p's model m by failures on one node, and
// waits until all know it.
func (c *cluster) openBreaker(nodes []*Service) {
	c.t.Helper()
	for range 5 {
		nodes[0].Report(outcome(llm.HealthFailing, time.Now()))
	}
	for _, s := range nodes {
		c.await(s, "the breaker is open", func() bool { return s.Admit(time.Now(), "p", "m").For > 0 })
	}
	c.settle(nodes...)
	c.counted(1)
}

// admitted asks all nodes at once and returns those that may send.
func admitted(nodes []*Service, now time.Time) []*Service {
	answers := make(chan *Service)
	for _, s := range nodes {
		go func() {
			if s.Admit(now, "p", "m").For == 0 {
				answers <- s
				return
			}
			answers <- nil
		}()
	}
	var all []*Service
	for range nodes {
		if s := <-answers; s != nil {
			all = append(all, s)
		}
	}
	return all
}

func TestProbeIsOneInTheCluster(t *testing.T) {
	c := newCluster(t)
	nodes := c.nodes(3)
	c.openBreaker(nodes)
	over := time.Now().Add(31 * time.Second) // when the breaker's rest has ended; nobody needs to wait for it

	first := admitted([]*Service{nodes[0], nodes[1], nodes[2], nodes[0], nodes[1], nodes[2]}, over)
	if len(first) != 1 {
		t.Fatalf("%d probes, want 1", len(first))
	}
	if got := admitted(nodes, over.Add(probeTaken+time.Millisecond)); len(got) != 0 {
		t.Errorf("%d more while the probe is out, want 0", len(got))
	}

	// The probe's success closes the breaker everywhere.
	updates := c.watchBucket(nodes[0])
	first[0].Report(outcome(llm.HealthServed, over))
	for _, s := range nodes {
		c.await(s, "the breaker is closed", func() bool { return s.board.get(breakerOf(outcome("", over))) == nil })
	}
	if got := admitted(nodes, over); len(got) != 3 {
		t.Errorf("%d of 3 may send after the probe's success", len(got))
	}
	c.deleted(updates, "probe.b.p.m")

	// The next one fails: open again at once, an event, and then a new probe.
	c.openBreaker(nodes)
	over = time.Now().Add(31 * time.Second)
	second := admitted(nodes, over)
	if len(second) != 1 {
		t.Fatalf("%d probes, want 1", len(second))
	}
	s := second[0]
	s.strike(over, outcome(llm.HealthFailing, over))
	s.probes.end(s, outcome(llm.HealthFailing, over))
	if got := s.Admit(over, "p", "m").For; got != 30*time.Second {
		t.Errorf("after a failed probe: got rest %v, want 30 s", got)
	}
	c.counted(1)
	c.deleted(updates, "probe.b.p.m")
	for _, s := range nodes {
		c.await(s, "the breaker rests longer", func() bool { return s.Admit(over, "p", "m").For > 20*time.Second })
	}
	if got := admitted(nodes, over.Add(80*time.Second)); len(got) != 1 {
		t.Errorf("%d probes after the second rest, want 1", len(got))
	}
}

// deleted waits until a key of the bucket is deleted.
func (c *cluster) deleted(updates <-chan jetstream.KeyValueEntry, key string) {
	c.t.Helper()
	late := time.After(patience)
	for {
		select {
		case e := <-updates:
			if e.Key() == key && e.Operation() == jetstream.KeyValueDelete {
				return
			}
		case <-late:
			c.t.Fatalf("%s is still in the bucket", key)
		}
	}
}

// A probe that was cancelled says nothing: the next request probes.
func TestCancelledProbe(t *testing.T) {
	c := newCluster(t)
	nodes := c.nodes(1)
	c.openBreaker(nodes)
	updates := c.watchBucket(nodes[0])
	over := time.Now().Add(31 * time.Second)
	if got := admitted(nodes, over); len(got) != 1 {
		t.Fatalf("%d probes, want 1", len(got))
	}
	nodes[0].Report(outcome(llm.HealthUnknown, over))
	c.deleted(updates, "probe.b.p.m")
	if got := admitted(nodes, over); len(got) != 1 {
		t.Errorf("%d probes after a cancelled one, want 1", len(got))
	}
}

// An attempt that was under way before the breaker opened does not close it.
func TestOldSuccessDoesNotClose(t *testing.T) {
	s := alone()
	begun := time.Now()
	for range 5 {
		s.Report(outcome(llm.HealthFailing, time.Now()))
	}
	s.Report(outcome(llm.HealthServed, begun))
	if got := s.Admit(time.Now(), "p", "m"); got.For == 0 {
		t.Error("the breaker is closed")
	}
}
