package keysvc

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"model-proxy/e2e/clock"
	"model-proxy/internal/llm"
)

// patience bounds every wait for an event.
const patience = time.Minute

// cluster is a NATS server inside the test, which can be restarted, and what
// its nodes counted.
type cluster struct {
	t      *testing.T
	srv    atomic.Pointer[server.Server]
	events chan llm.Rest
}

func newCluster(t *testing.T) *cluster {
	c := &cluster{t: t, events: make(chan llm.Rest, 1000)}
	c.start()
	t.Cleanup(func() { c.stop() })
	return c
}

func (c *cluster) start() {
	c.t.Helper()
	srv, err := server.NewServer(&server.Options{DontListen: true, JetStream: true, StoreDir: c.t.TempDir(), NoSigs: true, NoLog: true})
	if err != nil {
		c.t.Fatal(err)
	}
	srv.Start()
	if !srv.ReadyForConnections(patience) {
		c.t.Fatal("NATS is not ready")
	}
	c.srv.Store(srv)
}

// stop loses the bucket: it is kept in memory.
func (c *cluster) stop() {
	if srv := c.srv.Swap(nil); srv != nil {
		srv.Shutdown()
		srv.WaitForShutdown()
	}
}

// InProcessConn lets connections find the server that runs now.
func (c *cluster) InProcessConn() (net.Conn, error) {
	srv := c.srv.Load()
	if srv == nil {
		return nil, errors.New("no server")
	}
	return srv.InProcessConn()
}

// service makes a Service on a connection of its own, not yet running.
func (c *cluster) service() *Service {
	c.t.Helper()
	var s *Service
	made := make(chan struct{})
	nc, err := nats.Connect("", nats.InProcessServer(c), nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond),
		nats.ReconnectJitter(0, 0), nats.ReconnectHandler(func(*nats.Conn) { <-made; s.Rewatch() }))
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		c.t.Fatal(err)
	}
	s = New(Options{JetStream: js, Log: slog.New(slog.DiscardHandler), Event: func(r llm.Rest) { c.events <- r }})
	close(made)
	return s
}

// node is a running Service.
func (c *cluster) node() *Service {
	c.t.Helper()
	s := c.service()
	c.t.Cleanup(c.run(s))
	return s
}

// run runs a Service and returns what stops it, once it has seen the bucket.
func (c *cluster) run(s *Service) (stop func()) {
	c.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Run(ctx) }()
	select {
	case <-s.Ready():
	case <-time.After(patience):
		c.t.Fatal("not ready")
	}
	return func() { cancel(); <-done }
}

func (c *cluster) nodes(n int) []*Service {
	c.t.Helper()
	var all []*Service
	for range n {
		all = append(all, c.node())
	}
	return all
}

// await waits until a node's board satisfies ok.
func (c *cluster) await(s *Service, what string, ok func() bool) {
	c.t.Helper()
	late := time.After(patience)
	for {
		changed := s.board.changed()
		if ok() {
			return
		}
		select {
		case <-changed:
		case <-late:
			c.t.Fatalf("still not: %s", what)
		}
	}
}

// settle waits until the bucket has everything that a node knows.
func (c *cluster) settle(nodes ...*Service) {
	c.t.Helper()
	for _, s := range nodes {
		c.await(s, "all written", func() bool {
			s.board.mu.Lock()
			defer s.board.mu.Unlock()
			for _, l := range s.board.links {
				if l.unsent || l.event {
					return false
				}
			}
			return true
		})
	}
}

// counted returns the events so far. A node counts right after its write.
func (c *cluster) counted(want int) []llm.Rest {
	c.t.Helper()
	var got []llm.Rest
	for len(got) < want {
		select {
		case r := <-c.events:
			got = append(got, r)
		case <-time.After(patience):
			c.t.Fatalf("got %d events %v, want %d", len(got), got, want)
		}
	}
	return got
}

