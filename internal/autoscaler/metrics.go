package autoscaler

import (
	"errors"
	"net/http"
	"time"

	"github.com/aws/smithy-go"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/component-base/metrics"
)

// Metrics are upstream's, by name, label and meaning.
type Metrics struct {
	registry metrics.KubeRegistry
	perGroup bool

	safe, pods, maxNodes                               *metrics.GaugeVec
	nodes, nodeGroups, taints, unremovable             *metrics.GaugeVec
	cores, memory, unneeded, cooldown, pending, nap    *metrics.Gauge
	coreLimits, memoryLimits, lastActivity             *metrics.GaugeVec
	groupMin, groupMax, groupTarget, groupHealth       *metrics.GaugeVec
	groupBackoff                                       *metrics.GaugeVec
	duration, awsDuration                              *metrics.HistogramVec
	quantiles                                          *metrics.SummaryVec //nolint:staticcheck // upstream has it
	failures, failedUps, failedDowns, downs, evictions *metrics.CounterVec
	skipped                                            *metrics.CounterVec
	ups, unregistered                                  *metrics.Counter
}

// NewMetrics returns metrics with a registry of their own. perGroup is
// --emit-per-nodegroup-metrics.
func NewMetrics(perGroup bool) *Metrics {
	m := &Metrics{registry: metrics.NewKubeRegistry(), perGroup: perGroup}
	m.safe = m.gauges("cluster_safe_to_autoscale", "Whether or not cluster is healthy enough for autoscaling. 1 if it is, 0 otherwise.")
	m.nodes = m.gauges("nodes_count", "Number of nodes in cluster.", "state")
	m.nodeGroups = m.gauges("node_groups_count", "Number of node groups managed by CA.", "node_group_type")
	m.pods = m.gauges("unschedulable_pods_count", "Number of unschedulable pods in the cluster.", "type")
	m.maxNodes = m.gauges("max_nodes_count", "Maximum number of nodes in all node groups")
	m.cores = m.gauge("cluster_cpu_current_cores", "Current number of cores in the cluster, minus deleting nodes.")
	m.coreLimits = m.gauges("cpu_limits_cores", "Minimum and maximum number of cores in the cluster.", "direction")
	m.memory = m.gauge("cluster_memory_current_bytes", "Current number of bytes of memory in the cluster, minus deleting nodes.")
	m.memoryLimits = m.gauges("memory_limits_bytes", "Minimum and maximum number of bytes of memory in cluster.", "direction")
	m.lastActivity = m.gauges("last_activity", "Last time certain part of CA logic executed.", "activity")
	m.unneeded = m.gauge("unneeded_nodes_count", "Number of nodes currently considered unneeded by CA.")
	m.unremovable = m.gauges("unremovable_nodes_count", "Number of nodes currently considered unremovable by CA.", "reason")
	m.cooldown = m.gauge("scale_down_in_cooldown", "Whether or not the scale down is in cooldown. 1 if its, 0 otherwise.")
	m.pending = m.gauge("pending_node_deletions", "Number of nodes that haven't been removed or aborted after finished scale-down phase.")
	m.nap = m.gauge("nap_enabled", "Whether or not Node Autoprovisioning is enabled. 1 if it is, 0 otherwise.")
	m.taints = m.gauges("node_taints_count", "Number of taints per type used in the cluster.", "type")
	m.failures = m.counters("errors_total", "The number of CA loops failed due to an error.", "type")
	m.failedUps = m.counters("failed_scale_ups_total", "Number of times scale-up operation has failed.", "reason")
	m.failedDowns = m.counters("failed_scale_down_total", "Number of times scale-down operation has failed.", "reason")
	m.downs = m.counters("scaled_down_nodes_total", "Number of nodes removed by CA.", "reason")
	m.evictions = m.counters("evicted_pods_total", "Number of pods evicted by CA", "eviction_result")
	m.skipped = m.counters("skipped_scale_events_count", "Count of scaling events that the CA has chosen to skip.", "direction", "reason")
	m.ups = m.counter("scaled_up_nodes_total", "Number of nodes added by CA.")
	m.unregistered = m.counter("old_unregistered_nodes_removed_count", "Number of unregistered nodes removed by CA.")
	m.duration = metrics.NewHistogramVec(&metrics.HistogramOpts{
		Namespace: "cluster_autoscaler", Name: "function_duration_seconds", Help: "Time taken by various parts of CA main loop.",
		Buckets: metrics.ExponentialBuckets(0.01, 1.5, 30),
	}, []string{"function"})
	m.quantiles = metrics.NewSummaryVec(&metrics.SummaryOpts{ //nolint:staticcheck // upstream has it
		Namespace: "cluster_autoscaler", Name: "function_duration_quantile_seconds", Help: "Quantiles of time taken by various parts of CA main loop.",
		MaxAge: time.Hour,
	}, []string{"function"})
	m.awsDuration = metrics.NewHistogramVec(&metrics.HistogramOpts{
		Namespace: "cluster_autoscaler", Name: "aws_request_duration_seconds", Help: "Time taken by AWS requests, by method and status code, in seconds",
		Buckets: []float64{0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0},
	}, []string{"endpoint", "status"})
	m.registry.MustRegister(m.duration, m.quantiles, m.awsDuration)
	if perGroup {
		m.groupMin = m.gauges("node_group_min_count", "Minimum number of nodes in the node group", "node_group")
		m.groupMax = m.gauges("node_group_max_count", "Maximum number of nodes in the node group", "node_group")
		m.groupTarget = m.gauges("node_group_target_count", "Target number of nodes in the node group by CA.", "node_group")
		m.groupHealth = m.gauges("node_group_healthiness", "Whether or not node group is healthy enough for autoscaling. 1 if it is, 0 otherwise.", "node_group")
		m.groupBackoff = m.gauges("node_group_backoff_status", "Whether or not node group is backoff for not autoscaling. 1 if it is, 0 otherwise.", "node_group", "reason")
	}
	m.nap.Set(0)
	return m
}

