package region

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	eksapi "github.com/tarn-eks/tarn/internal/api/eks"
	iamapi "github.com/tarn-eks/tarn/internal/api/iam"
	"github.com/tarn-eks/tarn/internal/eksctl"
	"github.com/tarn-eks/tarn/internal/service/ec2"
	"github.com/tarn-eks/tarn/internal/service/eks"
	"github.com/tarn-eks/tarn/internal/store"
)

// A cluster file becomes the API calls that eksctl would make for it.

// setCluster makes a cluster the region's own in this process.
func (r *Region) setCluster(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.identity.Cluster = name
}

// rememberCluster makes it the region's own for good: a later `tarn up` without a
// file means it.
func (r *Region) rememberCluster() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.identity.save(r.layout)
}

// createCluster makes the cluster that the file describes, unless it is there.
func (r *Region) createCluster(ctx context.Context, cc *eksctl.ClusterConfig) error {
	switch have, err := r.eks.Clusters.Get(ctx, cc.Name); {
	case err == nil && have.Value.Status == eks.Deleting:
		return fmt.Errorf("cluster %s is being deleted: `tarn aws eks wait cluster-deleted --name %s`, and then `tarn up` again", cc.Name, cc.Name)
	case err == nil:
		return nil
	case !errors.Is(err, store.ErrNotFound):
		return err
	}
	v, err := r.vpcOf(ctx, cc.Name)
	if err != nil {
		return err
	}
	subnets, err := r.publicSubnets(ctx, v.ID)
	if err != nil {
		return err
	}
	role, err := r.ensureRole(ctx, clusterRole(cc.Name))
	if err != nil {
		return err
	}
	_, err = invoke[eksapi.CreateClusterOutput](ctx, r, "eks", "CreateCluster", clusterInput(cc, inZones(subnets, cc.Zones), role))
	if err != nil {
		return fmt.Errorf("making cluster %s: %w", cc.Name, err)
	}
	return nil
}

// inZones are the ids of the subnets in the zones, in the zones' order.
func inZones(subnets []ec2.Subnet, zones []string) []string {
	var ids []string
	for _, zone := range zones {
		for _, s := range subnets {
			if s.Zone == zone {
				ids = append(ids, s.ID)
			}
		}
	}
	return ids
}

// minor is a Kubernetes version as EKS counts them: 1.37 of 1.37.2.
func minor(version string) string {
	parts := strings.SplitN(version, ".", 3)
	return strings.Join(parts[:min(2, len(parts))], ".")
}

// clusterInput is the call that makes a file's cluster.
func clusterInput(cc *eksctl.ClusterConfig, subnets []string, role string) *eksapi.CreateClusterInput {
	in := &eksapi.CreateClusterInput{
		Name: &cc.Name, Version: new(minor(cc.Version)), RoleArn: &role, Tags: cc.Tags,
		ResourcesVpcConfig:      &eksapi.VpcConfigRequest{SubnetIds: subnets},
		KubernetesNetworkConfig: &eksapi.KubernetesNetworkConfigRequest{ServiceIpv4Cidr: new(cc.ServiceCIDR.String())},
		AccessConfig: &eksapi.CreateAccessConfigRequest{
			AuthenticationMode:                      eksapi.AuthenticationModeApiAndConfigMap,
			BootstrapClusterCreatorAdminPermissions: new(true),
		},
	}
	if len(cc.CloudWatch.LogTypes) > 0 {
		var types []eksapi.LogType
		for _, t := range cc.CloudWatch.LogTypes {
			types = append(types, eksapi.LogType(t))
		}
		in.Logging = &eksapi.Logging{ClusterLogging: []eksapi.LogSetup{{Types: types, Enabled: new(true)}}}
	}
	return in
}