func (c *cluster) noEvent() {
	c.t.Helper()
	select {
	case r := <-c.events:
		c.t.Errorf("got one event too many: %+v", r)
	default:
	}
}

// keyRest is a rest of key "k" of provider "p" for model "m".
func keyRest(d time.Duration) llm.Rest {
	return llm.Rest{Scope: llm.ScopeKeyModel, Provider: "p", Fingerprint: "k", Model: "m", For: d, Cause: "rate_limit", Status: 429}
}

// report tells of an attempt begun at begun that made rests necessary.
func report(begun time.Time, rests ...llm.Rest) llm.Report {
	return llm.Report{Provider: "p", Fingerprint: "k", Model: "m", Begun: begun, Health: llm.HealthAlive, Rests: rests}
}

func (s *Service) leftOf(fp string) time.Duration {
	return s.Resting(time.Now(), "p", fp, "m").For
}

// wantLeft checks what is left of a rest, the test itself having taken up to
// slack of it.
func wantLeft(t *testing.T, who string, got, want time.Duration) {
	t.Helper()
	const slack = 25 * time.Second
	if got > want+noise || got < want-slack {
		t.Errorf("%s: got %v left, want %v less up to %v", who, got, want, slack)
	}
}

func TestRestIsSeenByAll(t *testing.T) {
	c := newCluster(t)
	nodes := c.nodes(3)
	had, began := clock.New(t), time.Now()
	nodes[0].Report(report(began, keyRest(60*time.Second)))
	if got := nodes[0].leftOf("k"); got == 0 {
		t.Error("the rest is not in force at once where it was set")
	}
	for _, s := range nodes {
		c.await(s, "the key rests", func() bool { return s.leftOf("k") > 0 })
		wantLeft(t, "node", s.leftOf("k"), 60*time.Second)
	}
	if took := had.Since(began); took > time.Second {
		t.Errorf("took %v, want well under 1 s", took)
	}
	r := nodes[2].Resting(time.Now(), "p", "k", "m")
	if r.Cause != "rate_limit" || r.Status != 429 || r.Scope != llm.ScopeKeyModel {
		t.Errorf("got %+v, want the cause and status that were set", r)
	}
	if got := nodes[2].leftOf("other"); got != 0 {
		t.Errorf("another key rests for %v", got)
	}
	c.counted(1)
}

// Many attempts of all workers meet the same 429: one event.
func TestOneEvent(t *testing.T) {
	c := newCluster(t)
	nodes := c.nodes(3)
	for round := range 10 {
		r := keyRest(time.Duration(20+10*round) * time.Second)
		r.Fingerprint = string(rune('a' + round))
		begun := time.Now()
		start, done := make(chan struct{}), make(chan struct{})
		for i := range 30 {
			rest := r
			rest.For += time.Duration(i%7) * 10 * time.Millisecond
			go func() {
				defer func() { done <- struct{}{} }()
				<-start
				nodes[i%3].Report(report(begun, rest))
			}()
		}
		close(start)
		for range 30 {
			<-done
		}
		for _, s := range nodes {
			c.await(s, "the key rests", func() bool { return s.leftOf(r.Fingerprint) > 0 })
		}
		c.settle(nodes...)
		c.counted(1)
		c.noEvent()
	}
}

func TestRestIsNeverShortened(t *testing.T) {
	c := newCluster(t)
	nodes := c.nodes(2)
	nodes[0].Report(report(time.Now(), keyRest(60*time.Second)))
	c.await(nodes[1], "the key rests", func() bool { return nodes[1].leftOf("k") > 0 })
	nodes[1].Report(report(time.Now(), keyRest(5*time.Second)))
	c.settle(nodes...)
	for _, s := range nodes {
		wantLeft(t, "node", s.leftOf("k"), 60*time.Second)
	}
	c.counted(1)
	c.noEvent()
}

