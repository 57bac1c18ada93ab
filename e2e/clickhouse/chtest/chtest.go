// Package chtest starts a real ClickHouse server for tests: package engine, built
// from this tree, around the library that npm has installed. It runs on Linux with
// x86-64 and glibc. With CLICKHOUSE_TEST_NATIVE and CLICKHOUSE_TEST_HTTP set, as
// host:port, a server that runs already is tested with; then nothing can be killed.
package chtest

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"model-proxy/e2e/gatewaytest"
)

// Password is that of the user "app".
const Password = "app-secret-4417"

const library = "e2e/clickhouse/engine/node_modules/@chdb/lib-linux-x64-gnu/libchdb.so"

// Server is a running ClickHouse. It ends with the test. The engine aborts now and
// then when a client is killed in the middle of an insert; then it is started
// again, with the same data and ports.
type Server struct {
	Native, HTTP string // host:port

	t   testing.TB
	dir string
	etc string // config.d and users.d, "" for none

	mu     sync.Mutex    // guards the rest; held while the server starts
	cmd    *exec.Cmd     // nil where the server is not ours, or was killed
	stdin  io.Closer     // its end ends the server, also when the test's process dies
	ended  chan struct{} // closed when the process has ended
	starts int
}

// Main runs the tests of a package that uses Start by run, and returns the exit
// code.
func Main(m *testing.M, run func(*testing.M) int) int {
	defer os.Remove(program())
	return run(m)
}

func program() string {
	return filepath.Join(os.TempDir(), fmt.Sprintf("model-proxy-engine-%d", os.Getpid()))
}

// build makes the engine's program, once for a process.
var build = sync.OnceValues(func() (string, error) {
	bin := program()
	cmd := exec.Command("go", "build", "-o", bin, "model-proxy/e2e/clickhouse/engine")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the engine: %w: %s", err, out)
	}
	return bin, nil
})

// Start starts a server with a folder of its own.
func Start(t testing.TB) *Server {
	t.Helper()
	if native, overHTTP := os.Getenv("CLICKHOUSE_TEST_NATIVE"), os.Getenv("CLICKHOUSE_TEST_HTTP"); native != "" && overHTTP != "" {
		return &Server{Native: native, HTTP: overHTTP, t: t}
	}
	return StartConfigured(t, "")
}

// StartConfigured starts a server that also goes by the files of etc/config.d and
// etc/users.d. It is always one of our own.
func StartConfigured(t testing.TB, etc string) *Server {
	t.Helper()
	s := &Server{t: t, dir: filepath.Join(t.TempDir(), "data"), etc: etc}
	t.Cleanup(s.Kill)
	// The engine could pick ports too, but others each time it listens again.
	s.start(gatewaytest.FreePort(t), gatewaytest.FreePort(t))
	return s
}

// start runs the engine on two ports, and again if it aborts.
func (s *Server) start(tcp, overHTTP int) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.launchLocked(tcp, overHTTP); err != nil {
		s.t.Fatal(err)
	}
}

func (s *Server) launchLocked(tcp, overHTTP int) error {
	bin, err := build()
	if err != nil {
		return err
	}
	lib, err := findLibrary()
	if err != nil {
		return err
	}
	cmd := exec.Command(bin, "-lib", lib, "-path", s.dir, "-etc", s.etc, "-tcp-port", strconv.Itoa(tcp), "-http-port", strconv.Itoa(overHTTP))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	var ready struct{ TCP, HTTP int }
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &ready)
	}
	if err != nil {
		return fmt.Errorf("ClickHouse did not start: %w", errors.Join(err, cmd.Wait()))
	}
	s.cmd, s.stdin, s.ended = cmd, in, ended
	s.starts++
	if s.starts == 1 {
		s.Native, s.HTTP = local(ready.TCP), local(ready.HTTP)
	}
	go s.supervise(cmd, ended)
	return nil
}

