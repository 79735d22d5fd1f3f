// Package autoscaler fits the number of a cluster's nodes to its pods, as the
// Kubernetes Cluster Autoscaler does on AWS, with its flags, events, metrics,
// ConfigMap and annotations. Plan decides from a snapshot, with the
// scheduler's own plug-ins, and does nothing else; Loop watches the cluster and
// acts; Cloud is its way to AWS. Kubernetes and AWS are reached by their
// public APIs only: nothing of Tarn's region may enter, so that it runs on EKS.
package autoscaler

import (
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Snapshot is a cluster and its node groups at one moment. Plan only reads it.
type Snapshot struct {
	Nodes      []*corev1.Node
	Pods       []*corev1.Pod // of the whole cluster, pending ones included
	DaemonSets []*appsv1.DaemonSet
	Budgets    []*policyv1.PodDisruptionBudget
	// Replicas are the sizes that controllers of pods are to have. A controller
	// that is not here is not known.
	Replicas   map[types.UID]int32
	Namespaces []*corev1.Namespace // for affinity to pods of other namespaces
	Storage    Storage
	Groups     []Group
	Described  time.Time // when Groups were asked for
	// Priorities is the text of the ConfigMap cluster-autoscaler-priority-expander,
	// "" if there is none.
	Priorities string
	Memory     Memory
}

// Storage is what the scheduler wants to know of pods' volumes.
type Storage struct {
	Claims     []*corev1.PersistentVolumeClaim
	Volumes    []*corev1.PersistentVolume
	Classes    []*storagev1.StorageClass
	Nodes      []*storagev1.CSINode
	Drivers    []*storagev1.CSIDriver
	Capacities []*storagev1.CSIStorageCapacity
}

// Group is an Auto Scaling group.
type Group struct {
	Name              string
	Min, Max, Desired int // Min and Max are those that the autoscaler was told
	Instances         []Instance
	// Template is what a new node looks like by the launch template, the
	// instance type and the group's tags. It is nil if that is not known.
	Template *corev1.Node
	// Overlay are the resources that the group's tags say nodes have.
	Overlay corev1.ResourceList
	// LaunchError is why AWS cannot start the instances that are missing, "" if
	// nothing failed since the group's size was last set.
	LaunchError string
	Override    GroupOptions
}

// Instance is a member of a group.
type Instance struct {
	ID          string
	Terminating bool
}

// GroupOptions are what a group's tags say instead of the flags; nil means that
// they say nothing.
type GroupOptions struct {
	UtilizationThreshold    *float64
	GPUUtilizationThreshold *float64
	UnneededTime            *time.Duration
	UnreadyTime             *time.Duration
	ProvisionTime           *time.Duration
	IgnoreDaemonSets        *bool
}

// Memory is what the autoscaler remembers from one plan to the next. Plan
// returns the next one in its Decision and leaves the one it got alone.
type Memory struct {
	Last         map[string]Moments   // by group
	Unneeded     map[string]time.Time // by node: since when
	Unregistered map[string]time.Time // by instance: since when it has no node
	Requests     map[string]Request   // by group: the scale-up under way
	Backoffs     map[string]Backoff   // by group
	// Deleting are the nodes that are being removed, each with its group.
	Deleting map[string]Deletion
}

// Moments are when something was last done to a group.
type Moments struct {
	ScaleUp, Delete, Failure time.Time // Failure is of a removal
}

// Request is a scale-up that was asked for.
type Request struct {
	At       time.Time
	Increase int
}

// Backoff keeps a group from being scaled up after that has failed.
type Backoff struct {
	Until, Last time.Time
	Duration    time.Duration
	Code        string
	Message     string
}

// Deletion is a node on its way out.
type Deletion struct {
	Group string
	Drain bool
	// Gone says that AWS was told to end the instance: since then the group's
	// desired size no longer counts it.
	Gone  bool
	Since time.Time
}

// counted says that the desired size, as it was described, still has the instance.
func (d Deletion) counted(described time.Time) bool { return !d.Gone || !d.Since.Before(described) }

// What Kubernetes' users and the autoscaler say to each other.
const (
	toBeDeletedTaint = "ToBeDeletedByClusterAutoscaler"
	candidateTaint   = "DeletionCandidateOfClusterAutoscaler"

	scaleDownDisabled  = "cluster-autoscaler.kubernetes.io/scale-down-disabled"
	safeToEvict        = "cluster-autoscaler.kubernetes.io/safe-to-evict"
	safeToEvictVolumes = "cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes"
	podScaleUpDelay    = "cluster-autoscaler.kubernetes.io/pod-scale-up-delay"
	enableDSEviction   = "cluster-autoscaler.kubernetes.io/enable-ds-eviction"
	delayDeletion      = "delay-deletion.cluster-autoscaler.kubernetes.io/"
)

// gpu is the resource of NVIDIA's GPUs, the only one that upstream knows on AWS.
const gpu = corev1.ResourceName("nvidia.com/gpu")
