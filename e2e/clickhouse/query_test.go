//go:build clickhouse

package clickhouse

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"model-proxy/e2e/clickhouse/chtest"
	"model-proxy/e2e/gatewaytest"
	"model-proxy/internal/provider/mock"
)

// command runs a command of the binary with ClickHouse in its environment.
func (s *scene) command(args ...string) string {
	s.t.Helper()
	ctx, stop := context.WithTimeout(s.t.Context(), time.Minute)
	defer stop()
	cmd := exec.CommandContext(ctx, os.Getenv("MODEL_PROXY_E2E_BINARY"), args...)
	cmd.Dir = s.t.TempDir()
	cmd.Env = append([]string{"HOME=" + cmd.Dir}, s.env...)
	out, err := cmd.Output()
	if err != nil {
		var failed *exec.ExitError
		if errors.As(err, &failed) {
			s.t.Fatalf("model-proxy %v: %v: %s", args, err, failed.Stderr)
		}
		s.t.Fatalf("model-proxy %v: %v", args, err)
	}
	return string(out)
}

// admin asks the ingress, a process without a store of its own.
func (s *scene) admin(path string) (rows []map[string]any) {
	s.t.Helper()
	var answer struct{ Data []map[string]any }
	if body := s.get(path, adminKey); json.Unmarshal(body, &answer) != nil {
		s.t.Fatalf("%s: %s", path, body)
	}
	return answer.Data
}

// get reads a page of the ingress that needs a key.
func (s *scene) get(path, key string) []byte {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, s.URL+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+key)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 {
		s.t.Fatalf("%s: %d %s (%v)", path, resp.StatusCode, body, err)
	}
	return body
}

// Commands and pages answer from ClickHouse, also in processes without a sink.
func TestQueries(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	const n = 6
	for range n {
		if a := s.Do(t, gatewaytest.Protocols[0].Plain("hello").With("X-Request-Id", "mine")); a.Status != 200 {
			t.Fatalf("got %d: %s", a.Status, a.Body)
		}
	}
	s.wantExactly(n)
	for _, args := range [][]string{{"records"}, {"records", "--attempts"}, {"records", "--since", "1h", "--request-id", "mine"}} {
		if got := strings.Count(s.command(append(args, "--format", "json")...), "\n"); got != n {
			t.Errorf("model-proxy %v: got %d lines, want %d", args, got, n)
		}
	}
	var sum struct {
		Client   string  `json:"client"`
		Requests int     `json:"requests"`
		P95      float64 `json:"p95_ms"`
	}
	out := s.command("usage", "--by", "client", "--format", "json")
	if err := json.Unmarshal([]byte(out), &sum); err != nil || sum.Client != "default" || sum.Requests != n || sum.P95 <= 0 {
		t.Errorf("usage by client: got %s (%v)", out, err)
	}
	if rows := s.admin("/admin/usage?by=model,day"); len(rows) != 1 || rows[0]["requests"] != float64(n) {
		t.Errorf("/admin/usage: got %v", rows)
	}
	if rows := s.admin("/admin/records?request_id=mine&limit=4"); len(rows) != 4 || rows[0]["outcome"] != "ok" {
		t.Errorf("/admin/records: got %v", rows)
	}
	for _, p := range []*gatewaytest.Process{s.Sink, s.Gateway.Process} {
		if strings.Contains(p.Output(), chtest.Password) {
			t.Errorf("a log holds ClickHouse's password:\n%s", p.Output())
		}
	}
}

// The whole gateway in one process keeps its records in ClickHouse too.
func TestRun(t *testing.T) {
	t.Parallel()
	ch := chtest.Start(t)
	db, dsn := ch.Database()
	ch.MustExec("CREATE DATABASE " + db) // it may exist
	g := gatewaytest.Run(t, gatewaytest.NewUpstream(t, mock.Options{}), gatewaytest.Setup{Env: []string{"CLICKHOUSE_DSN=" + dsn}})
	if a := g.Do(t, gatewaytest.Protocols[1].Stream("hello")); a.Status != 200 {
		t.Fatalf("got %d: %s", a.Status, a.Body)
	}
	gatewaytest.Await(t, patience, "the row", func() bool {
		n, err := ch.Exec("SELECT count() FROM " + db + ".requests")
		return err == nil && n == "1"
	})
}

// A server that aborts is there again for the next statement, with its data.
func TestServerAborts(t *testing.T) {
	t.Parallel()
	ch := chtest.Start(t)
	ch.MustExec("CREATE DATABASE kept")
	ch.Abort()
	if got := ch.MustExec("SELECT count() FROM system.databases WHERE name = 'kept'"); got != "1" {
		t.Errorf("got %s databases, want 1", got)
	}
}
