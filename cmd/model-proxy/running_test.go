package main

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"model-proxy/e2e/gatewaytest"
)

// cmd runs a command beside the gateway, with its files and variables.
func (g *gateway) cmd(t *testing.T, args ...string) result {
	t.Helper()
	return command(t, g.environ, append(args, "--config", g.conf)...)
}

// ask sends a request for a plain answer and returns the status.
func (g *gateway) ask(t *testing.T, header ...string) int {
	t.Helper()
	resp := g.post(t, t.Context(), "/v1/chat/completions", `{"model":"m-openai","messages":[{"role":"user","content":"hello"}]}`, header...)
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode
}

// Cooldowns of a running gateway are seen and ended by its control socket.
func TestKeysByTheSocket(t *testing.T) {
	g := startGateway(t)
	socket := controlSocket(g.data)
	if info, err := os.Stat(socket); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("socket: %v, %v; want mode 0600", info, err)
	}
	g.checkKeys(t, "--data", g.data)
	command(t, g.environ, "run", "--config", g.conf, "--data", g.data, "--port", "0").want(t, exitFailure, "another gateway runs with --data "+g.data)
	g.stop()
	if _, err := os.Stat(socket); err == nil {
		t.Error("the socket outlives the gateway")
	}
	g.cmd(t, "keys", "list", "--data", g.data).want(t, exitOK, "states are unknown", "unknown")
	g.cmd(t, "keys", "reset", "sim-openai", "--data", g.data).want(t, exitFailure, "no running gateway found")
	g.cmd(t, "status", "--data", g.data).want(t, exitFailure, "no running gateway found", "--endpoint")
}

// A path too long for a socket costs the socket only.
func TestLongDataPath(t *testing.T) {
	g := startGateway(t, "--data", filepath.Join(t.TempDir(), strings.Repeat("long/", 20)))
	if got := g.ask(t); got != 200 {
		t.Errorf("status %d, want 200", got)
	}
}

// With NATS_URL the same goes over the bus.
func TestKeysByTheBus(t *testing.T) {
	nats := gatewaytest.StartNATS(t)
	g := startGatewayWith(t, []string{"NATS_URL=" + nats.URL()})
	g.checkKeys(t, "--data", t.TempDir())
	g.cmd(t, "doctor", "--data", g.data, "--port", "0").want(t, exitOK, "connected, JetStream has")
	g.cmd(t, "status").want(t, exitOK, "✓ ok", "workers", "seen: 1")
}

func TestDoctorWithoutNATS(t *testing.T) {
	t.Parallel()
	command(t, []string{"NATS_URL=nats://127.0.0.1:1"}, "doctor", "--data", t.TempDir(), "--port", "0").want(t, exitFailure, "✗ NATS", "start the server, or correct NATS_URL")
}

// A password that makes NATS_URL unreadable is not shown with it.
func TestUnreadableNATSAddress(t *testing.T) {
	for _, address := range []string{"nats://u:pass%zz@127.0.0.1:1", "nats://127.0.0.1:1,nats://u:pass/word@127.0.0.1:1", "u:pass#word@127.0.0.1:1"} {
		for _, args := range []string{"run --port 0", "worker", "doctor --port 0", "keys list"} {
			r := command(t, []string{"NATS_URL=" + address, "CLIENT_API_KEY=ck"}, append(strings.Fields(args), "--data", t.TempDir())...)
			if !strings.Contains(r.out+r.errs, "nats://user:password@host:4222") || strings.Contains(r.out+r.errs, "pass%") ||
				strings.Contains(r.out+r.errs, "pass/") || strings.Contains(r.out+r.errs, "pass#") {
				t.Errorf("%s with %s: got %s%s", args, address, r.out, r.errs)
			}
			if role := !strings.HasPrefix(args, "doctor") && !strings.HasPrefix(args, "keys"); role && r.code != exitUsage {
				t.Errorf("%s with %s: exit code %d, want %d", args, address, r.code, exitUsage)
			}
		}
	}
}

// A file that is not there is no server to wait for.
func TestMissingNATSFile(t *testing.T) {
	for _, variable := range []string{"NATS_CREDS", "NATS_CA", "NATS_CERT", "NATS_KEY"} {
		command(t, []string{"NATS_URL=nats://127.0.0.1:1", variable + "=/no/such/file"}, "worker", "--data", t.TempDir()).want(t, exitUsage, variable, "/no/such/file")
	}
}

