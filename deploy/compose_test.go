package deploy

import (
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// composeFile is what these tests read of a compose file.
type composeFile struct {
	Services map[string]composeService
	Secrets  map[string]struct{ File string }
	Volumes  map[string]any
}

type composeService struct {
	Image       string
	Command     []string
	Environment map[string]string
	EnvFile     []string `yaml:"env_file"`
	Volumes     []string
	Ports       []string
	Secrets     []struct{ Source, Target string }
	StopGrace   string         `yaml:"stop_grace_period"`
	DependsOn   map[string]any `yaml:"depends_on"`
	Scale       int
	Healthcheck struct{ Test []string }
	Profiles    []string
}

// isRole reports whether the service is the gateway's own image.
func (s composeService) isRole() bool { return strings.Contains(s.Image, "model-proxy") }

func readCompose(t *testing.T, path string) composeFile {
	t.Helper()
	var c composeFile
	if err := yaml.Unmarshal(read(t, path), &c); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return c
}

var composeFiles = []string{"docker-compose.yml", "docker-compose.prod.yml"}

// Both files start every role, each with what its command knows.
func TestComposeRoles(t *testing.T) {
	t.Parallel()
	for _, path := range composeFiles {
		c := readCompose(t, path)
		started := map[string]bool{}
		for name, s := range c.Services {
			if s.isRole() {
				started[s.Command[0]] = true
				checkComposeRole(t, path+": "+name, c, s)
			}
		}
		for _, role := range []string{"ingress", "worker", "logsink"} {
			if !started[role] {
				t.Errorf("%s starts no %s", path, role)
			}
		}
	}
}

func checkComposeRole(t *testing.T, where string, c composeFile, s composeService) {
	t.Helper()
	given := checkCommand(t, where, s.Command)
	for name := range s.Environment {
		checkVariable(t, where, name)
	}
	checkGrace(t, where, seconds(t, where, s.StopGrace), 0, s.Environment["MODEL_PROXY_DRAIN"])

	port := "8000" // the default of --port
	if s.Command[0] != "ingress" {
		_, port, _ = strings.Cut(given["metrics-listen"], ":")
	}
	probe := s.Healthcheck.Test
	if len(probe) < 3 || probe[0] != "CMD" || probe[1] != "/model-proxy" {
		t.Fatalf("%s: health check %q does not run the binary: the image has nothing else", where, probe)
	}
	asked := checkCommand(t, where+": health check", probe[2:])
	if want := "http://127.0.0.1:" + port; asked["endpoint"] != want {
		t.Errorf("%s: health check asks %s, want %s", where, asked["endpoint"], want)
	}
	for _, p := range s.Ports {
		if _, inside, _ := strings.Cut(p, ":"); inside != port {
			t.Errorf("%s: port %s leads to %s, the role listens on %s", where, p, inside, port)
		}
	}
	checkPeers(t, where, s.Environment, slices.Collect(maps.Keys(c.Services)))
}

// checkPeers checks that NATS_URL and CLICKHOUSE_DSN name hosts and users that
// exist.
func checkPeers(t *testing.T, where string, env map[string]string, hosts []string) {
	t.Helper()
	check := func(address string, users []string) {
		t.Helper()
		u, err := url.Parse(strings.NewReplacer("$", "", "{", "", "}", "", "(", "", ")", "").Replace(address))
		if err != nil {
			t.Errorf("%s: %v", where, err)
			return
		}
		if !slices.Contains(hosts, u.Hostname()) {
			t.Errorf("%s: %s: no such host as %s", where, u.Redacted(), u.Hostname())
		}
		if !slices.Contains(users, u.User.Username()) {
			t.Errorf("%s: %s: no such user; there are %v", where, u.Redacted(), users)
		}
	}
	for _, address := range strings.Split(env["NATS_URL"], ",") {
		check(address, natsUsers(t))
	}
	if dsn := env["CLICKHOUSE_DSN"]; dsn != "" {
		check(dsn, clickhouseUsers(t))
	}
}

// What the files mount and depend on is there.
func TestComposeReferences(t *testing.T) {
	t.Parallel()
	for _, path := range composeFiles {
		c := readCompose(t, path)
		for name, s := range c.Services {
			where := path + ": " + name
			for _, v := range s.Volumes {
				source, _, _ := strings.Cut(v, ":")
				_, named := c.Volumes[source]
				_, err := os.Stat(filepath.Join(root, source))
				if !named && (err != nil || !strings.HasPrefix(source, "./")) {
					t.Errorf("%s: volume %s is neither declared nor a path of the repository", where, source)
				}
			}
			for _, secret := range s.Secrets {
				if _, ok := c.Secrets[secret.Source]; !ok {
					t.Errorf("%s: secret %s is not declared", where, secret.Source)
				}
			}
			for other := range s.DependsOn {
				if len(c.Services[other].Healthcheck.Test) == 0 {
					t.Errorf("%s: waits for %s to be healthy, which has no health check", where, other)
				}
			}
		}
	}
}
