package advice

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// container is one with requests and limits, written as cpu=100m.
func container(name string, requests, limits map[string]string) v1.Container {
	list := func(of map[string]string) v1.ResourceList {
		out := v1.ResourceList{}
		for name, quantity := range of {
			out[v1.ResourceName(name)] = resource.MustParse(quantity)
		}
		return out
	}
	return v1.Container{Name: name, Resources: v1.ResourceRequirements{Requests: list(requests), Limits: list(limits)}}
}

func of(containers ...v1.Container) Workload {
	return Workload{Kind: "Deployment", Name: "app", Pod: v1.PodSpec{Containers: containers}}
}

func scaler(name string, metrics ...autoscalingv2.MetricSpec) *autoscalingv2.HorizontalPodAutoscaler {
	return &autoscalingv2.HorizontalPodAutoscaler{
		ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: name},
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "app"},
			Metrics:        metrics,
		},
	}
}

func utilization(name v1.ResourceName) autoscalingv2.MetricSpec {
	return autoscalingv2.MetricSpec{Resource: &autoscalingv2.ResourceMetricSource{
		Name: name, Target: autoscalingv2.MetricTarget{Type: autoscalingv2.UtilizationMetricType, AverageUtilization: new(int32(50))},
	}}
}

func lacks(resource, container string) string {
	return "HorizontalPodAutoscaler/web scales on " + resource + `, but container "` + container + `" of Deployment/app has no ` + resource +
		" request: there is nothing to measure its use by, and it is not scaled; set resources.requests." + resource
}

func TestUnmeasurable(t *testing.T) {
	value := autoscalingv2.MetricSpec{Resource: &autoscalingv2.ResourceMetricSource{
		Name: v1.ResourceCPU, Target: autoscalingv2.MetricTarget{Type: autoscalingv2.AverageValueMetricType},
	}}
	ofB := autoscalingv2.MetricSpec{ContainerResource: &autoscalingv2.ContainerResourceMetricSource{
		Name: v1.ResourceMemory, Container: "b", Target: autoscalingv2.MetricTarget{Type: autoscalingv2.UtilizationMetricType},
	}}
	external := autoscalingv2.MetricSpec{External: &autoscalingv2.ExternalMetricSource{}}
	plain := container("a", nil, nil)
	asks := container("a", map[string]string{"cpu": "100m"}, nil)
	limited := container("a", nil, map[string]string{"cpu": "100m"})
	sidecar := container("s", nil, nil)
	sidecar.RestartPolicy = new(v1.ContainerRestartPolicyAlways)
	withInit := of(asks)
	withInit.Pod.InitContainers = []v1.Container{container("i", nil, nil), sidecar}
	asAWhole := of(plain)
	asAWhole.Pod.Resources = &asks.Resources

	for _, test := range []struct {
		name    string
		metrics []autoscalingv2.MetricSpec
		w       Workload
		given   []v1.ResourceName
		want    []string
	}{
		{"the lesson's", []autoscalingv2.MetricSpec{utilization("cpu")}, of(asks), nil, nil},
		{"no request", []autoscalingv2.MetricSpec{utilization("cpu")}, of(plain), nil, []string{lacks("cpu", "a")}},
		{"no metrics are cpu", nil, of(plain), nil, []string{lacks("cpu", "a")}},
		{"one container of two", []autoscalingv2.MetricSpec{utilization("cpu")}, of(asks, container("b", nil, nil)), nil, []string{lacks("cpu", "b")}},
		{"two metrics", []autoscalingv2.MetricSpec{utilization("cpu"), utilization("memory")}, of(asks), nil, []string{lacks("memory", "a")}},
		{"the limit is the request", []autoscalingv2.MetricSpec{utilization("cpu")}, of(limited), nil, nil},
		{"the namespace gives one", []autoscalingv2.MetricSpec{utilization("cpu")}, of(plain), []v1.ResourceName{"cpu"}, nil},
		{"the namespace gives another", []autoscalingv2.MetricSpec{utilization("cpu")}, of(plain), []v1.ResourceName{"memory"}, []string{lacks("cpu", "a")}},
		{"the pod asks as a whole", []autoscalingv2.MetricSpec{utilization("cpu")}, asAWhole, nil, nil},
		{"a sidecar counts, an init container does not", []autoscalingv2.MetricSpec{utilization("cpu")}, withInit, nil, []string{lacks("cpu", "s")}},
		{"a value needs no request", []autoscalingv2.MetricSpec{value, external}, of(plain), nil, nil},
		{"one container's", []autoscalingv2.MetricSpec{ofB}, of(plain, container("b", nil, nil)), nil, []string{lacks("memory", "b")}},
		{"one container's, whatever the pod asks", []autoscalingv2.MetricSpec{ofB}, of(plain, container("b", map[string]string{"memory": "1Mi"}, nil)), nil, nil},
	} {
		if diff := cmp.Diff(test.want, Unmeasurable(scaler("web", test.metrics...), test.w, test.given)); diff != "" {
			t.Errorf("%s: %s", test.name, diff)
		}
	}
}

func TestAssumed(t *testing.T) {
	w := of(
		container("a", map[string]string{"cpu": "1"}, map[string]string{"cpu": "2", "memory": "768Mi"}),
		container("b", map[string]string{"memory": "1Gi"}, nil),
		container("c", nil, map[string]string{"nvidia.com/gpu": "1"}),
	)
	w.Pod.InitContainers = []v1.Container{container("i", nil, map[string]string{"cpu": "250m"})}
	want := []string{
		`container "i" of Deployment/app has a cpu limit and no cpu request: its request is set equal to its limit, 250m, and each pod reserves that much of a node`,
		`container "a" of Deployment/app has a memory limit and no memory request: its request is set equal to its limit, 768Mi, and each pod reserves that much of a node`,
	}
	if diff := cmp.Diff(want, Assumed(w)); diff != "" {
		t.Error(diff)
	}
}
