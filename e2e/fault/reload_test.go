package fault_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"model-proxy/e2e/gatewaytest"
	"model-proxy/internal/provider/mock"
)

// reloadWithin bounds what is promised within a second, on a busy machine.
const reloadWithin = 10 * time.Second

// fleet are all processes of a cluster that have a configuration.
type fleet []*gatewaytest.Process

// push writes a file into every folder, or removes it where the content is nil,
// and has every process read it.
func (f fleet) push(t *testing.T, name string, content any) {
	t.Helper()
	for _, p := range f {
		path := filepath.Join(p.Config, name)
		var err error
		switch c := content.(type) {
		case nil:
			err = os.Remove(path)
		case string:
			err = os.WriteFile(path, []byte(c), 0o600)
		default:
			var b []byte
			if b, err = json.Marshal(c); err == nil {
				err = os.WriteFile(path, b, 0o600)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		p.Signal(syscall.SIGHUP)
	}
}

// checkReloaded checks how long a change took that has just arrived.
func checkReloaded(t *testing.T, c *gatewaytest.Cluster, what string, pushed time.Time) {
	t.Helper()
	took := c.Clock.Since(pushed).Round(time.Millisecond)
	t.Logf("%s after %v", what, took)
	if took > reloadWithin {
		t.Errorf("%s after %v, want within 1 s", what, took)
	}
}

// A process that still waits for NATS is told to reload like any other: it does
// so once it is up.
func TestReloadBeforeTheStart(t *testing.T) {
	t.Parallel()
	n := gatewaytest.StartNATS(t)
	n.Stop()
	p := gatewaytest.Start(t, "early worker", []string{"NATS_URL=" + n.URL()}, "worker")
	p.AwaitLog("waiting for NATS", soon)
	p.Signal(syscall.SIGHUP)
	n.Start()
	p.AwaitLog("configuration reloaded", soon)
}

// A process that still waits for NATS stops when it is told to, as a success.
func TestStopBeforeTheStart(t *testing.T) {
	t.Parallel()
	n := gatewaytest.StartNATS(t)
	n.Stop()
	for _, role := range []string{"worker", "ingress", "logsink", "run"} {
		p := gatewaytest.Start(t, "early "+role, []string{"NATS_URL=" + n.URL(), "CLIENT_API_KEY=ck", "DATA_DIR=" + t.TempDir(), "MODEL_PROXY_PORT=0"}, role)
		p.AwaitLog("waiting for NATS", soon)
		p.Signal(syscall.SIGTERM)
		if code := p.ExitCode(soon); code != 0 {
			t.Errorf("%s: exit code %d, want 0", role, code)
		}
	}
}

// A change of the configuration reaches every process of a cluster, an invalid one
// none, and a client's key that is taken away is refused while its stream goes on.
func TestReloadOfACluster(t *testing.T) {
	t.Parallel()
	const leaver = "ck-e2e-leaver-90f1be57"
	clients := []gatewaytest.JSON{{"id": "leaver", "key_env": "LEAVER_KEY"}}
	u := gatewaytest.NewUpstream(t, mock.Options{})
	c := gatewaytest.NewCluster(t, u, gatewaytest.Setup{Env: []string{"LEAVER_KEY=" + leaver}, Clients: clients}, 2)
	both := []*gatewaytest.Gateway{c.Gateway, c.AddIngress()}
	all := fleet{both[0].Process, both[1].Process, c.Workers[0].Process, c.Workers[1].Process}
	p := gatewaytest.Protocols[0]
	stream := c.MustOpen(t, p.Stream("going on").With("Authorization", leaver, "X-Request-Id", "leaver", "X-Mock-Delay", "20ms", "X-Mock-Chunks", "500"))
	stream.MustEvents(t, 5)

	pushed := time.Now()
	all.push(t, "models/new.json", gatewaytest.Model("new", "openai"))
	for i, g := range both {
		gatewaytest.Await(t, soon, "the new model", func() bool { return g.Do(t, p.Of("new").Plain("hello")).Status == 200 })
		if a := g.Do(t, p.Plain("hello").With("X-Request-Id", "new-"+string(rune('a'+i)))); a.Status != 200 {
			t.Errorf("after the change: got %d: %s", a.Status, a.Body)
		}
	}
	checkReloaded(t, c, "a new model on every ingress", pushed)
	for _, id := range []string{"new-a", "new-b"} {
		revision := c.AwaitRow(t, id, soon).ConfigRevision
		loaded := func(w *gatewaytest.Worker) bool { // each worker's is its own here, for its provider file names it
			return strings.Contains(w.Output(), `"configuration reloaded","revision":"`+revision+`"`)
		}
		if !slices.ContainsFunc(c.Workers, loaded) {
			t.Errorf("request %s: revision %q, want one that a worker has changed to", id, revision)
		}
	}

	all.push(t, "models/new.json", `{"logical_name": "new", "model_routings": 7}`)
	for _, one := range all {
		one.AwaitLog("the running configuration stays", soon)
	}
	for _, g := range both {
		if a := g.Do(t, p.Of("new").Plain("hello").With("X-Request-Id", "kept")); a.Status != 200 {
			t.Errorf("after an invalid change: got %d: %s", a.Status, a.Body)
		}
	}

	all.push(t, "models/new.json", gatewaytest.Model("new", "openai"))
	revoked := time.Now()
	all.push(t, "clients.json", []gatewaytest.JSON{})
	for _, g := range both {
		gatewaytest.Await(t, soon, "401 for the key that was taken away", func() bool {
			return g.Do(t, p.Plain("hello").With("Authorization", leaver)).Status == 401
		})
	}
	checkReloaded(t, c, "a key taken away from every ingress", revoked)
	if got, err := stream.Rest(); err != nil || !strings.HasSuffix(got, "data: [DONE]\n\n") {
		t.Errorf("the leaver's stream: %d bytes, %v; want it to go on to its end", len(got), err)
	}
	checkRecorded(t, c.Gateway, "leaver")
}
