package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	componentbaseconfig "k8s.io/component-base/config"
	componentopts "k8s.io/component-base/config/options"
	"k8s.io/klog/v2"

	"github.com/tarn-eks/tarn/internal/autoscaler"
)

// errUsage is returned after what is wrong with the arguments was said.
var errUsage = errors.New("wrong arguments")

// settings are the command line.
type settings struct {
	options                      autoscaler.Options
	groups                       []autoscaler.Spec
	discover                     []map[string]string
	election                     componentbaseconfig.LeaderElectionConfiguration
	address, namespace           string
	master, kubeconfig           string
	contentType, userAgent       string
	qps                          float32
	burst                        int
	cloudConfig                  string
	scanInterval                 time.Duration
	maxInactivity, maxFailing    time.Duration
	writeStatus                  bool
	status                       string
	staticTypes, perGroupMetrics bool
	duplicateEvents, profiling   bool
}

func (s *settings) statusName() string {
	if !s.writeStatus {
		return ""
	}
	return s.status
}

// texts collects the values of a flag that may be given many times.
type texts []string

func (t *texts) String() string     { return "[" + strings.Join(*t, " ") + "]" }
func (t *texts) Set(v string) error { *t = append(*t, v); return nil }
func (t *texts) Type() string       { return "string" }

