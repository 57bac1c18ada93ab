//go:build linux

// Command engine runs the ClickHouse engine that the npm package
// @chdb/lib-linux-x64-gnu ships as libchdb.so, as a server on loopback: the real
// handlers of the native protocol and of HTTP, tables on disk, merges in the
// background. It is for tests: no replication, no TLS, no users made by SQL.
//
// It calls one C function, clickhouse-local's main, with a script that opens the
// listeners, writes their ports to a file, and then reads a pipe until this
// process is asked to stop, by a signal or by the end of its standard input.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

// Ready is the line printed once both ports are open.
type Ready struct {
	TCP     uint16 `json:"tcp"`
	HTTP    uint16 `json:"http"`
	Version string `json:"version"`
}

// readyWithin bounds the start; stopWithin the stop, for which the engine would
// wait 5 s where clients are connected. What was answered is on disk either way.
const (
	readyWithin = time.Minute
	stopWithin  = time.Second
)

func main() {
	lib := flag.String("lib", "", "libchdb.so")
	dir := flag.String("path", "", "data directory")
	tcp := flag.Int("tcp-port", 0, "port of the native protocol; 0 picks a free one")
	http := flag.Int("http-port", 0, "port of HTTP; 0 picks a free one")
	etc := flag.String("etc", "", "folder with a config.d and a users.d to go by")
	flag.Parse()
	if err := run(*lib, *dir, *etc, *tcp, *http); err != nil {
		fmt.Fprintln(os.Stderr, "engine:", err)
		os.Exit(1)
	}
}

func run(lib, dir, etc string, tcp, http int) error {
	if lib == "" || dir == "" {
		return errors.New("want -lib and -path")
	}
	work, err := os.MkdirTemp("", "model-proxy-clickhouse-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	stop, ports := filepath.Join(work, "stop"), filepath.Join(work, "ports")
	if err := syscall.Mkfifo(stop, 0o600); err != nil {
		return err
	}
	config, err := writeConfig(work, etc)
	if err != nil {
		return err
	}
	ended, err := start(lib, []string{"clickhouse-local", "--path=" + dir, "--listen_host=127.0.0.1", fmt.Sprintf("--tcp_port=%d", tcp),
		fmt.Sprintf("--http_port=%d", http), "--log-level=none", "--config-file=" + config, "--query=" + script(stop, ports)})
	if err != nil {
		return err
	}
	pipe, err := awaitReader(stop, ended)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(ports)
	if err != nil {
		return err
	}
	var ready Ready
	if err := json.Unmarshal(text, &ready); err != nil {
		return fmt.Errorf("ports: %s: %w", text, err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(ready); err != nil {
		return err
	}
	return serve(pipe, ended)
}

// script opens the listeners and blocks until the pipe is closed.
func script(stop, ports string) string {
	return "SYSTEM START LISTEN TCP; SYSTEM START LISTEN HTTP;\n" +
		"SELECT getServerPort('tcp_port') AS tcp, getServerPort('http_port') AS http, version() AS version INTO OUTFILE '" + ports + "' FORMAT JSONEachRow;\n" +
		"SELECT count() FROM file('" + stop + "', 'LineAsString', 'l String') FORMAT Null\n" +
		"SETTINGS storage_file_read_method = 'read', max_execution_time = 0, log_queries = 0;"
}

// awaitReader waits for the engine to read the pipe, the last thing it does
// before it only serves.
func awaitReader(path string, ended <-chan error) (*os.File, error) {
	opened := make(chan *os.File, 1)
	go func() { // ends with the process if the engine never reads
		if w, err := os.OpenFile(path, os.O_WRONLY, 0); err == nil {
			opened <- w
		}
	}()
	select {
	case w := <-opened:
		return w, nil
	case err := <-ended:
		return nil, fmt.Errorf("the engine ended before it was ready: %w", err)
	case <-time.After(readyWithin):
		return nil, fmt.Errorf("not ready within %v", readyWithin)
	}
}

// serve returns when the engine has stopped, as asked.
func serve(pipe *os.File, ended <-chan error) error {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	orphaned := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // its end is what counts
		close(orphaned)
	}()
	select {
	case <-signals:
	case <-orphaned:
	case err := <-ended:
		return fmt.Errorf("the engine ended: %w", err)
	}
	_ = pipe.Close() // tells the engine to stop
	select {
	case <-ended:
	case <-time.After(stopWithin):
	}
	return nil
}
