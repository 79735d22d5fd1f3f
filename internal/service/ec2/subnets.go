package ec2

import (
	"context"
	"net/netip"
	"strconv"
	"strings"

	"github.com/tarn-eks/tarn/internal/api"
	ec2api "github.com/tarn-eks/tarn/internal/api/ec2"
	"github.com/tarn-eks/tarn/internal/store"
)

// CreateSubnet makes a subnet of a VPC. Until it is associated with another one
// the main route table holds for it.
func (s *Service) CreateSubnet(ctx context.Context, in *ec2api.CreateSubnetInput) (*ec2api.CreateSubnetOutput, error) {
	if err := unsupported(map[string]bool{
		"Ipv6CidrBlock": in.Ipv6CidrBlock != nil, "Ipv6Native": api.Val(in.Ipv6Native), "OutpostArn": in.OutpostArn != nil,
		"Ipv4IpamPoolId": in.Ipv4IpamPoolId != nil, "Ipv6IpamPoolId": in.Ipv6IpamPoolId != nil,
	}); err != nil {
		return nil, err
	}
	if in.CidrBlock == nil {
		return nil, bad("MissingParameter", "Either 'ipv6CidrBlock' or 'cidrBlock' should be provided.")
	}
	cidr, err := parseCIDR("cidrBlock", *in.CidrBlock)
	if err != nil {
		return nil, err
	}
	zone, err := s.subnetZone(api.Val(in.AvailabilityZone), api.Val(in.AvailabilityZoneId))
	if err != nil {
		return nil, err
	}
	tags, err := tagSpecifications(ctx, in.TagSpecifications, ec2api.ResourceTypeSubnet)
	if err != nil {
		return nil, err
	}
	return exclusively(s, func() (*ec2api.CreateSubnetOutput, error) {
		v, err := get(ctx, s.VPCs, vpcIDs, *in.VpcId)
		if err != nil {
			return nil, err
		}
		others, err := list(ctx, s.Subnets)
		if err != nil {
			return nil, err
		}
		if err := checkSubnet(v.Value, others, cidr); err != nil {
			return nil, err
		}
		if err := dryRun(in.DryRun); err != nil {
			return nil, err
		}
		sub := Subnet{
			ID: newID("subnet"), VPC: v.Key, Zone: zone.Name, CIDR: cidr, Tags: tags[ec2api.ResourceTypeSubnet], Created: s.now(),
		}
		if _, err := store.Commit(ctx, s.client, s.VPCs.MustExist(v.Key), s.Subnets.CreateOp(sub.ID, sub)); err != nil {
			return nil, orMissing(err, vpcIDs.notFound, "The vpc ID '%s' does not exist", v.Key)
		}
		out := s.subnetOut(sub, 0)
		return &ec2api.CreateSubnetOutput{Subnet: &out}, nil
	})
}

// checkSubnet wants a block that the VPC has and none of its subnets.
func checkSubnet(v VPC, others []Subnet, cidr netip.Prefix) error {
	if cidr.Bits() < 16 || cidr.Bits() > 28 || cidr.Bits() < v.CIDR.Bits() || !v.CIDR.Contains(cidr.Addr()) {
		return bad("InvalidSubnet.Range", "The CIDR '%s' is invalid.", cidr)
	}
	for _, o := range others {
		if o.VPC == v.ID && o.CIDR.Overlaps(cidr) {
			return bad("InvalidSubnet.Conflict", "The CIDR '%s' conflicts with another subnet", cidr)
		}
	}
	return nil
}

// subnetZone is the zone that a request names; without a name EC2 chooses one.
func (s *Service) subnetZone(name, id string) (Zone, error) {
	if name != "" && id != "" {
		return Zone{}, bad("InvalidParameterCombination", "Only one of AvailabilityZone and AvailabilityZoneId may be specified.")
	}
	shown := s.Zones()
	var names []string
	for _, z := range shown {
		names = append(names, z.Name)
	}
	if name == "" && id == "" && len(shown) > 0 {
		return shown[0], nil
	}
	z, ok := s.zone(name + id)
	if !ok || name != "" && z.Name != name || id != "" && z.ID != id {
		parameter := "availabilityZone"
		if id != "" {
			parameter = "availabilityZoneId"
		}
		return Zone{}, bad("InvalidParameterValue", "Value (%s) for parameter %s is invalid. Subnets can currently only be created in the following availability zones: %s.",
			name+id, parameter, strings.Join(names, ", "))
	}
	return z, nil
}