func (m *Metrics) gauge(name, help string) *metrics.Gauge {
	g := metrics.NewGauge(&metrics.GaugeOpts{Namespace: "cluster_autoscaler", Name: name, Help: help})
	m.registry.MustRegister(g)
	return g
}

func (m *Metrics) gauges(name, help string, labels ...string) *metrics.GaugeVec {
	g := metrics.NewGaugeVec(&metrics.GaugeOpts{Namespace: "cluster_autoscaler", Name: name, Help: help}, labels)
	m.registry.MustRegister(g)
	return g
}

func (m *Metrics) counter(name, help string) *metrics.Counter {
	c := metrics.NewCounter(&metrics.CounterOpts{Namespace: "cluster_autoscaler", Name: name, Help: help})
	m.registry.MustRegister(c)
	return c
}

func (m *Metrics) counters(name, help string, labels ...string) *metrics.CounterVec {
	c := metrics.NewCounterVec(&metrics.CounterOpts{Namespace: "cluster_autoscaler", Name: name, Help: help}, labels)
	m.registry.MustRegister(c)
	return c
}

// Handler serves the metrics.
func (m *Metrics) Handler() http.Handler {
	return metrics.HandlerFor(m.registry, metrics.HandlerOpts{})
}

func flag01(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// took measures a part of the loop.
func (m *Metrics) took(function string, since time.Time) {
	d := time.Since(since).Seconds()
	m.duration.WithLabelValues(function).Observe(d)
	m.quantiles.WithLabelValues(function).Observe(d)
}

// active says that a part of the loop began.
func (m *Metrics) active(activity string, at time.Time) {
	m.lastActivity.WithLabelValues(activity).Set(float64(at.Unix()))
}

// request measures a call of AWS.
func (m *Metrics) request(operation string, err error, took time.Duration) {
	if m == nil {
		return
	}
	status := "success"
	if err != nil {
		status = "error"
		if e, ok := errors.AsType[smithy.APIError](err); ok {
			status = e.ErrorCode()
		}
	}
	m.awsDuration.WithLabelValues(operation, status).Observe(took.Seconds())
}

// show publishes what a plan saw.
func (m *Metrics) show(s *Snapshot, d *Decision, o *Options) {
	m.safe.WithLabelValues().Set(flag01(!d.Unhealthy))
	for state, n := range map[string]int{
		"ready": d.Cluster.Ready, "unready": d.Cluster.Unready, "notStarted": d.Cluster.NotStarted,
		"longUnregistered": d.Cluster.LongUnregistered, "unregistered": d.Cluster.Unregistered,
	} {
		m.nodes.WithLabelValues(state).Set(float64(n))
	}
	m.nodeGroups.WithLabelValues("autoscaled").Set(float64(len(d.Groups)))
	m.nodeGroups.WithLabelValues("autoprovisioned").Set(0)
	m.pods.WithLabelValues("unschedulable").Set(float64(d.Pods))
	m.pods.WithLabelValues("scheduler_unprocessed").Set(0)
	most := 0
	for _, g := range d.Groups {
		most += g.Max
		if !m.perGroup {
			continue
		}
		m.groupMin.WithLabelValues(g.Name).Set(float64(g.Min))
		m.groupMax.WithLabelValues(g.Name).Set(float64(g.Max))
		m.groupTarget.WithLabelValues(g.Name).Set(float64(g.Desired))
		m.groupHealth.WithLabelValues(g.Name).Set(flag01(g.Healthy))
		reason := ""
		if g.Backoff != nil {
			reason = g.Backoff.Code
		}
		m.groupBackoff.WithLabelValues(g.Name, reason).Set(flag01(g.Backoff != nil))
	}
	if o.MaxNodesTotal > 0 {
		most = min(most, o.MaxNodesTotal)
	}
	m.maxNodes.WithLabelValues().Set(float64(most))
	m.coreLimits.WithLabelValues("minimum").Set(float64(o.MinCores))
	m.coreLimits.WithLabelValues("maximum").Set(float64(o.MaxCores))
	m.memoryLimits.WithLabelValues("minimum").Set(float64(o.MinMemory))
	m.memoryLimits.WithLabelValues("maximum").Set(float64(o.MaxMemory))
	m.unneeded.Set(float64(len(d.Unneeded)))
	m.cooldown.Set(flag01(d.Cooldown))
	m.pending.Set(float64(len(d.Memory.Deleting)))
	m.unremovable.Reset()
	for _, why := range d.Unremovable {
		m.unremovable.WithLabelValues(why.Code).Inc()
	}
	m.taints.Reset()
	cores, memory := int64(0), int64(0)
	for _, node := range s.Nodes {
		if _, deleting := d.Memory.Deleting[node.Name]; !deleting {
			c, b := coresAndMemory(node)
			cores, memory = cores+c, memory+b
		}
		for _, t := range node.Spec.Taints {
			m.taints.WithLabelValues(taintType(t, o)).Inc()
		}
	}
	m.cores.Set(float64(cores))
	m.memory.Set(float64(memory))
}

func taintType(t corev1.Taint, o *Options) string {
	for _, known := range conditionTaints {
		if t.Key == known {
			return known
		}
	}
	switch {
	case o.startupTaint(t.Key):
		return "startup-taint"
	case o.statusTaint(t.Key):
		return "status-taint"
	}
	return "other"
}
