package ec2

import (
	"context"
	"maps"
	"net/netip"
	"slices"

	"github.com/tarn-eks/tarn/internal/api"
	ec2api "github.com/tarn-eks/tarn/internal/api/ec2"
	"github.com/tarn-eks/tarn/internal/store"
)

// parseCIDR reads an IPv4 block. Bits right of the prefix are cut off, as EC2 does.
func parseCIDR(name, text string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(text)
	if err != nil || !p.Addr().Is4() {
		return netip.Prefix{}, bad("InvalidParameterValue", "Value (%s) for parameter %s is invalid. This is not a valid CIDR block.", text, name)
	}
	return p.Masked(), nil
}

// unsupported refuses the first of the named parameters that is given: what it
// would need does not exist here.
func unsupported(given map[string]bool) error {
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if given[name] {
			return bad("UnsupportedOperation", "The parameter %s is not supported in this region.", name)
		}
	}
	return nil
}

// CreateVpc makes a VPC with a main route table and a default security group.
func (s *Service) CreateVpc(ctx context.Context, in *ec2api.CreateVpcInput) (*ec2api.CreateVpcOutput, error) {
	if err := unsupported(map[string]bool{
		"amazonProvidedIpv6CidrBlock": api.Val(in.AmazonProvidedIpv6CidrBlock), "Ipv6CidrBlock": in.Ipv6CidrBlock != nil,
		"Ipv6Pool": in.Ipv6Pool != nil, "Ipv4IpamPoolId": in.Ipv4IpamPoolId != nil, "Ipv6IpamPoolId": in.Ipv6IpamPoolId != nil,
	}); err != nil {
		return nil, err
	}
	if in.CidrBlock == nil {
		return nil, bad("MissingParameter", "Either 'cidrBlock' or 'ipv4IpamPoolId' should be provided.")
	}
	cidr, err := parseCIDR("cidrBlock", *in.CidrBlock)
	if err != nil {
		return nil, err
	}
	if cidr.Bits() < 16 || cidr.Bits() > 28 {
		return nil, bad("InvalidVpc.Range", "The CIDR '%s' is invalid.", *in.CidrBlock)
	}
	switch in.InstanceTenancy {
	case "", ec2api.TenancyDefault, ec2api.TenancyDedicated:
	default:
		return nil, bad("UnsupportedTenancy", "The tenancy value %s is not supported.", in.InstanceTenancy)
	}
	tags, err := tagSpecifications(ctx, in.TagSpecifications, ec2api.ResourceTypeVpc)
	if err != nil {
		return nil, err
	}
	if err := dryRun(in.DryRun); err != nil {
		return nil, err
	}
	v, ops := s.newVPC(cidr, tags[ec2api.ResourceTypeVpc])
	if in.InstanceTenancy == ec2api.TenancyDedicated {
		v.Tenancy = string(in.InstanceTenancy)
		ops[0] = s.VPCs.CreateOp(v.ID, v)
	}
	if _, err := store.Commit(ctx, s.client, ops...); err != nil {
		return nil, err
	}
	out := s.vpcOut(v)
	out.State = ec2api.VpcStatePending
	return &ec2api.CreateVpcOutput{Vpc: &out}, nil
}

func (v VPC) tenancy() string {
	if v.Tenancy == "" {
		return string(ec2api.TenancyDefault)
	}
	return v.Tenancy
}

func (s *Service) vpcOut(v VPC) ec2api.Vpc {
	return ec2api.Vpc{
		CidrBlock: new(v.CIDR.String()), DhcpOptionsId: new(v.DHCPOptions), State: ec2api.VpcStateAvailable, VpcId: new(v.ID),
		OwnerId: &s.scope.Account, InstanceTenancy: ec2api.Tenancy(v.tenancy()),
		CidrBlockAssociationSet: []ec2api.VpcCidrBlockAssociation{{
			AssociationId: new(v.AssociationID), CidrBlock: new(v.CIDR.String()),
			CidrBlockState: &ec2api.VpcCidrBlockState{State: ec2api.VpcCidrBlockStateCodeAssociated},
		}},
		IsDefault: new(false), Tags: toTags(v.Tags),
	}
}

