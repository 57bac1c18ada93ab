// Package localhost finds free ports and waits for servers on this machine.
package localhost

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"
)

// FreePorts returns n ports of the loopback interface that nobody listens on,
// each another one. Somebody else may take one before it is used; on a machine
// that measures nobody does.
func FreePorts(n int) ([]string, error) {
	ports := make([]string, n)
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() // all at the end, so that no port comes twice
		if _, ports[i], err = net.SplitHostPort(l.Addr().String()); err != nil {
			return nil, err
		}
	}
	return ports, nil
}

// AwaitOK waits until url answers with 200 to whoever has key.
func AwaitOK(ctx context.Context, url, key string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 30*time.Second, errors.New("not up after 30 s"))
	defer cancel()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", "Bearer "+key)
		if resp, err := http.DefaultClient.Do(req); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(50 * time.Millisecond):
		}
	}
}
