package ec2

import (
	"context"
	"slices"
	"strings"

	"github.com/tarn-eks/tarn/internal/api"
	ec2api "github.com/tarn-eks/tarn/internal/api/ec2"
	"github.com/tarn-eks/tarn/internal/store"
)

// maxRules is EC2's quota for one group, in each direction.
const maxRules = 60

// ruleChange is what the calls that change a group's rules have in common.
type ruleChange struct {
	group, name *string
	egress      bool
	permissions []ec2api.IpPermission
	// flat are the parameters that describe one permission without a list.
	flat ec2api.IpPermission
	dry  *bool
}

// flatPermission collects the parameters of requests as they were before there
// were lists of permissions.
func flatPermission(protocol *string, from, to *int32, cidr, group, owner *string) ec2api.IpPermission {
	p := ec2api.IpPermission{IpProtocol: protocol, FromPort: from, ToPort: to}
	if cidr != nil {
		p.IpRanges = []ec2api.IpRange{{CidrIp: cidr}}
	}
	if group != nil || owner != nil {
		p.UserIdGroupPairs = []ec2api.UserIdGroupPair{{GroupName: group, UserId: owner}}
	}
	return p
}

func (c ruleChange) flatGiven() bool {
	f := c.flat
	return f.IpProtocol != nil || f.FromPort != nil || f.ToPort != nil || len(f.IpRanges)+len(f.UserIdGroupPairs) > 0
}

// rules are those that the change is about.
func (c ruleChange) rules(group func(ec2api.UserIdGroupPair) (string, error)) ([]SecurityGroupRule, error) {
	permissions := c.permissions
	if c.flatGiven() {
		if len(permissions) > 0 {
			return nil, bad("InvalidParameterCombination", "The parameter ipPermissions may not be used in combination with other parameters that describe a rule")
		}
		permissions = []ec2api.IpPermission{c.flat}
		if c.flat.IpProtocol == nil && len(c.flat.UserIdGroupPairs) > 0 { // a group alone: all of the three
			permissions = nil
			for _, p := range []string{"tcp", "udp", "icmp"} {
				permission := c.flat
				permission.IpProtocol, permission.FromPort, permission.ToPort = new(p), new(int32(0)), new(int32(65535))
				if p == "icmp" {
					permission.FromPort, permission.ToPort = new(int32(-1)), new(int32(-1))
				}
				permissions = append(permissions, permission)
			}
		}
	}
	if len(permissions) == 0 {
		return nil, missing("ipPermissions")
	}
	return rulesOf(permissions, c.egress, group)
}

// changeGroup edits the rules of a group. edit gets the group, and how to find
// the groups that permissions name.
func changeGroup[O any](ctx context.Context, s *Service, c ruleChange, edit func(g *SecurityGroup, peer func(ec2api.UserIdGroupPair) (string, error)) (*O, error)) (*O, error) {
	switch {
	case c.group == nil && c.name == nil:
		return nil, missing("groupName or groupId")
	case c.group == nil:
		return nil, groupNamed(*c.name)
	}
	return exclusively(s, func() (*O, error) {
		item, err := get(ctx, s.SecurityGroups, groupIDs, *c.group)
		if err != nil {
			return nil, err
		}
		groups, err := list(ctx, s.SecurityGroups)
		if err != nil {
			return nil, err
		}
		peer := func(p ec2api.UserIdGroupPair) (string, error) { return s.peer(groups, item.Value.VPC, p) }
		out, err := edit(&item.Value, peer)
		if err != nil {
			return nil, err
		}
		if err := dryRun(c.dry); err != nil {
			return nil, err
		}
		ops := []store.Op{s.SecurityGroups.UpdateOp(item)}
		for _, r := range item.Value.Rules {
			if r.Group != "" && r.Group != item.Key {
				ops = append(ops, s.SecurityGroups.MustExist(r.Group))
			}
		}
		_, err = store.Commit(ctx, s.client, ops...)
		return out, err
	})
}