// tagged adds a resource's tags to what filters look at.
func (a attributes) tagged(tags map[string]string) func(string) ([]string, bool) {
	return func(name string) ([]string, bool) {
		if v, ok := tagValues(tags, name); ok {
			return v, ok
		}
		return a.get(name)
	}
}

// DescribeVpcs lists VPCs, by id.
func (s *Service) DescribeVpcs(ctx context.Context, in *ec2api.DescribeVpcsInput) (*ec2api.DescribeVpcsOutput, error) {
	vpcs, err := list(ctx, s.VPCs)
	if err != nil {
		return nil, err
	}
	found, next, err := describe(vpcs, query{in.VpcIds, in.Filters, in.MaxResults, in.NextToken, in.DryRun}, vpcIDs,
		func(v VPC) string { return v.ID },
		func(v VPC) func(string) ([]string, bool) {
			cidr := []string{v.CIDR.String()}
			return attributes{
				"cidr": cidr, "cidr-block-association.cidr-block": cidr, "cidrBlock": cidr, "cidr-block-association.association-id": {v.AssociationID},
				"cidr-block-association.state": {"associated"}, "dhcp-options-id": {v.DHCPOptions}, "dhcpOptionsId": {v.DHCPOptions},
				"ipv6-cidr-block-association.ipv6-cidr-block": nil, "ipv6-cidr-block-association.ipv6-pool": nil,
				"ipv6-cidr-block-association.association-id": nil, "ipv6-cidr-block-association.state": nil,
				"is-default": {"false"}, "isDefault": {"false"}, "owner-id": {s.scope.Account}, "state": {"available"}, "vpc-id": {v.ID},
			}.tagged(v.Tags)
		})
	if err != nil {
		return nil, err
	}
	out := make([]ec2api.Vpc, len(found))
	for i, v := range found {
		out[i] = s.vpcOut(v)
	}
	return &ec2api.DescribeVpcsOutput{Vpcs: out, NextToken: next}, nil
}

// query is what all calls that list things can ask for.
type query struct {
	ids        []string
	filters    []ec2api.Filter
	maxResults *int32
	token      *string
	dry        *bool
}

// describe picks what a call asked for out of items.
func describe[T any](items []T, q query, kind idKind, id func(T) string, has func(T) func(string) ([]string, bool)) ([]T, *string, error) {
	items, err := wanted(items, kind, id, q.ids)
	if err != nil {
		return nil, nil, err
	}
	if items, err = selected(items, q.filters, has); err != nil {
		return nil, nil, err
	}
	items, next, err := page(items, id, q.maxResults, q.token, 5, 1000)
	if err != nil {
		return nil, nil, err
	}
	return items, next, dryRun(q.dry)
}

// DeleteVpc deletes a VPC that nothing is in. Its main route table and default
// security group go with it.
func (s *Service) DeleteVpc(ctx context.Context, in *ec2api.DeleteVpcInput) (*ec2api.DeleteVpcOutput, error) {
	return exclusively(s, func() (*ec2api.DeleteVpcOutput, error) {
		v, err := get(ctx, s.VPCs, vpcIDs, *in.VpcId)
		if err != nil {
			return nil, err
		}
		ops := []store.Op{s.VPCs.DeleteOp(v)}
		inUse := bad("DependencyViolation", "The vpc '%s' has dependencies and cannot be deleted.", v.Key)
		subnets, err := list(ctx, s.Subnets)
		if err != nil {
			return nil, err
		}
		for _, sub := range subnets {
			if sub.VPC == v.Key {
				return nil, inUse
			}
		}
		gateways, err := list(ctx, s.InternetGateways)
		if err != nil {
			return nil, err
		}
		for _, g := range gateways {
			if g.VPC == v.Key {
				return nil, inUse
			}
		}
		tables, _, err := s.RouteTables.List(ctx, "")
		if err != nil {
			return nil, err
		}
		for _, t := range tables {
			switch {
			case t.Value.VPC == v.Key && t.Value.main() == nil:
				return nil, inUse
			case t.Value.VPC == v.Key:
				ops = append(ops, s.RouteTables.DeleteOp(t))
			}
		}
		groups, _, err := s.SecurityGroups.List(ctx, "")
		if err != nil {
			return nil, err
		}
		for _, g := range groups {
			switch {
			case g.Value.VPC == v.Key && g.Value.Name != defaultGroup:
				return nil, inUse
			case g.Value.VPC == v.Key:
				ops = append(ops, s.SecurityGroups.DeleteOp(g))
			}
		}
		if err := dryRun(in.DryRun); err != nil {
			return nil, err
		}
		_, err = store.Commit(ctx, s.client, ops...)
		return &ec2api.DeleteVpcOutput{}, orMissing(err, vpcIDs.notFound, "The vpc ID '%s' does not exist", v.Key)
	})
}

