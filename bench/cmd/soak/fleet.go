//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"model-proxy/bench/internal/localhost"
)

// fleet is the programs under test, one folder of data for each.
type fleet struct {
	dir string
	url string // the ingress's

	store string // the folder of the records

	gateway []*program // what serves; the first has /metrics at url
	workers []*program // those of them that are replaced in turn
	all     []*program // in the order of their start
}

// program is one running process.
type program struct {
	*exec.Cmd
	began time.Time
	name  string
	args  []string
	env   []string
}

// start builds and starts everything, and waits until a request is answered.
func (f *fleet) start(ctx context.Context, roles bool) error {
	packages := []string{"./cmd/model-proxy"}
	if roles {
		packages = append(packages, "github.com/nats-io/nats-server/v2")
	}
	build := exec.CommandContext(ctx, "go", append([]string{"build", "-o", f.dir}, packages...)...)
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("build: %w", err)
	}
	ports, err := localhost.FreePorts(3)
	if err != nil {
		return err
	}
	if _, err := f.launch("mock", "model-proxy", nil, "mock", "--port", ports[0]); err != nil {
		return err
	}
	if err := writeConfig(f.config(), "http://127.0.0.1:"+ports[0]+"/v1"); err != nil {
		return err
	}
	f.url, f.store = "http://127.0.0.1:"+ports[1], filepath.Join(f.dir, "run")
	if roles {
		f.store = filepath.Join(f.dir, "logsink")
		err = f.startRoles(ports[1], ports[2])
	} else {
		err = f.serve("run", "", "run", "--host", "127.0.0.1", "--port", ports[1])
	}
	if err != nil {
		return err
	}
	return localhost.AwaitOK(ctx, f.url+"/health/detailed", clientKey)
}

func (f *fleet) config() string { return filepath.Join(f.dir, "config") }

// startRoles starts a NATS server and every role as a process of its own.
func (f *fleet) startRoles(port, natsPort string) error {
	if _, err := f.launch("nats", "nats-server", nil, "-a", "127.0.0.1", "-p", natsPort, "-js", "-sd", filepath.Join(f.dir, "nats")); err != nil {
		return err
	}
	bus := "nats://127.0.0.1:" + natsPort
	err := errors.Join(
		f.serve("ingress", bus, "ingress", "--host", "127.0.0.1", "--port", port),
		f.serve("worker-1", bus, "worker"),
		f.serve("worker-2", bus, "worker"),
		f.serve("logsink", bus, "logsink"))
	if err == nil {
		f.workers = slices.Clone(f.gateway[1:3])
	}
	return err
}

// serve starts one process of the gateway.
func (f *fleet) serve(name, bus string, args ...string) error {
	env := []string{
		"CLIENT_API_KEY=" + clientKey, "ADMIN_API_KEY=soak-admin-key", "NATS_URL=" + bus,
		"SOAK_OPENAI_API_KEY=soak-provider-key-1", "SOAK_OPENAI_API_KEY_2=soak-provider-key-2",
		"SOAK_ANTHROPIC_API_KEY=soak-provider-key-3", "SOAK_DEAD_API_KEY=soak-provider-key-4",
		"RATE_LIMIT_REQUESTS_PER_MINUTE=1000000000", "RATE_LIMIT_TOKENS_PER_MINUTE=1000000000",
	}
	p, err := f.launch(name, "model-proxy", env, append(args, "--config", f.config(), "--data", filepath.Join(f.dir, name), "--log-level", "error")...)
	f.gateway = append(f.gateway, p)
	return err
}

// launch starts one program, its output in a file of its name.
func (f *fleet) launch(name, binary string, env []string, args ...string) (*program, error) {
	p := &program{name: name, args: append([]string{filepath.Join(f.dir, binary)}, args...), env: append(env, "HOME="+f.dir)}
	f.all = append(f.all, p)
	return p, f.run(p)
}

// run starts p, again if it has ended.
func (f *fleet) run(p *program) error {
	log, err := os.OpenFile(filepath.Join(f.dir, p.name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	p.began = time.Now()
	p.Cmd = exec.Command(p.args[0], p.args[1:]...)
	p.Dir, p.Env, p.Stdout, p.Stderr = f.dir, p.env, log, log
	if err := p.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	return nil
}

// replace ends one worker, the next at the next call, and starts it again.
func (f *fleet) replace() error {
	if len(f.workers) == 0 {
		return nil
	}
	p := f.workers[0]
	f.workers = append(f.workers[1:], p)
	return errors.Join(p.end(), f.run(p))
}

// end has the program drain, and says how it ended if not well.
func (p *program) end() error {
	_ = p.Process.Signal(syscall.SIGTERM) // it may have ended already: Wait says so
	kill := time.AfterFunc(time.Minute, func() { _ = p.Process.Kill() })
	defer kill.Stop()
	if err := p.Wait(); err != nil {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	return nil
}

// stop ends all programs, the last one first.
func (f *fleet) stop() error {
	var faults []error
	for i := len(f.all) - 1; i >= 0; i-- {
		if p := f.all[i]; p.Cmd != nil && p.Process != nil {
			faults = append(faults, p.end())
		}
	}
	return errors.Join(faults...)
}

// reload changes the configuration and has every process read it.
func (f *fleet) reload(n int) error {
	if err := write(filepath.Join(f.config(), "models", "changing.json"), model("soak-changing", 30+n%2, route("soak-openai", "soak"))); err != nil {
		return err
	}
	for _, p := range f.gateway {
		if time.Since(p.began) < time.Second {
			continue // it reads the file anyway, and may not know the signal yet
		}
		if err := p.Process.Signal(syscall.SIGHUP); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	return nil
}
