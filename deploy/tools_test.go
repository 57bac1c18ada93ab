//go:build deploytools

package deploy

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// The files as their own tools see them. The Makefile installs the tools; one
// that is missing is a failure.

// tool runs a tool of the system and fails the test if it finds a fault.
func tool(t *testing.T, env []string, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func TestToolDockerCompose(t *testing.T) {
	for _, path := range composeFiles {
		dir := t.TempDir()
		s := stack{dir: dir}
		s.write(t, filepath.Join(dir, ".env"), "CLIENT_API_KEY=x\n")
		s.write(t, filepath.Join(dir, path), string(read(t, path)))
		out := tool(t, nil, "docker-compose", "-f", filepath.Join(dir, path), "config")
		for name, service := range readCompose(t, path).Services {
			if len(service.Profiles) == 0 && !strings.Contains(out, "\n  "+name+":\n") {
				t.Errorf("docker-compose -f %s config shows no %s", path, name)
			}
		}
	}
}

func TestToolPromtool(t *testing.T) {
	tool(t, nil, "promtool", "check", "config", "prometheus/prometheus.yml")
	tool(t, nil, "promtool", "test", "rules", "prometheus/alerts_test.yml")
}

// A rule for each query of the dashboards: promtool reads those.
func TestToolPromtoolDashboards(t *testing.T) {
	type rule struct{ Record, Expr string }
	var rules []rule
	for where, exprs := range expressions(t) {
		for _, expr := range exprs {
			if strings.HasSuffix(strings.SplitN(where, ":", 2)[0], ".json") {
				rules = append(rules, rule{fmt.Sprintf("query_%d", len(rules)), strings.ReplaceAll(expr, "$__rate_interval", "1m")})
			}
		}
	}
	text, err := yaml.Marshal(map[string]any{"groups": []any{map[string]any{"name": "dashboards", "rules": rules}}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "rules.yml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	tool(t, nil, "promtool", "check", "rules", file)
}

// systemd's own reader finds no fault in the units, and thinks them well locked
// up (0 is locked, 10 is open).
func TestToolSystemd(t *testing.T) {
	dir := t.TempDir()
	s := stack{dir: dir}
	s.write(t, filepath.Join(dir, "model-proxy-.service.d/common.conf"), string(read(t, "deploy/systemd/model-proxy-.service.d/common.conf")))
	units := []string{"verify", "--man=no"}
	for _, path := range files(t, "deploy/systemd/*.service") {
		name := filepath.Base(path)
		s.write(t, filepath.Join(dir, name), strings.Replace(string(read(t, path)), "/usr/bin/model-proxy", binary(), 1))
		units = append(units, strings.Replace(name, "@.", "@1.", 1))
	}
	env := []string{"SYSTEMD_UNIT_PATH=" + dir + ":"}
	if out := tool(t, env, "systemd-analyze", units...); strings.TrimSpace(out) != "" {
		t.Errorf("systemd-analyze verify says: %s", out)
	}
	tool(t, env, "systemd-analyze", "security", "--offline=true", "--threshold=20", "model-proxy-run.service")
}
