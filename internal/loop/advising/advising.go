// Package advising is the loop that tells what only a running cluster shows: pods
// that find no room while others of their kind reserve far more than they use. It
// tells by an event of Kubernetes on what makes the pods, and changes nothing.
// What a manifest shows by itself, the API server's advice tells at once.
package advising

import (
	"fmt"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// dwarfs is how many times its use a request is that is worth a word.
const dwarfs = 3

// Usage is what pods use, by name, as the metrics API tells.
type Usage map[string]v1.ResourceList

// Oversized is a kind of pods whose requests keep its own from being placed.
type Oversized struct {
	Owner    metav1.OwnerReference // the controller of the pods
	Resource v1.ResourceName       // cpu or memory
	Waiting  int                   // pods
	Running  int                   // pods whose use is known
	Request  resource.Quantity     // of one pod
	Used     resource.Quantity     // by one pod that runs, on the average
}

// Message is what to say about it.
func (o Oversized) Message() string {
	return fmt.Sprintf("%s for lack of %s: each of these pods requests %s of it, and the %d whose use is known use %s on the average. Pods are placed, and nodes added, by what is requested and not by what is used; lower resources.requests.%s if that is all they need",
		waiting(o.Waiting), o.Resource, o.Request.String(), o.Running, o.Used.String(), o.Resource)
}

func waiting(n int) string {
	if n == 1 {
		return "1 pod waits"
	}
	return fmt.Sprintf("%d pods wait", n)
}

// Find finds what is oversized among the pods of a namespace, in the order of its
// owners' names.
func Find(pods []v1.Pod, usage Usage) []Oversized {
	owners := map[types.UID][]v1.Pod{}
	for _, p := range pods {
		if owner := metav1.GetControllerOf(&p); owner != nil && p.DeletionTimestamp == nil {
			owners[owner.UID] = append(owners[owner.UID], p)
		}
	}
	var found []Oversized
	for _, kin := range owners {
		for _, name := range []v1.ResourceName{v1.ResourceCPU, v1.ResourceMemory} {
			if o, ok := oversized(kin, name, usage); ok {
				found = append(found, o)
			}
		}
	}
	slices.SortFunc(found, func(a, b Oversized) int {
		return strings.Compare(a.Owner.Name+"/"+string(a.Resource), b.Owner.Name+"/"+string(b.Resource))
	})
	return found
}

// oversized looks at the pods of one controller.
func oversized(kin []v1.Pod, name v1.ResourceName, usage Usage) (o Oversized, ok bool) {
	var requested, used resource.Quantity
	for _, p := range kin {
		if lacks(p, name) {
			o.Waiting++
			o.Owner, o.Request = *metav1.GetControllerOf(&p), request(p, name)
			continue
		}
		if q, known := usage[p.Name][name]; known && p.Status.Phase == v1.PodRunning {
			o.Running++
			requested.Add(request(p, name))
			used.Add(q)
		}
	}
	if o.Waiting == 0 || o.Running == 0 || requested.IsZero() || requested.MilliValue() < dwarfs*used.MilliValue() {
		return o, false
	}
	o.Resource, o.Used = name, average(used, o.Running, name)
	return o, true
}

// lacks says whether a pod is not placed for lack of a resource. The scheduler says
// so in words only.
func lacks(p v1.Pod, name v1.ResourceName) bool {
	return p.Status.Phase == v1.PodPending && slices.ContainsFunc(p.Status.Conditions, func(c v1.PodCondition) bool {
		return c.Type == v1.PodScheduled && c.Status == v1.ConditionFalse && c.Reason == v1.PodReasonUnschedulable &&
			strings.Contains(c.Message, "Insufficient "+string(name))
	})
}

// request is what all containers of a pod request together while they run.
func request(p v1.Pod, name v1.ResourceName) resource.Quantity {
	if p.Spec.Resources != nil {
		if q, ok := p.Spec.Resources.Requests[name]; ok {
			return q.DeepCopy()
		}
	}
	var sum resource.Quantity
	for _, c := range p.Spec.Containers {
		sum.Add(c.Resources.Requests[name])
	}
	for _, c := range p.Spec.InitContainers {
		if c.RestartPolicy != nil && *c.RestartPolicy == v1.ContainerRestartPolicyAlways {
			sum.Add(c.Resources.Requests[name])
		}
	}
	return sum
}

// average is a share of a sum, to whole thousandths of a CPU or mebibytes.
func average(sum resource.Quantity, n int, name v1.ResourceName) resource.Quantity {
	if name == v1.ResourceCPU {
		return *resource.NewMilliQuantity(sum.MilliValue()/int64(n), resource.DecimalSI)
	}
	const mebibyte = 1 << 20
	return *resource.NewQuantity(sum.Value()/int64(n)/mebibyte*mebibyte, resource.BinarySI)
}
