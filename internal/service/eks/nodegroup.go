package eks

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/tarn-eks/tarn/internal/api"
	eksapi "github.com/tarn-eks/tarn/internal/api/eks"
	"github.com/tarn-eks/tarn/internal/store"
)

// Taint is a Kubernetes taint; Effect is NoSchedule, PreferNoSchedule or NoExecute.
type Taint struct{ Key, Value, Effect string }

// NodeConfig is what a node group's nodes carry.
type NodeConfig struct {
	Labels map[string]string
	Taints []Taint
}

// Nodegroup is a group of nodes; it owns an Auto Scaling group.
type Nodegroup struct {
	Cluster   string
	Name      string
	ID        string
	Managed   bool   // the API shows managed ones only
	GroupName string // its Auto Scaling group's
	Version   string // Kubernetes: "1.37"
	Release   string // of the image: "1.37.2-20261112"

	// InstanceType is what its instances are, and InstanceTypes are all that were
	// asked for, in order.
	InstanceType  string
	InstanceTypes []string
	AMIType       string
	RoleARN       string
	Min, Max      int
	Desired       int
	VolumeGiB     int
	Spot          bool
	Labels        map[string]string
	Taints        []Taint
	Tags          map[string]string
	Subnets       []string
	Template      *Template
	RemoteAccess  *RemoteAccess
	// MaxUnavailable is how many nodes an update may replace at once; where it is
	// 0, MaxUnavailablePercentage says it.
	MaxUnavailable           int
	MaxUnavailablePercentage int
	Created, Modified        time.Time

	Status  Status
	Issues  []Issue
	Update  string // in progress
	Request request
	// Revision rises whenever new nodes are to be other than those before: it is
	// the version of the launch template that EKS makes for a node group. Nodes of
	// revisions before Current are to be replaced.
	Revision, Current int
	// Applied is what its nodes carry, where that is not what they should.
	Applied *NodeConfig
	// Grouped: its Auto Scaling group was made. Resized: the group is yet to get
	// the size; else the node group's size is the group's, which others may change.
	Grouped, Resized bool
	// Surge is how many instances more than Desired its group has, while nodes are
	// replaced by new ones that run before they end.
	Surge int
	// Rolling is the replacement of nodes that is under way; nil: there is none.
	Rolling *Rolling
}

// Rolling is a replacement of nodes, and what was before.
type Rolling struct {
	Force         bool // nodes go whatever cannot be evicted from them
	Template      *Template
	InstanceType  string
	InstanceTypes []string
	Current       int
}

// Template is the version of a launch template that a node group uses.
type Template struct{ ID, Name, Version string }

// RemoteAccess is who may log in to nodes.
type RemoteAccess struct {
	KeyName      string
	SourceGroups []string // security groups
}

// Scaling is a node group's size.
type Scaling struct{ Min, Max, Desired int }

// Key is the node group's key in the store.
func (n Nodegroup) Key() string { return n.Cluster + "/" + n.Name }

// Scaling is the node group's size.
func (n Nodegroup) Scaling() Scaling { return Scaling{n.Min, n.Max, n.Desired} }

// Config is what the nodes should carry.
func (n Nodegroup) Config() NodeConfig { return NodeConfig{n.Labels, n.Taints} }

// InstanceProfile is the name of the instance profile that the group's
// instances have: EKS makes one with the node role.
func (n Nodegroup) InstanceProfile() string { return "eks-" + n.ID }

// Unavailable is how many nodes may be replaced at once: one at least.
func (n Nodegroup) Unavailable() int {
	if n.MaxUnavailable > 0 {
		return n.MaxUnavailable
	}
	return max(1, n.Desired*n.MaxUnavailablePercentage/100)
}

func (s *Service) nodegroupARN(n Nodegroup) string {
	return s.arns.Of("eks", "nodegroup/%s/%s/%s", n.Cluster, n.Name, n.ID)
}

// nodegroup finds a managed node group for an API call.
func (s *Service) nodegroup(ctx context.Context, a about) (store.Item[Nodegroup], error) {
	item, err := s.Nodegroups.Get(ctx, Nodegroup{Cluster: a.cluster, Name: a.nodegroup}.Key())
	if errors.Is(err, store.ErrNotFound) || err == nil && !item.Value.Managed {
		return item, a.missing("No node group found for name: %s.", a.nodegroup)
	}
	return item, err
}

// The API's names for the effects of taints.
var taintEffects = map[eksapi.TaintEffect]string{
	eksapi.TaintEffectNoSchedule:       "NoSchedule",
	eksapi.TaintEffectPreferNoSchedule: "PreferNoSchedule",
	eksapi.TaintEffectNoExecute:        "NoExecute",
}

func describeTaints(taints []Taint) []eksapi.Taint {
	var out []eksapi.Taint
	for _, t := range taints {
		for effect, kubernetes := range taintEffects {
			if kubernetes == t.Effect {
				out = append(out, eksapi.Taint{Key: &t.Key, Value: name(t.Value), Effect: effect})
			}
		}
	}
	return out
}

