package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"model-proxy/internal/provider/mock"
)

func (a *app) mockCommand() *cobra.Command {
	var host string
	var port int
	var fault mock.Fault
	var retryAfter, cut, stall, malformed int
	cmd := &cobra.Command{Use: "mock", Short: "Run the simulated provider on its own",
		Long: `Run the simulated provider on its own. It speaks the OpenAI and Anthropic
protocols; flags shape its answers and make it fail, and a request can ask for
the same by headers of the same name (X-Mock-Ttft, X-Mock-Status, …).
GET /_mock/requests is its ledger.`,
		Example: "  model-proxy mock --port 9000 --ttft 200ms --delay 20ms --chunks 50",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := a.resolve(cmd, &flags{port: port}); err != nil {
				return err
			}
			if retryAfter >= 0 {
				fault.RetryAfter = strconv.Itoa(retryAfter)
			}
			fault.CutAfter, fault.StallAfter, fault.MalformedAfter = unlessNegative(cut), unlessNegative(stall), unlessNegative(malformed)
			return a.serveMock(cmd.Context(), net.JoinHostPort(host, strconv.Itoa(port)), mock.Options{Fault: fault})
		}}
	fs := cmd.Flags()
	fs.StringVar(&host, "host", "127.0.0.1", "address to listen on")
	fs.IntVar(&port, "port", 9000, "port to listen on; 0 picks a free one")
	fs.DurationVar(&fault.TTFT, "ttft", 0, "time to the first byte")
	fs.DurationVar(&fault.Delay, "delay", 0, "time between two pieces of a stream")
	fs.IntVar(&fault.Chunks, "chunks", 0, "pieces in a stream; 0 means one a word")
	fs.IntVar(&fault.Status, "status", 0, "answer every request with this error status")
	fs.IntVar(&retryAfter, "retry-after", -1, "seconds of Retry-After on errors; none by default")
	fs.IntVar(&cut, "cut-after", -1, "break the connection after so many events")
	fs.IntVar(&stall, "stall-after", -1, "fall silent after so many events")
	fs.IntVar(&malformed, "malformed-after", -1, "send a broken event after so many")
	return cmd
}

func unlessNegative(n int) *int {
	if n < 0 {
		return nil
	}
	return &n
}

func (a *app) serveMock(ctx context.Context, addr string, o mock.Options) error {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	fmt.Fprintf(a.stdout, "simulated provider at http://%s/v1, ledger at http://%s/_mock/requests\n", listener.Addr(), listener.Addr())
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	return serveUntil(ctx, listener, mock.New(o))
}

// serveUntil serves the simulated provider until ctx ends.
func serveUntil(ctx context.Context, listener net.Listener, m *mock.Mock) error {
	server := &http.Server{Handler: m, ReadHeaderTimeout: 10 * time.Second}
	stopped := make(chan error, 1)
	defer context.AfterFunc(ctx, func() {
		m.Close()
		stopped <- server.Close()
	})()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-stopped
}
