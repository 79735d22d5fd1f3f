package ec2

import (
	"context"
	"strconv"
	"strings"

	"github.com/tarn-eks/tarn/internal/api"
	ec2api "github.com/tarn-eks/tarn/internal/api/ec2"
	"github.com/tarn-eks/tarn/internal/store"
)

// noDefaultVPC is what EC2 says where it would have to take the default VPC.
func noDefaultVPC() error { return bad("VPCIdNotSpecified", "No default VPC for this user") }

// CreateSecurityGroup makes a group that lets nothing in and everything out.
func (s *Service) CreateSecurityGroup(ctx context.Context, in *ec2api.CreateSecurityGroupInput) (*ec2api.CreateSecurityGroupOutput, error) {
	name, description := *in.GroupName, *in.Description
	switch {
	case name == "":
		return nil, missing("GroupName")
	case description == "":
		return nil, missing("GroupDescription")
	case strings.HasPrefix(name, "sg-"):
		return nil, bad("InvalidParameterValue", "Value (%s) for parameter GroupName is invalid. Group names may not be in the format sg-*.", name)
	case !ruleText(name):
		return nil, bad("InvalidParameterValue", "Value (%s) for parameter GroupName is invalid. Character sets beyond ASCII are not supported.", name)
	case !ruleText(description):
		return nil, bad("InvalidParameterValue", "Value (%s) for parameter GroupDescription is invalid. Character sets beyond ASCII are not supported.", description)
	case name == defaultGroup:
		return nil, bad("InvalidParameterValue", "Cannot use reserved security group name: default")
	case api.Val(in.VpcId) == "":
		return nil, noDefaultVPC()
	}
	tags, err := tagSpecifications(ctx, in.TagSpecifications, ec2api.ResourceTypeSecurityGroup)
	if err != nil {
		return nil, err
	}
	return exclusively(s, func() (*ec2api.CreateSecurityGroupOutput, error) {
		v, err := get(ctx, s.VPCs, vpcIDs, *in.VpcId)
		if err != nil {
			return nil, err
		}
		groups, err := list(ctx, s.SecurityGroups)
		if err != nil {
			return nil, err
		}
		for _, g := range groups {
			if g.VPC == v.Key && g.Name == name {
				return nil, bad("InvalidGroup.Duplicate", "The security group '%s' already exists for VPC '%s'", name, v.Key)
			}
		}
		if err := dryRun(in.DryRun); err != nil {
			return nil, err
		}
		g := s.newGroup(v.Key, name, description, tags[ec2api.ResourceTypeSecurityGroup])
		if _, err := store.Commit(ctx, s.client, s.VPCs.MustExist(v.Key), s.SecurityGroups.CreateOp(g.ID, g)); err != nil {
			return nil, err
		}
		return &ec2api.CreateSecurityGroupOutput{
			GroupId: &g.ID, SecurityGroupArn: new(s.arnOf("security-group", g.ID)), Tags: toTags(g.Tags),
		}, nil
	})
}

// groupNamed refuses a group's name without its VPC: it would be one of the
// default VPC.
func groupNamed(name string) error {
	return bad(groupIDs.notFound, "The security group '%s' does not exist in default VPC 'none'", name)
}

// DeleteSecurityGroup deletes a group that no interface has and no other group names.
func (s *Service) DeleteSecurityGroup(ctx context.Context, in *ec2api.DeleteSecurityGroupInput) (*ec2api.DeleteSecurityGroupOutput, error) {
	switch {
	case in.GroupId == nil && in.GroupName == nil:
		return nil, missing("groupName or groupId")
	case in.GroupId == nil:
		return nil, groupNamed(*in.GroupName)
	}
	return exclusively(s, func() (*ec2api.DeleteSecurityGroupOutput, error) {
		g, err := get(ctx, s.SecurityGroups, groupIDs, *in.GroupId)
		if err != nil {
			return nil, err
		}
		if g.Value.Name == defaultGroup {
			return nil, bad("CannotDelete", "the specified group: %q name: %q cannot be deleted by a user", g.Key, g.Value.Name)
		}
		used, err := s.groupUsed(ctx, g.Key)
		if err != nil {
			return nil, err
		}
		if used {
			return nil, bad("DependencyViolation", "resource %s has a dependent object", g.Key)
		}
		if err := dryRun(in.DryRun); err != nil {
			return nil, err
		}
		return &ec2api.DeleteSecurityGroupOutput{}, s.SecurityGroups.DeleteItem(ctx, g)
	})
}

