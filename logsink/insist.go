package logsink

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"model-proxy/internal/usage"
)

const (
	firstRetry = 250 * time.Millisecond
	lastRetry  = 10 * time.Second
)

// insist tries until it works, ctx ends, whose error it then returns, or the
// error is one that stays: errSuperseded, ErrSchema or usage.ErrVersion.
func insist(ctx context.Context, log *slog.Logger, complaint string, try func() error) error {
	for wait := firstRetry; ; wait = min(2*wait, lastRetry) {
		err := try()
		if err == nil || errors.Is(err, errSuperseded) || errors.Is(err, ErrSchema) || errors.Is(err, usage.ErrVersion) {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		log.Error(complaint, "error", err, "wait", wait)
		pause(ctx, wait)
	}
}

// pause waits for d or the end of ctx.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
