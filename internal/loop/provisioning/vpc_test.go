package provisioning

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	ec2api "github.com/tarn-eks/tarn/internal/api/ec2"
	"github.com/tarn-eks/tarn/internal/service/ec2"
	"github.com/tarn-eks/tarn/internal/service/eks"
	"github.com/tarn-eks/tarn/internal/store"
	"github.com/tarn-eks/tarn/internal/subnet"
)

// vpc is a Network on EC2, as the region has one.
type vpc struct{ ec2 *ec2.Service }

// requester is who EC2 says has made the interfaces of control planes.
const requester = "amazon-eks"

func description(c eks.Cluster) string { return "Amazon EKS " + c.Name }

// idOf is a resource's id that follows from the cluster: made twice, it is one.
func idOf(kind string, c eks.Cluster, what string) string {
	sum := sha256.Sum256([]byte(c.ID + " " + what))
	return kind + "-" + hex.EncodeToString(sum[:])[:17]
}

// EnsureSecurityGroup implements Network.
func (v vpc) EnsureSecurityGroup(ctx context.Context, c eks.Cluster) (string, error) {
	id := idOf("sg", c, "cluster")
	group := ec2.SecurityGroup{
		ID: id, Name: c.SecurityGroupName(), VPC: c.VPC, Created: time.Now().UTC().Truncate(time.Second),
		Description: "EKS created security group applied to ENI that is attached to EKS Control Plane master nodes, as well as any managed workloads.",
		Tags: map[string]string{
			"Name": c.SecurityGroupName(), "aws:eks:cluster-name": c.Name, "kubernetes.io/cluster/" + c.Name: "owned",
		},
		Rules: []ec2.SecurityGroupRule{
			{ID: idOf("sgr", c, "ingress"), Protocol: "-1", FromPort: -1, ToPort: -1, Group: id},
			{ID: idOf("sgr", c, "egress"), Egress: true, Protocol: "-1", FromPort: -1, ToPort: -1, CIDR: netip.PrefixFrom(netip.IPv4Unspecified(), 0)},
		},
	}
	if _, err := v.ec2.SecurityGroups.Create(ctx, id, group); err != nil && !errors.Is(err, store.ErrExists) {
		return "", err
	}
	return id, nil
}

// EnsureInterface implements Network: in the first of the cluster's subnets that
// has an address left.
func (v vpc) EnsureInterface(ctx context.Context, c eks.Cluster) (string, netip.Addr, error) {
	have, err := v.interfaces(ctx, c)
	if err != nil {
		return "", netip.Addr{}, err
	}
	if len(have) > 0 {
		return have[0].ID, have[0].Addresses[0], nil
	}
	err = errors.New("the cluster has no subnets")
	for _, s := range c.Subnets {
		var eni ec2.NetworkInterface
		eni, err = v.ec2.CreateNetworkInterface(ctx, ec2.InterfaceInput{
			Subnet: s, SecurityGroups: append([]string{c.Network.SecurityGroup}, c.SecurityGroups...),
			Description: description(c), Requester: requester,
		})
		if err == nil {
			return eni.ID, eni.Addresses[0], nil
		}
		if !errors.Is(err, subnet.ErrFull) {
			break
		}
	}
	return "", netip.Addr{}, err
}

// interfaces are those of the cluster's control plane. There are no two clusters
// of one name.
func (v vpc) interfaces(ctx context.Context, c eks.Cluster) ([]ec2.NetworkInterface, error) {
	items, _, err := v.ec2.ENIs.List(ctx, "")
	if err != nil {
		return nil, err
	}
	var list []ec2.NetworkInterface
	for _, item := range items {
		if e := item.Value; e.Requester == requester && e.Description == description(c) {
			list = append(list, e)
		}
	}
	slices.SortFunc(list, func(a, b ec2.NetworkInterface) int { return cmp.Compare(a.ID, b.ID) })
	return list, nil
}

// Remove implements Network.
func (v vpc) Remove(ctx context.Context, c eks.Cluster) error {
	enis, err := v.interfaces(ctx, c)
	if err != nil {
		return err
	}
	for _, e := range enis {
		if err := v.ec2.DeleteNetworkInterface(ctx, e.ID); err != nil {
			return err
		}
	}
	id := idOf("sg", c, "cluster")
	if _, err := v.ec2.SecurityGroups.Get(ctx, id); errors.Is(err, store.ErrNotFound) {
		return nil
	} else if err != nil {
		return err
	}
	if _, err := v.ec2.DeleteSecurityGroup(ctx, &ec2api.DeleteSecurityGroupInput{GroupId: &id}); err != nil {
		return fmt.Errorf("deleting the cluster security group %s: %w", id, err)
	}
	return nil
}