// peer finds the group that a pair names: by id, or by name in the VPC.
func (s *Service) peer(groups []SecurityGroup, vpc string, p ec2api.UserIdGroupPair) (string, error) {
	id, name := api.Val(p.GroupId), api.Val(p.GroupName)
	if id != "" {
		if err := groupIDs.check(id); err != nil {
			return "", err
		}
	}
	for _, g := range groups {
		switch {
		case p.UserId != nil && *p.UserId != "" && *p.UserId != s.scope.Account:
		case id == g.ID && g.VPC != vpc:
			return "", bad(groupIDs.notFound, "You have specified two resources that belong to different networks.")
		case id == g.ID, id == "" && name == g.Name && g.VPC == vpc:
			return g.ID, nil
		}
	}
	return "", groupIDs.missing(id + name)
}

// authorize adds rules to a group.
func authorize[O any](ctx context.Context, s *Service, c ruleChange, specs []ec2api.TagSpecification, reply func([]ec2api.SecurityGroupRule) *O) (*O, error) {
	tags, err := tagSpecifications(ctx, specs, ec2api.ResourceTypeSecurityGroupRule)
	if err != nil {
		return nil, err
	}
	return changeGroup(ctx, s, c, func(g *SecurityGroup, peer func(ec2api.UserIdGroupPair) (string, error)) (*O, error) {
		rules, err := c.rules(peer)
		if err != nil {
			return nil, err
		}
		made := make([]ec2api.SecurityGroupRule, len(rules))
		for i, r := range rules {
			if slices.ContainsFunc(g.Rules, func(o SecurityGroupRule) bool { return sameRule(o, r) }) {
				return nil, bad("InvalidPermission.Duplicate", "the specified rule %q already exists", r)
			}
			r.ID, r.Tags = newID("sgr"), tags[ec2api.ResourceTypeSecurityGroupRule]
			g.Rules = append(g.Rules, r)
			made[i] = s.ruleOut(g.ID, r)
		}
		n := 0
		for _, r := range g.Rules {
			if r.Egress == c.egress {
				n++
			}
		}
		if n > maxRules {
			return nil, bad("RulesPerSecurityGroupLimitExceeded", "The maximum number of rules per security group has been reached.")
		}
		return reply(made), nil
	})
}

// AuthorizeSecurityGroupIngress adds rules for what may come in.
func (s *Service) AuthorizeSecurityGroupIngress(ctx context.Context, in *ec2api.AuthorizeSecurityGroupIngressInput) (*ec2api.AuthorizeSecurityGroupIngressOutput, error) {
	c := ruleChange{group: in.GroupId, name: in.GroupName, permissions: in.IpPermissions, dry: in.DryRun,
		flat: flatPermission(in.IpProtocol, in.FromPort, in.ToPort, in.CidrIp, in.SourceSecurityGroupName, in.SourceSecurityGroupOwnerId)}
	return authorize(ctx, s, c, in.TagSpecifications, func(r []ec2api.SecurityGroupRule) *ec2api.AuthorizeSecurityGroupIngressOutput {
		return &ec2api.AuthorizeSecurityGroupIngressOutput{Return: new(true), SecurityGroupRules: r}
	})
}

// AuthorizeSecurityGroupEgress adds rules for what may go out.
func (s *Service) AuthorizeSecurityGroupEgress(ctx context.Context, in *ec2api.AuthorizeSecurityGroupEgressInput) (*ec2api.AuthorizeSecurityGroupEgressOutput, error) {
	c := ruleChange{group: in.GroupId, egress: true, permissions: in.IpPermissions, dry: in.DryRun,
		flat: flatPermission(in.IpProtocol, in.FromPort, in.ToPort, in.CidrIp, in.SourceSecurityGroupName, in.SourceSecurityGroupOwnerId)}
	return authorize(ctx, s, c, in.TagSpecifications, func(r []ec2api.SecurityGroupRule) *ec2api.AuthorizeSecurityGroupEgressOutput {
		return &ec2api.AuthorizeSecurityGroupEgressOutput{Return: new(true), SecurityGroupRules: r}
	})
}

