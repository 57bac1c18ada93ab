package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"model-proxy/config"
	"model-proxy/ingress"
	"model-proxy/internal/bus"
	"model-proxy/keysvc"
)

// errNoGateway is returned where neither NATS_URL nor the control socket leads
// to a running gateway.
var errNoGateway = errors.New("no running gateway found")

// running is a running gateway as the commands talk to it.
type running interface {
	keys(context.Context) ([]keyRow, error)
	reset(ctx context.Context, provider string) (ended int, err error)
	status(context.Context) (ingress.Report, error)
	Close() error
}

// reach finds the running gateway: over the bus where NATS_URL names one, else
// by the socket under --data.
func reach(ctx context.Context, env *config.Environment, snap *config.Snapshot, data string) (running, error) {
	if !env.Vars.NATSURL.IsZero() {
		return reachBus(ctx, env, snap)
	}
	path := controlSocket(data)
	c, err := net.Dial("unix", path)
	if err != nil {
		return nil, fmt.Errorf("%w: nobody answers on %s and NATS_URL is not set", errNoGateway, path)
	}
	_ = c.Close() // it has told what it had to
	return socketGateway{&http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", path)
		}}}}, nil
}

// socketGateway is a `run` on this machine.
type socketGateway struct{ client *http.Client }

func (g socketGateway) Close() error { return nil }

func (g socketGateway) keys(ctx context.Context) ([]keyRow, error) {
	var answer list[keyRow]
	err := g.ask(ctx, http.MethodGet, "/keys", &answer)
	return answer.Data, err
}

func (g socketGateway) reset(ctx context.Context, provider string) (int, error) {
	var answer resetAnswer
	err := g.ask(ctx, http.MethodPost, "/keys/reset?provider="+url.QueryEscape(provider), &answer)
	return answer.Ended, err
}

func (g socketGateway) status(ctx context.Context) (ingress.Report, error) {
	var r ingress.Report
	err := g.ask(ctx, http.MethodGet, "/status", &r)
	return r, err
}

func (g socketGateway) ask(ctx context.Context, method, path string, answer any) error {
	req, err := http.NewRequestWithContext(ctx, method, "http://control"+path, nil)
	if err != nil {
		return err
	}
	resp, err := g.client.Do(req)
	if err != nil {
		return fmt.Errorf("ask the running gateway: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		why, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10)) // the status tells enough without it
		return fmt.Errorf("the running gateway answered %d: %s", resp.StatusCode, why)
	}
	return json.NewDecoder(resp.Body).Decode(answer)
}

// quietLog is for commands, which tell their faults by themselves.
func quietLog() *slog.Logger { return slog.New(slog.DiscardHandler) }

// busGateway is a gateway of separate processes, reached over NATS.
type busGateway struct {
	conn  *bus.Conn
	snap  *config.Snapshot
	cool  *keysvc.Service
	stop  context.CancelFunc
	parts *sync.WaitGroup
}

// busWithin bounds what a command asks of the bus.
const busWithin = 3 * time.Second

// commandBus is how a command reaches NATS.
func commandBus(env *config.Environment) bus.Config {
	c := busConfig(env, quietLog())
	c.Role = "admin"
	return c
}

// reachBus connects and reads what rests.
func reachBus(ctx context.Context, env *config.Environment, snap *config.Snapshot) (running, error) {
	quiet := quietLog()
	dialling, enough := context.WithTimeout(ctx, busWithin)
	defer enough()
	conn, err := bus.Connect(dialling, commandBus(env), "command")
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(ctx)
	g := busGateway{conn: conn, snap: snap, stop: stop, parts: new(sync.WaitGroup),
		cool: keysvc.New(keysvc.Options{JetStream: conn.JetStream(), Replicas: env.Vars.NATSReplicas, Log: quiet})}
	g.parts.Go(func() { _ = g.cool.Run(ctx) }) // always nil
	patience := time.NewTimer(busWithin)
	defer patience.Stop()
	select {
	case <-g.cool.Ready():
		return g, nil
	case <-ctx.Done():
		err = ctx.Err()
	case <-patience.C:
		err = errors.New("JetStream does not answer")
	}
	return nil, errors.Join(fmt.Errorf("read the cooldowns: %w", err), g.Close())
}

func (g busGateway) Close() error {
	g.stop()
	g.parts.Wait()
	g.conn.Close()
	return nil
}

func (g busGateway) keys(context.Context) ([]keyRow, error) {
	return keyRows(g.cool.List(time.Now(), g.snap)), nil
}

func (g busGateway) reset(ctx context.Context, provider string) (int, error) {
	return g.cool.Reset(ctx, provider)
}

// status tells what the bus knows: the ingresses' own state is theirs to tell
// (--endpoint).
func (g busGateway) status(ctx context.Context) (ingress.Report, error) {
	ctx, stop := context.WithTimeout(ctx, busWithin)
	defer stop()
	components := map[string]ingress.Health{
		"nats":      {Status: ingress.Healthy},
		"providers": keyHealth(g.cool.List(time.Now(), g.snap), g.snap),
		"queue":     {Status: ingress.Unhealthy, Detail: "JetStream does not answer"},
	}
	if q, err := g.conn.Queue(ctx); err == nil {
		components["queue"] = ingress.Health{Status: ingress.Healthy, Detail: map[string]any{"depth": q.Depth, "oldest_ms": q.Oldest.Milliseconds()}}
	}
	seen, err := g.workers(ctx)
	if err != nil {
		return ingress.Report{}, err
	}
	components["workers"] = ingress.Health{Status: ingress.Healthy, Detail: map[string]any{"seen": seen}}
	if seen == 0 {
		components["workers"] = ingress.Health{Status: ingress.Unhealthy, Detail: map[string]any{"seen": 0}}
	}
	return ingress.NewReport(g.snap.Revision, components), nil
}

// listenFor is how long beats are listened to: workers give one every 500 ms.
const listenFor = 1200 * time.Millisecond

// workers counts the workers whose beats are heard.
func (g busGateway) workers(ctx context.Context) (int, error) {
	ctx, stop := context.WithTimeout(ctx, listenFor)
	defer stop()
	listener := bus.NewLiveness(g.conn)
	if err := listener.Run(ctx); err != nil {
		return 0, fmt.Errorf("listen for workers: %w", err)
	}
	return listener.Workers(), nil
}
