//go:build linux

// Command suite measures what the gateway adds to a request, side by side with
// no gateway at all and with the plainest Go reverse proxy. It builds and starts
// everything it needs, runs each scenario against each target in turn, the order
// turned by one place a round, and prints tables of medians. Run it from the
// module's root:
//
//	go run ./bench/cmd/suite            one short round, about 2 min
//	go run ./bench/cmd/suite -full      three long rounds, the Anthropic protocol, memory
//	go run ./bench/cmd/suite -old FILE  beside it a gateway built at another commit
//	go run ./bench/cmd/suite -roles     beside it ingress, worker and log sink apart, over a NATS server:
//	                                    the processor time of the four together
//
// "CPU ÷ floor" is the gateway's processor time for a request divided by that of
// the reverse proxy in the same round. It is the figure that hardly feels what
// else runs on the machine; compare it within one scenario only. In the closed
// loop (…-max) the load generator and the upstream share the cores with the
// gateway: answers a second is what the three together manage. "CPU ÷ pass-through"
// is what a conversion costs: the gateway's processor time for streams that it
// converts, divided by that for streams which pass through, in the same round.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

func main() {
	log.SetFlags(0)
	var o options
	flag.BoolVar(&o.full, "full", false, "three rounds of all scenarios, each measured longer")
	flag.IntVar(&o.rounds, "rounds", 0, "rounds; 0 means 1, with -full 3")
	flag.DurationVar(&o.duration, "duration", 0, "how long to measure each scenario; 0 means 5s, with -full 10s")
	only := flag.String("only", "", "scenarios to run, separated by commas")
	flag.StringVar(&o.bin, "bin", "", "folder that holds the programs already built; they are built when empty")
	flag.StringVar(&o.logs, "logs", "", "folder for the programs' logs; they are thrown away when empty")
	flag.StringVar(&o.old, "old", "", "another gateway, built at another commit, to measure in the same rounds")
	flag.BoolVar(&o.roles, "roles", false, "measure in the same rounds ingress, worker and log sink as processes of their own, over a NATS server")
	flag.Parse()
	if *only != "" {
		o.only = strings.Split(*only, ",")
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := bench(ctx, o, os.Stdout); err != nil {
		log.Fatal("bench: ", err)
	}
}

// options are the command line.
type options struct {
	full      bool
	rounds    int
	duration  time.Duration
	only      []string
	bin, logs string
	old       string
	roles     bool
}

func (o options) withDefaults() options {
	rounds, duration := 1, 5*time.Second
	if o.full {
		rounds, duration = 3, 10*time.Second
	}
	if o.rounds <= 0 {
		o.rounds = rounds
	}
	if o.duration <= 0 {
		o.duration = duration
	}
	return o
}

// bench builds, starts, measures, prints, and leaves nothing behind.
func bench(ctx context.Context, o options, out io.Writer) (err error) {
	o = o.withDefaults()
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if o.bin == "" {
		o.bin = dir
		if err := build(ctx, dir, o.roles); err != nil {
			return err
		}
	}
	if o.old != "" {
		if o.old, err = filepath.Abs(o.old); err != nil {
			return err
		}
	}
	f := &fleet{bin: o.bin, dir: dir, logs: o.logs, old: o.old, roles: o.roles}
	defer f.stop()
	if err := f.start(ctx); err != nil {
		return err
	}
	runs, err := f.measure(ctx, o)
	if err != nil {
		return err
	}
	for _, s := range scenarios {
		if r := runs[s.name]; r != nil {
			fmt.Fprintln(out, table(s, r))
		}
	}
	return nil
}
