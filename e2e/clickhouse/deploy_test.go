//go:build clickhouse

package clickhouse

import (
	"encoding/xml"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"

	"model-proxy/e2e/clickhouse/chtest"
)

// element is one of a configuration file, with those in it.
type element struct {
	XMLName xml.Name
	Text    string    `xml:",chardata"`
	Inner   []element `xml:",any"`
}

// child returns the element in e of that name, an empty one if there is none.
func (e element) child(name string) element {
	for _, c := range e.Inner {
		if c.XMLName.Local == name {
			return c
		}
	}
	return element{}
}

const deployed = "../../deploy/clickhouse"

func readDeployed(t *testing.T, file string) element {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(deployed, file))
	if err != nil {
		t.Fatal(err)
	}
	var e element
	if err := xml.Unmarshal(text, &e); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return e
}

// startDeployed starts a server with the files of deploy, whose folders on disk are
// the test's.
func startDeployed(t *testing.T) *chtest.Server {
	t.Helper()
	t.Setenv("CLICKHOUSE_SINK_PASSWORD", "sink-secret-0f31")
	t.Setenv("CLICKHOUSE_READER_PASSWORD", "reader-secret-88c2")
	etc := t.TempDir()
	if err := os.CopyFS(etc, os.DirFS(deployed)); err != nil {
		t.Fatal(err)
	}
	storage := filepath.Join(etc, "config.d", "storage.xml")
	text, err := os.ReadFile(storage)
	if err != nil {
		t.Fatal(err)
	}
	moved := strings.NewReplacer("/var/lib/clickhouse-cold/", t.TempDir()+"/", "/backups/", t.TempDir()+"/").Replace(string(text))
	if err := os.WriteFile(storage, []byte(moved), 0o600); err != nil {
		t.Fatal(err)
	}
	return chtest.StartConfigured(t, etc)
}

// A server takes the files of deploy: every setting has a name that it knows, and
// profiles, users and disks are what the files say.
func TestDeployedConfiguration(t *testing.T) { // alone: it sets the environment
	s := startDeployed(t)
	names := func(query string) []string { return strings.Fields(s.MustExec(query)) }

	settings := names("SELECT name FROM system.settings")
	for _, profile := range readDeployed(t, "users.d/model-proxy.xml").child("profiles").Inner {
		for _, setting := range profile.Inner {
			if !slices.Contains(settings, setting.XMLName.Local) {
				t.Errorf("profile %s: ClickHouse knows no setting %s", profile.XMLName.Local, setting.XMLName.Local)
			}
		}
	}
	// What is no setting of the server but a section of its configuration.
	known := append(names("SELECT name FROM system.server_settings"), "listen_host", "logger", "prometheus")
	for _, e := range readDeployed(t, "config.d/model-proxy.xml").Inner {
		if name := e.XMLName.Local; !slices.Contains(known, name) && !strings.HasSuffix(name, "_log") {
			t.Errorf("config.d: ClickHouse knows no setting %s", name)
		}
	}
	wantDeployedUsers(t, s)
	if got := s.MustExec("SELECT groupArray(volume_name) FROM system.storage_policies WHERE policy_name = 'default'"); got != "['hot','cold']" {
		t.Errorf("volumes of the default policy: got %s, want ['hot','cold']", got)
	}
	if got := s.MustExec("SELECT groupArray(name) FROM (SELECT name FROM system.disks ORDER BY name)"); got != "['backups','cold','default']" {
		t.Errorf("disks: got %s", got)
	}
}

// wantDeployedUsers connects as the log sink and as those who read.
func wantDeployedUsers(t *testing.T, s *chtest.Server) {
	t.Helper()
	for _, u := range []struct{ name, password, setting, want, refused string }{
		{"sink", "sink-secret-0f31", "max_memory_usage", "4000000000", "CREATE DATABASE other"},
		{"reader", "reader-secret-88c2", "readonly", "2", "CREATE DATABASE model_proxy"},
	} {
		conn, err := clickhouse.Open(&clickhouse.Options{Addr: []string{s.Native}, Auth: clickhouse.Auth{Username: u.name, Password: u.password}})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		var got string
		if err := conn.QueryRow(t.Context(), "SELECT value FROM system.settings WHERE name = '"+u.setting+"'").Scan(&got); err != nil || got != u.want {
			t.Errorf("%s: %s: got %q, want %s (%v)", u.name, u.setting, got, u.want, err)
		}
		if err := conn.Exec(t.Context(), u.refused); err == nil {
			t.Errorf("%s may %s", u.name, u.refused)
		}
	}
}