func TestRestIsLengthened(t *testing.T) {
	c := newCluster(t)
	nodes := c.nodes(2)
	before := time.Now()
	nodes[0].Report(report(before, keyRest(60*time.Second)))
	c.await(nodes[1], "the key rests", func() bool { return nodes[1].leftOf("k") > 0 })
	c.counted(1)

	// By an attempt that was under way: everybody rests longer, in silence.
	nodes[1].Report(report(before, keyRest(120*time.Second)))
	c.await(nodes[0], "the key rests longer", func() bool { return nodes[0].leftOf("k") > 61*time.Second })
	c.settle(nodes...)
	c.noEvent()

	// By under a second: in silence.
	nodes[0].Report(report(time.Now(), keyRest(120*time.Second+500*time.Millisecond)))
	c.settle(nodes...)
	c.noEvent()

	// By an attempt begun after it: an event.
	nodes[0].Report(report(time.Now(), keyRest(180*time.Second)))
	c.await(nodes[1], "the key rests longer", func() bool { return nodes[1].leftOf("k") > 121*time.Second })
	c.counted(1)
	c.settle(nodes...)
	c.noEvent()
}

// watchBucket follows the bucket as the server has it.
func (c *cluster) watchBucket(s *Service) <-chan jetstream.KeyValueEntry {
	c.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	c.t.Cleanup(cancel)
	kv, err := s.js.KeyValue(ctx, Bucket)
	if err != nil {
		c.t.Fatal(err)
	}
	w, err := kv.WatchAll(ctx, jetstream.UpdatesOnly())
	if err != nil {
		c.t.Fatal(err)
	}
	return w.Updates()
}

// passes waits until the server has dropped a key whose rest is over.
func (c *cluster) passes(updates <-chan jetstream.KeyValueEntry, key string) {
	c.t.Helper()
	late := time.After(patience)
	for {
		select {
		case e := <-updates:
			if e.Key() == key && e.Operation() == jetstream.KeyValuePurge {
				return
			}
		case <-late:
			c.t.Fatalf("%s is still in the bucket", key)
		}
	}
}

// A rest ends by itself, in the bucket too, and the next one is an event. A
// worker that joins later rests a key for what is left, not for the whole.
func TestRestEnds(t *testing.T) {
	c := newCluster(t)
	nodes := c.nodes(2)
	updates := c.watchBucket(nodes[0])
	long := keyRest(60 * time.Second)
	long.Fingerprint = "long"
	nodes[0].Report(report(time.Now(), keyRest(800*time.Millisecond), long))
	c.await(nodes[1], "the key rests", func() bool { return nodes[1].leftOf("k") > 0 })
	c.counted(2)
	c.passes(updates, "m.p.k.m") // the server's seconds are whole ones
	for _, s := range nodes {
		if got := s.leftOf("k"); got != 0 {
			t.Errorf("got %v left, want 0", got)
		}
	}

	late := c.node()
	if got := late.leftOf("long"); got > 59*time.Second+noise || got < 30*time.Second {
		t.Errorf("joined a second later: got %v left, want at most 59 s", got)
	}

	nodes[1].Report(report(time.Now(), keyRest(60*time.Second)))
	c.await(late, "the key rests again", func() bool { return late.leftOf("k") > 0 })
	c.counted(1)
}

// The bucket lives in memory. When its server comes back without it, the
// workers write again what they know, without events.
func TestServerLosesTheBucket(t *testing.T) {
	c := newCluster(t)
	nodes := c.nodes(3)
	nodes[0].Report(report(time.Now(), keyRest(60*time.Second)))
	for _, s := range nodes {
		c.await(s, "the key rests", func() bool { return s.leftOf("k") > 0 })
	}
	c.settle(nodes...)
	c.counted(1)

	c.stop()
	c.start()
	late := c.service() // has seen nothing before
	c.t.Cleanup(c.run(late))
	c.await(late, "the key rests", func() bool { return late.leftOf("k") > 0 })
	for _, s := range append(nodes, late) {
		wantLeft(t, "node", s.leftOf("k"), 60*time.Second)
	}
	c.settle(nodes...)
	c.noEvent()
}

