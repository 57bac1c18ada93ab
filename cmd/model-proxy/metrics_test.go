package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
)

var update = flag.Bool("update", false, "rewrite the table of metrics in docs")

// scrape reads /metrics and returns its lines, without those of Go and of the
// process.
func (g *gateway) scrape(t *testing.T) []string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, g.url+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	foreign := regexp.MustCompile(`^(# (HELP|TYPE) )?(go|process|promhttp)_`)
	for line := range strings.SplitSeq(string(body), "\n") {
		if line != "" && !foreign.MatchString(line) {
			lines = append(lines, line)
		}
	}
	return lines
}

// settled scrapes until the attempt that has just answered is counted, which its
// worker does in its own time, and the queue has answered too.
func (g *gateway) settled(t *testing.T) []string {
	t.Helper()
	wanted := []string{"model_proxy_attempts_total{", "model_proxy_cost_usd_total{", "model_proxy_queue_depth "}
	limit := time.NewTimer(time.Minute)
	defer limit.Stop()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for {
		lines := g.scrape(t)
		if !slices.ContainsFunc(wanted, func(prefix string) bool {
			return !slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, prefix) })
		}) {
			return g.scrape(t) // the series are made one by one: of this scrape's some may be missing
		}
		select {
		case <-again.C:
		case <-limit.C:
			t.Fatalf("/metrics lacks one of %q after a minute:\n%s", wanted, strings.Join(lines, "\n"))
		}
	}
}

// send makes one request and reads the answer to its end.
func (g *gateway) send(t *testing.T, path, body string, header ...string) int {
	t.Helper()
	resp := g.post(t, context.WithoutCancel(t.Context()), path, body, header...)
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode
}

const streamOfOpenAI = `{"model":"m-openai","stream":true,"messages":[{"role":"user","content":"hi"}]}`

// metric is what a scrape tells of one name.
type metric struct {
	kind, help string
	labels     map[string]bool
}

func readMetrics(lines []string) map[string]*metric {
	all := map[string]*metric{}
	of := func(name string) *metric {
		if all[name] == nil {
			all[name] = &metric{labels: map[string]bool{}}
		}
		return all[name]
	}
	label := regexp.MustCompile(`([a-z_]+)="`)
	var last string
	for _, line := range lines {
		if rest, ok := strings.CutPrefix(line, "# HELP "); ok {
			last, rest, _ = strings.Cut(rest, " ")
			of(last).help = rest
			continue
		}
		if rest, ok := strings.CutPrefix(line, "# TYPE "); ok {
			_, of(last).kind, _ = strings.Cut(rest, " ")
			continue
		}
		for _, l := range label.FindAllStringSubmatch(line, -1) {
			if l[1] != "le" {
				of(last).labels[l[1]] = true
			}
		}
	}
	return all
}

// docs/metrics.md lists what a gateway shows, no more and no less, and its names
// are as Prometheus wants them.
func TestMetricsAreDocumented(t *testing.T) {
	g := startGatewayWith(t, []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1"})
	if status := g.send(t, "/v1/chat/completions", streamOfOpenAI); status != 200 {
		t.Fatalf("status %d, want 200", status)
	}
	var table strings.Builder
	table.WriteString("\n| metric | type | labels | what it says |\n|---|---|---|---|\n")
	lines := g.settled(t)
	problems, err := promlint.New(strings.NewReader(strings.Join(lines, "\n") + "\n")).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	all := readMetrics(lines)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		m := all[name]
		var labels []string
		for _, l := range slices.Sorted(maps.Keys(m.labels)) {
			labels = append(labels, "`"+l+"`")
		}
		fmt.Fprintf(&table, "| `%s` | %s | %s | %s |\n", name, m.kind, strings.Join(labels, ", "), m.help)
	}
	table.WriteString("\n")
	path := filepath.Join("..", "..", "docs", "metrics.md")
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "<!-- table -->", "<!-- end -->"
	before, rest, ok := bytes.Cut(page, []byte(begin))
	was, after, ok2 := bytes.Cut(rest, []byte(end))
	if !ok || !ok2 {
		t.Fatalf("%s has no %s … %s", path, begin, end)
	}
	if *update {
		page = slices.Concat(before, []byte(begin), []byte(table.String()), []byte(end), after)
		if err := os.WriteFile(path, page, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if d := cmp.Diff(string(was), table.String()); d != "" {
		t.Errorf("%s (-page +gateway); -update rewrites it:\n%s", path, d)
	}
}

// Whatever clients send, they make no new series.
func TestClientsMakeNoSeries(t *testing.T) {
	g := startGateway(t)
	names := func() []string {
		var all []string
		for _, line := range g.settled(t) {
			all = append(all, line[:strings.LastIndexByte(line, ' ')])
		}
		return all
	}
	ask := func(i int) {
		odd := fmt.Sprintf("odd-%d", i)
		for _, r := range []struct {
			path, body string
			status     int
			header     []string
		}{
			{"/v1/chat/completions", strings.Replace(streamOfOpenAI, "m-openai", odd, 1), 404, nil},
			{"/v1/" + odd, "{}", 404, nil},
			{"/v1/messages", `{"model":"` + odd, 400, nil},
			{"/v1/chat/completions", streamOfOpenAI, 401, []string{"Authorization", "Bearer " + odd}},
			{"/v1/chat/completions", streamOfOpenAI, 400, []string{"X-Model-Proxy-Priority", odd}},
			{"/v1/chat/completions", streamOfOpenAI, 200, []string{"X-Request-Id", odd, "User-Agent", odd, "traceparent", odd,
				"X-Model-Proxy-Conversion-Mode", odd}},
		} {
			if status := g.send(t, r.path, r.body, r.header...); status != r.status {
				t.Errorf("POST %s: status %d, want %d", r.path, status, r.status)
			}
		}
	}
	ask(0)
	before := names()
	for i := range 20 {
		ask(i)
	}
	if d := cmp.Diff(before, names()); d != "" {
		t.Errorf("series (-before +after):\n%s", d)
	}
}
