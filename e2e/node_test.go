//go:build node

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"testing"

	"model-proxy/e2e/harness"
)

// TestNode runs node's own tests, one file after the other: they count what the
// simulated provider has seen.
func TestNode(t *testing.T) {
	if _, err := os.Stat("node/node_modules"); err != nil {
		t.Fatalf("the JavaScript libraries are not installed: run npm ci --prefix e2e/node (%v)", err)
	}
	err := harness.With(func(g *harness.Gateway) error {
		cmd := exec.CommandContext(t.Context(), "node", "--test", "--test-concurrency=1", "--test-reporter=spec")
		cmd.Dir = "node"
		cmd.Env = append(os.Environ(), g.Environ()...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			return fmt.Errorf("node --test: %w\n%s", err, out)
		}
		t.Logf("%s", out)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