// supervise waits for the end of a process, and starts the next one if it has
// aborted.
func (s *Server) supervise(cmd *exec.Cmd, ended chan<- struct{}) {
	defer close(ended)
	_ = cmd.Wait() // the state says how it ended
	status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !ok || !status.Signaled() || status.Signal() != syscall.SIGABRT {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd != cmd {
		return // killed in the same moment
	}
	s.t.Logf("ClickHouse ended by itself (%v) and is started again", cmd.ProcessState)
	_ = s.stdin.Close()
	if err := s.launchLocked(port(s.Native), port(s.HTTP)); err != nil {
		s.t.Error(err)
	}
}

func local(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// findLibrary looks from the test's folder upwards.
func findLibrary() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if path := filepath.Join(dir, library); exists(path) {
			return path, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", errors.New("the ClickHouse library is not installed: run npm ci --prefix e2e/clickhouse/engine")
		}
		dir = up
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// Kill ends the server at once, as a loss of power would.
func (s *Server) Kill() {
	s.mu.Lock()
	cmd, stdin, ended := s.cmd, s.stdin, s.ended
	s.cmd = nil
	s.mu.Unlock()
	if cmd == nil {
		return
	}
	select {
	case <-ended:
		s.t.Errorf("ClickHouse ended early: %v", cmd.ProcessState)
	default:
		_ = cmd.Process.Kill() // it may have ended in the same moment
		<-ended
	}
	_ = stdin.Close()
}

// Restart starts the server again after Kill, with the same data and ports.
func (s *Server) Restart() {
	s.t.Helper()
	s.start(port(s.Native), port(s.HTTP))
}

func port(addr string) int {
	_, text, _ := strings.Cut(addr, ":")
	n, _ := strconv.Atoi(text) // the engine's own words
	return n
}

// Abort ends the server as it does now and then by itself.
func (s *Server) Abort() { s.signal(syscall.SIGABRT) }

// Pause makes the server hang: it takes connections and answers nothing.
func (s *Server) Pause() { s.signal(syscall.SIGSTOP) }

// BreakConnections ends the queries that run; SYSTEM STOP LISTEN leaves open
// connections alone.
func (s *Server) BreakConnections() {
	s.t.Helper()
	s.MustExec("KILL QUERY WHERE query_id != queryID() ASYNC FORMAT Null")
}

// Resume ends Pause.
func (s *Server) Resume() { s.signal(syscall.SIGCONT) }

func (s *Server) signal(sig os.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		s.t.Errorf("signal %v to ClickHouse: %v", sig, err)
	}
}

// ProcessorTime is what the server has used so far.
func (s *Server) ProcessorTime() time.Duration {
	s.t.Helper()
	s.mu.Lock()
	pid := s.cmd.Process.Pid
	s.mu.Unlock()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		s.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), ") ") // after the program's name
	var ticks time.Duration
	for _, f := range strings.Fields(rest)[11:13] { // user and system time, in hundredths of a second
		n, err := strconv.Atoi(f)
		if err != nil {
			s.t.Fatal(err)
		}
		ticks += time.Duration(n)
	}
	return ticks * 10 * time.Millisecond
}

// MustExec runs one statement and returns what it answers, without the last
// line's end.
func (s *Server) MustExec(statement string) string {
	s.t.Helper()
	answer, err := s.Exec(statement)
	if err != nil {
		s.t.Fatalf("%s: %v", statement, err)
	}
	return answer
}

// Exec is MustExec for a statement that may fail. It goes over HTTP, without any
// driver, and again if the server aborts meanwhile.
func (s *Server) Exec(statement string) (string, error) {
	for {
		before := s.started()
		answer, err := s.post(statement)
		if !down(err) || !s.again(before) {
			return answer, err
		}
	}
}

// down reports whether err says that the server cannot be reached, or is aborting.
func down(err error) bool {
	var unreachable *url.Error
	return errors.As(err, &unreachable) || err != nil && strings.Contains(err.Error(), "(ABORTED)")
}

// again reports whether the server, which cannot be reached, has been started
// since. An abort takes its time.
func (s *Server) again(before int) bool {
	s.mu.Lock()
	ours, ended := s.cmd != nil, s.ended
	s.mu.Unlock()
	if !ours {
		return false
	}
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
	}
	return s.started() != before
}

// started counts the server's starts.
func (s *Server) started() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.starts
}

func (s *Server) post(statement string) (string, error) {
	// No connection is kept: the engine waits for those that are when it stops.
	client := http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Post("http://"+s.HTTP+"/", "text/plain", strings.NewReader(statement))
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = errors.New(strings.TrimSpace(string(answer)))
	}
	return strings.TrimSuffix(string(answer), "\n"), err
}

var databases atomic.Int64 // made by this process

// Database names a database for one test, which is dropped after it, and returns
// its address as in CLICKHOUSE_DSN.
func (s *Server) Database() (name, dsn string) {
	name = fmt.Sprintf("model_proxy_%d_%d", os.Getpid(), databases.Add(1))
	if s.cmd == nil {
		s.t.Cleanup(func() { s.MustExec("DROP DATABASE IF EXISTS " + name + " SYNC") })
	}
	return name, "clickhouse://app:" + Password + "@" + s.Native + "/" + name
}
