// Package harness starts a built gateway in front of the simulated provider, for
// tests that speak to it as its users do: over HTTP, with a client key.
package harness

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"model-proxy/internal/provider/mock"
)

// Gateway is a running gateway. Its fields are also what tests in other
// languages get, as MODEL_PROXY_URL, MODEL_PROXY_KEY and MODEL_PROXY_MOCK_URL.
type Gateway struct {
	URL     string // without /v1
	Key     string // the client's
	MockURL string // the simulated provider, whose ledger is at /_mock/requests
}

// Models are the logical models, by the protocol their upstream speaks.
var models = map[string]string{"openai": "e2e-openai", "anthropic": "e2e-anthropic", "openai-responses": "e2e-responses"}

// Environ is what a test in another process needs.
func (g *Gateway) Environ() []string {
	return []string{"MODEL_PROXY_URL=" + g.URL, "MODEL_PROXY_KEY=" + g.Key, "MODEL_PROXY_MOCK_URL=" + g.MockURL}
}

// Running returns the gateway that the environment names, nil if it names none.
func Running() (*Gateway, error) {
	g := &Gateway{URL: os.Getenv("MODEL_PROXY_URL"), Key: os.Getenv("MODEL_PROXY_KEY"), MockURL: os.Getenv("MODEL_PROXY_MOCK_URL")}
	if g.URL == "" {
		return nil, nil
	}
	if g.Key == "" || g.MockURL == "" {
		return nil, errors.New("MODEL_PROXY_URL is set: MODEL_PROXY_KEY and MODEL_PROXY_MOCK_URL must be too")
	}
	return g, nil
}

// With calls f with a gateway: the one the environment names, else one built
// from this module, which is stopped when f has returned. Its log goes to
// standard error if it does not end well.
func With(f func(*Gateway) error) error {
	g, err := Running()
	if err != nil {
		return err
	}
	if g != nil {
		return f(g)
	}
	dir, err := os.MkdirTemp("", "e2e")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	m := mock.New(mock.Options{})
	defer m.Close()
	upstream := httptest.NewServer(answers(m))
	defer upstream.Close()
	g = &Gateway{Key: "e2e-client-key", MockURL: upstream.URL}
	stop, err := start(g, dir)
	if err != nil {
		return err
	}
	return errors.Join(f(g), stop())
}

// start builds and starts the gateway and waits until it answers.
func start(g *Gateway, dir string) (stop func() error, err error) {
	program := filepath.Join(dir, "model-proxy")
	build := exec.Command("go", "build", "-o", program, "model-proxy/cmd/model-proxy")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return nil, fmt.Errorf("build the gateway: %w", err)
	}
	if err := writeConfig(filepath.Join(dir, "config"), g.MockURL); err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	g.URL = "http://127.0.0.1:" + port
	var log strings.Builder
	cmd := exec.Command(program, "run", "--host", "127.0.0.1", "--port", port, "--log-level", "warn",
		"--config", filepath.Join(dir, "config"), "--data", filepath.Join(dir, "data"), "--drain", "2s")
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "CLIENT_API_KEY=" + g.Key, "E2E_API_KEY=simulated",
		"RATE_LIMIT_REQUESTS_PER_MINUTE=0", "RATE_LIMIT_TOKENS_PER_MINUTE=0", "KEY_COOLDOWN_SECONDS=0"}
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the gateway: %w", err)
	}
	stop = func() error {
		if err := end(cmd); err != nil {
			return fmt.Errorf("the gateway ended with %w; its log:\n%s", err, log.String())
		}
		return nil
	}
	if err := awaitHealth(g.URL); err != nil {
		return nil, errors.Join(err, stop())
	}
	return stop, nil
}

// end asks the gateway to drain, and kills it if it has not after 15 s.
func end(cmd *exec.Cmd) error {
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	kill := time.AfterFunc(15*time.Second, func() { _ = cmd.Process.Kill() })
	defer kill.Stop()
	return cmd.Wait()
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, err
}

func awaitHealth(url string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/health", nil)
		if err != nil {
			return err
		}
		if resp, err := http.DefaultClient.Do(req); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return errors.New("the gateway is not healthy after 30 s")
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// writeConfig writes one provider and one model for each protocol.
func writeConfig(dir, upstream string) error {
	for protocol, model := range models {
		provider := map[string]any{
			"name": "e2e-" + protocol, "enabled": true, "vendor": protocol,
			"api_keys":        map[string]any{"env_var_patterns": []string{"E2E_API_KEY"}},
			"endpoints":       map[string]any{"base_url": upstream + "/v1", "compatible_format": protocol},
			"forward_headers": []string{"X-Mock-*", answerHeader},
		}
		route := map[string]any{"id": "only", "provider": "e2e-" + protocol, "model": "simulated-" + protocol}
		err := errors.Join(
			writeJSON(filepath.Join(dir, "providers", protocol+".json"), provider),
			writeJSON(filepath.Join(dir, "models", protocol+".json"), map[string]any{"logical_name": model, "model_routings": []any{route}}),
		)
		if err != nil {
			return fmt.Errorf("write configuration: %w", err)
		}
	}
	return nil
}

func writeJSON(name string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return os.WriteFile(name, b, 0o644)
}
