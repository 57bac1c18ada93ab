package modelproxy

import (
	"os/exec"
	"strings"
	"testing"
)

// layer is the diagram of ARCHITECTURE.md as a table: a package imports only
// packages of lower layers, never one of its own.
var layer = map[string]int{
	"internal/llm": 0, "internal/rawjson": 0, "internal/phase": 0,
	"internal/bus": 1, "convert": 1, "internal/usage": 1, "config": 1,
	"router": 2, "keysvc": 2, "internal/provider": 2, "internal/limit": 2, "internal/recall": 2, "internal/span": 2,
	"ingress": 3, "worker": 3, "logsink": 3, "internal/web": 3, "internal/telemetry": 3,
	"internal/provider/mock": 3,
	"cmd/model-proxy":        4,
}

// inLayerZero are the packages of layer 0 that others of it may use.
var inLayerZero = map[string]bool{"internal/rawjson": true}

// outside of the product: what tests and measures it.
var outside = []string{"e2e", "bench", "internal/bus/bustest", "scripts", "deploy"}

func TestImportsPointDown(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for line := range strings.Lines(string(out)) {
		names := strings.Fields(strings.ReplaceAll(line, "model-proxy/", ""))
		pkg := names[0]
		if pkg == "model-proxy" || isOutside(pkg) {
			continue
		}
		own, known := layer[pkg]
		if !known {
			t.Errorf("%s has no layer: give it one in layers_test.go and in ARCHITECTURE.md", pkg)
			continue
		}
		for _, dep := range names[1:] {
			below, ours := layer[dep]
			if !ours || below < own || below == 0 && inLayerZero[dep] {
				continue
			}
			t.Errorf("%s (layer %d) imports %s (layer %d)", pkg, own, dep, below)
		}
	}
}

func isOutside(pkg string) bool {
	for _, o := range outside {
		if pkg == o || strings.HasPrefix(pkg, o+"/") {
			return true
		}
	}
	return false
}
