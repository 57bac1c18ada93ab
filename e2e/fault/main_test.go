// Package fault_test breaks the gateway on purpose and checks what its clients
// see and what its records say afterwards, against the provider's own ledger.
package fault_test

import (
	"os"
	"testing"
	"time"

	"model-proxy/e2e/gatewaytest"
)

// Bounds of waiting. They are wide: what a promise bounds more tightly is
// measured and compared by itself.
const (
	soon     = 60 * time.Second // what happens as a matter of course
	patience = 90 * time.Second // what has to be noticed first
)

func TestMain(m *testing.M) { os.Exit(gatewaytest.Main(m)) }
