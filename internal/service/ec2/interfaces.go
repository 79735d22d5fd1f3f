package ec2

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/tarn-eks/tarn/internal/api"
	ec2api "github.com/tarn-eks/tarn/internal/api/ec2"
	"github.com/tarn-eks/tarn/internal/store"
)

// maxGroupsPerInterface is EC2's quota.
const maxGroupsPerInterface = 5

func (s *Service) interfaceOut(eni NetworkInterface, groups []ec2api.GroupIdentifier) ec2api.NetworkInterface {
	out := ec2api.NetworkInterface{
		NetworkInterfaceId: new(eni.ID), VpcId: new(eni.VPC), SubnetId: new(eni.Subnet), AvailabilityZone: new(eni.Zone),
		Description: new(eni.Description), MacAddress: new(eni.MAC), OwnerId: &s.scope.Account, RequesterId: orAbsent(eni.Requester),
		RequesterManaged: new(eni.Requester != ""), SourceDestCheck: new(!eni.NoDestCheck), Groups: groups,
		InterfaceType: ec2api.NetworkInterfaceTypeInterface, Ipv6Addresses: []ec2api.NetworkInterfaceIpv6Address{},
		PrivateIpAddresses: []ec2api.NetworkInterfacePrivateIpAddress{}, TagSet: toTags(eni.Tags), Status: ec2api.NetworkInterfaceStatusAvailable,
	}
	for i, a := range eni.Addresses {
		out.PrivateIpAddresses = append(out.PrivateIpAddresses, ec2api.NetworkInterfacePrivateIpAddress{
			Primary: new(i == 0), PrivateIpAddress: new(a.String()), PrivateDnsName: new(s.privateDNSName(a)),
		})
	}
	if len(eni.Addresses) > 0 {
		out.PrivateIpAddress, out.PrivateDnsName = out.PrivateIpAddresses[0].PrivateIpAddress, out.PrivateIpAddresses[0].PrivateDnsName
	}
	if eni.Attachment != "" {
		out.Status = ec2api.NetworkInterfaceStatusInUse
		out.Attachment = &ec2api.NetworkInterfaceAttachment{
			AttachTime: new(eni.Attached), AttachmentId: new(eni.Attachment), DeleteOnTermination: new(eni.Instance != ""),
			DeviceIndex: new(eni.device()), NetworkCardIndex: new(int32(0)), InstanceId: orAbsent(eni.Instance),
			InstanceOwnerId: new(s.interfaceUser(eni)), Status: ec2api.AttachmentStatusAttached,
		}
	}
	return out
}

// device is the interface's index: instances have one, services' machines, which
// are not the account's, have it beside their own.
func (eni NetworkInterface) device() int32 {
	if eni.Instance == "" {
		return 1
	}
	return 0
}

// interfaceUser is who owns what an interface is attached to.
func (s *Service) interfaceUser(eni NetworkInterface) string {
	if eni.Instance == "" {
		return eni.Requester
	}
	return s.scope.Account
}

// interfaceAttributes are what the filters of DescribeNetworkInterfaces look at.
func (s *Service) interfaceAttributes(eni NetworkInterface, groups []string) attributes {
	a := attributes{
		"addresses.private-ip-address": nil, "addresses.primary": nil, "addresses.association.owner-id": nil,
		"addresses.association.public-ip": nil, "association.allocation-id": nil, "association.association-id": nil,
		"association.ip-owner-id": nil, "association.public-dns-name": nil, "association.public-ip": nil,
		"attachment.attach-time": nil, "attachment.attachment-id": one(eni.Attachment), "attachment.delete-on-termination": nil,
		"attachment.device-index": nil, "attachment.instance-id": one(eni.Instance), "attachment.instance-owner-id": nil,
		"attachment.status": nil, "availability-zone": {eni.Zone}, "description": {eni.Description}, "group-id": eni.SecurityGroups,
		"group-name": groups, "interface-type": {"interface"}, "ipv6-addresses.ipv6-address": nil,
		"mac-address": {eni.MAC}, "network-interface-id": {eni.ID}, "owner-id": {s.scope.Account}, "private-ip-address": nil,
		"private-dns-name": nil, "requester-id": one(eni.Requester), "requester-managed": boolean(eni.Requester != ""),
		"source-dest-check": boolean(!eni.NoDestCheck), "status": {"available"}, "subnet-id": {eni.Subnet}, "vpc-id": {eni.VPC},
	}
	for i, address := range eni.Addresses {
		a["addresses.private-ip-address"] = append(a["addresses.private-ip-address"], address.String())
		a["addresses.primary"] = append(a["addresses.primary"], boolean(i == 0)...)
		if i == 0 {
			a["private-ip-address"], a["private-dns-name"] = []string{address.String()}, []string{s.privateDNSName(address)}
		}
	}
	if eni.Attachment != "" {
		a["status"], a["attachment.status"] = []string{"in-use"}, []string{"attached"}
		a["attachment.attach-time"] = []string{eni.Attached.Format(time.RFC3339)}
		a["attachment.delete-on-termination"] = boolean(eni.Instance != "")
		a["attachment.device-index"] = []string{strconv.Itoa(int(eni.device()))}
		a["attachment.instance-owner-id"] = []string{s.interfaceUser(eni)}
	}
	return a
}

