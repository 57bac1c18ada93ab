package deploy

import (
	"path/filepath"
	"strings"
	"testing"
)

// unitFile is a file of systemd: the values of each key, in their order.
type unitFile map[string][]string

func readUnit(t *testing.T, path string) unitFile {
	t.Helper()
	u := unitFile{}
	for line := range strings.Lines(string(read(t, path))) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || line[0] == '[' {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if !ok {
			t.Errorf("%s: %q is no assignment", path, line)
		}
		u[name] = append(u[name], value)
	}
	return u
}

func TestSystemdUnits(t *testing.T) {
	t.Parallel()
	common := readUnit(t, "deploy/systemd/model-proxy-.service.d/common.conf")
	drain := ""
	for _, assignment := range common["Environment"] {
		name, value, _ := strings.Cut(assignment, "=")
		checkVariable(t, "common.conf", name)
		if name == "MODEL_PROXY_DRAIN" {
			drain = value
		}
	}
	checkGrace(t, "common.conf", seconds(t, "common.conf", common["TimeoutStopSec"][0]), 0, drain)

	started := map[string]bool{}
	for _, path := range files(t, "deploy/systemd/*.service") {
		u := readUnit(t, path)
		words := strings.Fields(u["ExecStart"][0])
		if words[0] != "/usr/bin/model-proxy" {
			t.Errorf("%s: starts %s", path, words[0])
		}
		checkCommand(t, path, words[1:])
		started[words[1]] = true
		// The drop-in's name is a prefix of every unit's.
		if !strings.HasPrefix(filepath.Base(path), "model-proxy-"+words[1]) {
			t.Errorf("%s starts %s: want a name that says so", path, words[1])
		}
	}
	for _, role := range roles {
		if !started[role] {
			t.Errorf("no unit starts %s", role)
		}
	}
}
