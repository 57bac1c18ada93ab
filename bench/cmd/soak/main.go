//go:build linux

// Command soak runs the gateway for a long time under mixed load and checks
// every answer and every record. It builds the gateway, starts it between this
// load and the simulated provider, reloads the configuration every 30 s, prints
// a line of memory, goroutines, files and disk use at times, and at the end
// compares each request that it sent with the one record that must be there:
//
//	go run ./bench/cmd/soak -duration 1h -rate 150
//	go run ./bench/cmd/soak -duration 20m -roles      ingress, two workers and log sink apart, over a NATS server;
//	                                                  a worker is replaced every 2 min
//
// It ends with 1 if an answer or a record was not as it must be. Whether memory
// and the rest stayed level is for the reader of the lines to judge.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	log.SetFlags(0)
	var o options
	flag.DurationVar(&o.duration, "duration", 10*time.Minute, "how long to send requests")
	flag.IntVar(&o.rate, "rate", 150, "requests a second")
	flag.BoolVar(&o.roles, "roles", false, "run the roles as processes of their own over a NATS server")
	flag.DurationVar(&o.every, "every", time.Minute, "time between two printed lines")
	flag.StringVar(&o.dir, "dir", "", "folder for the programs' files and logs, which are kept; a temporary one when empty")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := soak(ctx, o, os.Stdout); err != nil {
		log.Fatal("soak: ", err)
	}
}

// options are the command line.
type options struct {
	duration, every time.Duration
	rate            int
	roles           bool
	dir             string
}

// reloadEvery and replaceEvery are the times between two reloads of the
// configuration and between the ends of two workers.
const (
	reloadEvery  = 30 * time.Second
	replaceEvery = 2 * time.Minute
)

// soak builds, starts, sends until the time is over or ctx ends, and checks.
func soak(ctx context.Context, o options, out io.Writer) (err error) {
	if o.dir == "" {
		if o.dir, err = os.MkdirTemp("", "soak"); err != nil {
			return err
		}
		defer os.RemoveAll(o.dir)
	}
	f := &fleet{dir: o.dir}
	defer func() { err = errors.Join(err, f.stop()) }()
	if err := f.start(ctx, o.roles); err != nil {
		return err
	}
	fmt.Fprintln(out, "files in", f.dir)
	l := newLoad(f.url, int(o.duration.Seconds()+1)*o.rate)

	load, end := context.WithTimeout(ctx, o.duration)
	defer end()
	sent := make(chan struct{}) // closed when every answer has come
	go func() { defer close(sent); l.run(load, o.rate) }()
	f.watch(sent, o.every, func(s sample) { fmt.Fprintln(out, s.line(l)) })
	if err := f.records(context.WithoutCancel(ctx), l); err != nil {
		l.fault("records: %v", err)
	}
	return l.report(out)
}
