package metering

import (
	"maps"
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"
	stats "k8s.io/kubelet/pkg/apis/stats/v1alpha1"

	"github.com/tarn-eks/tarn/internal/metrics"
)

const insightsNamespace = "ContainerInsights"

// insights makes one observation's metrics.
type insights struct {
	*batch
	before, now *Observation
	cluster     dimensions
	nodes       map[string]node // by name
	pods        map[string][]*v1.Pod
	services    map[string]string // by pod's uid: the first of the Services that lead to it
}

// node is what shares are shares of.
type node struct {
	cpu    float64 // thousandths of a vCPU
	memory float64 // bytes
}

// Insights is what Container Insights with enhanced observability says of a cluster.
// Rates are those since the observation before; without one (nil) they are left
// out, and CPU is what the kubelet has averaged itself. What a node's kubelet has
// not said is left out.
//
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Container-Insights-metrics-enhanced-EKS.html
func Insights(before, now *Observation) []metrics.Datum {
	if before == nil || !now.At.After(before.At) {
		before = &Observation{}
	}
	c := insights{
		batch:  newBatch(insightsNamespace, now.At.Round(time.Second)),
		before: before, now: now,
		cluster: dims("ClusterName", now.Cluster),
		nodes:   map[string]node{}, pods: map[string][]*v1.Pod{}, services: servicesOf(now.Objects),
	}
	for i := range now.Pods {
		p := &now.Pods[i]
		c.pods[p.Spec.NodeName] = append(c.pods[p.Spec.NodeName], p)
	}
	failed := 0
	for _, n := range now.Nodes {
		c.nodes[n.Name] = node{milli(n.Status.Capacity, v1.ResourceCPU), whole(n.Status.Capacity, v1.ResourceMemory)}
		c.addNode(n)
		if suffers(n) {
			failed++
		}
	}
	earlier, latest := podStats(before), podStats(now)
	restarts := map[string]int32{}
	for i := range before.Pods {
		restarts[string(before.Pods[i].UID)] = restartsOf(&before.Pods[i])
	}
	for i := range now.Pods {
		p := &now.Pods[i]
		was, known := restarts[string(p.UID)]
		c.addPod(p, earlier[string(p.UID)], latest[string(p.UID)], was, known)
	}
	c.addWorkloads()
	c.add("cluster_node_count", count, float64(len(now.Nodes)), 1, c.cluster)
	c.add("cluster_failed_node_count", count, float64(failed), 1, c.cluster)
	return c.data
}

func (c *insights) of(pairs ...string) dimensions {
	return dims(append([]string{"ClusterName", c.now.Cluster}, pairs...)...)
}

func (c *insights) addNode(n v1.Node) {
	limit := c.nodes[n.Name]
	sets := []dimensions{c.of("InstanceId", instanceID(n), "NodeName", n.Name), c.cluster}
	add := func(name, unit string, v float64) { c.add("node_"+name, unit, v, 1, sets...) }

	var cpu, memory, running, containers float64
	for _, p := range c.pods[n.Name] {
		if p.Status.Phase == v1.PodSucceeded || p.Status.Phase == v1.PodFailed {
			continue
		}
		if p.Status.Phase == v1.PodRunning {
			running++
		}
		containers += float64(runningContainers(p))
		cpu += requested(p, v1.ResourceCPU, milli)
		memory += requested(p, v1.ResourceMemory, whole)
	}
	add("number_of_running_pods", count, running)
	add("number_of_running_containers", count, containers)
	add("cpu_limit", none, limit.cpu)
	add("memory_limit", bytes, limit.memory)
	addShare(add, "cpu_reserved_capacity", cpu, limit.cpu)
	addShare(add, "memory_reserved_capacity", memory, limit.memory)
	add("status_capacity_pods", count, whole(n.Status.Capacity, v1.ResourcePods))
	add("status_allocatable_pods", count, whole(n.Status.Allocatable, v1.ResourcePods))
	unknown := false
	for _, k := range nodeConditions {
		status := condition(n, k.kind)
		add("status_condition_"+k.name, count, bit(status == v1.ConditionTrue))
		unknown = unknown || status == v1.ConditionUnknown
	}
	add("status_condition_unknown", count, bit(unknown))

	if is, ok := c.now.Wires[instanceID(n)]; ok {
		if was, ok := c.before.Wires[instanceID(n)]; ok {
			total := grown(was.InBytes, is.InBytes) + grown(was.OutBytes, is.OutBytes)
			add("network_total_bytes", bytesPerSecond, float64(total)/c.now.At.Sub(c.before.At).Seconds())
		}
	}
	is := c.now.Summaries[n.Name]
	if is == nil {
		return
	}
	was := c.before.Summaries[n.Name]
	if was == nil {
		was = &stats.Summary{}
	}
	if used, ok := cpuUsed(was.Node.CPU, is.Node.CPU); ok {
		add("cpu_usage_total", none, used)
		addShare(add, "cpu_utilization", used, limit.cpu)
	}
	if m := is.Node.Memory; m != nil && m.WorkingSetBytes != nil {
		add("memory_working_set", bytes, float64(*m.WorkingSetBytes))
		addShare(add, "memory_utilization", float64(*m.WorkingSetBytes), limit.memory)
	}
	if fs := is.Node.Fs; fs != nil {
		addUsed(add, "filesystem_utilization", fs)
		addKnown(add, "filesystem_inodes", count, fs.Inodes)
		addKnown(add, "filesystem_inodes_free", count, fs.InodesFree)
	}
}

