package deploy

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"model-proxy/e2e/gatewaytest"
	"model-proxy/internal/provider/mock"
)

// ours are the names that only the gateway can have; process_ and go_ ones are
// checked too. ClickHouse's own begin with ClickHouse.
var ours = regexp.MustCompile(`\b(?:model_proxy|gen_ai|process|go)_[a-z0-9_]+\b`)

// labelUse are the labels that an expression names: in matchers and in by ().
var labelUse = regexp.MustCompile(`(\w+)\s*(?:=~|!~|!=|=)\s*"|(?:by|without)\s*\(([^)]*)\)`)

// served is a line of /metrics: the name, and the labels if there are any.
var served = regexp.MustCompile(`(?m)^(\w+)(\{.*\})? `)

// series are the label names of each metric that the processes have served.
type series map[string][]string

// scraped starts a gateway of separate processes, lets it answer once in each
// protocol, and collects what /metrics of each role serves.
func scraped(t *testing.T) series {
	t.Helper()
	cluster := gatewaytest.NewCluster(t, gatewaytest.NewUpstream(t, mock.Options{}), gatewaytest.Setup{}, 1)
	for path, model := range map[string]string{"/v1/chat/completions": "gpt", "/v1/messages": "claude"} {
		body := `{"model":"` + model + `","max_tokens":20,"stream":true,"messages":[{"role":"user","content":"hello"}]}`
		if a := cluster.Do(t, gatewaytest.Request{Path: path, Body: body}); a.Status != 200 {
			t.Fatalf("%s: %d %s", path, a.Status, a.Body)
		}
	}
	found := series{}
	for _, p := range []*gatewaytest.Process{cluster.Process, cluster.Workers[0].Process} {
		opens := "metrics"
		if p == cluster.Process {
			opens = "listening"
		}
		var line struct{ Address string }
		if err := json.Unmarshal([]byte(p.AwaitLog(`"msg":"`+opens+`"`, 10*time.Second)), &line); err != nil {
			t.Fatal(err)
		}
		_, text := gatewaytest.Get(t, "http://"+line.Address+"/metrics")
		for _, sample := range served.FindAllStringSubmatch(text, -1) {
			name := sample[1]
			found[name] = append(found[name], "") // a metric may have no labels
			for _, label := range labelUse.FindAllStringSubmatch(sample[2], -1) {
				found[name] = append(found[name], label[1])
			}
		}
	}
	return found
}

// attached are the labels that Prometheus adds itself.
var attached = []string{"job", "instance"}

// check reports names in an expression that no process serves.
func (s series) check(t *testing.T, where, expr string) {
	t.Helper()
	var known []string
	for _, name := range ours.FindAllString(expr, -1) {
		labels, ok := s[name]
		if !ok {
			t.Errorf("%s: no process serves %s", where, name)
		}
		known = append(known, labels...)
	}
	if len(known) == 0 {
		return // another server's metrics: ours to read, not to check
	}
	for _, m := range labelUse.FindAllStringSubmatch(expr, -1) {
		for label := range strings.SplitSeq(m[1]+m[2], ",") {
			label = strings.TrimSpace(label)
			if label != "" && !slices.Contains(attached, label) && !slices.Contains(known, label) {
				t.Errorf("%s: nothing in %s has the label %s", where, expr, label)
			}
		}
	}
}

// Every metric and label in alerts, dashboards and scaling is one that a
// process really serves.
func TestMetricNames(t *testing.T) {
	t.Parallel()
	have := scraped(t)
	for where, exprs := range expressions(t) {
		for _, expr := range exprs {
			have.check(t, where, expr)
		}
	}
	for _, name := range ours.FindAllString(string(read(t, "docs/operations.md")), -1) {
		have.check(t, "docs/operations.md", name)
	}
}

// expressions are the queries of all files, by where they stand.
func expressions(t *testing.T) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	var rules struct {
		Groups []struct {
			Rules []struct{ Alert, Expr string }
		}
	}
	if err := yaml.Unmarshal(read(t, "deploy/prometheus/alerts.yml"), &rules); err != nil {
		t.Fatal(err)
	}
	for _, g := range rules.Groups {
		for _, r := range g.Rules {
			found["alert "+r.Alert] = append(found["alert "+r.Alert], r.Expr)
		}
	}
	for _, path := range files(t, "deploy/grafana/dashboards/*.json") {
		var d struct {
			Panels []struct {
				Title   string
				Targets []struct{ Expr string }
			}
		}
		if err := json.Unmarshal(read(t, path), &d); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		for _, p := range d.Panels {
			for _, target := range p.Targets {
				found[path+": "+p.Title] = append(found[path+": "+p.Title], target.Expr)
			}
		}
	}
	var scaling struct {
		Spec struct {
			Triggers []struct{ Metadata struct{ Query string } }
		}
	}
	if err := yaml.Unmarshal(read(t, "deploy/k8s/keda/worker.yaml"), &scaling); err != nil {
		t.Fatal(err)
	}
	for _, trigger := range scaling.Spec.Triggers {
		found["keda"] = append(found["keda"], trigger.Metadata.Query)
	}
	return found
}
