package deploy

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// ours are the names that the gateway's processes serve; ClickHouse's own begin
// with ClickHouse.
var ours = regexp.MustCompile(`\b(?:model_proxy|gen_ai|process|go)_[a-z0-9_]+\b`)

// tableRow is a metric of docs/metrics.md: name, type, labels.
var tableRow = regexp.MustCompile("(?m)^\\| `(\\w+)` \\| (\\w+) \\| ([^|]*) \\|")

// matcher is a label in an expression with the values it asks for.
var matcher = regexp.MustCompile(`(\w+)\s*(?:=~|!~|!=|=)\s*"([^"]*)"`)

// grouping names labels without values.
var grouping = regexp.MustCompile(`\b(?:by|without)\s*\(([^)]*)\)`)

// everyProcess is what the Prometheus client itself serves.
var everyProcess = []string{"go_goroutines", "process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds", "process_max_fds",
	"process_start_time_seconds"}

// catalogue is docs/metrics.md, which cmd/model-proxy holds against what a
// gateway shows.
type catalogue struct {
	text   string
	labels map[string][]string // by the name of a series
}

func metricCatalogue(t *testing.T) catalogue {
	t.Helper()
	c := catalogue{string(read(t, "docs/metrics.md")), map[string][]string{}}
	for _, name := range everyProcess {
		c.labels[name] = nil
	}
	for _, row := range tableRow.FindAllStringSubmatch(c.text, -1) {
		name, labels := row[1], strings.FieldsFunc(row[3], func(r rune) bool { return strings.ContainsRune("`, ", r) })
		if row[2] != "histogram" {
			c.labels[name] = labels
			continue
		}
		c.labels[name+"_sum"], c.labels[name+"_count"] = labels, labels
		c.labels[name+"_bucket"] = append(labels, "le")
	}
	return c
}

// attached are the labels that Prometheus adds itself.
var attached = []string{"job", "instance"}

// check reports names, labels and values in an expression that no process serves.
func (c catalogue) check(t *testing.T, where, expr string) {
	t.Helper()
	known := slices.Clone(attached)
	names := ours.FindAllString(grouping.ReplaceAllString(matcher.ReplaceAllString(expr, ""), ""), -1)
	for _, name := range names {
		labels, ok := c.labels[name]
		if !ok {
			t.Errorf("%s: no process serves %s", where, name)
		}
		known = append(known, labels...)
	}
	if len(names) == 0 {
		return // another server's metrics: ours to read, not to check
	}
	for _, m := range matcher.FindAllStringSubmatch(expr, -1) {
		if !slices.Contains(known, m[1]) {
			t.Errorf("%s: nothing in %s has the label %s", where, expr, m[1])
		}
		for value := range strings.SplitSeq(m[2], "|") {
			if !slices.Contains(attached, m[1]) && value != "" && !strings.Contains(c.text, "`"+value+"`") {
				t.Errorf("%s: docs/metrics.md knows no value %s of %s", where, value, m[1])
			}
		}
	}
	for _, m := range grouping.FindAllStringSubmatch(expr, -1) {
		for label := range strings.SplitSeq(m[1], ",") {
			if label = strings.TrimSpace(label); !slices.Contains(known, label) {
				t.Errorf("%s: nothing in %s has the label %s", where, expr, label)
			}
		}
	}
}

// Every metric, label and value in alerts, dashboards, scaling and the manual is
// one that a process serves.
func TestMetricNames(t *testing.T) {
	t.Parallel()
	c := metricCatalogue(t)
	for where, exprs := range expressions(t) {
		for _, expr := range exprs {
			c.check(t, where, expr)
		}
	}
	for _, line := range strings.Split(string(read(t, "docs/operations.md")), "\n") {
		for _, name := range ours.FindAllString(line, -1) {
			if _, ok := c.labels[name]; !ok {
				if _, histogram := c.labels[name+"_bucket"]; !histogram {
					t.Errorf("docs/operations.md: no process serves %s", name)
				}
			}
		}
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