// toward says that a rule is of one direction.
func toward(egress bool) func(SecurityGroupRule) bool {
	return func(r SecurityGroupRule) bool { return r.Egress == egress }
}

// find is the index of the rule with an id, one of those that are meant.
func (g *SecurityGroup) find(id string, meant func(SecurityGroupRule) bool) (int, error) {
	if err := ruleIDs.check(id); err != nil {
		return 0, err
	}
	i := slices.IndexFunc(g.Rules, func(r SecurityGroupRule) bool { return r.ID == id && meant(r) })
	if i < 0 {
		return 0, ruleIDs.missing(id)
	}
	return i, nil
}

// like is the index of the rule that lets the same in or out.
func (g *SecurityGroup) like(rule SecurityGroupRule) (int, error) {
	i := slices.IndexFunc(g.Rules, func(r SecurityGroupRule) bool { return sameRule(r, rule) })
	if i < 0 {
		return 0, bad("InvalidPermission.NotFound", "The specified rule does not exist in this security group.")
	}
	return i, nil
}

// revoke removes rules, by id or as they are described: all of them or none.
func revoke[O any](ctx context.Context, s *Service, c ruleChange, ids []string, reply func([]ec2api.RevokedSecurityGroupRule) *O) (*O, error) {
	return changeGroup(ctx, s, c, func(g *SecurityGroup, peer func(ec2api.UserIdGroupPair) (string, error)) (*O, error) {
		if len(ids) > 0 && (len(c.permissions) > 0 || c.flatGiven()) {
			return nil, bad("InvalidParameterCombination", "The parameter securityGroupRuleIds may not be used in combination with ipPermissions")
		}
		revoked := []ec2api.RevokedSecurityGroupRule{}
		remove := func(i int, err error) error {
			if err != nil {
				return err
			}
			revoked = append(revoked, revokedOut(g.ID, g.Rules[i]))
			g.Rules = slices.Delete(g.Rules, i, i+1)
			return nil
		}
		for _, id := range ids {
			if err := remove(g.find(id, toward(c.egress))); err != nil {
				return nil, err
			}
		}
		if len(ids) > 0 {
			return reply(revoked), nil
		}
		rules, err := c.rules(peer)
		if err != nil {
			return nil, err
		}
		for _, r := range rules {
			if err := remove(g.like(r)); err != nil {
				return nil, err
			}
		}
		return reply(revoked), nil
	})
}

func revokedOut(group string, r SecurityGroupRule) ec2api.RevokedSecurityGroupRule {
	out := ec2api.RevokedSecurityGroupRule{
		SecurityGroupRuleId: new(r.ID), GroupId: new(group), IsEgress: new(r.Egress), IpProtocol: new(r.Protocol),
		FromPort: new(r.FromPort), ToPort: new(r.ToPort), PrefixListId: orAbsent(r.PrefixList), ReferencedGroupId: orAbsent(r.Group),
		Description: orAbsent(r.Description),
	}
	out.CidrIpv4, out.CidrIpv6 = blockOut(r.CIDR)
	return out
}

// RevokeSecurityGroupIngress removes rules for what may come in.
func (s *Service) RevokeSecurityGroupIngress(ctx context.Context, in *ec2api.RevokeSecurityGroupIngressInput) (*ec2api.RevokeSecurityGroupIngressOutput, error) {
	c := ruleChange{group: in.GroupId, name: in.GroupName, permissions: in.IpPermissions, dry: in.DryRun,
		flat: flatPermission(in.IpProtocol, in.FromPort, in.ToPort, in.CidrIp, in.SourceSecurityGroupName, in.SourceSecurityGroupOwnerId)}
	return revoke(ctx, s, c, in.SecurityGroupRuleIds, func(r []ec2api.RevokedSecurityGroupRule) *ec2api.RevokeSecurityGroupIngressOutput {
		return &ec2api.RevokeSecurityGroupIngressOutput{Return: new(true), UnknownIpPermissions: []ec2api.IpPermission{}, RevokedSecurityGroupRules: r}
	})
}

