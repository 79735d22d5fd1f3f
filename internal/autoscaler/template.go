package autoscaler

import (
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	cloudproviderapi "k8s.io/cloud-provider/api"
	daemon "k8s.io/kubernetes/pkg/controller/daemon/util"
	"k8s.io/kubernetes/pkg/scheduler/framework"
)

// conditionTaints come and go with a node's condition: a new node has none.
var conditionTaints = []string{
	corev1.TaintNodeNotReady, corev1.TaintNodeUnreachable, corev1.TaintNodeUnschedulable, corev1.TaintNodeMemoryPressure,
	corev1.TaintNodeDiskPressure, corev1.TaintNodeNetworkUnavailable, corev1.TaintNodePIDPressure,
	cloudproviderapi.TaintExternalCloudProvider, cloudproviderapi.TaintNodeShutdown,
	"NodeWithImpairedVolumes", toBeDeletedTaint, candidateTaint,
}

// template is what a group's next node looks like, with what runs on it at once.
type template struct {
	node *corev1.Node
	pods []*corev1.Pod
	// lacking says that not all DaemonSets' pods fit.
	lacking bool
}

// newTemplate takes a node of the group for an example, or what AWS says of the
// group if it has none. It is nil if there is neither.
func newTemplate(c *cluster, g *groupCensus, daemonSets []*corev1.Pod, o *Options) *template {
	var t template
	for _, node := range g.ready {
		if node.Spec.Unschedulable && !o.ScaleFromUnschedulable {
			continue
		}
		t.node = sanitized(node, o)
		if info := c.byName[node.Name]; info != nil {
			for _, p := range info.Pods {
				if isMirror(p.GetPod()) {
					t.pods = append(t.pods, p.GetPod())
				}
			}
		}
		break
	}
	if t.node == nil {
		if g.Template == nil {
			return nil
		}
		t.node = g.Template.DeepCopy()
		t.node.Spec.Taints = slices.DeleteFunc(t.node.Spec.Taints, func(taint corev1.Taint) bool { return o.startupTaint(taint.Key) || o.statusTaint(taint.Key) })
	}
	for name, amount := range g.Overlay {
		if t.node.Status.Allocatable == nil {
			t.node.Status.Allocatable = corev1.ResourceList{}
		}
		t.node.Status.Allocatable[name] = amount
		if t.node.Status.Capacity != nil {
			t.node.Status.Capacity[name] = amount
		}
	}
	mark := c.mark()
	info := c.add(named(t.node, "template-node-for-"+g.Name))
	for _, pod := range daemonSets {
		why := c.judge(pod).on(info)
		switch {
		case why.IsSuccess():
			c.put(pod, info)
			t.pods = append(t.pods, pod)
		case slices.ContainsFunc(why.Reasons(), func(r string) bool { return len(r) > 12 && r[:12] == "Insufficient" }):
			t.lacking = true
		}
	}
	c.back(mark)
	return &t
}

// named is the node under another name, which its label says too.
func named(node *corev1.Node, name string) *corev1.Node {
	n := *node
	n.Name, n.UID = name, types.UID(name)
	n.Labels = maps.Clone(node.Labels)
	if n.Labels == nil {
		n.Labels = map[string]string{}
	}
	n.Labels[corev1.LabelHostname] = name
	return &n
}

// sanitized is the node without what is its own.
func sanitized(node *corev1.Node, o *Options) *corev1.Node {
	n := node.DeepCopy()
	n.Spec.Unschedulable = false
	n.Spec.Taints = slices.DeleteFunc(n.Spec.Taints, func(t corev1.Taint) bool {
		return slices.Contains(conditionTaints, t.Key) || o.startupTaint(t.Key) || o.statusTaint(t.Key)
	})
	n.Status.VolumesAttached, n.Status.VolumesInUse, n.Annotations = nil, nil, nil
	return n
}

// daemonPods are the pods that DaemonSets start on nodes.
func daemonPods(s *Snapshot) []*corev1.Pod {
	var list []*corev1.Pod
	for _, ds := range s.DaemonSets {
		if ds.DeletionTimestamp != nil {
			continue
		}
		t := daemon.CreatePodTemplate(ds.Spec.Template, nil, "")
		owner := metav1.OwnerReference{APIVersion: "apps/v1", Kind: "DaemonSet", Name: ds.Name, UID: ds.UID, Controller: new(true)}
		pod := &corev1.Pod{ObjectMeta: t.ObjectMeta, Spec: t.Spec}
		pod.Name, pod.Namespace, pod.UID = ds.Name+"-template", ds.Namespace, types.UID(fmt.Sprintf("%s-template-%s", ds.Name, ds.UID))
		pod.OwnerReferences = []metav1.OwnerReference{owner}
		list = append(list, pod)
	}
	return list
}

// fresh adds the nth new node of a group to the picture.
func (t *template) fresh(c *cluster, group string, n int) *framework.NodeInfo {
	node := named(t.node, fmt.Sprintf("template-node-for-%s-%d", group, n))
	pods := make([]*corev1.Pod, 0, len(t.pods))
	for _, pod := range t.pods {
		p := *pod
		p.UID = types.UID(fmt.Sprintf("%s-%s", pod.UID, node.Name))
		p.Spec.NodeName = node.Name
		pods = append(pods, &p)
	}
	return c.add(node, pods...)
}

func isMirror(pod *corev1.Pod) bool {
	_, ok := pod.Annotations[corev1.MirrorPodAnnotationKey]
	return ok
}

// isDaemon says whether a pod is a DaemonSet's, or wants to be taken for one.
func isDaemon(pod *corev1.Pod) bool {
	if owner := metav1.GetControllerOf(pod); owner != nil && owner.Kind == "DaemonSet" {
		return true
	}
	return pod.Annotations["cluster-autoscaler.kubernetes.io/daemonset-pod"] == "true"
}