// parse reads the arguments. What is wrong with them it says as upstream does.
func parse(args []string, stderr io.Writer) (*settings, error) {
	s := &settings{options: autoscaler.Defaults(), qps: 5}
	o := &s.options
	f := pflag.NewFlagSet("cluster-autoscaler", pflag.ContinueOnError)
	f.SetOutput(stderr)
	f.SortFlags = true
	f.SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		return pflag.NormalizedName(strings.ReplaceAll(name, "_", "-"))
	})
	klogFlags := flag.NewFlagSet("klog", flag.ContinueOnError)
	klog.InitFlags(klogFlags)
	f.AddGoFlagSet(klogFlags)
	s.election = componentbaseconfig.LeaderElectionConfiguration{
		LeaderElect: true, LeaseDuration: metav1.Duration{Duration: 15 * time.Second}, RenewDeadline: metav1.Duration{Duration: 10 * time.Second},
		RetryPeriod: metav1.Duration{Duration: 2 * time.Second}, ResourceLock: "leases", ResourceName: "cluster-autoscaler",
	}
	componentopts.BindLeaderElectionFlags(&s.election, f)
	var nodes, discovery, startup, ignore, gpus texts
	var statusTaints, balancing, balancingIgnore texts
	var provider, expanders, cores, memory, drain, estimator string
	var grace int
	var qps float64
	f.StringVar(&s.address, "address", ":8085", "The address to expose prometheus metrics.")
	f.StringVar(&s.namespace, "namespace", metav1.NamespaceSystem, "Namespace in which cluster-autoscaler run.")
	f.StringVar(&s.master, "kubernetes", "", "Kubernetes master location. Leave blank for default")
	f.StringVar(&s.kubeconfig, "kubeconfig", "", "Path to kubeconfig file with authorization and master location information.")
	f.StringVar(&s.contentType, "kube-api-content-type", "application/vnd.kubernetes.protobuf", "Content type of requests sent to apiserver.")
	f.IntVar(&s.burst, "kube-client-burst", 10, "Burst value for kubernetes client.")
	f.Float64Var(&qps, "kube-client-qps", 5, "QPS value for kubernetes client.")
	f.StringVar(&s.userAgent, "user-agent", "cluster-autoscaler", "User agent used for HTTP calls.")
	f.StringVar(&provider, "cloud-provider", "aws", "Cloud provider type. Available values: [aws]")
	f.StringVar(&s.cloudConfig, "cloud-config", "", "The path to the cloud provider configuration file.  Empty string for no configuration file.")
	f.BoolVar(&s.staticTypes, "aws-use-static-instance-list", false, "Should CA fetch instance types in runtime or use a static list. AWS only")
	f.Var(&nodes, "nodes", "sets min,max size and other configuration data for a node group in a format accepted by cloud provider. Can be used multiple times. Format: <min>:<max>:<other...>")
	f.Var(&discovery, "node-group-auto-discovery", "One or more definition(s) of node group auto-discovery. A definition is expressed `<name of discoverer>:[<key>[=<value>]]`. AWS matches by ASG tags, e.g. `asg:tag=tagKey,anotherTagKey`. Can be used multiple times.")
	f.DurationVar(&s.scanInterval, "scan-interval", 10*time.Second, "How often cluster is reevaluated for scale up or down, at least")
	f.DurationVar(&s.maxInactivity, "max-inactivity", 10*time.Minute, "Maximum time from last recorded autoscaler activity before automatic restart")
	f.DurationVar(&s.maxFailing, "max-failing-time", 15*time.Minute, "Maximum time from last recorded successful autoscaler run before automatic restart")
	f.BoolVar(&s.writeStatus, "write-status-configmap", true, "Should CA write status information to a configmap")
	f.StringVar(&s.status, "status-config-map-name", "cluster-autoscaler-status", "Status configmap name")
	f.BoolVar(&s.duplicateEvents, "record-duplicated-events", false, "enable duplication of similar events within a 5 minute window.")
	f.BoolVar(&s.perGroupMetrics, "emit-per-nodegroup-metrics", false, "If true, emit per node group metrics.")
	f.BoolVar(&s.profiling, "profiling", false, "Is debug/pprof endpoint enabled")
	f.StringVar(&expanders, "expander", "least-waste", "Type of node group expander to be used in scale up. Available values: ["+strings.Join(autoscaler.Expanders, ",")+"]. Specifying multiple values separated by commas will call the expanders in succession until there is only one option remaining. Ties still existing after this process are broken randomly.")
	f.StringVar(&estimator, "estimator", "binpacking", "Type of resource estimator to be used in scale up. Available values: [binpacking]")
	f.BoolVar(&o.BalanceSimilar, "balance-similar-node-groups", o.BalanceSimilar, "Detect similar node groups and balance the number of nodes between them")
	f.Var(&balancing, "balancing-label", "Specifies a label to use for comparing if two node groups are similar, rather than the built in heuristics. Setting this flag disables all other comparison logic, and cannot be combined with --balancing-ignore-label.")
	f.Var(&balancingIgnore, "balancing-ignore-label", "Specifies a label to ignore in addition to the basic and cloud-provider set of labels when comparing if two node groups are similar")
	f.Float64Var(&o.MemoryDifferenceRatio, "memory-difference-ratio", o.MemoryDifferenceRatio, "Maximum difference in memory capacity between two similar node groups to be considered for balancing.")
	f.Float64Var(&o.AllocatableDifference, "max-allocatable-difference-ratio", o.AllocatableDifference, "Maximum difference in allocatable resources between two similar node groups to be considered for balancing.")
	f.Float64Var(&o.FreeDifference, "max-free-difference-ratio", o.FreeDifference, "Maximum difference in free resources between two similar node groups to be considered for balancing.")
	f.IntVar(&o.MaxNodesTotal, "max-nodes-total", o.MaxNodesTotal, "Maximum number of nodes in all node groups. Cluster autoscaler will not grow the cluster beyond this number.")
	f.StringVar(&cores, "cores-total", "0:320000", "Minimum and maximum number of cores in cluster, in the format <min>:<max>.")
	f.StringVar(&memory, "memory-total", "0:6400000", "Minimum and maximum number of gigabytes of memory in cluster, in the format <min>:<max>.")
	f.Var(&gpus, "gpu-total", "Minimum and maximum number of different GPUs in cluster. CURRENTLY THIS FLAG ONLY WORKS ON GKE.")
	f.IntVar(&o.MaxNodesPerScaleUp, "max-nodes-per-scaleup", o.MaxNodesPerScaleUp, "Max nodes added in a single scale-up.")
	f.DurationVar(&o.NewPodScaleUpDelay, "new-pod-scale-up-delay", o.NewPodScaleUpDelay, "Pods less than this old will not be considered for scale-up. Can be increased for individual pods through annotation 'cluster-autoscaler.kubernetes.io/pod-scale-up-delay'.")
	f.IntVar(&o.ExpendableCutoff, "expendable-pods-priority-cutoff", o.ExpendableCutoff, "Pods with priority below cutoff will be expendable.")
	f.BoolVar(&o.ScaleUpFromZero, "scale-up-from-zero", o.ScaleUpFromZero, "Should CA scale up when there are 0 ready nodes.")
	f.BoolVar(&o.EnforceMinSize, "enforce-node-group-min-size", o.EnforceMinSize, "Should CA scale up the node group to the configured min size if needed.")
	f.BoolVar(&o.ForceDaemonSets, "force-ds", o.ForceDaemonSets, "Blocks scale-up of node groups too small for all suitable Daemon Sets pods.")
	f.Var(&startup, "startup-taint", "Specifies a taint to ignore in node templates when considering to scale a node group (Equivalent to ignore-taint)")
	f.Var(&ignore, "ignore-taint", "Specifies a taint to ignore in node templates when considering to scale a node group (Deprecated, use startup-taints instead)")
	f.Var(&statusTaints, "status-taint", "Specifies a taint to ignore in node templates when considering to scale a node group but nodes will not be treated as unready")
	f.BoolVar(&o.ScaleFromUnschedulable, "scale-from-unschedulable", o.ScaleFromUnschedulable, "Specifies that the CA should ignore a node's .spec.unschedulable field in node templates when considering to scale a node group.")
	f.StringSliceVar(&o.BypassedSchedulers, "bypassed-scheduler-names", nil, "Names of schedulers to bypass.")
	f.DurationVar(&o.MaxNodeProvisionTime, "max-node-provision-time", o.MaxNodeProvisionTime, "The default maximum time CA waits for node to be provisioned - the value can be overridden per node group")
	f.Float64Var(&o.MaxUnreadyPercentage, "max-total-unready-percentage", o.MaxUnreadyPercentage, "Maximum percentage of unready nodes in the cluster.  After this is exceeded, CA halts operations")
	f.IntVar(&o.OKUnreadyCount, "ok-total-unready-count", o.OKUnreadyCount, "Number of allowed unready nodes, irrespective of max-total-unready-percentage")
	f.DurationVar(&o.InitialBackoff, "initial-node-group-backoff-duration", o.InitialBackoff, "initialNodeGroupBackoffDuration is the duration of first backoff after a new node failed to start.")
	f.DurationVar(&o.MaxBackoff, "max-node-group-backoff-duration", o.MaxBackoff, "maxNodeGroupBackoffDuration is the maximum backoff duration for a NodeGroup after new nodes failed to start.")
	f.DurationVar(&o.BackoffReset, "node-group-backoff-reset-timeout", o.BackoffReset, "nodeGroupBackoffResetTimeout is the time after last failed scale-up when the backoff duration is reset.")
	f.BoolVar(&o.ForceDeleteUnregistered, "force-delete-unregistered-nodes", o.ForceDeleteUnregistered, "Whether to enable force deletion of long unregistered nodes, regardless of the min size of the node group the belong to.")
	scaleDownFlags(f, o, &grace, &drain)
	inert(f)
	switch err := f.Parse(args); {
	case errors.Is(err, pflag.ErrHelp):
		return nil, err
	case err != nil:
		fmt.Fprintf(stderr, "%v\nUsage of cluster-autoscaler:\n%s%v\n", err, f.FlagUsages(), err)
		return nil, errUsage
	}
	f.VisitAll(func(flag *pflag.Flag) { klog.V(1).Infof("FLAG: --%s=%q", flag.Name, flag.Value) })
	s.qps = float32(qps)
	o.Expanders = strings.Split(expanders, ",")
	o.StartupTaints, o.StatusTaints = slices.Concat(ignore, startup), statusTaints
	o.BalancingLabels, o.BalancingIgnoreLabels = balancing, balancingIgnore
	o.MaxGracefulTermination = time.Duration(grace) * time.Second
	if provider != "aws" {
		return nil, fmt.Errorf("Unknown cloud provider: %s", provider) //nolint:staticcheck // upstream's words
	}
	if estimator != "binpacking" {
		return nil, fmt.Errorf("unknown estimator: %s", estimator)
	}
	for i, name := range o.Expanders {
		if !slices.Contains(autoscaler.Expanders, name) {
			return nil, fmt.Errorf("Expander %s not supported", name) //nolint:staticcheck // upstream's words
		}
		if slices.Contains(o.Expanders[:i], name) {
			return nil, fmt.Errorf("Expander %s was specified multiple times, each expander must not be specified more than once", name) //nolint:staticcheck // upstream's words
		}
	}
	if len(balancing) > 0 && len(balancingIgnore) > 0 {
		return nil, errors.New("--balancing-label cannot be combined with --balancing-ignore-label")
	}
	var err error
	if o.MinCores, o.MaxCores, err = bounds(cores); err != nil {
		return nil, fmt.Errorf("Failed to parse flags: %w", err) //nolint:staticcheck // upstream's words
	}
	if o.MinMemory, o.MaxMemory, err = bounds(memory); err != nil {
		return nil, fmt.Errorf("Failed to parse flags: %w", err) //nolint:staticcheck // upstream's words
	}
	o.MinMemory, o.MaxMemory = o.MinMemory<<30, o.MaxMemory<<30
	if drain != "" {
		if f.Changed("max-graceful-termination-sec") {
			return nil, errors.New("Invalid configuration, could not use --drain-priority-config together with --max-graceful-termination-sec") //nolint:staticcheck // upstream's words
		}
		if o.DrainPriorities, err = drainPriorities(drain); err != nil {
			return nil, fmt.Errorf("Invalid configuration, parsing --drain-priority-config: %w", err) //nolint:staticcheck // upstream's words
		}
	}
	for _, text := range nodes {
		g, err := autoscaler.ParseSpec(text)
		if err != nil {
			return nil, fmt.Errorf("Failed to create AWS Manager: failed to parse node group spec: %w", err) //nolint:staticcheck // upstream's words
		}
		s.groups = append(s.groups, g)
	}
	for _, text := range discovery {
		tags, err := autoscaler.ParseDiscovery(text)
		if err != nil {
			return nil, fmt.Errorf("Failed to create AWS Manager: %w", err) //nolint:staticcheck // upstream's words
		}
		s.discover = append(s.discover, tags)
	}
	return s, unsupported(f)
}

