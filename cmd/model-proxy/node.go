package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/julienschmidt/httprouter"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"

	"model-proxy/config"
	"model-proxy/ingress"
	"model-proxy/internal/bus"
	"model-proxy/internal/limit"
	"model-proxy/internal/llm"
	"model-proxy/internal/provider"
	"model-proxy/internal/telemetry"
	"model-proxy/internal/usage"
	"model-proxy/keysvc"
	"model-proxy/logsink"
	"model-proxy/worker"
)

// node is one process of the gateway: what its roles share.
type node struct {
	flags    flags
	env      *config.Environment
	source   *config.Source
	log      *slog.Logger
	server   *bus.Server // embedded, nil with NATS_URL
	bus      bus.Config
	registry *prometheus.Registry
	traces   *telemetry.Traces // nil if none are asked for
	signals  chan os.Signal    // never closed
	cut      chan struct{}     // closed by the second signal
	up       chan struct{}     // closed once every role has started

	ingress *ingress.Server  // nil if this process has none
	keys    *keysvc.Service  // nil in a process without workers
	records *usage.Packer    // nil in a process that makes none
	sink    *logsink.Sink    // nil if this process has none
	reader  logsink.Reader   // of the records, nil in a process without a store
	workers []*worker.Worker // complete before /metrics is served
	stages  []stage          // in the order of their start
	conns   []*bus.Conn
	toLog   *bus.Conn // one of them: no job waits behind records, which are large
	faults  chan error
}

// newNode reads environment and configuration and prepares the process. f is
// what cmd's flags are bound to, so that the environment fills the rest of it.
func (a *app) newNode(cmd *cobra.Command, f *flags) (n *node, err error) {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGTERM, syscall.SIGINT) // from now on: one that comes before the roles are up is for them too
	defer func() {
		if err != nil {
			signal.Stop(signals)
		}
	}()
	env, err := a.resolve(cmd, f)
	if err != nil {
		return nil, err
	}
	if err := natsFiles(env.Vars); err != nil {
		return nil, err
	}
	log, err := newLogger(a.stderr, f.logLevel, f.logFormat)
	if err != nil {
		return nil, usageError{err}
	}
	n = &node{flags: *f, env: env, log: log, registry: prometheus.NewRegistry(), signals: signals, cut: make(chan struct{}), up: make(chan struct{}), faults: make(chan error, 16)}
	n.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), roleTotals{n}, buildInfo())
	if n.source, err = config.Open(config.Options{Dir: f.config, EnvFile: f.envFile, Environ: a.environ}); err != nil {
		return nil, usageError{err}
	}
	for _, p := range n.source.Current().Problems {
		if p.Warning {
			log.Warn("configuration", "problem", p.Error())
			continue
		}
		log.Error("configuration: left out", "problem", p.Error())
	}
	if n.traces, err = telemetry.NewTraces(env.Lookup, version, log); err != nil {
		return nil, usageError{err}
	}
	if n.traces != nil {
		n.registry.MustRegister(n.traces)
	}
	tuneMemory(env)
	n.bus = busConfig(env, log)
	return n, nil
}

// natsFiles reports a file that NATS_CREDS or its like names in vain. The client
// library would have the process wait for it as for a server.
func natsFiles(v config.Vars) error {
	for _, f := range []struct{ variable, file string }{{"NATS_CREDS", v.NATSCreds}, {"NATS_CA", v.NATSCA}, {"NATS_CERT", v.NATSCert}, {"NATS_KEY", v.NATSKey}} {
		if f.file == "" {
			continue
		}
		opened, err := os.Open(f.file)
		if err != nil {
			return usageError{fmt.Errorf("%s: %w", f.variable, err)}
		}
		_ = opened.Close() // it was only read
	}
	return nil
}

