//go:build node

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"model-proxy/e2e/gatewaytest"
	"model-proxy/e2e/transcript"
	"model-proxy/internal/provider/mock"
)

func TestMain(m *testing.M) { os.Exit(gatewaytest.Main(m)) }

// TestNode runs node's own tests, one file after the other: they count what the
// simulated provider has seen. They get the gateway's address and key as
// MODEL_PROXY_URL and MODEL_PROXY_KEY, the simulated provider, whose ledger is at
// /_mock/requests, as MODEL_PROXY_MOCK_URL, and the scripted conversation as
// MODEL_PROXY_TRANSCRIPT.
func TestNode(t *testing.T) {
	if _, err := os.Stat("node/node_modules"); err != nil {
		t.Fatalf("the JavaScript libraries are not installed: run npm ci --prefix e2e/node (%v)", err)
	}
	script, err := transcript.Repair()
	if err != nil {
		t.Fatal(err)
	}
	u := gatewaytest.NewUpstream(t, mock.Options{})
	u.Instead(script.Handler(gatewaytest.Recorded(u.Mock)))
	g := gatewaytest.Run(t, u, gatewaytest.EachProtocol(u.URL).Add(transcript.Setup(u.URL)))
	path, err := filepath.Abs("transcript/testdata/repair.json")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "node", "--test", "--test-concurrency=1", "--test-reporter=spec")
	cmd.Dir = "node"
	cmd.Env = append(os.Environ(), "MODEL_PROXY_URL="+g.URL, "MODEL_PROXY_KEY="+gatewaytest.ClientKey, "MODEL_PROXY_MOCK_URL="+u.URL, "MODEL_PROXY_TRANSCRIPT="+path)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("node --test: %v\n%s", err, out)
	}
	t.Logf("%s", out)
}
