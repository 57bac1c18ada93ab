package deploy

import (
	"bytes"
	"errors"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// object is what these tests read of a Kubernetes object; its whole shape is
// checked in k8s/schema.
type object struct {
	Kind     string
	Metadata struct{ Name string }
	Data     map[string]string
	Spec     struct {
		Selector struct {
			MatchLabels map[string]string `yaml:"matchLabels"`
			Plain       map[string]string `yaml:",inline"` // of a Service
		}
		Ports []struct {
			TargetPort string `yaml:"targetPort"`
		}
		Template       podTemplate
		ScaleTargetRef struct{ Name string } `yaml:"scaleTargetRef"`
		PodSelector    struct {
			MatchLabels map[string]string `yaml:"matchLabels"`
		} `yaml:"podSelector"`
		Ingress []struct {
			Ports []struct{ Port int }
		}
		Claims []object `yaml:"volumeClaimTemplates"`
	}
}

type podTemplate struct {
	Metadata struct{ Labels, Annotations map[string]string }
	Spec     struct {
		Grace      int `yaml:"terminationGracePeriodSeconds"`
		Containers []container
		Volumes    []struct{ Name string }
	}
}

type container struct {
	Name, Image string
	Args        []string
	Ports       []struct {
		Name          string
		ContainerPort int `yaml:"containerPort"`
	}
	Env []struct {
		Name, Value string
		ValueFrom   struct {
			SecretKeyRef struct{ Name, Key string } `yaml:"secretKeyRef"`
		} `yaml:"valueFrom"`
	}
	Readiness probe `yaml:"readinessProbe"`
	Liveness  probe `yaml:"livenessProbe"`
	Startup   probe `yaml:"startupProbe"`
	Lifecycle struct {
		PreStop struct{ Sleep struct{ Seconds int } } `yaml:"preStop"`
	}
	Mounts []struct{ Name string } `yaml:"volumeMounts"`
}

type probe struct {
	HTTPGet   struct{ Path, Port string } `yaml:"httpGet"`
	TCPSocket struct{ Port string }       `yaml:"tcpSocket"`
}

// manifests reads every object under deploy/k8s.
func manifests(t *testing.T) map[string]object {
	t.Helper()
	all := map[string]object{}
	for _, path := range append(files(t, "deploy/k8s/*.yaml"), files(t, "deploy/k8s/*/*.yaml")...) {
		if filepath.Base(path) == "kustomization.yaml" {
			continue
		}
		for d := yaml.NewDecoder(bytes.NewReader(read(t, path))); ; {
			var o object
			err := d.Decode(&o)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			all[o.Kind+" "+o.Metadata.Name] = o
		}
	}
	return all
}

// pods are the objects that run containers.
func pods(all map[string]object) map[string]object {
	running := map[string]object{}
	for name, o := range all {
		if len(o.Spec.Template.Spec.Containers) > 0 {
			running[name] = o
		}
	}
	return running
}

func TestKubernetesRoles(t *testing.T) {
	t.Parallel()
	all := manifests(t)
	shared := all["ConfigMap model-proxy"].Data
	for name := range shared {
		checkVariable(t, "ConfigMap model-proxy", name)
	}
	var started []string
	for where, o := range pods(all) {
		for _, c := range o.Spec.Template.Spec.Containers {
			if c.Image != "model-proxy" {
				continue
			}
			started = append(started, c.Args[0])
			checkCommand(t, where, c.Args)
			env := map[string]string{}
			for _, e := range c.Env {
				env[e.Name] = e.Value
				if !slices.Contains(passwords, e.Name) {
					checkVariable(t, where, e.Name)
				}
			}
			checkPeers(t, where, env, []string{"nats-0.nats", "nats-1.nats", "nats-2.nats", "clickhouse"})
			before := seconds(t, where, strconv.Itoa(c.Lifecycle.PreStop.Sleep.Seconds))
			drain := shared["MODEL_PROXY_DRAIN"]
			if c.Args[0] == "logsink" {
				drain = "5s" // it has no streams to wait for
			}
			checkGrace(t, where, seconds(t, where, strconv.Itoa(o.Spec.Template.Spec.Grace)), before, drain)
		}
	}
	if slices.Sort(started); !slices.Equal(started, []string{"ingress", "logsink", "worker"}) {
		t.Errorf("started %v, want each role", started)
	}
}

// Whatever an object names is there: ports, volumes, Secrets' keys, pods.
func TestKubernetesReferences(t *testing.T) {
	t.Parallel()
	all := manifests(t)
	for where, o := range pods(all) {
		for _, c := range o.Spec.Template.Spec.Containers {
			checkPorts(t, where, o.Spec.Template, c)
			checkVolumes(t, where, o, c)
			for _, e := range c.Env {
				ref := e.ValueFrom.SecretKeyRef
				if ref.Key != "" && (ref.Name != "model-proxy-passwords" || !slices.Contains(passwords, ref.Key)) {
					t.Errorf("%s: secrets.sh makes no %s for Secret %s", where, ref.Key, ref.Name)
				}
			}
		}
	}
	for where, o := range all {
		labels := o.Spec.Selector.MatchLabels
		if o.Kind == "Service" {
			labels = o.Spec.Selector.Plain
		}
		if o.Kind == "NetworkPolicy" {
			labels = o.Spec.PodSelector.MatchLabels
		}
		if len(labels) > 0 && len(selected(all, labels)) == 0 {
			t.Errorf("%s: selects no pod by %v", where, labels)
		}
		if target := o.Spec.ScaleTargetRef.Name; target != "" && all["Deployment "+target].Kind == "" {
			t.Errorf("%s: scales Deployment %s, which is not there", where, target)
		}
		for _, p := range o.Spec.Ports {
			if o.Kind == "Service" && p.TargetPort != "" && !hasPort(selected(all, labels), p.TargetPort) {
				t.Errorf("%s: leads to port %s, which none of its pods has", where, p.TargetPort)
			}
		}
		checkPolicy(t, where, all, o)
	}
}

// hasPort reports whether a container of the pods has the port, by number or name.
func hasPort(pods []podTemplate, port string) bool {
	for _, pod := range pods {
		for _, c := range pod.Spec.Containers {
			for _, have := range c.Ports {
				if have.Name == port || strconv.Itoa(have.ContainerPort) == port {
					return true
				}
			}
		}
	}
	return false
}

// selected are the pods with the labels.
func selected(all map[string]object, labels map[string]string) []podTemplate {
	var found []podTemplate
	for _, o := range pods(all) {
		matches := true
		for name, value := range labels {
			matches = matches && o.Spec.Template.Metadata.Labels[name] == value
		}
		if matches {
			found = append(found, o.Spec.Template)
		}
	}
	return found
}

func checkPorts(t *testing.T, where string, pod podTemplate, c container) {
	t.Helper()
	var names, numbers []string
	for _, p := range c.Ports {
		names, numbers = append(names, p.Name), append(numbers, strconv.Itoa(p.ContainerPort))
	}
	for _, p := range []probe{c.Readiness, c.Liveness, c.Startup} {
		if port := p.HTTPGet.Port + p.TCPSocket.Port; !slices.Contains(names, port) {
			t.Errorf("%s: a probe asks port %q; there are %v", where, port, names)
		}
	}
	if port, ok := pod.Metadata.Annotations["prometheus.io/port"]; ok && !slices.Contains(numbers, port) {
		t.Errorf("%s: Prometheus is sent to port %s; there are %v", where, port, numbers)
	}
	if c.Image != "model-proxy" {
		return
	}
	if path := c.Readiness.HTTPGet.Path; path != "/health" {
		t.Errorf("%s: readiness asks %q, want /health", where, path)
	}
	given := checkCommand(t, where, c.Args)
	if listen := given["metrics-listen"]; listen != "" && !strings.HasSuffix(listen, ":"+numbers[0]) {
		t.Errorf("%s: listens on %s, declares port %s", where, listen, numbers[0])
	}
}

func checkVolumes(t *testing.T, where string, o object, c container) {
	t.Helper()
	declared := map[string]bool{}
	for _, v := range o.Spec.Template.Spec.Volumes {
		declared[v.Name] = true
	}
	for _, claim := range o.Spec.Claims {
		declared[claim.Metadata.Name] = true
	}
	for _, m := range c.Mounts {
		if !declared[m.Name] {
			t.Errorf("%s: mounts volume %s, which is not declared", where, m.Name)
		}
	}
}

// checkPolicy checks that a policy opens only ports that its pods have.
func checkPolicy(t *testing.T, where string, all map[string]object, o object) {
	t.Helper()
	if o.Kind != "NetworkPolicy" {
		return
	}
	for _, rule := range o.Spec.Ingress {
		for _, p := range rule.Ports {
			if !hasPort(selected(all, o.Spec.PodSelector.MatchLabels), strconv.Itoa(p.Port)) {
				t.Errorf("%s: opens port %d, which none of its pods has", where, p.Port)
			}
		}
	}
}
