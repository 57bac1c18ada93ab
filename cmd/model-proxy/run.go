package main

import (
	"context"
	"net"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func (a *app) runCommand() *cobra.Command {
	var f flags
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run the whole gateway in one process",
		Long: `Run the whole gateway in one process: queue, ingress, workers and log sink.
The queue is an embedded NATS server unless NATS_URL names another one.
SIGHUP reloads the configuration, SIGTERM drains, a second one cuts.`,
		Example: "  model-proxy run --demo\n  model-proxy run --port 9876 --config ./config --env-file .env",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := a.resolve(cmd, &f); err != nil {
				return err
			}
			if f.demo {
				return a.demo(cmd, &f)
			}
			n, err := a.newNode(cmd, &f)
			if err != nil {
				return err
			}
			return a.gateway(cmd.Context(), n, nil)
		},
	}
	fs := cmd.Flags()
	f.addListen(fs)
	f.addConfig(fs)
	f.addData(fs)
	f.addConcurrency(fs)
	f.addPools(fs)
	f.addReload(fs)
	f.addDrain(fs)
	f.addLog(fs)
	fs.IntVar(&f.workers, "workers", 1, "worker instances")
	fs.StringVar(&f.natsListen, "nats-listen", "", "host:port where worker processes elsewhere may join the embedded queue; off by default")
	fs.BoolVar(&f.demo, "demo", false, "serve a built-in simulated provider: no provider key needed")
	return cmd
}

// gateway runs every role in this process until it is told to stop.
func (a *app) gateway(ctx context.Context, n *node, ready func(net.Addr)) error {
	var addr net.Addr
	workers := func(ctx context.Context) error { return n.startWorkers(ctx, n.flags.workers) }
	listen := func(ctx context.Context) (err error) { addr, err = n.startIngress(ctx); return err }
	if up, err := n.begin(ctx, n.startControl, n.openBus, n.startSink, workers, listen); !up {
		return err
	}
	close(n.up)
	debug.FreeOSMemory() // nobody needs what reading the configuration left behind
	n.log.Info("listening", "address", addr.String(), "models", len(n.source.Current().Models), "workers", n.flags.workers,
		"config_revision", n.source.Current().Revision)
	if ready != nil {
		ready(addr)
	}
	return n.wait(ctx)
}
