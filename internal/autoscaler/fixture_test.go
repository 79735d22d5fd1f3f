package autoscaler

import (
	"fmt"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// now is when the tests' clusters are looked at.
var now = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

// world builds snapshots.
type world struct {
	Snapshot
	n int
}

func newWorld() *world {
	return &world{Snapshot: Snapshot{Replicas: map[types.UID]int32{"rs": 10, "web": 10, "job": 1}}}
}

func amounts(cpu, memory string, pods int) corev1.ResourceList {
	return corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse(memory),
		corev1.ResourcePods: *resource.NewQuantity(int64(pods), resource.DecimalSI),
	}
}

// medium is a node like EKS's t3.medium.
func medium(name, zone string) *corev1.Node {
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name), CreationTimestamp: metav1.NewTime(now.Add(-time.Hour)), Labels: map[string]string{
			corev1.LabelHostname: name, corev1.LabelTopologyZone: zone, corev1.LabelArchStable: "amd64", corev1.LabelOSStable: "linux",
			corev1.LabelInstanceTypeStable: "t3.medium",
		}},
		Status: corev1.NodeStatus{
			Capacity: amounts("2", "4Gi", 17), Allocatable: amounts("1930m", "3554Mi", 17),
			Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}},
		},
	}
}

// group adds a group whose instances have all become nodes.
func (w *world) group(name string, low, high, size int) *Group {
	w.Groups = append(w.Groups, Group{Name: name, Min: low, Max: high, Desired: size, Template: medium(name, "ap-northeast-2a")})
	g := &w.Groups[len(w.Groups)-1]
	for i := range size {
		w.member(g, fmt.Sprintf("%s-%d", name, i))
	}
	return g
}

// member adds a node with its instance to a group.
func (w *world) member(g *Group, name string) *corev1.Node {
	w.n++
	node := medium(name, "ap-northeast-2"+string(rune('a'+w.n%3)))
	id := fmt.Sprintf("i-%017x", w.n)
	node.Spec.ProviderID = "aws:///" + node.Labels[corev1.LabelTopologyZone] + "/" + id
	g.Instances = append(g.Instances, Instance{ID: id})
	w.Nodes = append(w.Nodes, node)
	return node
}

// pod adds a pod of ReplicaSet web; without a node it is unschedulable.
func (w *world) pod(node, cpu, memory string, change ...func(*corev1.Pod)) *corev1.Pod {
	w.n++
	name := fmt.Sprintf("web-%d", w.n)
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Namespace: "default", UID: types.UID(name), Labels: map[string]string{"app": "web"},
			CreationTimestamp: metav1.NewTime(now.Add(-time.Minute)),
			OwnerReferences:   []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "web", UID: "web", Controller: new(true)}},
		},
		Spec: corev1.PodSpec{
			NodeName: node, SchedulerName: corev1.DefaultSchedulerName,
			Containers: []corev1.Container{{Name: "web", Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
				corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse(memory),
			}}}},
		},
		Status: corev1.PodStatus{Phase: corev1.PodRunning},
	}
	if node == "" {
		pod.Status = corev1.PodStatus{Phase: corev1.PodPending, Conditions: []corev1.PodCondition{
			{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable},
		}}
	}
	for _, f := range change {
		f(pod)
	}
	w.Pods = append(w.Pods, pod)
	return pod
}

func (w *world) pods(n int, node, cpu, memory string, change ...func(*corev1.Pod)) {
	for range n {
		w.pod(node, cpu, memory, change...)
	}
}

func (w *world) daemonSet(name, cpu, memory string) {
	w.DaemonSets = append(w.DaemonSets, &appsv1.DaemonSet{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "kube-system", UID: types.UID(name)},
		Spec: appsv1.DaemonSetSpec{Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{
			Name: name, Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
				corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse(memory),
			}},
		}}}}},
	})
}

func (w *world) budget(app string, allowed int32) {
	w.Budgets = append(w.Budgets, &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Name: app, Namespace: "default"},
		Spec:       policyv1.PodDisruptionBudgetSpec{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": app}}, MinAvailable: new(intstr.FromInt32(1))},
		Status:     policyv1.PodDisruptionBudgetStatus{DisruptionsAllowed: allowed},
	})
}

func (w *world) plan(t testing.TB, o Options) Decision {
	t.Helper()
	d, err := Plan(w.Snapshot, o, now)
	if err != nil {
		t.Fatal(err)
	}
	return d
}
