package schema

import (
	"errors"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/json"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// kinds are the types of the objects that the manifests may hold.
var kinds = map[string]func() any{
	"v1 Namespace":                       func() any { return &corev1.Namespace{} },
	"v1 ConfigMap":                       func() any { return &corev1.ConfigMap{} },
	"v1 Service":                         func() any { return &corev1.Service{} },
	"v1 ServiceAccount":                  func() any { return &corev1.ServiceAccount{} },
	"apps/v1 Deployment":                 func() any { return &appsv1.Deployment{} },
	"apps/v1 StatefulSet":                func() any { return &appsv1.StatefulSet{} },
	"policy/v1 PodDisruptionBudget":      func() any { return &policyv1.PodDisruptionBudget{} },
	"networking.k8s.io/v1 NetworkPolicy": func() any { return &networkingv1.NetworkPolicy{} },
	"keda.sh/v1alpha1 ScaledObject":      func() any { return &scaledObject{} },
}

// scaledObject has the fields of KEDA's type that the manifests use
// (kedacore/keda, apis/keda/v1alpha1/scaledobject_types.go): the type itself
// would bring half of KEDA with it.
type scaledObject struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		ScaleTargetRef struct {
			Name string `json:"name"`
		} `json:"scaleTargetRef"`
		MinReplicaCount int `json:"minReplicaCount"`
		MaxReplicaCount int `json:"maxReplicaCount"`
		PollingInterval int `json:"pollingInterval"`
		Fallback        struct {
			FailureThreshold int `json:"failureThreshold"`
			Replicas         int `json:"replicas"`
		} `json:"fallback"`
		Advanced struct {
			HPA struct {
				Behavior autoscalingv2.HorizontalPodAutoscalerBehavior `json:"behavior"`
			} `json:"horizontalPodAutoscalerConfig"`
		} `json:"advanced"`
		Triggers []struct {
			Type     string            `json:"type"`
			Metadata map[string]string `json:"metadata"`
		} `json:"triggers"`
	} `json:"spec"`
}

// check holds one object against its type: an unknown field or one of another
// type is an error.
func check(manifest []byte) error {
	var is metav1.TypeMeta
	if err := yaml.Unmarshal(manifest, &is); err != nil {
		return err
	}
	object, known := kinds[is.APIVersion+" "+is.Kind]
	if !known {
		return errors.New("no type for " + is.APIVersion + " " + is.Kind)
	}
	text, err := yaml.YAMLToJSONStrict(manifest)
	if err != nil {
		return err
	}
	strict, err := json.UnmarshalStrict(text, object())
	return errors.Join(append(strict, err)...)
}

func TestManifests(t *testing.T) {
	options := krusty.MakeDefaultOptions()
	rendered, err := krusty.MakeKustomizer(options).Run(filesys.MakeFsOnDisk(), "..")
	if err != nil {
		t.Fatal(err)
	}
	if got := rendered.Size(); got < 20 {
		t.Errorf("%d objects, want all", got)
	}
	for _, r := range rendered.Resources() {
		manifest, err := r.AsYAML()
		if err != nil {
			t.Fatal(err)
		}
		if err := check(manifest); err != nil {
			t.Errorf("%s: %v", r.CurId(), err)
		}
		if namespace := r.GetNamespace(); r.GetKind() != "Namespace" && namespace != "model-proxy" {
			t.Errorf("%s: in namespace %q", r.CurId(), namespace)
		}
	}
}

// The check can fail.
func TestCheckRefuses(t *testing.T) {
	for name, manifest := range map[string]string{
		"unknown field \"spec.replica\"":    "apiVersion: apps/v1\nkind: Deployment\nspec: {replica: 1}",
		"cannot unmarshal string":           "apiVersion: apps/v1\nkind: Deployment\nspec: {replicas: one}",
		"no type for batch/v1 Job":          "apiVersion: batch/v1\nkind: Job",
		"unknown field \"spec.minReplica\"": "apiVersion: keda.sh/v1alpha1\nkind: ScaledObject\nspec: {minReplica: 1}",
	} {
		if err := check([]byte(manifest)); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%q: got %v, want %s", manifest, err, name)
		}
	}
}
