package autoscaler

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// What is dropped from pods changes no decision.
func TestTrim(t *testing.T) {
	w := newWorld()
	w.group("g", 0, 5, 3)
	for _, node := range []string{"", "g-1"} {
		w.pod(node, "300m", "256Mi", emptyDir, func(p *corev1.Pod) {
			p.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "kubectl"}}
			p.Annotations = map[string]string{"kubectl.kubernetes.io/last-applied-configuration": "{}", safeToEvictVolumes: "tmp"}
			p.Spec.InitContainers = []corev1.Container{{Name: "i", Image: "i", RestartPolicy: new(corev1.ContainerRestartPolicyAlways), Resources: p.Spec.Containers[0].Resources}}
			p.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "A", Value: "b"}}
			p.Spec.Containers[0].Ports = []corev1.ContainerPort{{HostPort: 80, ContainerPort: 80}}
			p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "web", ImageID: "sha256:0"}}
			p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: corev1.PodReady})
		})
	}
	before := w.plan(t, Defaults())
	type facts struct {
		key                  string
		unscheduled, storage bool
	}
	of := func(p *corev1.Pod) facts { return facts{key(p), unscheduled(p, nil), localStorage(p)} }
	for i, p := range w.Pods {
		trimmed := p.DeepCopy()
		if _, err := trim(trimmed); err != nil {
			t.Fatal(err)
		}
		if of(trimmed) != of(p) {
			t.Errorf("%+v\nwas %+v", of(trimmed), of(p))
		}
		if trimmed.ManagedFields != nil || len(trimmed.Annotations) != 1 || trimmed.Spec.Containers[0].Env != nil || trimmed.Status.ContainerStatuses[0].ImageID != "" {
			t.Errorf("not trimmed: %+v", trimmed)
		}
		w.Pods[i] = trimmed
	}
	after := w.plan(t, Defaults())
	if len(before.Unneeded) != len(after.Unneeded) || len(before.Unneeded) == 0 {
		t.Errorf("unneeded: %v, then %v", before.Unneeded, after.Unneeded)
	}
}

func TestReplicas(t *testing.T) {
	for want, obj := range map[int32]any{
		1: &corev1.ReplicationController{ObjectMeta: metav1.ObjectMeta{UID: "a"}},
		3: &corev1.ReplicationController{ObjectMeta: metav1.ObjectMeta{UID: "a"}, Spec: corev1.ReplicationControllerSpec{Replicas: new(int32(3))}},
	} {
		if uid, n := replicas(obj); n != want || uid != types.UID("a") {
			t.Errorf("%s has %d replicas, want %d", uid, n, want)
		}
	}
}
