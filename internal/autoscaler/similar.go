package autoscaler

import (
	"maps"
	"math"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// ignoredLabels do not make groups different: upstream's for all clouds and for AWS.
var ignoredLabels = []string{
	corev1.LabelHostname, corev1.LabelFailureDomainBetaZone, corev1.LabelFailureDomainBetaRegion,
	corev1.LabelTopologyZone, corev1.LabelTopologyRegion, "beta.kubernetes.io/fluentd-ds-ready", "kops.k8s.io/instancegroup",
	"topology.ebs.csi.aws.com/zone", "topology.gke.io/zone", "topology.disk.csi.azure.com/zone",
	"alpha.eksctl.io/instance-id", "alpha.eksctl.io/nodegroup-name", "eks.amazonaws.com/nodegroup",
	"k8s.amazonaws.com/eniConfig", "lifecycle",
}

// similar are the other groups that may grow in a group's stead, if
// --balance-similar-node-groups asks for it: they have the same kind of nodes,
// and the same pods fit.
func (h *helper) similar(g *groupCensus, valid []*groupCensus, fits map[*groupCensus][]*class) []*groupCensus {
	if !h.o.BalanceSimilar || len(fits[g]) == 0 {
		return nil
	}
	var list []*groupCensus
	for _, other := range valid {
		if other == g || !h.alike(h.templates[g.Name], h.templates[other.Name]) {
			continue
		}
		if !slices.ContainsFunc(fits[g], func(c *class) bool { return !slices.Contains(fits[other], c) }) {
			list = append(list, other)
		}
	}
	return list
}

func (h *helper) alike(a, b *template) bool {
	if len(h.o.BalancingLabels) > 0 {
		return !slices.ContainsFunc(h.o.BalancingLabels, func(l string) bool {
			x, okX := a.node.Labels[l]
			y, okY := b.node.Labels[l]
			return x != y || okX != okY
		})
	}
	capA, capB := a.node.Status.Capacity, b.node.Status.Capacity
	if len(capA) != len(capB) {
		return false
	}
	for name, x := range capA {
		y, ok := capB[name]
		switch {
		case !ok:
			return false
		case name == corev1.ResourceMemory:
			if !within(x, y, h.o.MemoryDifferenceRatio) {
				return false
			}
		case x.Cmp(y) != 0:
			return false
		}
	}
	return near(a.node.Status.Allocatable, b.node.Status.Allocatable, h.o.AllocatableDifference) &&
		near(a.free(), b.free(), h.o.FreeDifference) &&
		maps.Equal(h.telling(a.node.Labels), h.telling(b.node.Labels))
}

// telling are the labels that make groups different.
func (h *helper) telling(labels map[string]string) map[string]string {
	labels = maps.Clone(labels)
	for _, l := range slices.Concat(ignoredLabels, h.o.BalancingIgnoreLabels) {
		delete(labels, l)
	}
	return labels
}

// free is what a new node has left for pods.
func (t *template) free() corev1.ResourceList {
	left := t.node.Status.Allocatable.DeepCopy()
	for _, pod := range t.pods {
		for name, amount := range requests(pod) {
			if has, ok := left[name]; ok {
				has.Sub(amount)
				left[name] = has
			}
		}
	}
	return left
}

func near(a, b corev1.ResourceList, by float64) bool {
	if len(a) != len(b) {
		return false
	}
	for name, x := range a {
		if y, ok := b[name]; !ok || !within(x, y, by) {
			return false
		}
	}
	return true
}

func within(a, b resource.Quantity, by float64) bool {
	x, y := float64(a.MilliValue()), float64(b.MilliValue())
	larger := math.Max(x, y)
	return larger-math.Min(x, y) <= larger*by
}
