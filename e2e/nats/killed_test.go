package nats_test

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"model-proxy/e2e/gatewaytest"
	"model-proxy/internal/provider/mock"
)

// longer makes the tests that wait for something wait as long as it names, in
// place of what suits a test run.
const longer = "MODEL_PROXY_E2E_OUTAGE"

// outage is how long NATS is away.
func outage(t *testing.T) time.Duration {
	t.Helper()
	v := os.Getenv(longer)
	if v == "" {
		return 10 * time.Second
	}
	d, err := time.ParseDuration(v)
	if err != nil {
		t.Fatalf("%s: %v", longer, err)
	}
	return d
}

// awaitServed waits until each ingress has served a request: servers that have to
// agree first may need a while on a busy machine.
func awaitServed(t *testing.T, what string, over ...*gatewaytest.Gateway) {
	t.Helper()
	probe := gatewaytest.Protocols[0].Plain("hello").With("X-Request-Id", "probe", "X-Model-Proxy-Timeout-Ms", "2000")
	for _, g := range over {
		gatewaytest.Await(t, patience, what, func() bool { return g.Do(t, probe).Status == 200 })
	}
}

// openLong opens streams that go on for a while, over the ingresses in turn.
func openLong(t *testing.T, over []*gatewaytest.Gateway, n, chunks int) []*gatewaytest.Stream {
	t.Helper()
	var long []*gatewaytest.Stream
	for i := range n {
		s := over[i%len(over)].MustOpen(t, gatewaytest.Protocols[i%2].Stream("on and on").With("X-Request-Id", "long-"+strconv.Itoa(i), "X-Mock-Chunks", strconv.Itoa(chunks)))
		s.MustEvents(t, 5)
		long = append(long, s)
	}
	return long
}

// loaded is a cluster on three servers, with two ingresses that both have
// streams under way and a load of short requests.
type loaded struct {
	servers *gatewaytest.NATSServers
	u       *gatewaytest.Upstream
	cluster *gatewaytest.Cluster
	both    []*gatewaytest.Gateway
	long    []*gatewaytest.Stream
	before  int              // answers that the upstream sent before those of long
	stop    func() [][]asked // ends the load
}

func startLoaded(t *testing.T, streams, chunks, clients int) *loaded {
	t.Helper()
	u := gatewaytest.NewUpstream(t, mock.Options{Fault: mock.Fault{TTFT: 20 * time.Millisecond, Delay: 20 * time.Millisecond, Chunks: 20}})
	n := gatewaytest.StartNATSServers(t)
	c := gatewaytest.NewClusterOn(t, n, u, onThree, 2)
	both := []*gatewaytest.Gateway{c.Gateway, c.AddIngress()}
	awaitServed(t, "the cluster to serve", both...)
	before := len(u.Sent())
	long := openLong(t, both, streams, chunks)
	over := make(chan struct{})
	all := make(chan [][]asked, 1)
	go func() { all <- load(t, both, clients, over) }()
	gatewaytest.Await(t, patience, "the load to run", func() bool { return len(u.Requests()) > 60 })
	return &loaded{n, u, c, both, long, before, func() [][]asked { close(over); return <-all }}
}

// The server that leads the queue is killed under load, and comes back: streams
// under way lose nothing, requests wait or are told to come back, and what was
// admitted has one record, every call one attempt's.
func TestLeaderKilled(t *testing.T) {
	t.Parallel()
	s := startLoaded(t, 6, 600, 8)
	leader := s.servers.Leader("REQ")
	killed := time.Now()
	leader.Kill()
	awaitServed(t, "a request to be served without the old leader", s.both...)
	t.Logf("served again by both ingresses after %v", time.Since(killed).Round(time.Millisecond))
	for i, stream := range s.long {
		if got, err := stream.Rest(); err != nil || !gatewaytest.Protocols[i%2].Ended(got) {
			t.Errorf("stream %d: %v, properly ended %t", i, err, gatewaytest.Protocols[i%2].Ended(got))
		}
	}
	leader.Start()
	check(t, s.cluster, s.u, s.stop())
}