// scaleDownFlags are those of nodes that are not needed.
func scaleDownFlags(f *pflag.FlagSet, o *autoscaler.Options, grace *int, drain *string) {
	f.BoolVar(&o.ScaleDown, "scale-down-enabled", o.ScaleDown, "Should CA scale down the cluster")
	f.BoolVar(&o.ScaleDownUnready, "scale-down-unready-enabled", o.ScaleDownUnready, "Should CA scale down unready nodes of the cluster")
	f.DurationVar(&o.DelayAfterAdd, "scale-down-delay-after-add", o.DelayAfterAdd, "How long after scale up that scale down evaluation resumes")
	f.DurationVar(&o.DelayAfterDelete, "scale-down-delay-after-delete", o.DelayAfterDelete, "How long after node deletion that scale down evaluation resumes")
	f.DurationVar(&o.DelayAfterFailure, "scale-down-delay-after-failure", o.DelayAfterFailure, "How long after scale down failure that scale down evaluation resumes")
	f.BoolVar(&o.DelayLocal, "scale-down-delay-type-local", o.DelayLocal, "Should --scale-down-delay-after-* flags be applied locally per nodegroup or globally across all nodegroups")
	f.DurationVar(&o.UnneededTime, "scale-down-unneeded-time", o.UnneededTime, "How long a node should be unneeded before it is eligible for scale down")
	f.DurationVar(&o.UnreadyTime, "scale-down-unready-time", o.UnreadyTime, "How long an unready node should be unneeded before it is eligible for scale down")
	f.Float64Var(&o.UtilizationThreshold, "scale-down-utilization-threshold", o.UtilizationThreshold, "The maximum value between the sum of cpu requests and sum of memory requests of all pods running on the node divided by node's corresponding allocatable resource, below which a node can be considered for scale down")
	f.Float64Var(&o.GPUUtilizationThreshold, "scale-down-gpu-utilization-threshold", o.GPUUtilizationThreshold, "Sum of gpu requests of all pods running on the node divided by node's allocatable resource, below which a node can be considered for scale down.")
	f.IntVar(&o.NonEmptyCandidates, "scale-down-non-empty-candidates-count", o.NonEmptyCandidates, "Maximum number of non empty nodes considered in one iteration as candidates for scale down with drain.")
	f.Float64Var(&o.CandidatesPoolRatio, "scale-down-candidates-pool-ratio", o.CandidatesPoolRatio, "A ratio of nodes that are considered as additional non empty candidates for scale down when some candidates from previous iteration are no longer valid.")
	f.IntVar(&o.CandidatesPoolMin, "scale-down-candidates-pool-min-count", o.CandidatesPoolMin, "Minimum number of nodes that are considered as additional non empty candidates for scale down when some candidates from previous iteration are no longer valid.")
	f.BoolVar(&o.IgnoreDaemonSets, "ignore-daemonsets-utilization", o.IgnoreDaemonSets, "Should CA ignore DaemonSet pods when calculating resource utilization for scaling down")
	f.BoolVar(&o.IgnoreMirrorPods, "ignore-mirror-pods-utilization", o.IgnoreMirrorPods, "Should CA ignore Mirror pods when calculating resource utilization for scaling down")
	f.BoolVar(&o.SkipSystemPods, "skip-nodes-with-system-pods", o.SkipSystemPods, "If true cluster autoscaler will wait for --blocking-system-pod-distruption-timeout before deleting nodes with pods from kube-system (except for DaemonSet or mirror pods)")
	f.DurationVar(&o.SystemPodTimeout, "blocking-system-pod-distruption-timeout", o.SystemPodTimeout, "The timeout after which CA will evict non-pdb-assigned blocking system pods, applicable only when --skip-nodes-with-system-pods is set to true")
	f.BoolVar(&o.SkipLocalStorage, "skip-nodes-with-local-storage", o.SkipLocalStorage, "If true cluster autoscaler will never delete nodes with pods with local storage, e.g. EmptyDir or HostPath")
	f.BoolVar(&o.SkipCustomControllers, "skip-nodes-with-custom-controller-pods", o.SkipCustomControllers, "If true cluster autoscaler will never delete nodes with pods owned by custom controllers")
	f.IntVar(&o.MinReplicas, "min-replica-count", o.MinReplicas, "Minimum number or replicas that a replica set or replication controller should have to allow their pods deletion in scale down")
	f.IntVar(&o.MaxScaleDownParallelism, "max-scale-down-parallelism", o.MaxScaleDownParallelism, "Maximum number of nodes (both empty and needing drain) that can be deleted in parallel.")
	f.IntVar(&o.MaxDrainParallelism, "max-drain-parallelism", o.MaxDrainParallelism, "Maximum number of nodes needing drain, that can be drained and deleted in parallel.")
	f.IntVar(&o.MaxBulkSoftTaints, "max-bulk-soft-taint-count", o.MaxBulkSoftTaints, "Maximum number of nodes that can be tainted/untainted PreferNoSchedule at the same time. Set to 0 to turn off such tainting.")
	f.BoolVar(&o.EvictDaemonSetsOccupied, "daemonset-eviction-for-occupied-nodes", o.EvictDaemonSetsOccupied, "DaemonSet pods will be gracefully terminated from non-empty nodes")
	f.BoolVar(&o.EvictDaemonSetsEmpty, "daemonset-eviction-for-empty-nodes", o.EvictDaemonSetsEmpty, "DaemonSet pods will be gracefully terminated from empty nodes")
	f.BoolVar(&o.Cordon, "cordon-node-before-terminating", o.Cordon, "Should CA cordon nodes before terminating during downscale process")
	f.IntVar(grace, "max-graceful-termination-sec", 600, "Maximum number of seconds CA waits for pod termination when trying to scale down a node. This flag is mutually exclusion with drain-priority-config flag which allows more configuration options.")
	f.StringVar(drain, "drain-priority-config", "", "List of ',' separated pairs (priority:terminationGracePeriodSeconds) of integers separated by ':' enables priority evictor.")
	f.DurationVar(&o.MaxPodEvictionTime, "max-pod-eviction-time", o.MaxPodEvictionTime, "Maximum time CA tries to evict a pod before giving up")
	f.DurationVar(&o.DeleteDelayAfterTaint, "node-delete-delay-after-taint", o.DeleteDelayAfterTaint, "How long to wait before deleting a node after tainting it")
	f.DurationVar(&o.NodeDeletionDelayTimeout, "node-deletion-delay-timeout", o.NodeDeletionDelayTimeout, "Maximum time CA waits for removing delay-deletion.cluster-autoscaler.kubernetes.io/ annotations before deleting the node.")
}

