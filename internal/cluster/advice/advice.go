// Package advice tells the person who applies a manifest what will come of it:
// an autoscaler that cannot measure what it scales on, and requests that were not
// given but are set. It refuses nothing. What it says, the API server hands on as
// warnings; it decides in pure functions and reads the cluster by a client.
package advice

import (
	"fmt"
	"slices"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	v1 "k8s.io/api/core/v1"
)

// Workload is what makes pods.
type Workload struct {
	Kind, Name string // Deployment, backend-app
	Pod        v1.PodSpec
}

func (w Workload) String() string { return w.Kind + "/" + w.Name }

// Unmeasurable says what keeps an autoscaler from scaling a workload: a share of
// a request is no number where there is no request. given are the resources of
// which a container that asks for none gets a request by the namespace's
// LimitRange.
func Unmeasurable(hpa *autoscalingv2.HorizontalPodAutoscaler, w Workload, given []v1.ResourceName) []string {
	var warnings []string
	for _, m := range sharesOf(hpa) {
		if slices.Contains(given, m.resource) || m.container == "" && ofPod(w.Pod, m.resource) {
			continue
		}
		for _, c := range running(w.Pod) {
			if m.container != "" && c.Name != m.container || requests(c.Resources, m.resource) {
				continue
			}
			warnings = append(warnings, fmt.Sprintf(
				"HorizontalPodAutoscaler/%s scales on %s, but container %q of %s has no %s request: there is nothing to measure its use by, and it is not scaled; set resources.requests.%s",
				hpa.Name, m.resource, c.Name, w, m.resource, m.resource))
		}
	}
	return warnings
}

// share is a metric that is a share of a request, of one container or of all.
type share struct {
	resource  v1.ResourceName
	container string
}

func sharesOf(hpa *autoscalingv2.HorizontalPodAutoscaler) []share {
	if len(hpa.Spec.Metrics) == 0 {
		return []share{{resource: v1.ResourceCPU}} // Kubernetes's default
	}
	var list []share
	for _, m := range hpa.Spec.Metrics {
		switch {
		case m.Resource != nil && m.Resource.Target.Type == autoscalingv2.UtilizationMetricType:
			list = append(list, share{resource: m.Resource.Name})
		case m.ContainerResource != nil && m.ContainerResource.Target.Type == autoscalingv2.UtilizationMetricType:
			list = append(list, share{m.ContainerResource.Name, m.ContainerResource.Container})
		}
	}
	return list
}

// running are the containers that run all the time, as the autoscaler counts them.
func running(pod v1.PodSpec) []v1.Container {
	list := slices.Clone(pod.Containers)
	for _, c := range pod.InitContainers {
		if c.RestartPolicy != nil && *c.RestartPolicy == v1.ContainerRestartPolicyAlways {
			list = append(list, c)
		}
	}
	return list
}

// requests says whether there is a request in the end: one that is not given is
// the limit.
func requests(r v1.ResourceRequirements, name v1.ResourceName) bool {
	_, asked := r.Requests[name]
	_, limited := r.Limits[name]
	return asked || limited
}

// ofPod says whether the pod as a whole asks for a resource.
func ofPod(pod v1.PodSpec, name v1.ResourceName) bool {
	return pod.Resources != nil && requests(*pod.Resources, name)
}

// Assumed says which requests are set without having been given: those of
// containers that have a limit only.
func Assumed(w Workload) []string {
	var warnings []string
	for _, c := range slices.Concat(w.Pod.InitContainers, w.Pod.Containers) {
		for _, name := range []v1.ResourceName{v1.ResourceCPU, v1.ResourceMemory} {
			limit, limited := c.Resources.Limits[name]
			if _, asked := c.Resources.Requests[name]; asked || !limited {
				continue
			}
			warnings = append(warnings, fmt.Sprintf(
				"container %q of %s has a %s limit and no %s request: its request is set equal to its limit, %s, and each pod reserves that much of a node",
				c.Name, w, name, name, limit.String()))
		}
	}
	return warnings
}