// busConfig is what the environment says of the bus.
func busConfig(env *config.Environment, log *slog.Logger) bus.Config {
	v := env.Vars
	return bus.Config{URL: v.NATSURL.Reveal(), Creds: v.NATSCreds, Token: v.NATSToken.Reveal(), CA: v.NATSCA, Cert: v.NATSCert, Key: v.NATSKey,
		Replicas: v.NATSReplicas, QueueMaxRequests: v.QueueMaxRequests, QueueMaxPerClient: v.QueueMaxPerClient,
		QueueMaxBytes: v.QueueMaxBytes, LogMaxBytes: v.LogMaxBytes, Log: log}
}

// levelOf has the levels that the predecessor's --log-level took besides.
var levelOf = map[string]string{"trace": "debug", "warning": "warn", "critical": "error"}

func newLogger(w io.Writer, level, format string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(cmp.Or(levelOf[strings.ToLower(level)], level))); err != nil {
		return nil, fmt.Errorf("--log-level %q: want debug, info, warn or error", level)
	}
	switch opts := (&slog.HandlerOptions{Level: l}); format {
	case "text":
		return slog.New(slog.NewTextHandler(w, opts)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, opts)), nil
	}
	return nil, fmt.Errorf("--log-format %q: want text or json", format)
}

// openBus starts the embedded server or finds the external one, and makes sure
// the streams are there.
func (n *node) openBus(ctx context.Context) error {
	if n.bus.URL == "" {
		var err error
		n.server, err = bus.StartServer(bus.ServerConfig{Dir: filepath.Join(n.flags.data, "nats"), Listen: n.flags.natsListen,
			Token: n.bus.Token, QueueMax: n.bus.QueueMaxBytes * 2, Log: n.log})
		if errors.Is(err, bus.ErrListen) {
			return usageError{err}
		}
		if err != nil {
			return err
		}
		n.bus.Server = n.server
	}
	var err error
	if n.toLog, err = n.connect(ctx, "records"); err != nil {
		return err
	}
	return n.toLog.Ensure(ctx)
}

func (n *node) connect(ctx context.Context, role string) (*bus.Conn, error) {
	c, err := bus.Connect(ctx, n.bus, role)
	if errors.Is(err, bus.ErrURL) {
		return nil, usageError{fmt.Errorf("NATS_URL: %w", err)}
	}
	if err == nil {
		n.conns = append(n.conns, c)
	}
	return c, err
}

// startWorkers starts the key service and as many workers as asked for.
func (n *node) startWorkers(ctx context.Context, count int) error {
	conn, err := n.connect(ctx, "keys")
	if err != nil {
		return err
	}
	events := newCooldownEvents(n.source.Current())
	n.registry.MustRegister(events)
	keys := keysvc.New(keysvc.Options{JetStream: conn.JetStream(), Replicas: n.bus.Replicas, Log: n.log,
		Event: func(r llm.Rest) { events.WithLabelValues(r.Provider, string(r.Scope)).Inc() }})
	n.keys = keys
	conn.OnReconnect(keys.Rewatch)
	unpriced := newUnpriced(n.source.Current())
	n.registry.MustRegister(cooldowns{keys, n.source.Current}, unpriced)
	n.start(ctx, "keys", keys.Run)
	upstream := provider.New(provider.Options{})
	pools := n.flags.pools
	if len(pools) == 0 {
		pools = allPools(n.source.Current())
	}
	for i := range count {
		conn, err := n.connect(ctx, "worker "+strconv.Itoa(i+1))
		if err != nil {
			return err
		}
		id := bus.NewWorkerID()
		if err := n.startRecords(ctx, id); err != nil {
			return err
		}
		w, err := worker.New(worker.Config{ID: id, Replicas: n.bus.Replicas, Conn: conn, Snapshot: n.source.Current, Keys: keys, Upstream: upstream, Records: n.records,
			Pools: pools, Concurrency: n.flags.concurrency, Drain: n.flags.drain, Cut: n.cut, Tracer: n.traces.Tracer(), Log: n.log,
			Unpriced: func(model string) { unpriced.WithLabelValues(model).Inc() }})
		if err != nil {
			return err
		}
		n.workers = append(n.workers, w)
		n.start(ctx, "worker "+w.ID(), w.Run)
	}
	return nil
}