// addWorkloads adds the counts of pods by Service and namespace, and what
// Deployments and DaemonSets have.
func (c *insights) addWorkloads() {
	type name struct{ namespace, name string }
	services, namespaces := map[name]int{}, map[string]int{}
	for _, s := range c.now.Services {
		if len(s.Spec.Selector) > 0 {
			services[name{s.Namespace, s.Name}] = 0
		}
	}
	running := 0
	for i := range c.now.Pods {
		p := &c.now.Pods[i]
		if p.Status.Phase != v1.PodRunning {
			continue
		}
		running++
		namespaces[p.Namespace]++
		if podReady(p) {
			for _, s := range c.now.Services {
				if leads(s, p) {
					services[name{s.Namespace, s.Name}]++
				}
			}
		}
	}
	c.add("cluster_number_of_running_pods", count, float64(running), 1, c.cluster)
	for _, n := range slices.Sorted(maps.Keys(namespaces)) {
		c.add("namespace_number_of_running_pods", count, float64(namespaces[n]), 1, c.of("Namespace", n), c.cluster)
	}
	for _, s := range c.now.Services {
		if n, ok := services[name{s.Namespace, s.Name}]; ok {
			c.add("service_number_of_running_pods", count, float64(n), 1, c.of("Namespace", s.Namespace, "Service", s.Name), c.cluster)
		}
	}
	for _, d := range c.now.Deployments {
		desired := int32(1)
		if d.Spec.Replicas != nil {
			desired = *d.Spec.Replicas
		}
		c.addReplicas(d.Namespace, d.Name, map[string]int32{
			"replicas_desired": desired, "replicas_ready": d.Status.ReadyReplicas,
			"status_replicas_available": d.Status.AvailableReplicas, "status_replicas_unavailable": d.Status.UnavailableReplicas,
		})
	}
	for _, d := range c.now.DaemonSets {
		c.addReplicas(d.Namespace, d.Name, map[string]int32{
			"daemonset_status_number_available": d.Status.NumberAvailable, "daemonset_status_number_unavailable": d.Status.NumberUnavailable,
		})
	}
}

func (c *insights) addReplicas(namespace, name string, numbers map[string]int32) {
	for _, metric := range slices.Sorted(maps.Keys(numbers)) {
		c.add(metric, count, float64(numbers[metric]), 1, c.of("Namespace", namespace, "PodName", name), c.cluster)
	}
}

// podStats are what the kubelets say of pods, by their uids.
func podStats(o *Observation) map[string]*stats.PodStats {
	all := map[string]*stats.PodStats{}
	for _, s := range o.Summaries {
		for i := range s.Pods {
			all[s.Pods[i].PodRef.UID] = &s.Pods[i]
		}
	}
	return all
}