// While the bus is away a rest is in force where it was set; the others learn
// of it when the bus is back, and it is one event.
func TestRestWhileTheBusIsAway(t *testing.T) {
	c := newCluster(t)
	nodes := c.nodes(2)
	c.stop()
	nodes[0].Report(report(time.Now(), keyRest(60*time.Second)))
	if got := nodes[0].leftOf("k"); got == 0 {
		t.Error("the rest is not in force where it was set")
	}
	c.noEvent()
	c.start()
	c.await(nodes[1], "the key rests", func() bool { return nodes[1].leftOf("k") > 0 })
	wantLeft(t, "other node", nodes[1].leftOf("k"), 60*time.Second)
	c.settle(nodes...)
	c.counted(1)
	c.noEvent()
}

func TestReset(t *testing.T) {
	c := newCluster(t)
	nodes := c.nodes(3)
	other := keyRest(60 * time.Second)
	other.Provider = "q"
	nodes[0].Report(report(time.Now(), keyRest(60*time.Second), other,
		llm.Rest{Scope: llm.ScopeKey, Provider: "p", Fingerprint: "k", For: time.Minute, Cause: "auth"},
		llm.Rest{Scope: llm.ScopeProvider, Provider: "p", For: time.Minute, Cause: "rate_limit"},
		llm.Rest{Scope: llm.ScopeBreaker, Provider: "p", Model: "m.1", For: time.Minute, Cause: "x"}))
	for _, s := range nodes {
		c.await(s, "all rest", func() bool { return len(s.Rests(time.Now())) == 5 })
	}
	gone := c.service()
	c.run(gone)() // has seen them, and is not there when they are reset

	n, err := c.service().Reset(context.Background(), "p") // as the command line does
	if err != nil || n != 4 {
		t.Errorf("got %d, %v, want 4 deleted", n, err)
	}
	if got := gone.Cooldowns(time.Now())["p"]; got != 4 {
		t.Errorf("the absent node: got %d rests, want its 4", got)
	}
	c.t.Cleanup(c.run(gone))
	for _, s := range append(nodes, gone) {
		c.await(s, "one rests", func() bool { return len(s.Rests(time.Now())) == 1 })
		if got := s.Cooldowns(time.Now()); got["p"] != 0 || got["q"] != 1 {
			t.Errorf("got %v, want only q's", got)
		}
	}
}

// A write whose idea of the revision is wrong finds out and is made.
func TestStaleRevision(t *testing.T) {
	c := newCluster(t)
	nodes := c.nodes(2)
	k := refOf(keyRest(0))
	nodes[0].board.mu.Lock()
	nodes[0].board.linkLocked(k).revision = 4711
	nodes[0].board.mu.Unlock()
	nodes[0].Report(report(time.Now(), keyRest(60*time.Second)))
	c.await(nodes[1], "the key rests", func() bool { return nodes[1].leftOf("k") > 0 })
	c.counted(1)
}

// What another version or a stranger writes is left alone.
func TestUnreadableEntries(t *testing.T) {
	c := newCluster(t)
	s := c.node()
	for key, data := range map[string]string{
		"m.p.k.m": `not json`,
		"k.p.k":   `{"scope":"key","provider":"q","key_fp":"k","ms":60000}`,
		"p.p":     `{"scope":"nonsense","provider":"p","ms":60000}`,
	} {
		if err := s.js.Conn().Publish(subjectOf(key), []byte(data)); err != nil {
			t.Fatal(err)
		}
	}
	s.Report(report(time.Now(), llm.Rest{Scope: llm.ScopeKey, Provider: "p", Fingerprint: "z", For: time.Minute}))
	late := c.node()
	c.await(late, "the last one rests", func() bool { return late.leftOf("z") > 0 })
	if got := late.Rests(time.Now()); len(got) != 1 {
		t.Errorf("got %+v, want one rest", got)
	}
}