// An ingress that is with one server on one side, and the other two on the other,
// says so within two seconds and keeps nothing; an ingress on the other side goes
// on. When they are together again both serve, and what was refused never runs.
func TestMinorityPartition(t *testing.T) {
	t.Parallel()
	u := gatewaytest.NewUpstream(t, mock.Options{})
	n := gatewaytest.StartNATSServers(t)
	alone := n.Servers[0]
	c := gatewaytest.NewClusterOn(t, n.Without(alone), u, onThree, 2)
	inside := c.AddIngressAt(alone.URL())
	p := gatewaytest.Protocols[0]
	awaitServed(t, "the cluster to serve", inside)
	heal := n.Isolate(alone)
	cut := time.Now()
	refused, served := map[string]bool{}, 0
	const giveUp = 12 * time.Second // longer than a leader that is alone takes to give up
	for i := 0; time.Since(cut) < giveUp || served == 0 && time.Since(cut) < patience; i++ {
		p := gatewaytest.Protocols[i%2]
		id := "inside-" + strconv.Itoa(i)
		a := inside.Do(t, p.Plain("inside").With("X-Request-Id", id))
		refused[id] = true
		if a.Err != nil || a.Status != 503 || a.Header.Get("Retry-After") == "" || a.Active > 3*time.Second {
			t.Errorf("inside: got %d, Retry-After %q, %v after %v: %s; want 503 with a time within 2 s", a.Status, a.Header.Get("Retry-After"), a.Err, a.Active, a.Body)
		}
		if err := p.CheckError(a.Body); err != nil {
			t.Error(err)
		}
		switch a := c.Do(t, p.Plain("outside")); {
		case a.Status == 200:
			served++
		case a.Status != 503 || served > 0 && !a.Unconfirmed() && time.Since(cut) > giveUp:
			t.Errorf("outside, %v after the cut: got %d: %s", time.Since(cut), a.Status, a.Body)
		}
	}
	if served == 0 {
		t.Errorf("outside: nothing was served for %v", patience)
	}
	heal()
	gatewaytest.Await(t, patience, "the ingress inside to serve again", func() bool { return inside.Do(t, p.Plain("after")).Status == 200 })
	t.Logf("%d requests refused inside; served again %v after the cut", len(refused), time.Since(cut).Round(time.Millisecond))
	gatewaytest.Await(t, patience, "the ingress outside to serve again", func() bool {
		return c.Do(t, p.Plain("after").With("X-Request-Id", "last")).Status == 200
	})
	c.AwaitRow(t, "last", patience)
	for _, row := range c.Requests(t, "") {
		if refused[row.RequestID] {
			t.Errorf("%s was refused and has a row: %+v", row.RequestID, row)
		}
	}
	for _, call := range u.Calls() {
		if strings.Contains(call.Asked, `"inside"`) {
			t.Errorf("a refused request reached the provider: %s", call.Asked)
		}
	}
}

// All three servers are killed and stay away: new requests are refused at once,
// streams end with an error event within 5 s, and after the servers' return no
// record of what was served is missing or there twice.
func TestEveryServerKilled(t *testing.T) {
	t.Parallel()
	s := startLoaded(t, 4, 5000, 4)
	killed := time.Now()
	s.servers.KillAll()
	for i, stream := range s.long {
		got, err := stream.Rest()
		if took := s.cluster.Clock.Since(killed); err != nil || took > 7*time.Second {
			t.Errorf("stream %d ended after %v with %v; want an error event within 5 s", i, took, err)
		}
		if err := gatewaytest.Protocols[i%2].CheckCut(got, s.u.Sent()[s.before+i]); err != nil {
			t.Errorf("stream %d: %v", i, err)
		}
	}
	t.Logf("from the kill to the last stream's end: %v", time.Since(killed).Round(time.Millisecond))
	for time.Since(killed) < outage(t) {
		for i, g := range s.both {
			a := g.Do(t, gatewaytest.Protocols[i].Plain("meanwhile"))
			if a.Status != 503 || a.Header.Get("Retry-After") == "" || a.Active > 3*time.Second {
				t.Errorf("meanwhile: got %d, Retry-After %q after %v; want 503 with a time within 2 s", a.Status, a.Header.Get("Retry-After"), a.Active)
			}
		}
		<-time.After(200 * time.Millisecond)
	}
	s.servers.StartAll()
	returned := time.Now()
	awaitServed(t, "a request to be served after the servers' return", s.both...)
	t.Logf("served again by both ingresses %v after the servers were ready", time.Since(returned).Round(time.Millisecond))
	check(t, s.cluster, s.u, s.stop())
	for i := range s.long {
		if row := s.cluster.AwaitRow(t, "long-"+strconv.Itoa(i), patience); row.Outcome != "incomplete" {
			t.Errorf("stream %d: got %s, want incomplete", i, row.Outcome)
		}
	}
}
