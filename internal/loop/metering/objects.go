package metering

import (
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// workload is what Container Insights calls the name of a pod: that of the
// Deployment, DaemonSet, Job or CronJob that it is one of; its own, if it has no
// other or is a StatefulSet's.
func workload(p *v1.Pod) string {
	for _, o := range p.OwnerReferences {
		switch o.Kind {
		case "ReplicaSet":
			// A Deployment's are named by it and a hash.
			if hash := p.Labels["pod-template-hash"]; hash != "" {
				return strings.TrimSuffix(o.Name, "-"+hash)
			}
			return o.Name
		case "Job":
			// A CronJob's are named by it and the minute.
			if i := strings.LastIndexByte(o.Name, '-'); i > 0 && len(o.Name)-i > 8 && strings.Trim(o.Name[i+1:], "0123456789") == "" {
				return o.Name[:i]
			}
			return o.Name
		case "DaemonSet", "ReplicationController":
			return o.Name
		}
	}
	return p.Name
}

// servicesOf finds the Service of each pod, by the pod's uid: the first by name, if
// several lead to it.
func servicesOf(o Objects) map[string]string {
	services := slices.Clone(o.Services)
	slices.SortFunc(services, func(a, b v1.Service) int { return strings.Compare(a.Name, b.Name) })
	found := map[string]string{}
	for i := range o.Pods {
		for _, s := range services {
			if leads(s, &o.Pods[i]) {
				found[string(o.Pods[i].UID)] = s.Name
				break
			}
		}
	}
	return found
}

// leads says whether a Service selects a pod.
func leads(s v1.Service, p *v1.Pod) bool {
	return s.Namespace == p.Namespace && len(s.Spec.Selector) > 0 &&
		labels.SelectorFromSet(s.Spec.Selector).Matches(labels.Set(p.Labels))
}

// nodeConditions are those that have a metric.
var nodeConditions = []struct {
	kind v1.NodeConditionType
	name string
}{
	{v1.NodeReady, "ready"},
	{v1.NodeDiskPressure, "disk_pressure"},
	{v1.NodeMemoryPressure, "memory_pressure"},
	{v1.NodePIDPressure, "pid_pressure"},
	{v1.NodeNetworkUnavailable, "network_unavailable"},
}

// condition is the status of a node's condition, "" if it does not have it.
func condition(n v1.Node, kind v1.NodeConditionType) v1.ConditionStatus {
	for _, c := range n.Status.Conditions {
		if c.Type == kind {
			return c.Status
		}
	}
	return ""
}

func ready(n v1.Node) bool { return condition(n, v1.NodeReady) == v1.ConditionTrue }

// suffers says that something is wrong with a node.
func suffers(n v1.Node) bool {
	return !ready(n) || slices.ContainsFunc(nodeConditions[1:], func(k struct {
		kind v1.NodeConditionType
		name string
	}) bool {
		return condition(n, k.kind) == v1.ConditionTrue
	})
}

// instanceID is the end of a node's provider id, aws:///ap-northeast-2a/i-….
func instanceID(n v1.Node) string {
	return n.Spec.ProviderID[strings.LastIndexByte(n.Spec.ProviderID, '/')+1:]
}

func podReady(p *v1.Pod) bool {
	return slices.ContainsFunc(p.Status.Conditions, func(c v1.PodCondition) bool {
		return c.Type == v1.PodReady && c.Status == v1.ConditionTrue
	})
}

func restartsOf(p *v1.Pod) (n int32) {
	for _, s := range p.Status.ContainerStatuses {
		n += s.RestartCount
	}
	return n
}

func runningContainers(p *v1.Pod) (n int) {
	for _, s := range p.Status.ContainerStatuses {
		if s.State.Running != nil {
			n++
		}
	}
	return n
}

// amount reads one resource of a list, 0 if it is not in it.
type amount func(v1.ResourceList, v1.ResourceName) float64

func milli(l v1.ResourceList, name v1.ResourceName) float64 {
	q := l[name]
	return float64(q.MilliValue())
}

func whole(l v1.ResourceList, name v1.ResourceName) float64 {
	q := l[name]
	return float64(q.Value())
}

// requested is what a pod's containers request together.
func requested(p *v1.Pod, name v1.ResourceName, of amount) (sum float64) {
	for _, c := range p.Spec.Containers {
		sum += of(c.Resources.Requests, name)
	}
	return sum
}

// limited is what a pod's containers are limited to together. There is no limit
// unless each has one.
func limited(p *v1.Pod, name v1.ResourceName, of amount) (sum float64, ok bool) {
	for _, c := range p.Spec.Containers {
		limit := of(c.Resources.Limits, name)
		if limit <= 0 {
			return 0, false
		}
		sum += limit
	}
	return sum, sum > 0
}
