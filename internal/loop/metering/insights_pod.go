package metering

import (
	v1 "k8s.io/api/core/v1"
	stats "k8s.io/kubelet/pkg/apis/stats/v1alpha1"
)

// addPod adds a pod's metrics. was and is are what its kubelet said, nil for
// nothing; restarts is how often its containers had been restarted before, if known.
func (c *insights) addPod(p *v1.Pod, was, is *stats.PodStats, restarts int32, known bool) {
	name := workload(p)
	byName := c.of("Namespace", p.Namespace, "PodName", name)
	full := c.of("FullPodName", p.Name, "Namespace", p.Namespace, "PodName", name)
	sets := []dimensions{byName, c.cluster, full}
	if s := c.services[string(p.UID)]; s != "" {
		sets = append(sets, c.of("Namespace", p.Namespace, "Service", s))
	}
	add := func(name, unit string, v float64) { c.add("pod_"+name, unit, v, 1, sets...) }

	node := c.nodes[p.Spec.NodeName]
	addPodStatus(add, p)
	if known {
		add("number_of_container_restarts", count, float64(max(0, restartsOf(p)-restarts)))
	}
	if p.Status.Phase == v1.PodSucceeded || p.Status.Phase == v1.PodFailed {
		return
	}
	cpuLimit, cpuLimited := limited(p, v1.ResourceCPU, milli)
	memoryLimit, memoryLimited := limited(p, v1.ResourceMemory, whole)
	if r := requested(p, v1.ResourceCPU, milli); r > 0 {
		add("cpu_request", none, r)
		addShare(add, "cpu_reserved_capacity", r, node.cpu)
	}
	if r := requested(p, v1.ResourceMemory, whole); r > 0 {
		add("memory_request", bytes, r)
		addShare(add, "memory_reserved_capacity", r, node.memory)
	}
	if cpuLimited {
		add("cpu_limit", none, cpuLimit)
	}
	if memoryLimited {
		add("memory_limit", bytes, memoryLimit)
	}
	if is == nil {
		return
	}
	if was == nil || !was.StartTime.Equal(&is.StartTime) {
		was = &stats.PodStats{}
	}
	// What is used has one set of dimensions more.
	sets = append(sets, c.of("Namespace", p.Namespace))
	if used, ok := cpuUsed(was.CPU, is.CPU); ok {
		addShare(add, "cpu_utilization", used, node.cpu)
		if cpuLimited {
			addShare(add, "cpu_utilization_over_pod_limit", used, cpuLimit)
		}
	}
	if used, ok := podMemory(is); ok {
		addShare(add, "memory_utilization", used, node.memory)
		if memoryLimited {
			addShare(add, "memory_utilization_over_pod_limit", used, memoryLimit)
		}
	}
	if in, out, ok := traffic(was.Network, is.Network); ok {
		add("network_rx_bytes", bytesPerSecond, in)
		add("network_tx_bytes", bytesPerSecond, out)
	}
	for i := range is.Containers {
		before := &stats.ContainerStats{}
		for j := range was.Containers {
			if was.Containers[j].Name == is.Containers[i].Name && was.Containers[j].StartTime.Equal(&is.Containers[i].StartTime) {
				before = &was.Containers[j]
			}
		}
		c.addContainer(p, before, &is.Containers[i])
	}
}

// podMemory is what a pod uses. For some seconds after it has begun a kubelet says
// nothing, or zero, of the pod as a whole, but knows its containers.
func podMemory(p *stats.PodStats) (used float64, ok bool) {
	if p.Memory != nil && p.Memory.WorkingSetBytes != nil {
		used, ok = float64(*p.Memory.WorkingSetBytes), true
	}
	if used > 0 {
		return used, true
	}
	for _, c := range p.Containers {
		if c.Memory != nil && c.Memory.WorkingSetBytes != nil {
			used, ok = used+float64(*c.Memory.WorkingSetBytes), true
		}
	}
	return used, ok
}

