package deploy

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"model-proxy/e2e/gatewaytest"
	"model-proxy/internal/provider/mock"
)

// stack is what stands in for Docker: folders for volumes and secrets, local
// ports for host names.
type stack struct {
	dir, secrets string
	hosts        map[string]string // host:port of the compose file → here
	passwords    map[string]string // of secrets.sh, by variable
	config       string
}

// The production compose file, run without Docker: its NATS servers with TLS
// and its roles as processes, with the file's own commands, variables, health
// checks and stop signal. What a container would map is mapped here: hosts,
// ports, paths. Docker's own part is not tested, and ClickHouse is not there: the
// log sink keeps SQLite.
func TestProductionStack(t *testing.T) {
	t.Parallel()
	c := readCompose(t, "docker-compose.prod.yml")
	s := &stack{dir: t.TempDir(), hosts: map[string]string{}}
	s.makeSecrets(t)
	s.startNATS(t, c)
	upstream := gatewaytest.NewUpstream(t, mock.Options{})
	s.config = filepath.Join(s.dir, "config")
	s.writeJSON(t, "config/providers/openai.json", gatewaytest.Provider("openai", "openai", upstream.URL))
	s.writeJSON(t, "config/models/gpt.json", gatewaytest.Model("gpt", "openai"))

	started := []string{"logsink", "worker", "worker", "ingress"}
	var processes []*gatewaytest.Process
	for _, name := range started { // all at once, as after a power cut
		processes = append(processes, s.start(t, name, c.Services[name]))
	}
	gateway := ""
	for i, p := range processes {
		gateway = s.checkHealth(t, c.Services[started[i]], p)
	}
	ask := gatewaytest.Gateway{Process: processes[len(processes)-1], URL: gateway}
	gatewaytest.Await(t, time.Minute, "an answer through every role", func() bool {
		return ask.Do(t, gatewaytest.Request{Path: "/v1/chat/completions", Body: `{"model":"gpt","messages":[{"role":"user","content":"hello"}]}`}).Status == 200
	})
	for i, p := range slices.Backward(processes) {
		p.Signal(syscall.SIGTERM)
		if code := p.ExitCode(time.Minute); code != 0 {
			t.Errorf("%s ended with %d after SIGTERM, want 0", started[i], code)
		}
	}
}

// makeSecrets runs secrets.sh as the compose file says.
func (s *stack) makeSecrets(t *testing.T) {
	t.Helper()
	s.secrets = filepath.Join(s.dir, "secrets")
	if out, err := exec.Command("sh", "secrets.sh", s.secrets).CombinedOutput(); err != nil {
		t.Fatalf("secrets.sh: %v\n%s", err, out)
	}
	env, err := os.ReadFile(filepath.Join(s.secrets, "env"))
	if err != nil {
		t.Fatal(err)
	}
	s.passwords = map[string]string{}
	for line := range strings.Lines(string(env)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		s.passwords[name] = value
	}
	for _, name := range passwords {
		if s.passwords[name] == "" {
			t.Errorf("secrets.sh makes no %s", name)
		}
	}
}

// local puts this machine's paths and ports in the place of the containers'.
func (s *stack) local(text string) string {
	text = strings.ReplaceAll(text, "/run/secrets/nats", s.secrets)
	for from, to := range s.hosts {
		text = strings.ReplaceAll(text, from, to)
	}
	return text
}

// variables are a service's environment, with the passwords in their places.
func (s *stack) variables(service composeService) []string {
	var env []string
	for name, value := range service.Environment {
		value = os.Expand(value, func(variable string) string {
			variable, _, _ = strings.Cut(variable, ":") // what follows is said where it is not set
			return s.passwords[variable]
		})
		if name != "CLICKHOUSE_DSN" {
			env = append(env, name+"="+s.local(value))
		}
	}
	return env
}

// start starts a role. All share one folder of data, as they share the volume.
func (s *stack) start(t *testing.T, name string, service composeService) *gatewaytest.Process {
	t.Helper()
	env := append(s.variables(service), "DATA_DIR="+filepath.Join(s.dir, "spool"), "MODEL_PROXY_CONFIG="+s.config,
		"CLIENT_API_KEY="+gatewaytest.ClientKey, "OPENAI_API_KEY="+gatewaytest.OpenAIKey)
	args := slices.Clone(service.Command)
	for i, word := range args {
		if word == "0.0.0.0:9090" {
			args[i] = "127.0.0.1:0"
		}
	}
	if name == "ingress" {
		args = append(args, "--host", "127.0.0.1", "--port", "0")
	}
	return gatewaytest.Start(t, name, env, args...)
}

// checkHealth runs a service's own health check against its process, and
// returns the address that it asked.
func (s *stack) checkHealth(t *testing.T, service composeService, p *gatewaytest.Process) string {
	t.Helper()
	opens := "metrics"
	if service.Command[0] == "ingress" {
		opens = "listening"
	}
	var line struct{ Address string }
	if err := json.Unmarshal([]byte(p.AwaitLog(`"msg":"`+opens+`"`, time.Minute)), &line); err != nil {
		t.Fatal(err)
	}
	probe := slices.Clone(service.Healthcheck.Test[2:])
	probe[slices.Index(probe, "--endpoint")+1] = "http://" + line.Address
	if out, err := exec.Command(binary(), probe...).CombinedOutput(); err != nil {
		t.Errorf("health check of %s: %v\n%s", service.Command[0], err, out)
	}
	return "http://" + line.Address
}

func (s *stack) writeJSON(t *testing.T, path string, content any) {
	t.Helper()
	b, err := json.Marshal(content)
	if err != nil {
		t.Fatal(err)
	}
	s.write(t, filepath.Join(s.dir, path), string(b))
}

func (s *stack) write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