// checkKeys lets both keys of a provider rest and resets them.
func (g *gateway) checkKeys(t *testing.T, where ...string) {
	t.Helper()
	list := func() result {
		return g.cmd(t, append([]string{"keys", "list", "--format", "json"}, where...)...).want(t, exitOK)
	}
	if r := list(); strings.Count(r.out, `"provider":"sim-openai"`) != 2 || strings.Count(r.out, `"state":"usable"`) != strings.Count(r.out, "\n") {
		t.Errorf("at rest before any request: %s", r.out)
	}
	if got := g.ask(t, "X-Mock-Status", "429", "X-Mock-Retry-After", "100"); got != 429 {
		t.Fatalf("status %d, want 429 when every key rests", got)
	}
	gatewaytest.Await(t, time.Minute, "two cooldowns", func() bool {
		return strings.Count(list().out, `"state":"resting for some models","rests":[{"scope":"key_model","model":"up-openai","seconds":`) == 2
	})
	g.cmd(t, append([]string{"keys", "list"}, where...)...).want(t, exitOK, "PROVIDER", "SIM_API_KEY_2", "for up-openai", "resting for some models")
	g.cmd(t, append([]string{"keys", "reset", "sim-openai"}, where...)...).want(t, exitOK, "sim-openai: 2 cooldowns ended")
	gatewaytest.Await(t, time.Minute, "no cooldown", func() bool { return !strings.Contains(list().out, "resting") })
	gatewaytest.Await(t, time.Minute, "an answer after the reset", func() bool { return g.ask(t) == 200 })
	gatewaytest.Await(t, time.Minute, "the open breaker at both keys", func() bool {
		g.ask(t, "X-Mock-Status", "503")
		return strings.Count(list().out, `"state":"resting for some models","rests":[{"scope":"breaker","model":"up-openai","seconds":`) == 2
	})
	g.cmd(t, append([]string{"keys", "list"}, where...)...).want(t, exitOK, "for up-openai, every key (repeated failures)")
	g.cmd(t, append([]string{"keys", "reset", "sim-openai"}, where...)...).want(t, exitOK, "sim-openai: 1 cooldowns ended")
	gatewaytest.Await(t, time.Minute, "an answer after the breaker's reset", func() bool { return g.ask(t) == 200 })
	g.cmd(t, append([]string{"keys", "reset", "nobody"}, where...)...).want(t, exitUsage, `no provider "nobody"`)
	if r := list(); strings.Contains(r.out, "sk-up") {
		t.Errorf("a key in %s", r.out)
	}
}

// Keys are probed and models discovered at the provider itself.
func TestKeysTestAndModelsDiscover(t *testing.T) {
	g := startGateway(t)
	g.cmd(t, "keys", "test", "sim-openai").want(t, exitOK, "SIM_API_KEY_2", "200", "accepted")
	g.cmd(t, "keys", "test", "sim-anthropic", "--format", "json").want(t, exitOK, `"ok":true,"status":200`)
	g.cmd(t, "models", "discover", "sim-openai").want(t, exitOK, "MODEL", "SERVES")
	command(t, g.environ, "keys", "test", "openai").want(t, exitFailure, "add key openai")
	command(t, g.environ, "models", "discover", "nobody").want(t, exitUsage, `no provider "nobody"`)

	refusing := startRefusing(t)
	dir := folder(t, map[string]string{"providers/sim.json": `{"name":"sim","endpoints":{"base_url":"` + refusing + `/v1"}}`})
	r := command(t, []string{"SIM_API_KEY=sk-refused-000001"}, "keys", "test", "sim", "--config", dir).want(t, exitFailure, "401", "1 of 1 keys failed")
	if strings.Contains(r.out+r.errs, "sk-refused") {
		t.Errorf("a key in %q%q", r.out, r.errs)
	}
	gone := folder(t, map[string]string{"providers/sim.json": `{"name":"sim","endpoints":{"base_url":"http://127.0.0.1:1/v1"}}`})
	command(t, []string{"SIM_API_KEY=k"}, "models", "discover", "sim", "--config", gone).want(t, exitFailure, "does not answer")
}

// startRefusing serves 401 to everyone.
func startRefusing(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) })}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close(); <-done })
	return "http://" + l.Addr().String()
}

func TestStatus(t *testing.T) {
	g := startGateway(t)
	gatewaytest.Await(t, time.Minute, "a healthy gateway", func() bool { return g.cmd(t, "status", "--data", g.data).code == exitOK })
	g.cmd(t, "status", "--data", g.data).want(t, exitOK, "✓ ok, configuration ", "✓ queue", "✓ store", "LOG (bytes: 0, max bytes: 10737418240, messages: 0, oldest ms: 0)", "sim-openai (keys: 2, usable: 2)")
	g.cmd(t, "status", "--endpoint", g.url).want(t, exitOK, "✓ ok, configuration ", "✓ nats")
	var report struct {
		Status     string
		Components map[string]any
	}
	r := g.cmd(t, "status", "--endpoint", g.url+"/", "--format", "json")
	if err := json.Unmarshal([]byte(r.out), &report); err != nil || report.Status != "ok" || len(report.Components) < 7 {
		t.Errorf("got %+v, %v; want seven components", report, err)
	}
	for _, name := range []string{"nats", "streams", "queue", "workers", "providers", "models", "config", "records", "store"} {
		if report.Components[name] == nil {
			t.Errorf("no component %s in %v", name, report.Components)
		}
	}
	g.cmd(t, "status", "--endpoint", g.url, "--key", "wrong").want(t, exitFailure, "does not accept the key")
	command(t, nil, "status", "--endpoint", g.url).want(t, exitOK, "✓ ok")
	command(t, nil, "status", "--endpoint", "http://127.0.0.1:1").want(t, exitFailure, "no answer")
	command(t, nil, "status", "--endpoint", startRefusing(t)).want(t, exitFailure)
}