// applyNodegroups makes the file's node groups, and brings the sizes of those
// that exist to the file's.
func (r *Region) applyNodegroups(ctx context.Context, cc *eksctl.ClusterConfig) error {
	if cc.IAM.WithOIDC {
		if err := r.ensureOIDCProvider(ctx, cc.Name); err != nil {
			return err
		}
	}
	v, err := r.vpcOf(ctx, cc.Name)
	if err != nil {
		return err
	}
	subnets, err := r.publicSubnets(ctx, v.ID)
	if err != nil {
		return err
	}
	for _, g := range cc.NodeGroups {
		if err := r.applyNodegroup(ctx, cc.Name, g, inZones(subnets, g.Zones)); err != nil {
			return fmt.Errorf("node group %s: %w", g.Name, err)
		}
	}
	r.warnMissing(ctx, cc)
	return nil
}

// ensureOIDCProvider tells IAM of the cluster's issuer, as eksctl does for
// iam.withOIDC.
func (r *Region) ensureOIDCProvider(ctx context.Context, cluster string) error {
	item, err := r.eks.Clusters.Get(ctx, cluster)
	if err != nil {
		return err
	}
	_, err = invoke[iamapi.CreateOpenIDConnectProviderOutput](ctx, r, "iam", "CreateOpenIDConnectProvider", &iamapi.CreateOpenIDConnectProviderInput{
		Url: new(r.eks.Issuer(item.Value)), ClientIDList: []string{"sts.amazonaws.com"},
		Tags: []iamapi.Tag{{Key: new(eksctlCluster), Value: &cluster}},
	})
	if err != nil && !iamapi.EntityAlreadyExistsException.Is(err) {
		return fmt.Errorf("making the OIDC provider of cluster %s: %w", cluster, err)
	}
	return nil
}

func (r *Region) applyNodegroup(ctx context.Context, cluster string, g eksctl.NodeGroup, subnets []string) error {
	have, err := r.eks.Nodegroups.Get(ctx, eks.Nodegroup{Cluster: cluster, Name: g.Name}.Key())
	if errors.Is(err, store.ErrNotFound) {
		return r.createNodegroup(ctx, cluster, g, subnets)
	}
	if err != nil {
		return err
	}
	if have.Value.Status == eks.Deleting {
		return errors.New("it is being deleted: run `tarn up` again when it is gone")
	}
	if err := unchangeable(have.Value, g, subnets); err != nil {
		return err
	}
	if !maps.Equal(have.Value.Tags, g.Tags) {
		r.warn("node group %s: its tags stay as they are", g.Name)
	}
	to := eks.Scaling{Min: g.Min, Max: g.Max, Desired: g.Desired}
	if have.Value.Scaling() == to {
		return nil
	}
	// EKS refuses to update a group that is not made yet or is being changed, and
	// a size that cannot be reached must be mendable. The Auto Scaling group takes
	// it at any time.
	unsettled := []eks.Status{eks.Creating, eks.CreateFailed, eks.Updating}
	if !g.Managed || slices.Contains(unsettled, have.Value.Status) {
		_, err := r.eks.ScaleNodegroup(ctx, cluster, g.Name, to)
		return err
	}
	_, err = invoke[eksapi.UpdateNodegroupConfigOutput](ctx, r, "eks", "UpdateNodegroupConfig", &eksapi.UpdateNodegroupConfigInput{
		ClusterName: &cluster, NodegroupName: &g.Name, ScalingConfig: scalingConfig(g),
	})
	return err
}

func (r *Region) createNodegroup(ctx context.Context, cluster string, g eksctl.NodeGroup, subnets []string) error {
	role, err := r.ensureRole(ctx, nodeRole(cluster, g))
	if err != nil {
		return err
	}
	if !g.Managed {
		_, err := r.eks.CreateSelfManaged(ctx, selfManaged(cluster, g, subnets, role))
		return err
	}
	_, err = invoke[eksapi.CreateNodegroupOutput](ctx, r, "eks", "CreateNodegroup", nodegroupInput(cluster, g, subnets, role))
	return err
}