// RevokeSecurityGroupEgress removes rules for what may go out.
func (s *Service) RevokeSecurityGroupEgress(ctx context.Context, in *ec2api.RevokeSecurityGroupEgressInput) (*ec2api.RevokeSecurityGroupEgressOutput, error) {
	c := ruleChange{group: in.GroupId, egress: true, permissions: in.IpPermissions, dry: in.DryRun,
		flat: flatPermission(in.IpProtocol, in.FromPort, in.ToPort, in.CidrIp, in.SourceSecurityGroupName, in.SourceSecurityGroupOwnerId)}
	return revoke(ctx, s, c, in.SecurityGroupRuleIds, func(r []ec2api.RevokedSecurityGroupRule) *ec2api.RevokeSecurityGroupEgressOutput {
		return &ec2api.RevokeSecurityGroupEgressOutput{Return: new(true), UnknownIpPermissions: []ec2api.IpPermission{}, RevokedSecurityGroupRules: r}
	})
}

// describedRule is a rule with its group.
type describedRule struct {
	group string
	SecurityGroupRule
}

// DescribeSecurityGroupRules lists rules, by id.
func (s *Service) DescribeSecurityGroupRules(ctx context.Context, in *ec2api.DescribeSecurityGroupRulesInput) (*ec2api.DescribeSecurityGroupRulesOutput, error) {
	groups, err := list(ctx, s.SecurityGroups)
	if err != nil {
		return nil, err
	}
	var rules []describedRule
	for _, g := range groups {
		for _, r := range g.Rules {
			rules = append(rules, describedRule{g.ID, r})
		}
	}
	slices.SortFunc(rules, func(a, b describedRule) int { return strings.Compare(a.ID, b.ID) })
	found, next, err := describe(rules, query{in.SecurityGroupRuleIds, in.Filters, in.MaxResults, in.NextToken, in.DryRun}, ruleIDs,
		func(r describedRule) string { return r.ID },
		func(r describedRule) func(string) ([]string, bool) {
			return attributes{"group-id": {r.group}, "security-group-rule-id": {r.ID}}.tagged(r.Tags)
		})
	if err != nil {
		return nil, err
	}
	out := make([]ec2api.SecurityGroupRule, len(found))
	for i, r := range found {
		out[i] = s.ruleOut(r.group, r.SecurityGroupRule)
	}
	return &ec2api.DescribeSecurityGroupRulesOutput{SecurityGroupRules: out, NextToken: next}, nil
}

// ModifySecurityGroupRules puts other rules in the place of some of a group's.
func (s *Service) ModifySecurityGroupRules(ctx context.Context, in *ec2api.ModifySecurityGroupRulesInput) (*ec2api.ModifySecurityGroupRulesOutput, error) {
	if len(in.SecurityGroupRules) == 0 {
		return nil, missing("SecurityGroupRules")
	}
	c := ruleChange{group: in.GroupId, dry: in.DryRun}
	return changeGroup(ctx, s, c, func(g *SecurityGroup, peer func(ec2api.UserIdGroupPair) (string, error)) (*ec2api.ModifySecurityGroupRulesOutput, error) {
		for _, update := range in.SecurityGroupRules {
			i, err := g.find(*update.SecurityGroupRuleId, func(SecurityGroupRule) bool { return true })
			if err != nil {
				return nil, err
			}
			if update.SecurityGroupRule == nil {
				return nil, missing("SecurityGroupRule")
			}
			rules, err := rulesOf([]ec2api.IpPermission{permissionOf(*update.SecurityGroupRule)}, g.Rules[i].Egress, peer)
			if err != nil {
				return nil, err
			}
			if len(rules) != 1 {
				return nil, bad("InvalidParameterCombination", "Only one of CidrIpv4, CidrIpv6, PrefixListId, or ReferencedGroupId can be specified")
			}
			r := rules[0]
			r.ID, r.Tags = g.Rules[i].ID, g.Rules[i].Tags
			for j, o := range g.Rules {
				if j != i && sameRule(o, r) {
					return nil, bad("InvalidPermission.Duplicate", "the specified rule %q already exists", r)
				}
			}
			g.Rules[i] = r
		}
		return &ec2api.ModifySecurityGroupRulesOutput{Return: new(true)}, nil
	})
}

