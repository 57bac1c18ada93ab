package gatewaytest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
)

// StartDeployedNATS starts a server with the configuration that deploy ships: a
// user for each role, with a password and the permissions that it needs. The test
// stands two folders below the top.
func StartDeployedNATS(t testing.TB) *NATS {
	t.Helper()
	passwords := map[string]string{"ingress": "p-ingress-1", "worker": "p-worker-2", "logsink": "p-logsink-3", "admin": "p-admin-4"}
	words := []string{"$NATS_NAME", "nats-1", "/data", t.TempDir()}
	for role, p := range passwords {
		words = append(words, "$NATS_"+strings.ToUpper(role)+"_PASSWORD", p)
	}
	dir := t.TempDir()
	for _, name := range []string{"server.conf", "limits.conf", "accounts.conf"} {
		text, err := os.ReadFile(filepath.Join("../../deploy/nats", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(strings.NewReplacer(words...).Replace(string(text))), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	opts, err := server.ProcessConfigFile(filepath.Join(dir, "server.conf"))
	if err != nil {
		t.Fatal(err)
	}
	opts.HTTPHost, opts.HTTPPort = "", 0
	n := StartNATSWith(t, *opts)
	n.Passwords = passwords
	return n
}
