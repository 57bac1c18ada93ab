package gatewaytest

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Process is one running model-proxy. It ends with its test, which fails if a
// key shows in anything the process wrote.
type Process struct {
	t    testing.TB
	name string
	cmd  *exec.Cmd
	out  *output
	done chan struct{} // closed when the process has ended

	// Began is when the process was started.
	Began time.Time
	// Config is the folder of its configuration, "" where it has none of a cluster's.
	Config string
}

// Start starts the binary with the given arguments in a folder of its own; env
// is its whole environment besides HOME and PATH.
func Start(t testing.TB, name string, env []string, args ...string) *Process {
	t.Helper()
	return startProgram(t, os.Getenv(binaryVar), name, env, args...)
}

// startProgram is Start for any program.
func startProgram(t testing.TB, path, name string, env []string, args ...string) *Process {
	t.Helper()
	dir := t.TempDir()
	p := &Process{t: t, name: name, out: &output{}, done: make(chan struct{}), Began: time.Now()}
	p.cmd = exec.Command(path, args...)
	p.cmd.Dir = dir
	p.cmd.Env = append([]string{"HOME=" + dir, "PATH=" + os.Getenv("PATH")}, env...)
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	go func() {
		_ = p.cmd.Wait() // the state says how it ended
		close(p.done)
	}()
	t.Cleanup(func() {
		p.Signal(syscall.SIGKILL)
		<-p.done
		p.checkOutput(env)
	})
	return p
}

// checkOutput looks for secrets, and shows what the process said where the test
// has failed.
func (p *Process) checkOutput(env []string) {
	said := p.out.String()
	for _, kv := range env {
		name, value, _ := strings.Cut(kv, "=")
		if strings.Contains(name, "API_KEY") && strings.Contains(said, value) {
			p.t.Errorf("%s wrote the value of %s to its log", p.name, name)
		}
	}
	if strings.Contains(said, "panic") {
		p.t.Errorf("%s panicked", p.name)
	}
	if p.t.Failed() {
		p.t.Logf("%s said:\n%s", p.name, tail(said, 6000))
	}
}

func tail(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return "…" + s[len(s)-n:]
}

// Signal sends a signal. A process that has ended gets none.
func (p *Process) Signal(s os.Signal) {
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Errorf("signal %v to %s: %v", s, p.name, err)
	}
}

// Kill ends the process at once, and returns when it has ended.
func (p *Process) Kill() {
	p.Signal(syscall.SIGKILL)
	<-p.done
}

// PID is the process's id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Ended reports whether the process has ended.
func (p *Process) Ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// ExitCode waits for the end of the process and returns its exit code, -1 if a
// signal ended it.
func (p *Process) ExitCode(within time.Duration) int {
	p.t.Helper()
	limit := time.NewTimer(within)
	defer limit.Stop()
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode()
	case <-limit.C:
		p.t.Fatalf("%s has not ended within %v", p.name, within)
		return -1
	}
}

// Output is all that the process has written so far.
func (p *Process) Output() string { return p.out.String() }

// AwaitLog waits for a line of the log that holds what, and returns it.
func (p *Process) AwaitLog(what string, within time.Duration) string {
	p.t.Helper()
	line := ""
	Await(p.t, within, p.name+" logs "+what, func() bool {
		for l := range strings.Lines(p.out.String()) {
			if strings.Contains(l, what) {
				line = l
				return true
			}
		}
		if p.Ended() {
			p.t.Fatalf("%s ended early:\n%s", p.name, p.out.String())
		}
		return false
	})
	return line
}

// output keeps what a process writes. It is safe for concurrent use.
type output struct {
	mu  sync.Mutex // guards buf
	buf []byte
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.buf = append(o.buf, p...)
	return len(p), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(o.buf)
}

// Await looks every few milliseconds whether ok holds, and fails the test if it
// does not in time. A look that takes long, because it starts a program or the
// machine is busy, is followed by a rest twice as long: those who wait are not to
// keep the machine from what they wait for.
func Await(t testing.TB, within time.Duration, what string, ok func() bool) {
	t.Helper()
	limit := time.NewTimer(within)
	defer limit.Stop()
	rest := time.NewTimer(0)
	defer rest.Stop()
	for {
		began := time.Now()
		if ok() {
			return
		}
		rest.Reset(min(max(5*time.Millisecond, 2*time.Since(began)), time.Second))
		select {
		case <-rest.C:
		case <-limit.C:
			t.Fatalf("waited %v in vain for: %s", within, what)
		}
	}
}