// permissionOf is a rule of a request as a permission.
func permissionOf(r ec2api.SecurityGroupRuleRequest) ec2api.IpPermission {
	p := ec2api.IpPermission{IpProtocol: r.IpProtocol, FromPort: r.FromPort, ToPort: r.ToPort}
	if r.CidrIpv4 != nil {
		p.IpRanges = []ec2api.IpRange{{CidrIp: r.CidrIpv4, Description: r.Description}}
	}
	if r.CidrIpv6 != nil {
		p.Ipv6Ranges = []ec2api.Ipv6Range{{CidrIpv6: r.CidrIpv6, Description: r.Description}}
	}
	if r.PrefixListId != nil {
		p.PrefixListIds = []ec2api.PrefixListId{{PrefixListId: r.PrefixListId}}
	}
	if r.ReferencedGroupId != nil {
		p.UserIdGroupPairs = []ec2api.UserIdGroupPair{{GroupId: r.ReferencedGroupId, Description: r.Description}}
	}
	return p
}

// redescribe gives rules other descriptions.
func redescribe[O any](ctx context.Context, s *Service, c ruleChange, byID []ec2api.SecurityGroupRuleDescription, out *O) (*O, error) {
	return changeGroup(ctx, s, c, func(g *SecurityGroup, peer func(ec2api.UserIdGroupPair) (string, error)) (*O, error) {
		for _, d := range byID {
			i, err := g.find(api.Val(d.SecurityGroupRuleId), toward(c.egress))
			if err != nil {
				return nil, err
			}
			if err := checkDescription(d.Description); err != nil {
				return nil, err
			}
			g.Rules[i].Description = api.Val(d.Description)
		}
		if len(byID) > 0 && len(c.permissions) == 0 {
			return out, nil
		}
		rules, err := c.rules(peer)
		if err != nil {
			return nil, err
		}
		for _, r := range rules {
			i, err := g.like(r)
			if err != nil {
				return nil, err
			}
			g.Rules[i].Description = r.Description
		}
		return out, nil
	})
}

// UpdateSecurityGroupRuleDescriptionsIngress changes descriptions only.
func (s *Service) UpdateSecurityGroupRuleDescriptionsIngress(ctx context.Context, in *ec2api.UpdateSecurityGroupRuleDescriptionsIngressInput) (*ec2api.UpdateSecurityGroupRuleDescriptionsIngressOutput, error) {
	c := ruleChange{group: in.GroupId, name: in.GroupName, permissions: in.IpPermissions, dry: in.DryRun}
	return redescribe(ctx, s, c, in.SecurityGroupRuleDescriptions, &ec2api.UpdateSecurityGroupRuleDescriptionsIngressOutput{Return: new(true)})
}

// UpdateSecurityGroupRuleDescriptionsEgress changes descriptions only.
func (s *Service) UpdateSecurityGroupRuleDescriptionsEgress(ctx context.Context, in *ec2api.UpdateSecurityGroupRuleDescriptionsEgressInput) (*ec2api.UpdateSecurityGroupRuleDescriptionsEgressOutput, error) {
	c := ruleChange{group: in.GroupId, name: in.GroupName, egress: true, permissions: in.IpPermissions, dry: in.DryRun}
	return redescribe(ctx, s, c, in.SecurityGroupRuleDescriptions, &ec2api.UpdateSecurityGroupRuleDescriptionsEgressOutput{Return: new(true)})
}