// subnetOut is a subnet in which so many addresses are taken.
func (s *Service) subnetOut(v Subnet, taken int) ec2api.Subnet {
	return ec2api.Subnet{
		AvailabilityZone: new(v.Zone), AvailabilityZoneId: new(s.zoneID(v.Zone)),
		AvailableIpAddressCount: new(int32(v.Network().Free() - taken)), CidrBlock: new(v.CIDR.String()),
		DefaultForAz: new(false), MapPublicIpOnLaunch: new(v.MapPublicIP), MapCustomerOwnedIpOnLaunch: new(false),
		State: ec2api.SubnetStateAvailable, SubnetId: new(v.ID), VpcId: new(v.VPC), OwnerId: &s.scope.Account,
		AssignIpv6AddressOnCreation: new(false), Ipv6CidrBlockAssociationSet: []ec2api.SubnetIpv6CidrBlockAssociation{},
		Tags: toTags(v.Tags), SubnetArn: new(s.arnOf("subnet", v.ID)), EnableDns64: new(false), Ipv6Native: new(false),
		PrivateDnsNameOptionsOnLaunch: &ec2api.PrivateDnsNameOptionsOnLaunch{
			HostnameType: ec2api.HostnameTypeIpName, EnableResourceNameDnsARecord: new(false), EnableResourceNameDnsAAAARecord: new(false),
		},
	}
}

// takenBySubnet counts the addresses that interfaces have, by subnet.
func (s *Service) takenBySubnet(ctx context.Context) (map[string]int, error) {
	enis, err := list(ctx, s.ENIs)
	taken := map[string]int{}
	for _, eni := range enis {
		taken[eni.Subnet] += len(eni.Addresses)
	}
	return taken, err
}

// DescribeSubnets lists subnets, by id.
func (s *Service) DescribeSubnets(ctx context.Context, in *ec2api.DescribeSubnetsInput) (*ec2api.DescribeSubnetsOutput, error) {
	subnets, err := list(ctx, s.Subnets)
	if err != nil {
		return nil, err
	}
	taken, err := s.takenBySubnet(ctx)
	if err != nil {
		return nil, err
	}
	found, next, err := describe(subnets, query{in.SubnetIds, in.Filters, in.MaxResults, in.NextToken, in.DryRun}, subnetIDs,
		func(v Subnet) string { return v.ID },
		func(v Subnet) func(string) ([]string, bool) {
			cidr, zone, zoneID := []string{v.CIDR.String()}, []string{v.Zone}, []string{s.zoneID(v.Zone)}
			free := 0
			if v.CIDR.IsValid() {
				free = v.Network().Free() - taken[v.ID]
			}
			return attributes{
				"availability-zone": zone, "availabilityZone": zone, "availability-zone-id": zoneID, "availabilityZoneId": zoneID,
				"available-ip-address-count": {strconv.Itoa(free)}, "cidr-block": cidr, "cidr": cidr, "cidrBlock": cidr,
				"customer-owned-ipv4-pool": nil, "default-for-az": {"false"}, "defaultForAz": {"false"}, "enable-dns64": {"false"},
				"enable-lni-at-device-index": nil, "ipv6-cidr-block-association.ipv6-cidr-block": nil,
				"ipv6-cidr-block-association.association-id": nil, "ipv6-cidr-block-association.state": nil, "ipv6-native": {"false"},
				"map-customer-owned-ip-on-launch": {"false"}, "map-public-ip-on-launch": boolean(v.MapPublicIP), "outpost-arn": nil,
				"owner-id": {s.scope.Account}, "state": {"available"}, "subnet-arn": {s.arnOf("subnet", v.ID)}, "subnet-id": {v.ID},
				"private-dns-name-options-on-launch.hostname-type":                        {"ip-name"},
				"private-dns-name-options-on-launch.enable-resource-name-dns-a-record":    {"false"},
				"private-dns-name-options-on-launch.enable-resource-name-dns-aaaa-record": {"false"},
				"vpc-id": {v.VPC},
			}.tagged(v.Tags)
		})
	if err != nil {
		return nil, err
	}
	out := make([]ec2api.Subnet, len(found))
	for i, v := range found {
		out[i] = s.subnetOut(v, taken[v.ID])
	}
	return &ec2api.DescribeSubnetsOutput{Subnets: out, NextToken: next}, nil
}