func TestDoctor(t *testing.T) {
	g := startGateway(t)
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(g.url, "http://"))
	g.cmd(t, "doctor", "--data", g.data, "--host", "127.0.0.1", "--port", port).want(t, exitOK, "✓ configuration", "✓ client keys   1 clients", "! prices",
		"✓ provider keys", "✓ store         SQLite can be read", "✓ NATS", "a gateway runs on")

	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Request-Id", "many servers have it")
		w.WriteHeader(http.StatusNotFound)
	}))
	defer other.Close()
	_, port, _ = net.SplitHostPort(other.Listener.Addr().String())
	g.cmd(t, "doctor", "--data", g.data, "--host", "127.0.0.1", "--port", port).want(t, exitFailure, "✗ port")

	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, port, _ = net.SplitHostPort(taken.Addr().String())
	dir := folder(t, map[string]string{"models/a.json": `{"logical_name":7}`})
	r := command(t, nil, "doctor", "--config", dir, "--data", dir, "--host", "127.0.0.1", "--port", port, "--format", "json").want(t, exitFailure, "checks found something broken")
	for _, want := range []string{`"check":"configuration","result":"broken","found":"` + dir + `/models/a.json:1: logical_name:`,
		`"check":"client keys","result":"broken"`, `"check":"provider keys","result":"broken"`, `"check":"port","result":"broken"`, `choose another --port`} {
		if !strings.Contains(r.out, want) {
			t.Errorf("got %s, want %s in it", r.out, want)
		}
	}
	writeFile(t, dir+"/file", "")
	command(t, nil, "doctor", "--data", dir+"/none/deeper", "--port", "0").want(t, exitFailure, "✓ data")
	writeFile(t, dir+"/records.db", "this is no database, whatever its name says, and long enough to be read as one")
	command(t, g.environ, "doctor", "--config", g.conf, "--data", dir, "--port", "0").want(t, exitFailure, "✗ store", "move it away")
}

// What a health check of a worker sees: no key is asked, and it follows the
// connection to NATS.
func TestHealthOfAWorker(t *testing.T) {
	t.Parallel()
	nats := gatewaytest.StartNATS(t)
	data := t.TempDir()
	g := &gateway{environ: []string{"HOME=" + t.TempDir(), "NATS_URL=" + nats.URL(), "ADMIN_API_KEY=of no use here",
		"MODEL_PROXY_METRICS_LISTEN=127.0.0.1:0", "DATA_DIR=" + data}}
	g.start(t, "worker")
	if _, err := os.Stat(filepath.Join(data, "spool")); err != nil {
		t.Errorf("DATA_DIR is not where the spool is: %v", err)
	}
	live := func() result { return command(t, g.environ, "status", "--live", "--endpoint", g.url) }
	live().want(t, exitOK, "✓ ok")
	nats.Stop()
	gatewaytest.Await(t, time.Minute, "the worker to miss NATS", func() bool { return live().code == exitFailure })
	live().want(t, exitFailure, "✗ unhealthy", "the gateway is unhealthy")
	nats.Start()
	gatewaytest.Await(t, time.Minute, "the worker to find NATS again", func() bool { return live().code == exitOK })
	command(t, g.environ, "status", "--live").want(t, exitUsage, "--live needs --endpoint")
}

// Every flag of run has a variable.
func TestRunByVariables(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	g := &gateway{environ: []string{"HOME=" + t.TempDir(), "CLIENT_API_KEY=" + clientKey, "DATA_DIR=" + data,
		"MODEL_PROXY_HOST=127.0.0.1", "MODEL_PROXY_PORT=0", "MODEL_PROXY_DEMO=true"}}
	g.start(t, "run")
	if !strings.HasPrefix(g.url, "http://127.0.0.1:") || strings.HasSuffix(g.url, ":8000") {
		t.Errorf("listens on %s, want the host and port of the variables", g.url)
	}
	if _, err := os.Stat(controlSocket(data)); err != nil {
		t.Errorf("DATA_DIR is not where the socket is: %v", err)
	}
	if code, _ := gatewaytest.Get(t, g.url+"/health"); code != http.StatusOK {
		t.Errorf("health: %d, want 200", code)
	}
}
