package main

import (
	"context"
	"errors"
	"fmt"
	"os/signal"
	"slices"
	"sync"
	"syscall"
	"time"
)

// stage is a role that runs until it is stopped; stages stop in the reverse of
// their start.
type stage struct {
	name string
	stop context.CancelFunc
	done chan struct{}
}

// start runs a role as the node's next stage.
func (n *node) start(ctx context.Context, name string, role func(context.Context) error) {
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	s := stage{name: name, stop: stop, done: make(chan struct{})}
	n.stages = append(n.stages, s)
	go func() {
		defer close(s.done)
		if err := role(ctx); err != nil {
			n.faults <- fmt.Errorf("%s: %w", name, err)
		}
	}()
}

// begin takes the steps of the start, one after the other, and reports whether the
// node is up. If not, what had begun is stopped: a step failed, or a signal to stop
// came, which is no error.
func (n *node) begin(ctx context.Context, steps ...func(context.Context) error) (up bool, err error) {
	starting, over := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer over()
	for _, step := range steps {
		if err := step(starting); err != nil {
			_ = n.shutdown() // the first fault is the one to tell
			if starting.Err() != nil {
				n.log.Info("stopped before it was up")
				return false, nil
			}
			return false, err
		}
	}
	return true, nil
}

// wait keeps the node up until a signal, ctx's end or a role's failure, then
// stops everything in the reverse of its start.
func (n *node) wait(ctx context.Context) error {
	if n.flags.reload {
		n.start(ctx, "reload", func(ctx context.Context) error { return n.source.Watch(ctx, n.reported) })
	}
	var fault error
loop:
	for {
		select {
		case <-ctx.Done():
			break loop
		case fault = <-n.faults:
			break loop
		case s := <-n.signals:
			if s == syscall.SIGHUP {
				n.reported(n.source.Reload())
				continue
			}
			n.log.Info("draining", "for_at_most", n.flags.drain)
			break loop
		}
	}
	stopped := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() { // a second signal cuts what is still running
		for {
			select {
			case <-stopped:
				return
			case s := <-n.signals:
				if s != syscall.SIGHUP {
					n.log.Warn("cutting what is still running")
					close(n.cut)
					<-stopped
					return
				}
			}
		}
	})
	fault = errors.Join(fault, n.shutdown())
	close(stopped)
	watch.Wait()
	return fault
}

// reported logs what became of a reload.
func (n *node) reported(err error) {
	if err != nil {
		n.log.Error("reload refused; the running configuration stays", "error", err)
		return
	}
	n.log.Info("configuration reloaded", "revision", n.source.Current().Revision)
}

// lastSpansWithin is how long a collector may take for the last spans.
const lastSpansWithin = 3 * time.Second

// shutdown stops the stages one after the other, the newest first.
func (n *node) shutdown() error {
	defer signal.Stop(n.signals)
	for _, s := range slices.Backward(n.stages) {
		s.stop()
		<-s.done
	}
	last, end := context.WithTimeout(context.Background(), lastSpansWithin)
	defer end()
	if err := n.traces.Close(last); err != nil {
		n.log.Warn("spans lost", "error", err)
	}
	for _, c := range n.conns {
		c.Close()
	}
	if n.server != nil {
		n.server.Shutdown()
	}
	var faults []error
	if n.reader != nil {
		faults = append(faults, n.reader.Close())
	}
	for len(n.faults) > 0 {
		faults = append(faults, <-n.faults)
	}
	return errors.Join(faults...)
}
