package deploy

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"model-proxy/e2e/gatewaytest"
)

// What server.conf and cluster.conf say is what the gateway asks of a server.
func TestNATSLimits(t *testing.T) {
	t.Parallel()
	opts, err := server.ProcessConfigFile("nats/server.conf")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := opts.MaxPayload, int32(2<<20); got < want {
		t.Errorf("max_payload %d, want %d", got, want)
	}
	if got, want := opts.MaxPending, int64(128<<20); got < want {
		t.Errorf("max_pending %d, want %d", got, want)
	}
	if !opts.NoFastProducerStall || !opts.JetStream || !opts.SyncAlways {
		t.Errorf("no_fast_producer_stall %t, jetstream %t, sync_interval always %t; want all", opts.NoFastProducerStall, opts.JetStream, opts.SyncAlways)
	}
	if got, want := opts.JetStreamMaxStore, int64(10<<30); got <= want {
		t.Errorf("max_file_store %d, want more than the default of LOG_MAX_BYTES, %d", got, want)
	}
}

// natsNode is one server of the cluster as a process.
type natsNode struct {
	name                     string
	client, cluster, monitor int // ports
}

// startNATS builds nats-server from its module and starts the cluster as the
// compose file does: cluster.conf, the file's variables, the certificates and
// passwords of secrets.sh. It returns when each server is healthy.
func (s *stack) startNATS(t *testing.T, c composeFile) {
	t.Helper()
	bin := filepath.Join(s.dir, "nats-server")
	if out, err := exec.Command("go", "build", "-o", bin, "github.com/nats-io/nats-server/v2").CombinedOutput(); err != nil {
		t.Fatalf("build nats-server: %v\n%s", err, out)
	}
	var nodes []natsNode
	for i := range 3 {
		nodes = append(nodes, natsNode{"nats-" + strconv.Itoa(i+1), gatewaytest.FreePort(t), gatewaytest.FreePort(t), gatewaytest.FreePort(t)})
		s.hosts[nodes[i].name+":4222"] = "127.0.0.1:" + strconv.Itoa(nodes[i].client)
		s.hosts[nodes[i].name+":6222"] = "127.0.0.1:" + strconv.Itoa(nodes[i].cluster)
	}
	for _, n := range nodes {
		home := filepath.Join(s.dir, n.name)
		for _, path := range files(t, "deploy/nats/*.conf") {
			text := strings.NewReplacer("store_dir: /data", "store_dir: "+home+"/data", "0.0.0.0", "127.0.0.1").Replace(string(read(t, path)))
			s.write(t, filepath.Join(home, filepath.Base(path)), s.local(text))
		}
		args := []string{"-a", "127.0.0.1", "-p", strconv.Itoa(n.client), "-m", strconv.Itoa(n.monitor),
			"--cluster", "nats://127.0.0.1:" + strconv.Itoa(n.cluster)}
		for _, word := range c.Services[n.name].Command {
			args = append(args, strings.Replace(word, "/etc/nats", home, 1))
		}
		startProcess(t, n.name, bin, s.variables(c.Services[n.name]), args...)
	}
	for _, n := range nodes {
		probe := c.Services[n.name].Healthcheck.Test
		address := strings.Replace(probe[len(probe)-1], ":8222", ":"+strconv.Itoa(n.monitor), 1)
		gatewaytest.Await(t, 60*time.Second, n.name+" to be healthy", func() bool {
			resp, err := http.Get(address)
			if err != nil {
				return false
			}
			_ = resp.Body.Close() // the status is all
			return resp.StatusCode == http.StatusOK
		})
	}
}

// startProcess starts another program than the gateway, killed with the test,
// which shows what it said if it has failed.
func startProcess(t *testing.T, name, program string, env []string, args ...string) {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Env = env
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGKILL) // it may have ended
		_ = cmd.Wait()                          // killed: no code to look at
		_ = log.Close()
		if said, err := os.ReadFile(log.Name()); t.Failed() && err == nil {
			t.Logf("%s said:\n%s", name, said)
		}
	})
}