func (s *Service) describeNodegroup(n Nodegroup) *eksapi.Nodegroup {
	out := &eksapi.Nodegroup{
		NodegroupName: &n.Name, NodegroupArn: new(s.nodegroupARN(n)), ClusterName: &n.Cluster,
		Version: &n.Version, ReleaseVersion: &n.Release, CreatedAt: &n.Created, ModifiedAt: &n.Modified,
		Status: eksapi.NodegroupStatus(n.Status), CapacityType: eksapi.CapacityTypesOnDemand,
		ScalingConfig: &eksapi.NodegroupScalingConfig{
			MinSize: new(int32(n.Min)), MaxSize: new(int32(n.Max)), DesiredSize: new(int32(n.Desired))},
		InstanceTypes: n.InstanceTypes, Subnets: n.Subnets, AmiType: eksapi.AMITypes(n.AMIType), NodeRole: &n.RoleARN,
		Labels: n.Labels, Taints: describeTaints(n.Taints), Tags: n.Tags,
		Resources:    &eksapi.NodegroupResources{AutoScalingGroups: []eksapi.AutoScalingGroup{{Name: &n.GroupName}}},
		Health:       &eksapi.NodegroupHealth{Issues: []eksapi.Issue{}},
		UpdateConfig: describeUpdateConfig(n),
	}
	if n.Spot {
		out.CapacityType = eksapi.CapacityTypesSpot
	}
	if out.Tags == nil {
		out.Tags = map[string]string{}
	}
	if t := n.Template; t != nil {
		out.LaunchTemplate = &eksapi.LaunchTemplateSpecification{Id: &t.ID, Name: &t.Name, Version: &t.Version}
	} else {
		out.DiskSize = new(int32(n.VolumeGiB))
	}
	if r := n.RemoteAccess; r != nil {
		out.RemoteAccess = &eksapi.RemoteAccessConfig{Ec2SshKey: name(r.KeyName), SourceSecurityGroups: r.SourceGroups}
	}
	for _, i := range n.Issues {
		out.Health.Issues = append(out.Health.Issues, eksapi.Issue{
			Code: eksapi.NodegroupIssueCode(i.Code), Message: &i.Message, ResourceIds: i.Resources})
	}
	return out
}

func describeUpdateConfig(n Nodegroup) *eksapi.NodegroupUpdateConfig {
	if n.MaxUnavailable > 0 {
		return &eksapi.NodegroupUpdateConfig{MaxUnavailable: new(int32(n.MaxUnavailable))}
	}
	return &eksapi.NodegroupUpdateConfig{MaxUnavailablePercentage: new(int32(n.MaxUnavailablePercentage))}
}

// DescribeNodegroup shows a node group.
func (s *Service) DescribeNodegroup(ctx context.Context, in *eksapi.DescribeNodegroupInput) (*eksapi.DescribeNodegroupOutput, error) {
	a := about{cluster: api.Val(in.ClusterName), nodegroup: api.Val(in.NodegroupName)}
	if _, err := s.cluster(ctx, in.ClusterName); err != nil {
		return nil, err
	}
	item, err := s.nodegroup(ctx, a)
	if err != nil {
		return nil, err
	}
	return &eksapi.DescribeNodegroupOutput{Nodegroup: s.describeNodegroup(item.Value)}, nil
}

// ListNodegroups lists the names of a cluster's node groups.
func (s *Service) ListNodegroups(ctx context.Context, in *eksapi.ListNodegroupsInput) (*eksapi.ListNodegroupsOutput, error) {
	if _, err := s.cluster(ctx, in.ClusterName); err != nil {
		return nil, err
	}
	items, _, err := s.Nodegroups.List(ctx, api.Val(in.ClusterName)+"/")
	if err != nil {
		return nil, err
	}
	names, next, err := page(namesOf(items, func(n Nodegroup) string {
		if !n.Managed {
			return ""
		}
		return n.Name
	}), in.MaxResults, in.NextToken)
	if err != nil {
		return nil, err
	}
	return &eksapi.ListNodegroupsOutput{Nodegroups: names, NextToken: next}, nil
}

// DeleteNodegroup asks for a node group's end. loop/nodegroups ends its group.
func (s *Service) DeleteNodegroup(ctx context.Context, in *eksapi.DeleteNodegroupInput) (*eksapi.DeleteNodegroupOutput, error) {
	a := about{cluster: api.Val(in.ClusterName), nodegroup: api.Val(in.NodegroupName)}
	n, err := again(func() (Nodegroup, error) {
		if _, err := s.cluster(ctx, in.ClusterName); err != nil {
			return Nodegroup{}, err
		}
		item, err := s.nodegroup(ctx, a)
		if err != nil || item.Value.Status == Deleting {
			return item.Value, err
		}
		ops, err := s.endUpdate(ctx, a.cluster, item.Value.Update, cancelled, nil)
		if err != nil {
			return Nodegroup{}, err
		}
		item.Value.Status, item.Value.Update, item.Value.Modified = Deleting, "", s.time()
		item.Value.Issues = nil
		_, err = store.Commit(ctx, s.client, append(ops, s.Nodegroups.UpdateOp(item))...)
		return item.Value, err
	})
	if err != nil {
		return nil, err
	}
	return &eksapi.DeleteNodegroupOutput{Nodegroup: s.describeNodegroup(n)}, nil
}

// Outdated says that nodes that were launched at a revision are to be replaced.
func (n Nodegroup) Outdated(revision int) bool { return max(1, revision) < n.Current }

func sameConfig(a, b NodeConfig) bool {
	return maps.Equal(a.Labels, b.Labels) && slices.Equal(a.Taints, b.Taints)
}