// DeleteSubnet deletes a subnet in which no network interface is.
func (s *Service) DeleteSubnet(ctx context.Context, in *ec2api.DeleteSubnetInput) (*ec2api.DeleteSubnetOutput, error) {
	return exclusively(s, func() (*ec2api.DeleteSubnetOutput, error) {
		sub, err := get(ctx, s.Subnets, subnetIDs, *in.SubnetId)
		if err != nil {
			return nil, err
		}
		taken, err := s.takenBySubnet(ctx)
		if err != nil {
			return nil, err
		}
		if taken[sub.Key] > 0 {
			return nil, bad("DependencyViolation", "The subnet '%s' has dependencies and cannot be deleted.", sub.Key)
		}
		ops := []store.Op{s.Subnets.DeleteOp(sub)}
		tables, _, err := s.RouteTables.List(ctx, "")
		if err != nil {
			return nil, err
		}
		for _, t := range tables {
			if t.Value.leave(sub.Key) {
				ops = append(ops, s.RouteTables.UpdateOp(t))
			}
		}
		if err := dryRun(in.DryRun); err != nil {
			return nil, err
		}
		_, err = store.Commit(ctx, s.client, ops...)
		return &ec2api.DeleteSubnetOutput{}, orMissing(err, subnetIDs.notFound, "The subnet ID '%s' does not exist", sub.Key)
	})
}

// ModifySubnetAttribute changes one attribute of a subnet.
func (s *Service) ModifySubnetAttribute(ctx context.Context, in *ec2api.ModifySubnetAttributeInput) (*ec2api.ModifySubnetAttributeOutput, error) {
	on := func(v *ec2api.AttributeBooleanValue) bool { return v != nil && api.Val(v.Value) }
	if err := unsupported(map[string]bool{
		"AssignIpv6AddressOnCreation": on(in.AssignIpv6AddressOnCreation), "MapCustomerOwnedIpOnLaunch": on(in.MapCustomerOwnedIpOnLaunch),
		"CustomerOwnedIpv4Pool": in.CustomerOwnedIpv4Pool != nil, "EnableDns64": on(in.EnableDns64),
		"EnableResourceNameDnsARecordOnLaunch":    on(in.EnableResourceNameDnsARecordOnLaunch),
		"PrivateDnsHostnameTypeOnLaunch":          in.PrivateDnsHostnameTypeOnLaunch != "" && in.PrivateDnsHostnameTypeOnLaunch != ec2api.HostnameTypeIpName,
		"EnableResourceNameDnsAAAARecordOnLaunch": on(in.EnableResourceNameDnsAAAARecordOnLaunch), "EnableLniAtDeviceIndex": in.EnableLniAtDeviceIndex != nil,
	}); err != nil {
		return nil, err
	}
	if err := subnetIDs.check(*in.SubnetId); err != nil {
		return nil, err
	}
	_, err := s.Subnets.Modify(ctx, *in.SubnetId, func(v *Subnet) error {
		if in.MapPublicIpOnLaunch != nil {
			v.MapPublicIP = on(in.MapPublicIpOnLaunch)
		}
		return nil
	})
	return &ec2api.ModifySubnetAttributeOutput{}, orMissing(err, subnetIDs.notFound, "The subnet ID '%s' does not exist", *in.SubnetId)
}
