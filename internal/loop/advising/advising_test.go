package advising

import (
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func list(cpu, memory string) v1.ResourceList {
	l := v1.ResourceList{}
	if cpu != "" {
		l[v1.ResourceCPU] = resource.MustParse(cpu)
	}
	if memory != "" {
		l[v1.ResourceMemory] = resource.MustParse(memory)
	}
	return l
}

// pod is one of a ReplicaSet, which runs, or waits if there is a reason why.
func pod(set, name string, requests v1.ResourceList, why string) v1.Pod {
	p := v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: name, OwnerReferences: []metav1.OwnerReference{
			{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: set, UID: types.UID(set), Controller: new(true)},
		}},
		Spec:   v1.PodSpec{Containers: []v1.Container{{Resources: v1.ResourceRequirements{Requests: requests}}}},
		Status: v1.PodStatus{Phase: v1.PodRunning},
	}
	if why != "" {
		p.Status.Phase = v1.PodPending
		p.Status.Conditions = []v1.PodCondition{{Type: v1.PodScheduled, Status: v1.ConditionFalse, Reason: v1.PodReasonUnschedulable, Message: why}}
	}
	return p
}

const noCPU = "0/3 nodes are available: 3 Insufficient cpu. preemption: 0/3 nodes are available"

func TestFind(t *testing.T) {
	four := list("4", "1Gi")
	// The lesson's: four pods of 4 CPUs on three nodes of 4, and each uses one.
	lesson := []v1.Pod{pod("app", "a", four, ""), pod("app", "b", four, ""), pod("app", "c", four, ""), pod("app", "d", four, noCPU)}
	each := func(use v1.ResourceList) Usage { return Usage{"a": use, "b": use, "c": use} }
	leaving := pod("app", "e", four, noCPU)
	leaving.DeletionTimestamp = &metav1.Time{}
	sidecar := pod("app", "d", list("1", ""), noCPU)
	sidecar.Spec.InitContainers = []v1.Container{
		{Resources: v1.ResourceRequirements{Requests: list("8", "")}},
		{Resources: v1.ResourceRequirements{Requests: list("3", "")}, RestartPolicy: new(v1.ContainerRestartPolicyAlways)},
	}
	whole := pod("app", "d", list("1", ""), noCPU)
	whole.Spec.Resources = &v1.ResourceRequirements{Requests: list("2", "")}
	alone := pod("", "x", four, noCPU)
	alone.OwnerReferences = nil

	for _, test := range []struct {
		name  string
		pods  []v1.Pod
		usage Usage
		want  []string // of each: owner, resource, waiting, running, request, use
	}{
		{"the lesson's", lesson, each(list("1", "10Mi")), []string{"app cpu 1 3 4 1"}},
		{"they are used", lesson, each(list("1500m", "10Mi")), nil},
		{"on the average", lesson, Usage{"a": list("3", ""), "b": list("100m", ""), "c": list("50m", "")}, []string{"app cpu 1 3 4 1050m"}},
		{"nothing is known", lesson, nil, nil},
		{"of one alone", lesson, Usage{"b": list("10m", "")}, []string{"app cpu 1 1 4 10m"}},
		{"nobody waits", lesson[:3], each(list("1", "10Mi")), nil},
		{"nobody runs", lesson[3:], each(list("1", "10Mi")), nil},
		{"for memory", []v1.Pod{lesson[0], pod("app", "d", four, "1 Insufficient memory, 2 node(s) had untolerated taint")}, each(list("1", "104900000")), []string{"app memory 1 1 1Gi 100Mi"}},
		{"for both", []v1.Pod{lesson[0], pod("app", "d", four, "1 Insufficient cpu, 1 Insufficient memory")}, each(list("1m", "1Mi")), []string{"app cpu 1 1 4 1m", "app memory 1 1 1Gi 1Mi"}},
		{"for something else", []v1.Pod{lesson[0], pod("app", "d", four, "3 Too many pods")}, each(list("1m", "1Mi")), nil},
		{"of another's pods", []v1.Pod{lesson[0], pod("other", "d", four, noCPU)}, each(list("1m", "1Mi")), nil},
		{"of two owners", append([]v1.Pod{pod("z", "z", four, ""), pod("z", "y", four, noCPU)}, lesson...), Usage{"a": list("1m", ""), "z": list("2m", "")}, []string{"app cpu 1 1 4 1m", "z cpu 1 1 4 2m"}},
		{"it ends anyway", []v1.Pod{lesson[0], leaving}, each(list("1m", "1Mi")), nil},
		{"with a sidecar", []v1.Pod{lesson[0], sidecar}, each(list("1", "")), []string{"app cpu 1 1 4 1"}},
		{"for the pod as a whole", []v1.Pod{lesson[0], whole}, each(list("1", "")), []string{"app cpu 1 1 2 1"}},
		{"no controller's", []v1.Pod{lesson[0], alone}, each(list("1m", "1Mi")), nil},
	} {
		var got []string
		for _, o := range Find(test.pods, test.usage) {
			got = append(got, o.Owner.Name+" "+string(o.Resource)+" "+strconv.Itoa(o.Waiting)+" "+strconv.Itoa(o.Running)+" "+o.Request.String()+" "+o.Used.String())
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s: %s", test.name, diff)
		}
	}
}

func TestMessage(t *testing.T) {
	o := Oversized{Resource: "cpu", Waiting: 1, Running: 3, Request: resource.MustParse("4"), Used: resource.MustParse("1")}
	want := "1 pod waits for lack of cpu: each of these pods requests 4 of it, and the 3 whose use is known use 1 on the average. " +
		"Pods are placed, and nodes added, by what is requested and not by what is used; lower resources.requests.cpu if that is all they need"
	if diff := cmp.Diff(want, o.Message()); diff != "" {
		t.Error(diff)
	}
}
