package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"
)

var errNoNATS = errors.New("NATS_URL is not set: a role of its own needs a NATS server with JetStream; 'model-proxy run' brings its own")

// role builds a command that runs one role against NATS_URL.
func (a *app) role(use, short, example string, add func(*cobra.Command, *flags), start func(context.Context, *node) error) *cobra.Command {
	var f flags
	cmd := &cobra.Command{Use: use, Short: short, Example: example, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			n, err := a.newNode(cmd, &f)
			if err != nil {
				return err
			}
			if n.bus.URL == "" {
				return usageError{errNoNATS}
			}
			n.bus.Role = use
			ctx := cmd.Context()
			roles := func(ctx context.Context) error { return start(ctx, n) }
			if up, err := n.begin(ctx, n.openBus, roles, n.startMetrics); !up {
				return err
			}
			n.log.Info("started", "role", use, "config_revision", n.source.Current().Revision)
			return n.wait(ctx)
		}}
	fs := cmd.Flags()
	f.addConfig(fs)
	f.addData(fs)
	f.addLog(fs)
	f.addDrain(fs)
	f.addReload(fs)
	add(cmd, &f)
	return cmd
}

func (a *app) ingressCommand() *cobra.Command {
	return a.role("ingress", "Take clients' requests and queue them", "  NATS_URL=nats://nats:4222 model-proxy ingress --port 8000",
		func(cmd *cobra.Command, f *flags) { f.addListen(cmd.Flags()) },
		func(ctx context.Context, n *node) error {
			addr, err := n.startIngress(ctx)
			if err == nil {
				n.log.Info("listening", "address", addr.String())
			}
			return err
		})
}

func (a *app) workerCommand() *cobra.Command {
	return a.role("worker", "Serve queued requests", "  NATS_URL=nats://nats:4222 model-proxy worker --concurrency 1024",
		func(cmd *cobra.Command, f *flags) {
			f.addConcurrency(cmd.Flags())
			f.addPools(cmd.Flags())
			f.addMetrics(cmd.Flags())
		},
		func(ctx context.Context, n *node) error { return n.startWorkers(ctx, 1) })
}

func (a *app) logsinkCommand() *cobra.Command {
	return a.role("logsink", "Store the records of usage", "  NATS_URL=nats://nats:4222 model-proxy logsink --data /var/lib/model-proxy",
		func(cmd *cobra.Command, f *flags) { f.addMetrics(cmd.Flags()) },
		func(ctx context.Context, n *node) error { return n.startSink(ctx) })
}
