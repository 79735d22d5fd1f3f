package region

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"

	ec2api "github.com/tarn-eks/tarn/internal/api/ec2"
	eksapi "github.com/tarn-eks/tarn/internal/api/eks"
	"github.com/tarn-eks/tarn/internal/cluster"
	"github.com/tarn-eks/tarn/internal/service/ec2"
	"github.com/tarn-eks/tarn/internal/service/eks"
	"github.com/tarn-eks/tarn/internal/subnet"
)

// eksService is as whom EKS makes what clusters have in their VPC.
const eksService = "eks.amazonaws.com"

// clusterNetwork gives clusters what they have in their VPC: it is the
// provisioning loop's Network.
type clusterNetwork struct{ *Region }

// EnsureSecurityGroup implements provisioning.Network.
func (r clusterNetwork) EnsureSecurityGroup(ctx context.Context, c eks.Cluster) (string, error) {
	ctx = asService(ctx, eksService)
	name := c.SecurityGroupName()
	g, found, err := r.clusterGroup(ctx, c)
	if err != nil {
		return "", err
	}
	id := g.ID
	if !found {
		var tags []ec2api.Tag
		for _, t := range [][2]string{
			{"Name", name}, {"aws:eks:cluster-name", c.Name}, {"kubernetes.io/cluster/" + c.Name, "owned"},
		} {
			tags = append(tags, ec2api.Tag{Key: &t[0], Value: &t[1]})
		}
		out, err := invoke[ec2api.CreateSecurityGroupOutput](ctx, r.Region, "ec2", "CreateSecurityGroup", &ec2api.CreateSecurityGroupInput{
			GroupName: &name, VpcId: &c.VPC,
			Description:       new("EKS created security group applied to ENI that is attached to EKS Control Plane master nodes, as well as any managed workloads."),
			TagSpecifications: []ec2api.TagSpecification{{ResourceType: ec2api.ResourceTypeSecurityGroup, Tags: tags}},
		})
		if err != nil {
			return "", err
		}
		id = *out.GroupId
	}
	if slices.ContainsFunc(g.Rules, func(rule ec2.SecurityGroupRule) bool { return !rule.Egress && rule.Group == id }) {
		return id, nil
	}
	_, err = invoke[ec2api.AuthorizeSecurityGroupIngressOutput](ctx, r.Region, "ec2", "AuthorizeSecurityGroupIngress", &ec2api.AuthorizeSecurityGroupIngressInput{
		GroupId: &id,
		IpPermissions: []ec2api.IpPermission{{
			IpProtocol: new("-1"), UserIdGroupPairs: []ec2api.UserIdGroupPair{{GroupId: &id}},
		}},
	})
	return id, err
}

// clusterGroup finds the cluster security group that an earlier call has made.
func (r clusterNetwork) clusterGroup(ctx context.Context, c eks.Cluster) (g ec2.SecurityGroup, found bool, err error) {
	groups, _, err := r.ec2.SecurityGroups.List(ctx, "")
	if err != nil {
		return g, false, err
	}
	for _, item := range groups {
		if item.Value.VPC == c.VPC && item.Value.Name == c.SecurityGroupName() {
			return item.Value, true, nil
		}
	}
	return g, false, nil
}

// EnsureInterface implements provisioning.Network.
func (r clusterNetwork) EnsureInterface(ctx context.Context, c eks.Cluster) (string, netip.Addr, error) {
	eni, found, err := r.clusterInterface(ctx, c)
	if err != nil {
		return "", netip.Addr{}, err
	}
	if !found {
		if eni, err = r.createInterface(ctx, c); err != nil {
			return "", netip.Addr{}, err
		}
	}
	// Nobody reaches the control plane before the firewall knows it.
	return eni.ID, eni.Addresses[0], r.filtering.Await(ctx, eni.ID)
}

// createInterface makes the interface in the first of the subnets that has an
// address left.
func (r clusterNetwork) createInterface(ctx context.Context, c eks.Cluster) (eni ec2.NetworkInterface, err error) {
	for _, id := range c.Subnets {
		eni, err = r.ec2.CreateNetworkInterface(ctx, ec2.InterfaceInput{
			Subnet: id, Description: interfaceDescription(c), Requester: "amazon-eks",
			SecurityGroups: append([]string{c.Network.SecurityGroup}, c.SecurityGroups...),
			Tags:           map[string]string{"cluster.k8s.amazonaws.com/name": c.Name, "eks:eni:owner": "amazon-eks", "eks-cluster-id": c.ID},
		})
		if !errors.Is(err, subnet.ErrFull) {
			break
		}
	}
	return eni, err
}

func interfaceDescription(c eks.Cluster) string { return "Amazon EKS " + c.Name }

func (r clusterNetwork) clusterInterface(ctx context.Context, c eks.Cluster) (eni ec2.NetworkInterface, found bool, err error) {
	enis, _, err := r.ec2.ENIs.List(ctx, "")
	if err != nil {
		return eni, false, err
	}
	for _, item := range enis {
		if item.Value.Tags["eks-cluster-id"] == c.ID {
			return item.Value, true, nil
		}
	}
	return eni, false, nil
}

