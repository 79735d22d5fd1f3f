package nodegroups

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"time"

	autoscalingapi "github.com/tarn-eks/tarn/internal/api/autoscaling"
	"github.com/tarn-eks/tarn/internal/service/autoscaling"
	"github.com/tarn-eks/tarn/internal/service/eks"
)

// owner is whose the groups of node groups are.
const owner = "eks"

// The hooks by which EKS lets nodes join, and drains them.
const (
	launchHook    = "Launch-LC-Hook"
	terminateHook = "Terminate-LC-Hook"
	heartbeat     = 1800 * time.Second
)

// Group is the Auto Scaling group of a node group, as EKS makes it of a launch
// template; a group that is not managed is as eksctl's.
func Group(n eks.Nodegroup, template string) autoscaling.Group {
	g := autoscaling.Group{
		Name: n.GroupName, Owner: owner, Min: n.Min, Max: n.Max, Desired: n.Desired, Warmup: -1,
		Subnets: n.Subnets, Cooldown: 300 * time.Second, HealthCheck: autoscaling.HealthEC2, GracePeriod: 15 * time.Second, Mixed: mixed(n, template),
	}
	for _, key := range slices.Sorted(maps.Keys(groupTags(n))) {
		g.Tags = append(g.Tags, autoscaling.Tag{Key: key, Value: groupTags(n)[key], Propagate: true})
	}
	if !n.Managed {
		return g
	}
	g.Rebalance = true
	g.TerminationPolicies = []string{"AllocationStrategy", "OldestLaunchTemplate", "OldestInstance"}
	for _, h := range []struct{ name, transition string }{{launchHook, autoscaling.Launching}, {terminateHook, autoscaling.Terminating}} {
		hook := autoscaling.NewHook(h.name, h.transition)
		hook.SetHeartbeat(heartbeat)
		hook.Default = autoscaling.Continue
		g.Hooks = append(g.Hooks, hook)
	}
	return g
}

// mixed is what the group launches: the node group's types in their order, all of
// them on demand or none.
func mixed(n eks.Nodegroup, template string) *autoscalingapi.MixedInstancesPolicy {
	onDemand := int32(100)
	if n.Spot {
		onDemand = 0
	}
	var overrides []autoscalingapi.LaunchTemplateOverrides
	for _, t := range types(n) {
		overrides = append(overrides, autoscalingapi.LaunchTemplateOverrides{InstanceType: new(t)})
	}
	return &autoscalingapi.MixedInstancesPolicy{
		LaunchTemplate: &autoscalingapi.LaunchTemplate{
			LaunchTemplateSpecification: &autoscalingapi.LaunchTemplateSpecification{
				LaunchTemplateId: &template, LaunchTemplateName: new(TemplateName(n)), Version: new(strconv.Itoa(max(1, n.Revision))),
			},
			Overrides: overrides,
		},
		InstancesDistribution: &autoscalingapi.InstancesDistribution{
			OnDemandAllocationStrategy: new("prioritized"), OnDemandBaseCapacity: new(int32(0)),
			OnDemandPercentageAboveBaseCapacity: &onDemand, SpotAllocationStrategy: new("capacity-optimized"),
		},
	}
}

// types are those of a node group's instances, the first one first.
func types(n eks.Nodegroup) []string {
	if len(n.InstanceTypes) == 0 {
		return []string{n.InstanceType}
	}
	return n.InstanceTypes
}

// groupTags are the group's, and its instances get them.
func groupTags(n eks.Nodegroup) map[string]string {
	tags := map[string]string{
		"eks:cluster-name":                   n.Cluster,
		"kubernetes.io/cluster/" + n.Cluster: "owned",
	}
	if n.Managed {
		tags["eks:nodegroup-name"] = n.Name
		tags["k8s.io/cluster-autoscaler/enabled"] = "true"
		tags["k8s.io/cluster-autoscaler/"+n.Cluster] = "owned"
		return tags
	}
	maps.Copy(tags, n.Tags)
	tags["Name"] = n.Cluster + "-" + n.Name + "-Node"
	tags[eksctlCluster], tags[eksctlNodegroup], tags["alpha.eksctl.io/nodegroup-type"] = n.Cluster, n.Name, "unmanaged"
	return tags
}

// The tags by which eksctl knows what it has made.
const (
	eksctlCluster   = "alpha.eksctl.io/cluster-name"
	eksctlNodegroup = "alpha.eksctl.io/nodegroup-name"
)

// same compares as the store does.
func same(a, b any) bool {
	x, err1 := json.Marshal(a)
	y, err2 := json.Marshal(b)
	return err1 == nil && err2 == nil && bytes.Equal(x, y)
}