// nodegroupInput is the call that makes a file's node group.
func nodegroupInput(cluster string, g eksctl.NodeGroup, subnets []string, role string) *eksapi.CreateNodegroupInput {
	in := &eksapi.CreateNodegroupInput{
		ClusterName: &cluster, NodegroupName: &g.Name, NodeRole: &role, Subnets: subnets,
		InstanceTypes: []string{g.InstanceType}, DiskSize: new(int32(g.VolumeSizeGiB)),
		ScalingConfig: scalingConfig(g), Labels: g.Labels, Tags: g.Tags,
		CapacityType: eksapi.CapacityTypesOnDemand,
	}
	if g.Spot {
		in.CapacityType = eksapi.CapacityTypesSpot
	}
	for _, t := range g.Taints {
		in.Taints = append(in.Taints, eksapi.Taint{Key: &t.Key, Value: &t.Value, Effect: taintEffects[t.Effect]})
	}
	return in
}

// selfManaged is a file's node group that eksctl would make without EKS.
func selfManaged(cluster string, g eksctl.NodeGroup, subnets []string, role string) eks.Nodegroup {
	n := eks.Nodegroup{
		Cluster: cluster, Name: g.Name, RoleARN: role, InstanceType: g.InstanceType, Spot: g.Spot,
		Min: g.Min, Max: g.Max, Desired: g.Desired, VolumeGiB: g.VolumeSizeGiB,
		Labels: g.Labels, Tags: g.Tags, Subnets: subnets,
	}
	for _, t := range g.Taints {
		n.Taints = append(n.Taints, eks.Taint(t))
	}
	return n
}

// taintEffects are EKS's names for Kubernetes's.
var taintEffects = map[string]eksapi.TaintEffect{
	"NoSchedule":       eksapi.TaintEffectNoSchedule,
	"NoExecute":        eksapi.TaintEffectNoExecute,
	"PreferNoSchedule": eksapi.TaintEffectPreferNoSchedule,
}

func scalingConfig(g eksctl.NodeGroup) *eksapi.NodegroupScalingConfig {
	return &eksapi.NodegroupScalingConfig{MinSize: new(int32(g.Min)), MaxSize: new(int32(g.Max)), DesiredSize: new(int32(g.Desired))}
}

// unchangeable refuses what cannot be changed in a node group that exists.
func unchangeable(have eks.Nodegroup, want eksctl.NodeGroup, subnets []string) error {
	var errs []error
	refuse := func(field string, from, to any) {
		errs = append(errs, fmt.Errorf("its %s is %v and cannot become %v: give the file's group another name", field, from, to))
	}
	if have.InstanceType != want.InstanceType {
		refuse("instanceType", have.InstanceType, want.InstanceType)
	}
	if have.VolumeGiB != want.VolumeSizeGiB {
		refuse("volumeSize", have.VolumeGiB, want.VolumeSizeGiB)
	}
	if have.Managed != want.Managed || have.Spot != want.Spot {
		refuse("kind (managed, spot)", fmt.Sprint(have.Managed, have.Spot), fmt.Sprint(want.Managed, want.Spot))
	}
	if !slices.Equal(have.Subnets, subnets) {
		refuse("availabilityZones", have.Subnets, subnets)
	}
	if !maps.Equal(have.Labels, want.Labels) {
		refuse("labels", have.Labels, want.Labels)
	}
	if !slices.EqualFunc(have.Taints, want.Taints, func(a eks.Taint, b eksctl.Taint) bool { return a == eks.Taint(b) }) {
		refuse("taints", have.Taints, want.Taints)
	}
	return errors.Join(errs...)
}

// warnMissing names the node groups that the file does not have: like eksctl,
// Up does not delete them.
func (r *Region) warnMissing(ctx context.Context, cc *eksctl.ClusterConfig) {
	groups, _, err := r.eks.Nodegroups.List(ctx, cc.Name+"/")
	if err != nil {
		return // what reads next says so
	}
	for _, g := range groups {
		if !slices.ContainsFunc(cc.NodeGroups, func(want eksctl.NodeGroup) bool { return want.Name == g.Value.Name }) {
			r.warn("node group %s is not in the file; it stays as it is", g.Value.Name)
		}
	}
}