// addPodStatus adds what a pod's status says: in which phase it is, and how many of
// its containers are in which state.
func addPodStatus(add func(name, unit string, v float64), p *v1.Pod) {
	is := func(t v1.PodConditionType, s v1.ConditionStatus) bool {
		for _, c := range p.Status.Conditions {
			if c.Type == t && c.Status == s {
				return true
			}
		}
		return false
	}
	add("status_pending", count, bit(p.Status.Phase == v1.PodPending))
	add("status_running", count, bit(p.Status.Phase == v1.PodRunning))
	add("status_succeeded", count, bit(p.Status.Phase == v1.PodSucceeded))
	add("status_failed", count, bit(p.Status.Phase == v1.PodFailed))
	add("status_ready", count, bit(is(v1.PodReady, v1.ConditionTrue)))
	add("status_scheduled", count, bit(is(v1.PodScheduled, v1.ConditionTrue)))
	add("status_unknown", count, bit(is(v1.PodReady, v1.ConditionUnknown) || is(v1.PodScheduled, v1.ConditionUnknown)))

	var running, waiting, terminated, killed float64
	reasons := map[string]float64{}
	for _, s := range p.Status.ContainerStatuses {
		switch {
		case s.State.Running != nil:
			running++
		case s.State.Waiting != nil:
			waiting++
			reasons[waitingReasons[s.State.Waiting.Reason]]++
		case s.State.Terminated != nil:
			terminated++
		}
		if t := s.LastTerminationState.Terminated; t != nil && t.Reason == "OOMKilled" {
			killed++
		} else if t := s.State.Terminated; t != nil && t.Reason == "OOMKilled" {
			killed++
		}
	}
	add("number_of_containers", count, float64(len(p.Status.ContainerStatuses)))
	add("number_of_running_containers", count, running)
	add("container_status_running", count, running)
	add("container_status_waiting", count, waiting)
	add("container_status_terminated", count, terminated)
	// Only what has happened is reported of these.
	if killed > 0 {
		add("container_status_terminated_reason_oom_killed", count, killed)
	}
	for _, reason := range waitingNames {
		if n := reasons[reason]; n > 0 {
			add("container_status_waiting_reason_"+reason, count, n)
		}
	}
}

// waitingReasons are the names, in metrics, of why a container waits.
var waitingReasons = map[string]string{
	"CrashLoopBackOff":           "crash_loop_back_off",
	"ErrImagePull":               "image_pull_error",
	"ImagePullBackOff":           "image_pull_error",
	"InvalidImageName":           "image_pull_error",
	"CreateContainerError":       "create_container_error",
	"CreateContainerConfigError": "create_container_config_error",
	"StartError":                 "start_error",
}

var waitingNames = []string{"crash_loop_back_off", "image_pull_error", "create_container_error", "create_container_config_error", "start_error"}

// addContainer adds a container's metrics.
func (c *insights) addContainer(p *v1.Pod, was, is *stats.ContainerStats) {
	var spec *v1.Container
	for i := range p.Spec.Containers {
		if p.Spec.Containers[i].Name == is.Name {
			spec = &p.Spec.Containers[i]
		}
	}
	if spec == nil {
		return // an init container's last words
	}
	name, node := workload(p), c.nodes[p.Spec.NodeName]
	sets := []dimensions{
		c.cluster,
		c.of("ContainerName", is.Name, "Namespace", p.Namespace, "PodName", name),
		c.of("ContainerName", is.Name, "FullPodName", p.Name, "Namespace", p.Namespace, "PodName", name),
	}
	add := func(name, unit string, v float64) { c.add("container_"+name, unit, v, 1, sets...) }
	if r := milli(spec.Resources.Requests, v1.ResourceCPU); r > 0 {
		add("cpu_request", none, r)
	}
	if r := whole(spec.Resources.Requests, v1.ResourceMemory); r > 0 {
		add("memory_request", bytes, r)
	}
	cpuLimit, memoryLimit := milli(spec.Resources.Limits, v1.ResourceCPU), whole(spec.Resources.Limits, v1.ResourceMemory)
	if cpuLimit > 0 {
		add("cpu_limit", none, cpuLimit)
	}
	if memoryLimit > 0 {
		add("memory_limit", bytes, memoryLimit)
	}
	if used, ok := cpuUsed(was.CPU, is.CPU); ok {
		addShare(add, "cpu_utilization", used, node.cpu)
		addShare(add, "cpu_utilization_over_container_limit", used, cpuLimit)
	}
	if m := is.Memory; m != nil {
		if m.WorkingSetBytes != nil {
			addShare(add, "memory_utilization", float64(*m.WorkingSetBytes), node.memory)
			addShare(add, "memory_utilization_over_container_limit", float64(*m.WorkingSetBytes), memoryLimit)
		}
		if faults, ok := faults(was.Memory, m); ok {
			add("memory_failures_total", countPerSecond, faults)
		}
	}
	if fs := is.Rootfs; fs != nil {
		addKnown(add, "filesystem_usage", bytes, fs.UsedBytes)
		addKnown(add, "filesystem_available", bytes, fs.AvailableBytes)
		addUsed(add, "filesystem_utilization", fs)
	}
}
