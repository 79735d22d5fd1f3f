package autoscaler

import (
	"cmp"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/kubernetes/pkg/scheduler/framework"
)

// candidate is a node that could be removed.
type candidate struct {
	node  *corev1.Node
	group *groupCensus
	info  *framework.NodeInfo
	used  Utilization
	empty bool
	ready bool
	since time.Time // unneeded, zero if it was needed before
}

// candidates are the nodes that are used little, in the order in which they
// would be removed: empty ones, those that have been unneeded, the others.
func (r *reducer) candidates(before map[string]time.Time) []*candidate {
	var list []*candidate
	for _, node := range r.s.Nodes {
		group := r.who.ofNode[node.Name]
		info := r.c.byName[node.Name]
		c := &candidate{node: node, group: group, info: info, ready: isReady(node, r.o), since: before[node.Name]}
		switch {
		case r.who.leaving[node.Name]:
			r.refuse(node, Reason{Code: "CurrentlyBeingDeleted"})
			continue
		case group == nil:
			r.refuse(node, Reason{Code: "NotAutoscaled"})
			continue
		case info == nil: // it starts
			continue
		case node.Annotations[scaleDownDisabled] == "true":
			r.d.say(1, "Skipping %s from delete consideration - the node is marked as no scale down", node.Name)
			r.refuse(node, Reason{Code: "ScaleDownDisabledAnnotation"})
			continue
		case group.Desired <= group.Min:
			r.d.say(1, "Skipping %s - node group min size reached (current: %d, min: %d)", node.Name, group.Desired, group.Min)
			r.refuse(node, Reason{Code: "NodeGroupMinSizeReached"})
			continue
		case r.o.DelayLocal && r.cold(r.d.Memory.Last[group.Name]):
			r.d.say(4, "Skipping scale down on node group %s due to a delay", group.Name)
			continue
		case !c.ready && !r.o.ScaleDownUnready:
			r.refuse(node, Reason{Code: "ScaleDownUnreadyDisabled"})
			continue
		}
		c.used = utilization(info, r.o, or(group.Override.IgnoreDaemonSets, r.o.IgnoreDaemonSets), r.now)
		threshold := or(group.Override.UtilizationThreshold, r.o.UtilizationThreshold)
		if hasGPU(node) {
			threshold = or(group.Override.GPUUtilizationThreshold, r.o.GPUUtilizationThreshold)
		}
		if c.used.Value >= threshold {
			r.d.say(4, "Node %s unremovable: %s requested (%.6g%% of allocatable) is above the scale-down utilization threshold", node.Name, c.used.Resource, c.used.Value*100)
			r.refuse(node, Reason{Code: "NotUnderutilized"})
			continue
		}
		r.d.say(4, "Node %s - %s requested is %.6g%% of allocatable", node.Name, c.used.Resource, c.used.Value*100)
		move, _, no := drainable(podsOf(info), nil, r.s.Replicas, r.o, r.now)
		c.empty = no == nil && len(move) == 0
		list = append(list, c)
	}
	slices.SortStableFunc(list, func(a, b *candidate) int {
		return cmp.Or(first(a.empty, b.empty), first(!a.since.IsZero(), !b.since.IsZero()))
	})
	return list
}

func first(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}
