//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"model-proxy/bench/internal/localhost"
)

// target is what a request is sent to.
type target struct {
	name  string
	url   string // without the path
	pids  []int  // whose processor time counts; none: nobody's
	model string // asked for in place of the endpoint's, if not ""
}

// fleet is the programs under measurement.
type fleet struct {
	bin, dir, logs string
	old            string // a gateway built at another commit, "" for none
	roles          bool   // the gateway once more, its roles apart

	mock    string // the upstream's URL
	mockPID int
	targets []target
	running []*exec.Cmd // in the order of their start
}

// build builds the gateway and the tools into dir, and for roles apart a NATS server.
func build(ctx context.Context, dir string, roles bool) error {
	args := []string{"build", "-o", dir, "./cmd/model-proxy", "./bench/cmd/mockprovider", "./bench/cmd/floorproxy", "./bench/cmd/loadgen"}
	if roles {
		args = append(args, "github.com/nats-io/nats-server/v2")
	}
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("build: %w", err)
	}
	return nil
}

// start starts the upstream, the reverse proxy and the gateway, and waits until
// each answers.
func (f *fleet) start(ctx context.Context) error {
	ports, err := localhost.FreePorts(6)
	if err != nil {
		return err
	}
	url := func(i int) string { return "http://127.0.0.1:" + ports[i] }
	f.mock = url(0)
	if f.mockPID, err = f.launch("mockprovider", f.program("mockprovider"), nil, "-listen", "127.0.0.1:"+ports[0]); err != nil {
		return err
	}
	floor, err := f.launch("floorproxy", f.program("floorproxy"), nil, "-listen", "127.0.0.1:"+ports[1], "-upstream", f.mock)
	if err != nil {
		return err
	}
	if err := writeConfig(filepath.Join(f.dir, "config"), f.mock); err != nil {
		return err
	}
	f.targets = []target{{name: "direct", url: f.mock}, {name: "floor", url: url(1), pids: []int{floor}}}
	if f.old != "" {
		old, err := f.gateway("old", f.old, ports[3])
		if err != nil {
			return err
		}
		f.targets = append(f.targets, target{name: "old", url: url(3), pids: []int{old}})
	}
	if f.roles {
		roles, err := f.startRoles(ports[4], ports[5])
		if err != nil {
			return err
		}
		f.targets = append(f.targets, target{name: "roles", url: url(4), pids: roles})
	}
	gateway, err := f.gateway("gateway", f.program("model-proxy"), ports[2])
	if err != nil {
		return err
	}
	f.targets = append(f.targets, target{name: "gateway", url: url(2), pids: []int{gateway}})
	for _, t := range f.targets {
		if err := localhost.AwaitOK(ctx, t.url+"/v1/models", clientKey); err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
	}
	return nil
}

func (f *fleet) program(name string) string { return filepath.Join(f.bin, name) }

// gateway starts a gateway and returns its process id.
func (f *fleet) gateway(name, program, port string) (int, error) {
	return f.launch(name, program, gatewayEnv(), append([]string{"run", "--host", "127.0.0.1", "--port", port}, f.files(name)...)...)
}

// startRoles starts a NATS server and every role as a process of its own, and
// returns their process ids.
func (f *fleet) startRoles(port, natsPort string) ([]int, error) {
	nats, err := f.launch("nats", f.program("nats-server"), nil, "-a", "127.0.0.1", "-p", natsPort, "-js", "-sd", filepath.Join(f.dir, "nats"))
	if err != nil {
		return nil, err
	}
	pids := []int{nats}
	env := append(gatewayEnv(), "NATS_URL=nats://127.0.0.1:"+natsPort)
	for _, args := range [][]string{{"ingress", "--host", "127.0.0.1", "--port", port}, {"worker"}, {"logsink"}} {
		pid, err := f.launch(args[0], f.program("model-proxy"), env, append(args, f.files(args[0])...)...)
		if err != nil {
			return nil, err
		}
		pids = append(pids, pid)
	}
	return pids, nil
}

// files are the flags that name a process's files, and what it logs.
func (f *fleet) files(name string) []string {
	return []string{"--config", filepath.Join(f.dir, "config"), "--data", filepath.Join(f.dir, "data", name), "--log-level", "warn"}
}

// launch starts one program and returns its process id.
func (f *fleet) launch(name, program string, env []string, args ...string) (int, error) {
	cmd := exec.Command(program, args...)
	cmd.Dir = f.dir
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + f.dir}, env...)
	if f.logs != "" {
		log, err := os.Create(filepath.Join(f.logs, name+".log"))
		if err != nil {
			return 0, err
		}
		defer log.Close()
		cmd.Stdout, cmd.Stderr = log, log
	}
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("start: %w", err)
	}
	f.running = append(f.running, cmd)
	return cmd.Process.Pid, nil
}

// stop ends all programs, the last one first.
func (f *fleet) stop() {
	for i := len(f.running) - 1; i >= 0; i-- {
		p := f.running[i].Process
		_ = p.Signal(syscall.SIGTERM) // it may have ended already
		kill := time.AfterFunc(5*time.Second, func() { _ = p.Kill() })
		_ = f.running[i].Wait() // ended by a signal: an error by definition
		kill.Stop()
	}
}

// setPace tells the upstream how to time its answers.
func (f *fleet) setPace(ctx context.Context, pace string) error {
	if pace == "" {
		pace = "delay=0s"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, f.mock+"/_mock/config?"+pace, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("pace the upstream: %w", err)
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}