// DescribeNetworkInterfaces lists interfaces, by id.
func (s *Service) DescribeNetworkInterfaces(ctx context.Context, in *ec2api.DescribeNetworkInterfacesInput) (*ec2api.DescribeNetworkInterfacesOutput, error) {
	enis, err := list(ctx, s.ENIs)
	if err != nil {
		return nil, err
	}
	groups, err := s.groupNames(ctx)
	if err != nil {
		return nil, err
	}
	found, next, err := describe(enis, query{in.NetworkInterfaceIds, in.Filters, in.MaxResults, in.NextToken, in.DryRun}, interfaceIDs,
		func(eni NetworkInterface) string { return eni.ID },
		func(eni NetworkInterface) func(string) ([]string, bool) {
			return s.interfaceAttributes(eni, groups.values(eni.SecurityGroups)).tagged(eni.Tags)
		})
	if err != nil {
		return nil, err
	}
	out := make([]ec2api.NetworkInterface, len(found))
	for i, eni := range found {
		out[i] = s.interfaceOut(eni, groups.of(eni.SecurityGroups))
	}
	return &ec2api.DescribeNetworkInterfacesOutput{NetworkInterfaces: out, NextToken: next}, nil
}

// ModifyNetworkInterfaceAttribute changes one attribute of an interface. What is
// also an attribute of the instance that has it changes there too.
func (s *Service) ModifyNetworkInterfaceAttribute(ctx context.Context, in *ec2api.ModifyNetworkInterfaceAttributeInput) (*ec2api.ModifyNetworkInterfaceAttributeOutput, error) {
	if err := unsupported(map[string]bool{
		"attachment": in.Attachment != nil, "EnaSrdSpecification": in.EnaSrdSpecification != nil, "EnablePrimaryIpv6": in.EnablePrimaryIpv6 != nil,
		"ConnectionTrackingSpecification": in.ConnectionTrackingSpecification != nil, "AssociatePublicIpAddress": in.AssociatePublicIpAddress != nil,
	}); err != nil {
		return nil, err
	}
	given := 0
	for _, is := range []bool{in.Groups != nil, in.Description != nil, in.SourceDestCheck != nil} {
		if is {
			given++
		}
	}
	switch {
	case given == 0:
		return nil, bad("InvalidParameterCombination", "No attributes specified.")
	case given > 1:
		return nil, bad("InvalidParameterCombination", "Fields for multiple attribute types specified")
	}
	return exclusively(s, func() (*ec2api.ModifyNetworkInterfaceAttributeOutput, error) {
		eni, err := get(ctx, s.ENIs, interfaceIDs, *in.NetworkInterfaceId)
		if err != nil {
			return nil, err
		}
		if eni.Value.Requester != "" {
			return nil, bad("AuthFailure", "You do not have permission to access the specified resource.")
		}
		if err := s.editInterface(ctx, &eni.Value, in); err != nil {
			return nil, err
		}
		if err := dryRun(in.DryRun); err != nil {
			return nil, err
		}
		ops := append(s.uses(eni.Value), s.ENIs.UpdateOp(eni))
		if eni.Value.Instance != "" {
			i, err := s.Instances.Get(ctx, eni.Value.Instance)
			if err != nil {
				return nil, err
			}
			i.Value.SecurityGroups, i.Value.NoDestCheck = eni.Value.SecurityGroups, eni.Value.NoDestCheck
			ops = append(ops, s.Instances.UpdateOp(i))
		}
		_, err = store.Commit(ctx, s.client, ops...)
		return &ec2api.ModifyNetworkInterfaceAttributeOutput{}, err
	})
}

func (s *Service) editInterface(ctx context.Context, eni *NetworkInterface, in *ec2api.ModifyNetworkInterfaceAttributeInput) (err error) {
	switch {
	case in.Description != nil:
		eni.Description = api.Val(in.Description.Value)
	case in.SourceDestCheck != nil:
		eni.NoDestCheck = !api.Val(in.SourceDestCheck.Value)
	case len(in.Groups) == 0:
		return missing("groupId")
	default:
		groups := slices.Compact(slices.Sorted(slices.Values(in.Groups)))
		if len(groups) > maxGroupsPerInterface {
			return bad("SecurityGroupsPerInterfaceLimitExceeded", "The maximum number of security groups per interface has been reached.")
		}
		eni.SecurityGroups, err = s.launchGroups(ctx, eni.VPC, groups, nil)
	}
	return err
}