// bounds reads min:max. Its errors are upstream's.
func bounds(text string) (low, high int64, err error) {
	a, b, ok := strings.Cut(text, ":")
	if !ok {
		return 0, 0, fmt.Errorf("wrong nodes configuration: %s", text)
	}
	if low, err = strconv.ParseInt(a, 10, 64); err != nil {
		return 0, 0, fmt.Errorf("failed to set min size: %s, expected integer, err: %w", a, err)
	}
	if high, err = strconv.ParseInt(b, 10, 64); err != nil {
		return 0, 0, fmt.Errorf("failed to set max size: %s, expected integer, err: %w", b, err)
	}
	switch {
	case low < 0:
		return 0, 0, errors.New("min size must be greater or equal to  0")
	case high < low:
		return 0, 0, errors.New("max size must be greater or equal to min size")
	}
	return low, high, nil
}

func drainPriorities(text string) ([]autoscaler.DrainPriority, error) {
	var list []autoscaler.DrainPriority
	for item := range strings.SplitSeq(text, ",") {
		a, b, ok := strings.Cut(item, ":")
		priority, err1 := strconv.ParseInt(a, 10, 32)
		seconds, err2 := strconv.Atoi(b)
		if !ok || err1 != nil || err2 != nil {
			return nil, fmt.Errorf("'%s' is not a priority and grace period couple separated by ':'", item)
		}
		list = append(list, autoscaler.DrainPriority{Priority: int32(priority), Grace: time.Duration(seconds) * time.Second})
	}
	return list, nil
}