// allPools are the pools that models name, and the default one.
func allPools(s *config.Snapshot) []string {
	pools := []string{bus.DefaultPool}
	for _, m := range s.Models {
		if !slices.Contains(pools, m.Pool) {
			pools = append(pools, m.Pool)
		}
	}
	slices.Sort(pools)
	return pools
}

// startRecords starts the process's way to LOG, under the id of its first role:
// one for all roles, since each message costs LOG a write to disk.
func (n *node) startRecords(ctx context.Context, id string) error {
	if n.records != nil {
		return nil
	}
	spool, err := usage.OpenSpool(filepath.Join(n.flags.data, "spool"), n.env.Vars.SpoolMaxBytes)
	if err != nil {
		return err
	}
	n.records = usage.NewPacker(usage.PackerConfig{Process: id, Publisher: usage.PublishFunc(n.toLog.LogPublisher(id).Publish), Spool: spool, Log: n.log,
		Added: telemetry.NewMetrics(n.registry, n.source.Current).Recorded})
	n.start(ctx, "records", n.records.Run)
	return nil
}

// startIngress listens and starts the ingress. It returns the address.
func (n *node) startIngress(ctx context.Context) (net.Addr, error) {
	if len(n.source.Current().Models) == 0 {
		n.log.Warn("there is no model to serve", "mend", "set a provider's key, such as OPENAI_API_KEY, or add models of your own")
	}
	conn, err := n.connect(ctx, "ingress")
	if err != nil {
		return nil, err
	}
	if err := n.ensureLimits(ctx, conn); err != nil {
		return nil, err
	}
	id := bus.NewIngressID()
	if err := n.startRecords(ctx, id); err != nil {
		return nil, err
	}
	pages, err := n.pages()
	if err != nil {
		return nil, err
	}
	if !n.env.Vars.ClickHouseDSN.IsZero() { // else the records are where the sink is
		if err := n.openReader(); err != nil {
			return nil, err
		}
	}
	v := n.env.Vars
	in, err := ingress.New(ingress.Config{ID: id, Conn: conn, Snapshot: n.source.Current, Records: n.records, Replicas: n.bus.Replicas,
		MaxRequestBytes: v.MaxRequestBytes, MaxBodyMemory: bodyMemory(v.MaxBodyMemory), Drain: n.flags.drain, Cut: n.cut, Tracer: n.traces.Tracer(), Log: n.log,
		Components: n.components, Mount: func(r *httprouter.Router) { mount(r, pages) }})
	if err != nil {
		return nil, err
	}
	n.ingress = in
	n.registry.MustRegister(in, queueDepth{conn, in.Held})
	listener, err := net.Listen("tcp", net.JoinHostPort(n.flags.host, strconv.Itoa(n.flags.port)))
	if err != nil {
		return nil, fmt.Errorf("listen: %w; choose another --port, or end what uses it", err)
	}
	n.start(ctx, "ingress", func(ctx context.Context) error { return in.Run(ctx, listener) })
	return listener.Addr(), nil
}

// ensureLimits makes the streams of the limits: replicated ones take longer than
// a request waits. A cluster may make one and lose its answer, and a machine that
// is busy take its time: a minute of tries, each longer than the one before, is
// enough for both.
func (n *node) ensureLimits(ctx context.Context, conn *bus.Conn) (err error) {
	for wait := 2 * time.Second; wait <= 32*time.Second; wait *= 2 {
		within, stop := context.WithTimeout(ctx, wait)
		err = limit.EnsureStreams(within, conn.JetStream(), n.bus.Replicas)
		stop()
		if !errors.Is(err, context.DeadlineExceeded) {
			return err
		}
		n.log.Warn("waiting for the streams of the limits", "error", err)
	}
	return err
}