// DescribeVpcAttribute tells one of a VPC's attributes.
func (s *Service) DescribeVpcAttribute(ctx context.Context, in *ec2api.DescribeVpcAttributeInput) (*ec2api.DescribeVpcAttributeOutput, error) {
	v, err := get(ctx, s.VPCs, vpcIDs, *in.VpcId)
	if err != nil {
		return nil, err
	}
	out := &ec2api.DescribeVpcAttributeOutput{VpcId: in.VpcId}
	switch in.Attribute {
	case ec2api.VpcAttributeNameEnableDnsSupport:
		out.EnableDnsSupport = &ec2api.AttributeBooleanValue{Value: new(!v.Value.NoDNSSupport)}
	case ec2api.VpcAttributeNameEnableDnsHostnames:
		out.EnableDnsHostnames = &ec2api.AttributeBooleanValue{Value: &v.Value.DNSHostnames}
	case ec2api.VpcAttributeNameEnableNetworkAddressUsageMetrics:
		out.EnableNetworkAddressUsageMetrics = &ec2api.AttributeBooleanValue{Value: &v.Value.AddressMetrics}
	default:
		return nil, bad("InvalidParameterValue", "Value (%s) for parameter attribute is invalid. Unknown attribute.", in.Attribute)
	}
	return out, dryRun(in.DryRun)
}

// ModifyVpcAttribute changes one of a VPC's attributes.
func (s *Service) ModifyVpcAttribute(ctx context.Context, in *ec2api.ModifyVpcAttributeInput) (*ec2api.ModifyVpcAttributeOutput, error) {
	if err := vpcIDs.check(*in.VpcId); err != nil {
		return nil, err
	}
	given := 0
	for _, v := range []*ec2api.AttributeBooleanValue{in.EnableDnsHostnames, in.EnableDnsSupport, in.EnableNetworkAddressUsageMetrics} {
		if v != nil {
			given++
		}
	}
	switch {
	case given == 0:
		return nil, bad("MissingParameter", "The request must contain an attribute to modify")
	case given > 1:
		return nil, bad("InvalidParameterCombination", "Fields for multiple attribute types specified")
	}
	_, err := s.VPCs.Modify(ctx, *in.VpcId, func(v *VPC) error {
		switch {
		case in.EnableDnsSupport != nil:
			v.NoDNSSupport = !api.Val(in.EnableDnsSupport.Value)
		case in.EnableDnsHostnames != nil:
			if v.DNSHostnames = api.Val(in.EnableDnsHostnames.Value); v.DNSHostnames && v.NoDNSSupport {
				return bad("InvalidParameterCombination", "DNS hostnames require DNS support: enableDnsSupport must be true to enable enableDnsHostnames")
			}
		default:
			v.AddressMetrics = api.Val(in.EnableNetworkAddressUsageMetrics.Value)
		}
		return nil
	})
	return &ec2api.ModifyVpcAttributeOutput{}, orMissing(err, vpcIDs.notFound, "The vpc ID '%s' does not exist", *in.VpcId)
}
