package deploy

import (
	"encoding/xml"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
)

// passwords are the variables that secrets.sh makes.
var passwords = []string{"NATS_INGRESS_PASSWORD", "NATS_WORKER_PASSWORD", "NATS_LOGSINK_PASSWORD", "NATS_ADMIN_PASSWORD",
	"CLICKHOUSE_SINK_PASSWORD", "CLICKHOUSE_READER_PASSWORD", "GRAFANA_PASSWORD"}

// setSecrets gives this process the environment of the servers, as secrets.sh
// and the compose files would: the readers of configuration look there.
func setSecrets() error {
	env := map[string]string{"NATS_NAME": "nats-1", "NATS_ROUTES": "[nats://127.0.0.1:1]"}
	for _, name := range passwords {
		env[name] = "p-" + strings.ToLower(name)
	}
	for name, value := range env {
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}
	return nil
}

// natsUsers are the users that server.conf lets in.
func natsUsers(t *testing.T) []string {
	t.Helper()
	opts, err := server.ProcessConfigFile("nats/server.conf")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, u := range opts.Users {
		names = append(names, u.Username)
	}
	slices.Sort(names)
	return names
}

// clickhouseUsers are the users that users.d adds.
func clickhouseUsers(t *testing.T) []string {
	t.Helper()
	var doc struct {
		Users struct {
			List []struct{ XMLName xml.Name } `xml:",any"`
		} `xml:"users"`
	}
	if err := xml.Unmarshal(read(t, "deploy/clickhouse/users.d/model-proxy.xml"), &doc); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, u := range doc.Users.List {
		names = append(names, u.XMLName.Local)
	}
	return names
}

// wellFormed reads a whole XML file.
func wellFormed(b []byte) error {
	for d := xml.NewDecoder(strings.NewReader(string(b))); ; {
		if _, err := d.Token(); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}

func TestClickHouseConfiguration(t *testing.T) {
	t.Parallel()
	for _, path := range append(files(t, "deploy/clickhouse/config.d/*.xml"), files(t, "deploy/clickhouse/users.d/*.xml")...) {
		if err := wellFormed(read(t, path)); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	if got, want := clickhouseUsers(t), []string{"default", "sink", "reader"}; !slices.Equal(got, want) {
		t.Errorf("users %v, want %v", got, want)
	}
}
