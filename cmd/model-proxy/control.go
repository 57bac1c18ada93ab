package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"model-proxy/ingress"
)

// controlSocket is where `run` answers the commands of its own machine:
// GET /status, GET /keys and POST /keys/reset?provider=NAME.
func controlSocket(data string) string { return filepath.Join(data, "control.sock") }

// maxSocketPath is the longest path of a unix socket that every system takes.
const maxSocketPath = 103

// startControl opens the control socket. As the first stage it is the last to
// be stopped: nobody else takes the files before.
func (n *node) startControl(ctx context.Context) error {
	l, err := n.listenControl()
	if err != nil || l == nil {
		return err
	}
	n.start(ctx, "control", func(ctx context.Context) error { return n.serveControl(ctx, l) })
	return nil
}

// listenControl opens the socket, readable and writable by its owner alone. It
// is nil, with a warning, where the path is too long. A socket that another
// gateway answers on is an error: two must not share their files.
func (n *node) listenControl() (net.Listener, error) {
	path := controlSocket(n.flags.data)
	if len(path) > maxSocketPath {
		n.log.Warn("no control socket: its path is too long; commands on this machine cannot ask the gateway", "path", path)
		return nil, nil
	}
	if err := os.MkdirAll(n.flags.data, 0o700); err != nil {
		return nil, fmt.Errorf("--data: %w", err)
	}
	if c, err := net.Dial("unix", path); err == nil {
		_ = c.Close() // it has told what it had to
		return nil, fmt.Errorf("another gateway runs with --data %s; stop it or choose another directory", n.flags.data)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("control socket left by another gateway: %w", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("control socket: %w", err), l.Close())
	}
	return l, nil
}

// serveControl answers on the socket, from when all roles are there until ctx
// ends.
func (n *node) serveControl(ctx context.Context, l net.Listener) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, r *http.Request) { writeControl(w, n.ingress.Report(r.Context())) })
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) {
		writeControl(w, list[keyRow]{keyRows(n.keys.List(time.Now(), n.source.Current()))})
	})
	mux.HandleFunc("POST /keys/reset", func(w http.ResponseWriter, r *http.Request) {
		name := r.URL.Query().Get("provider")
		ended, err := n.keys.Reset(r.Context(), name)
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		n.log.Info("cooldowns reset", "provider", name, "ended", ended)
		writeControl(w, resetAnswer{ended})
	})
	select {
	case <-n.up:
	case <-ctx.Done():
		return l.Close()
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// list is the shape of every list over HTTP.
type list[T any] struct {
	Data []T `json:"data"`
}

// resetAnswer tells how many cooldowns a reset has ended.
type resetAnswer struct {
	Ended int `json:"ended"`
}

func writeControl(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // a command that is gone needs no answer
}

// components are what this process adds to the health report: its providers'
// keys and its store, where it has them.
func (n *node) components(context.Context) map[string]ingress.Health {
	out := map[string]ingress.Health{}
	if n.keys != nil {
		snap := n.source.Current()
		out["providers"] = keyHealth(n.keys.List(time.Now(), snap), snap)
	}
	if n.sink != nil {
		lag := n.sink.Lag()
		h := ingress.Health{Status: ingress.Healthy, Detail: map[string]any{"waiting": lag.Messages, "stalled_ms": lag.Stalled.Milliseconds()}}
		if lag.Stalled > 5*time.Second {
			h.Status = ingress.Degraded // requests go on: LOG holds what the store does not take
		}
		out["store"] = h
	}
	return out
}
