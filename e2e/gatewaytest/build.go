// Package gatewaytest starts real model-proxy processes for end-to-end tests:
// the binary built from this tree, a real NATS server where roles run apart,
// and the simulated provider, whose ledger says what truly reached it. It
// looks at a gateway only from outside: HTTP, signals, records and logs.
package gatewaytest

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// binaryVar names the binary under test. Where it is set already, that binary
// is tested and none is built.
const binaryVar = "MODEL_PROXY_E2E_BINARY"

// Main builds the binary, runs the tests and returns the exit code. The tests
// wait far more than they compute, so that more of them run at one time than
// there are processors.
func Main(m *testing.M) int {
	flag.Parse()
	if err := flag.Set("test.parallel", "8"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if os.Getenv(binaryVar) != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "model-proxy-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	bin := filepath.Join(dir, "model-proxy")
	build := exec.Command("go", "build", "-o", bin, "model-proxy/cmd/model-proxy")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "build the binary under test:", err)
		return 1
	}
	if err := os.Setenv(binaryVar, bin); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}