// Remove implements provisioning.Network.
func (r clusterNetwork) Remove(ctx context.Context, c eks.Cluster) error {
	ctx = asService(ctx, eksService)
	eni, found, err := r.clusterInterface(ctx, c)
	if err != nil {
		return err
	}
	if found {
		if err := r.ec2.DeleteNetworkInterface(ctx, eni.ID); err != nil {
			return err
		}
	}
	g, found, err := r.clusterGroup(ctx, c)
	if err != nil || !found {
		return err
	}
	_, err = invoke[ec2api.DeleteSecurityGroupOutput](ctx, r.Region, "ec2", "DeleteSecurityGroup", &ec2api.DeleteSecurityGroupInput{GroupId: &g.ID})
	return err
}

// ApplyAddons implements provisioning.Host.
func (r controlPlanes) ApplyAddons(ctx context.Context, c eks.Cluster, addons []eks.Addon) error {
	p := r.controlPlane(c.Name)
	if p == nil {
		return fmt.Errorf("the control plane of cluster %s does not run", c.Name)
	}
	var errs []error
	for _, a := range addons {
		errs = append(errs, r.applyAddon(ctx, p.config, a))
	}
	return errors.Join(errs...)
}

func (r *Region) applyAddon(ctx context.Context, c cluster.Config, a eks.Addon) error {
	if !cluster.HasManifest(a.Name) {
		return nil // part of each node
	}
	values, err := a.Values()
	if err != nil {
		return err
	}
	addon := cluster.Addon{
		Name: a.Name, Image: eksImage(r.identity.Region, a.Name+":"+a.Version), Values: values,
		Overwrite: a.ResolveConflicts == string(eksapi.ResolveConflictsOverwrite),
	}
	if a.Status == eks.Deleting {
		if a.Preserve {
			return nil
		}
		return c.RemoveAddon(ctx, addon)
	}
	changed, err := c.ApplyAddon(ctx, addon)
	if err != nil {
		return err
	}
	if len(changed) > 0 && a.ResolveConflicts == string(eksapi.ResolveConflictsNone) {
		return &eks.AddonError{
			Code:    eksapi.AddonIssueCodeConfigurationConflict,
			Message: fmt.Sprintf("Conflicts found when trying to apply. Will not continue due to resolve conflicts mode. Conflicts: %v", changed),
		}
	}
	if len(changed) > 0 {
		r.logger.Info("kept what was changed in an add-on", "cluster", c.Name, "addon", a.Name, "objects", changed)
	}
	if a.SelfManaged {
		return nil // its health is its owner's to watch
	}
	missing, err := c.MissingReplicas(ctx, addon)
	if err != nil || len(missing) == 0 {
		return err
	}
	return &eks.AddonError{
		Code:      eksapi.AddonIssueCodeInsufficientNumberOfReplicas,
		Message:   "The add-on is unhealthy because all deployments do not have enough ready replicas.",
		Resources: missing,
	}
}

// nodes changes the nodes of clusters: it is the node group loop's Nodes.
type nodes struct{ *Region }

// Configure implements nodegroups.Nodes.
func (r nodes) Configure(ctx context.Context, clusterName string, names []string, was, want eks.NodeConfig) error {
	c, err := r.clusterConfig(ctx, clusterName)
	if err != nil {
		return err
	}
	client, err := c.Client()
	if err != nil {
		return err
	}
	for _, name := range names {
		err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
			node, err := client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			configure(node, was, want)
			_, err = client.CoreV1().Nodes().Update(ctx, node, metav1.UpdateOptions{})
			return err
		})
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("changing node %s: %w", name, err)
		}
	}
	return nil
}

// Missing implements nodegroups.Nodes.
func (r nodes) Missing(ctx context.Context, clusterName string, names []string) ([]string, error) {
	c, err := r.clusterConfig(ctx, clusterName)
	if err != nil {
		return nil, err
	}
	client, err := c.Client()
	if err != nil {
		return nil, err
	}
	have, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("listing nodes: %w", err)
	}
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		return cluster.NodeReady(have.Items, name, time.Time{})
	}), nil
}

// configure gives a node the labels and taints in want, and takes those away
// that are only in was.
func configure(node *v1.Node, was, want eks.NodeConfig) {
	for key := range was.Labels {
		if _, stays := want.Labels[key]; !stays {
			delete(node.Labels, key)
		}
	}
	if node.Labels == nil {
		node.Labels = map[string]string{}
	}
	maps.Copy(node.Labels, want.Labels)
	managed := slices.Concat(was.Taints, want.Taints)
	node.Spec.Taints = slices.DeleteFunc(node.Spec.Taints, func(t v1.Taint) bool {
		return slices.ContainsFunc(managed, func(m eks.Taint) bool { return m.Key == t.Key && m.Effect == string(t.Effect) })
	})
	for _, t := range want.Taints {
		node.Spec.Taints = append(node.Spec.Taints, v1.Taint{Key: t.Key, Value: t.Value, Effect: v1.TaintEffect(t.Effect)})
	}
}
