// Package worker takes one job at a time for each of its slots and makes
// attempts until one answers or the deadline passes. Which route and key come
// next is router's decision, what the bytes mean is convert's.
package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"model-proxy/config"
	"model-proxy/internal/bus"
	"model-proxy/internal/limit"
	"model-proxy/internal/provider"
	"model-proxy/internal/recall"
	"model-proxy/internal/span"
	"model-proxy/internal/usage"
	"model-proxy/keysvc"
)

// Config is what a worker needs.
type Config struct {
	ID          string // from bus.NewWorkerID
	Conn        *bus.Conn
	Snapshot    func() *config.Snapshot // the configuration at this moment
	Keys        *keysvc.Service
	Upstream    *provider.Client
	Records     *usage.Packer // runs for longer than the worker
	Replicas    int           // of the streams and buckets of limits and of kept thinking
	Pools       []string
	Concurrency int
	Drain       time.Duration
	Cut         <-chan struct{} // closed to end a drain at once
	Tracer      *span.Tracer    // nil traces nothing
	Log         *slog.Logger
	// Unpriced is called, concurrently, for each attempt whose tokens nobody
	// knows the price of, with the logical model; nil means that nobody counts.
	Unpriced func(model string)
}

// Worker serves jobs. Run serves until its context ends.
type Worker struct {
	cfg    Config
	bus    *bus.Worker
	limits *limit.Limiter // of providers' keys
	recall *recall.Store
}

// New builds a worker; it does no I/O.
func New(cfg Config) (*Worker, error) {
	w := &Worker{cfg: cfg}
	w.bus = bus.NewWorker(cfg.Conn, bus.WorkerConfig{ID: cfg.ID, Pools: cfg.Pools, Concurrency: cfg.Concurrency, Drain: cfg.Drain, Cut: cfg.Cut, Log: cfg.Log, Handle: w.handle, Orphaned: w.orphaned})
	limits, err := limit.New(cfg.Conn.NATS(), limit.Options{ID: cfg.ID, Replicas: cfg.Replicas})
	if err != nil {
		return nil, fmt.Errorf("limits of keys: %w", err)
	}
	w.limits = limits
	if w.recall, err = recall.New(cfg.Conn.NATS(), cfg.Replicas); err != nil {
		return nil, err
	}
	return w, nil
}

// ID is the worker's name on the bus and in records.
func (w *Worker) ID() string { return w.bus.ID() }

// Run serves jobs until ctx ends and those in flight have finished or were cut
// at the end of the drain. It returns when every record is with cfg.Records.
func (w *Worker) Run(ctx context.Context) error {
	rest, stop := context.WithCancel(context.WithoutCancel(ctx))
	var parts sync.WaitGroup
	var limitErr error
	parts.Go(func() { limitErr = w.limits.Run(rest) })
	err := w.bus.Run(ctx)
	stop()
	parts.Wait()
	return errors.Join(err, limitErr)
}

// handle serves one job.
func (w *Worker) handle(r *bus.Run) {
	j := &job{w: w, run: r, snap: w.cfg.Snapshot(), began: time.Now()}
	j.span = w.cfg.Tracer.Process(&r.Delivery, w.ID(), j.began)
	defer j.span.End()
	if r.Attempts > 0 {
		j.cause = string(usage.WorkerLost)
	}
	defer func() {
		if p := recover(); p != nil {
			j.panicked(p)
		}
	}()
	j.serve()
}