// groupUsed says whether an interface is in the group or a rule of another names it.
func (s *Service) groupUsed(ctx context.Context, id string) (bool, error) {
	enis, err := list(ctx, s.ENIs)
	if err != nil {
		return false, err
	}
	for _, eni := range enis {
		for _, g := range eni.SecurityGroups {
			if g == id {
				return true, nil
			}
		}
	}
	groups, err := list(ctx, s.SecurityGroups)
	if err != nil {
		return false, err
	}
	for _, g := range groups {
		for _, r := range g.Rules {
			if r.Group == id && g.ID != id {
				return true, nil
			}
		}
	}
	return false, nil
}

func (s *Service) groupOut(g SecurityGroup) ec2api.SecurityGroup {
	return ec2api.SecurityGroup{
		GroupId: new(g.ID), GroupName: new(g.Name), Description: new(g.Description), OwnerId: &s.scope.Account, VpcId: new(g.VPC),
		SecurityGroupArn: new(s.arnOf("security-group", g.ID)), Tags: toTags(g.Tags),
		IpPermissions:       permissionsOf(g.Rules, false, s.scope.Account),
		IpPermissionsEgress: permissionsOf(g.Rules, true, s.scope.Account),
	}
}

// DescribeSecurityGroups lists groups, by id.
func (s *Service) DescribeSecurityGroups(ctx context.Context, in *ec2api.DescribeSecurityGroupsInput) (*ec2api.DescribeSecurityGroupsOutput, error) {
	if len(in.GroupNames) > 0 {
		return nil, groupNamed(in.GroupNames[0])
	}
	groups, err := list(ctx, s.SecurityGroups)
	if err != nil {
		return nil, err
	}
	names := make(map[string]string, len(groups))
	for _, g := range groups {
		names[g.ID] = g.Name
	}
	found, next, err := describe(groups, query{in.GroupIds, in.Filters, in.MaxResults, in.NextToken, in.DryRun}, groupIDs,
		func(g SecurityGroup) string { return g.ID },
		func(g SecurityGroup) func(string) ([]string, bool) { return s.groupAttributes(g, names).tagged(g.Tags) })
	if err != nil {
		return nil, err
	}
	out := make([]ec2api.SecurityGroup, len(found))
	for i, g := range found {
		out[i] = s.groupOut(g)
	}
	return &ec2api.DescribeSecurityGroupsOutput{SecurityGroups: out, NextToken: next}, nil
}

// groupAttributes are what the filters of DescribeSecurityGroups look at. names are
// those of the groups that rules refer to.
func (s *Service) groupAttributes(g SecurityGroup, names map[string]string) attributes {
	a := attributes{
		"description": {g.Description}, "group-id": {g.ID}, "group-name": {g.Name}, "owner-id": {s.scope.Account}, "vpc-id": {g.VPC},
	}
	for _, direction := range []string{"ip-permission.", "egress.ip-permission."} {
		for _, name := range []string{"cidr", "from-port", "to-port", "group-id", "group-name", "ipv6-cidr", "prefix-list-id", "protocol", "user-id"} {
			a[direction+name] = nil
		}
	}
	for _, r := range g.Rules {
		direction := "ip-permission."
		if r.Egress {
			direction = "egress.ip-permission."
		}
		add := func(name string, v ...string) { a[direction+name] = append(a[direction+name], v...) }
		add("protocol", r.Protocol)
		if hasPorts(r.Protocol) {
			add("from-port", strconv.Itoa(int(r.FromPort)))
			add("to-port", strconv.Itoa(int(r.ToPort)))
		}
		v4, v6 := blockOut(r.CIDR)
		add("cidr", deref(v4)...)
		add("ipv6-cidr", deref(v6)...)
		add("prefix-list-id", one(r.PrefixList)...)
		if r.Group != "" {
			add("group-id", r.Group)
			add("group-name", one(names[r.Group])...)
			add("user-id", s.scope.Account)
		}
	}
	return a
}
