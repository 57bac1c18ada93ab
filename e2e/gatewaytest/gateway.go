package gatewaytest

import (
	"encoding/json"
	"slices"
	"strconv"
	"testing"
	"time"

	"model-proxy/e2e/clock"
	"model-proxy/internal/provider/mock"
)

// startWithin bounds the start of a process, and what else has no time of its
// own, on a machine that is busy.
const startWithin = time.Minute

// Gateway is what clients talk to: a process that listens, and the folder that
// holds its records.
type Gateway struct {
	*Process
	URL  string
	Data string // of the process that stores the records
	// Clock leaves out what the machine did not give the test.
	Clock *clock.Clock
	t     testing.TB
}

// Run starts the whole gateway in one process.
func Run(t testing.TB, u *Upstream, s Setup) *Gateway {
	t.Helper()
	g := &Gateway{t: t, Data: t.TempDir(), Clock: clock.New(t)}
	args := append([]string{"run", "--config", s.write(t, u.URL, ""), "--data", g.Data}, listenFlags...)
	g.Process = Start(t, "run", s.environment(), append(args, s.Flags...)...)
	g.URL = g.awaitAddress("listening")
	return g
}

var listenFlags = []string{"--host", "127.0.0.1", "--port", "0", "--log-format", "json"}

// awaitAddress reads from the log where the process listens.
func (p *Process) awaitAddress(message string) string {
	p.t.Helper()
	var line struct{ Address string }
	said := p.AwaitLog(`"msg":"`+message+`"`, startWithin)
	if err := json.Unmarshal([]byte(said), &line); err != nil {
		p.t.Fatalf("log line %q: %v", said, err)
	}
	return "http://" + line.Address
}

// Cluster is a gateway whose roles are processes of their own, around a NATS
// server.
type Cluster struct {
	*Gateway       // the first ingress
	NATS     *NATS // nil where there are several servers
	Sink     *Process
	Workers  []*Worker

	t     testing.TB
	bus   Bus
	u     *Upstream
	setup Setup
	data  string // of the sink
	clock *clock.Clock
}

// Bus is where a cluster's processes meet: one NATS server, or several.
type Bus interface {
	URL() string
	// urlOf is the address with the user of a role in it.
	urlOf(role string) string
}

// Worker is one worker process.
type Worker struct {
	*Process
	Name string // as the ledger knows it
}

// NewCluster starts a NATS server, a log sink, an ingress and so many workers.
func NewCluster(t testing.TB, u *Upstream, s Setup, workers int) *Cluster {
	t.Helper()
	return NewClusterOn(t, StartNATS(t), u, s, workers)
}

// NewClusterOn is NewCluster on a NATS server that runs already.
func NewClusterOn(t testing.TB, n Bus, u *Upstream, s Setup, workers int) *Cluster {
	t.Helper()
	c := &Cluster{t: t, bus: n, u: u, setup: s, clock: clock.New(t)}
	c.NATS, _ = n.(*NATS)
	c.data = t.TempDir()
	c.RestartSink() // it makes the streams: one process has to be the first
	for range workers {
		c.AddWorker(c.BusURL())
	}
	c.Gateway = c.AddIngress()
	for _, w := range c.Workers {
		w.AwaitLog(`"msg":"started"`, startWithin)
	}
	if workers > 0 {
		Await(t, startWithin, "the ingress to see the workers", func() bool {
			return c.Metrics().Sum("model_proxy_workers_seen") == float64(workers)
		})
	}
	return c
}

// start starts one role.
func (c *Cluster) start(role, servedBy, natsURL string, flags ...string) *Process {
	c.t.Helper()
	if natsURL == c.BusURL() {
		natsURL = c.bus.urlOf(role)
	}
	args := []string{role, "--log-format", "json"}
	if !slices.Contains(flags, "--data") {
		flags = append(flags, "--data", c.t.TempDir())
	}
	config := ""
	if role != "logsink" {
		config = c.setup.write(c.t, c.u.URL, servedBy)
		flags = append(flags, "--config", config)
	}
	args = append(append(args, flags...), c.setup.Flags...)
	p := Start(c.t, role+" "+servedBy, append(c.setup.environment(), "NATS_URL="+natsURL), args...)
	p.Config = config
	return p
}

// BusURL is the address of the cluster's NATS servers.
func (c *Cluster) BusURL() string { return c.bus.URL() }

// Change changes the setup of the processes that are started from now on.
func (c *Cluster) Change(f func(*Setup)) { f(&c.setup) }

// Config writes a folder of the configuration and returns it.
func (c *Cluster) Config() string { return c.setup.write(c.t, c.u.URL, "") }

// Command starts a command against the cluster's NATS server, as its admin.
func (c *Cluster) Command(args ...string) *Process {
	c.t.Helper()
	return Start(c.t, args[0], append(c.setup.environment(), "NATS_URL="+c.bus.urlOf("admin")), args...)
}

// RestartSink starts the log sink, again after it has ended.
func (c *Cluster) RestartSink() {
	c.t.Helper()
	c.Sink = c.start("logsink", "", c.BusURL(), "--data", c.data)
	c.Sink.AwaitLog(`"msg":"started"`, startWithin)
}

// AddSink starts another log sink, which keeps its files elsewhere. Two need a
// store of their own, ClickHouse.
func (c *Cluster) AddSink() *Process {
	c.t.Helper()
	p := c.start("logsink", "", c.NATS.URL())
	p.AwaitLog(`"msg":"started"`, startWithin)
	return p
}

// AddWorker starts another worker, which reaches NATS at the given address.
func (c *Cluster) AddWorker(natsURL string) *Worker {
	c.t.Helper()
	w := &Worker{Name: "worker-" + strconv.Itoa(len(c.Workers)+1)}
	w.Process = c.start("worker", w.Name, natsURL, "--metrics-listen", "127.0.0.1:0")
	c.Workers = append(c.Workers, w)
	return w
}

// AddIngress starts another ingress and waits until it listens.
func (c *Cluster) AddIngress() *Gateway {
	c.t.Helper()
	return c.AddIngressAt(c.BusURL())
}

// AddIngressAt is AddIngress for one that reaches NATS at the given address.
func (c *Cluster) AddIngressAt(natsURL string) *Gateway {
	c.t.Helper()
	g := &Gateway{t: c.t, Data: c.data, Clock: c.clock}
	g.Process = c.start("ingress", "", natsURL, "--host", "127.0.0.1", "--port", "0")
	g.URL = g.awaitAddress("listening")
	return g
}

// Serving is the worker that made a call of the ledger.
func (c *Cluster) Serving(e mock.Entry) *Worker {
	c.t.Helper()
	name := e.Header.Get(workerIDHeader)
	for _, w := range c.Workers {
		if w.Name == name {
			return w
		}
	}
	c.t.Fatalf("the ledger says that %q has called: no such worker", name)
	return nil
}
