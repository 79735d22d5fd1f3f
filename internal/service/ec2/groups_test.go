package ec2_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	ec2api "github.com/tarn-eks/tarn/internal/api/ec2"
	"github.com/tarn-eks/tarn/internal/service/ec2"
)

func newGroup(t *testing.T, s *ec2.Service, vpc, name string) string {
	t.Helper()
	return *ok(s.CreateSecurityGroup(t.Context(), &ec2api.CreateSecurityGroupInput{GroupName: &name, Description: new("of a test"), VpcId: &vpc})).GroupId
}

func tcp(from, to int32, cidrs ...string) ec2api.IpPermission {
	p := ec2api.IpPermission{IpProtocol: new("tcp"), FromPort: &from, ToPort: &to}
	for _, c := range cidrs {
		p.IpRanges = append(p.IpRanges, ec2api.IpRange{CidrIp: &c})
	}
	return p
}

func fromGroup(protocol, group string) ec2api.IpPermission {
	return ec2api.IpPermission{IpProtocol: &protocol, UserIdGroupPairs: []ec2api.UserIdGroupPair{{GroupId: &group}}}
}

func TestSecurityGroups(t *testing.T) {
	s, ctx := service(t, "ap-northeast-2"), t.Context()
	v, other := newVPC(t, s, "10.0.0.0/16"), newVPC(t, s, "10.0.0.0/16")
	web := newGroup(t, s, v, "k8s-elb-a1")
	checkID(t, "sg", web)
	newGroup(t, s, other, "k8s-elb-a1") // names are unique in a VPC only
	for _, test := range []struct {
		name, description string
		vpc               *string
		code, words       string
	}{
		{"k8s-elb-a1", "again", &v, "InvalidGroup.Duplicate", "The security group 'k8s-elb-a1' already exists for VPC '" + v + "'"},
		{"default", "mine", &v, "InvalidParameterValue", "Cannot use reserved security group name: default"},
		{"sg-1", "mine", &v, "InvalidParameterValue", "sg-*"},
		{"호수", "mine", &v, "InvalidParameterValue", "Character sets beyond ASCII"},
		{"lake", "호수", &v, "InvalidParameterValue", "GroupDescription"},
		{strings.Repeat("a", 256), "long", &v, "InvalidParameterValue", ""},
		{"lake", "no VPC", nil, "VPCIdNotSpecified", "No default VPC for this user"},
		{"lake", "no such VPC", new("vpc-00000000000000000"), "InvalidVpcID.NotFound", ""},
	} {
		_, err := s.CreateSecurityGroup(ctx, &ec2api.CreateSecurityGroupInput{GroupName: &test.name, Description: &test.description, VpcId: test.vpc})
		refused(t, err, test.code, test.words)
	}
	shown := ok(s.DescribeSecurityGroups(ctx, &ec2api.DescribeSecurityGroupsInput{Filters: []ec2api.Filter{filter("group-name", "k8s-elb-a1"), filter("vpc-id", v)}})).SecurityGroups
	if len(shown) != 1 || *shown[0].GroupId != web || len(shown[0].IpPermissions) != 0 || len(shown[0].IpPermissionsEgress) != 1 || *shown[0].IpPermissionsEgress[0].IpProtocol != "-1" {
		t.Errorf("%+v", shown)
	}
	_, err := s.DescribeSecurityGroups(ctx, &ec2api.DescribeSecurityGroupsInput{GroupIds: []string{"sg-nonsense"}})
	refused(t, err, "InvalidGroupId.Malformed", `Invalid id: "sg-nonsense"`)
	_, err = s.DescribeSecurityGroups(ctx, &ec2api.DescribeSecurityGroupsInput{GroupIds: []string{"sg-00000000000000000"}})
	refused(t, err, "InvalidGroup.NotFound", "The security group 'sg-00000000000000000' does not exist")

	standard := *ok(s.DescribeSecurityGroups(ctx, &ec2api.DescribeSecurityGroupsInput{Filters: []ec2api.Filter{filter("group-name", "default"), filter("vpc-id", v)}})).SecurityGroups[0].GroupId
	_, err = s.DeleteSecurityGroup(ctx, &ec2api.DeleteSecurityGroupInput{GroupId: &standard})
	refused(t, err, "CannotDelete", `name: "default" cannot be deleted by a user`)

	// A group that another's rule names stays until the rule goes; the controller
	// finds such rules by ip-permission.group-id.
	node := newGroup(t, s, v, "node")
	ok(s.AuthorizeSecurityGroupIngress(ctx, &ec2api.AuthorizeSecurityGroupIngressInput{GroupId: &node, IpPermissions: []ec2api.IpPermission{fromGroup("-1", web)}}))
	_, err = s.DeleteSecurityGroup(ctx, &ec2api.DeleteSecurityGroupInput{GroupId: &web})
	refused(t, err, "DependencyViolation", "resource "+web+" has a dependent object")
	users := ok(s.DescribeSecurityGroups(ctx, &ec2api.DescribeSecurityGroupsInput{Filters: []ec2api.Filter{filter("ip-permission.group-id", web)}})).SecurityGroups
	if len(users) != 1 || *users[0].GroupId != node || *users[0].IpPermissions[0].UserIdGroupPairs[0].GroupId != web {
		t.Errorf("%+v", users)
	}
	ok(s.RevokeSecurityGroupIngress(ctx, &ec2api.RevokeSecurityGroupIngressInput{GroupId: &node, IpPermissions: []ec2api.IpPermission{fromGroup("-1", web)}}))
	ok(s.DeleteSecurityGroup(ctx, &ec2api.DeleteSecurityGroupInput{GroupId: &web}))
	_, err = s.DeleteSecurityGroup(ctx, &ec2api.DeleteSecurityGroupInput{GroupId: &web})
	refused(t, err, "InvalidGroup.NotFound", "")
	_, err = s.DeleteVpc(ctx, &ec2api.DeleteVpcInput{VpcId: &v})
	refused(t, err, "DependencyViolation", "")
}

func TestRules(t *testing.T) {
	s, ctx := service(t, "ap-northeast-2"), t.Context()
	v := newVPC(t, s, "10.0.0.0/16")
	g, peer, far := newGroup(t, s, v, "a"), newGroup(t, s, v, "b"), newGroup(t, s, newVPC(t, s, "10.0.0.0/16"), "c")
	in := func(p ...ec2api.IpPermission) *ec2api.AuthorizeSecurityGroupIngressInput {
		return &ec2api.AuthorizeSecurityGroupIngressInput{GroupId: &g, IpPermissions: p}
	}
	request := in(tcp(80, 80, "0.0.0.0/0", "10.1.2.3/8"), fromGroup("tcp", peer))
	request.IpPermissions[1].FromPort, request.IpPermissions[1].ToPort = new(int32(80)), new(int32(80))
	request.TagSpecifications = []ec2api.TagSpecification{{ResourceType: "security-group-rule", Tags: []ec2api.Tag{{Key: new("a"), Value: new("b")}}}}
	made := ok(s.AuthorizeSecurityGroupIngress(ctx, request)).SecurityGroupRules
	if len(made) != 3 || *made[1].CidrIpv4 != "10.0.0.0/8" || *made[2].ReferencedGroupInfo.GroupId != peer || len(made[0].Tags) != 1 || *made[0].IsEgress {
		t.Fatalf("%+v", made)
	}
	checkID(t, "sgr", *made[0].SecurityGroupRuleId)
	// The three are one permission, with what it is given to.
	shown := ok(s.DescribeSecurityGroups(ctx, &ec2api.DescribeSecurityGroupsInput{GroupIds: []string{g}})).SecurityGroups[0]
	if p := shown.IpPermissions; len(p) != 1 || len(p[0].IpRanges) != 2 || len(p[0].UserIdGroupPairs) != 1 || *p[0].FromPort != 80 || p[0].Ipv6Ranges == nil {
		t.Errorf("%+v", p)
	}
	ipv6 := ec2api.IpPermission{IpProtocol: new("ALL"), Ipv6Ranges: []ec2api.Ipv6Range{{CidrIpv6: new("::/0")}}}
	ok(s.AuthorizeSecurityGroupIngress(ctx, in(ipv6)))
	for _, test := range []struct {
		name        string
		in          ec2api.IpPermission
		code, words string
	}{
		{"what is there", tcp(80, 80, "0.0.0.0/0"), "InvalidPermission.Duplicate", `the specified rule "peer: 0.0.0.0/0, TCP, from port: 80, to port: 80, ALLOW" already exists`},
		{"what is there, for all", ipv6, "InvalidPermission.Duplicate", "peer: ::/0, ALL, ALLOW"},
		{"twice the same", tcp(81, 81, "1.0.0.0/8", "1.1.1.1/8"), "InvalidParameterValue", "must not appear multiple times"},
		{"ports the wrong way round", tcp(90, 80, "0.0.0.0/0"), "InvalidParameterValue", "Invalid TCP/UDP port range (90:80)"},
		{"a port that does not exist", tcp(1, 65536, "0.0.0.0/0"), "InvalidParameterValue", "TCP/UDP port (65536) out of range"},
		{"no ports", ec2api.IpPermission{IpProtocol: new("udp"), IpRanges: []ec2api.IpRange{{CidrIp: new("1.0.0.0/8")}}}, "InvalidParameterValue", "Must specify both from and to ports with TCP/UDP."},
		{"no peer", tcp(1, 2), "MissingParameter", "Missing source specification"},
		{"a bad block", tcp(1, 2, "1.2.3.4/33"), "InvalidParameterValue", "CIDR block 1.2.3.4/33 is malformed"},
		{"an IPv6 block among IPv4 ones", tcp(1, 2, "::/0"), "InvalidParameterValue", "malformed"},
		{"an unknown protocol", ec2api.IpPermission{IpProtocol: new("carrier-pigeon"), IpRanges: []ec2api.IpRange{{CidrIp: new("1.0.0.0/8")}}}, "InvalidParameterValue", "carrier-pigeon"},
		{"a group of another VPC", fromGroup("-1", far), "InvalidGroup.NotFound", "different networks"},
		{"no group", fromGroup("-1", "sg-00000000000000000"), "InvalidGroup.NotFound", "sg-00000000000000000"},
		{"a prefix list", ec2api.IpPermission{IpProtocol: new("-1"), PrefixListIds: []ec2api.PrefixListId{{PrefixListId: new("pl-1")}}}, "InvalidPrefixListID.NotFound", "pl-1"},
	} {
		_, err := s.AuthorizeSecurityGroupIngress(ctx, in(test.in))
		refused(t, err, test.code, test.words)
	}
	dry := in(tcp(443, 443, "0.0.0.0/0"))
	dry.DryRun = new(true)
	_, err := s.AuthorizeSecurityGroupIngress(ctx, dry)
	refused(t, err, "DryRunOperation", "")

	// Rules can be changed in place, and described.
	ok(s.ModifySecurityGroupRules(ctx, &ec2api.ModifySecurityGroupRulesInput{GroupId: &g, SecurityGroupRules: []ec2api.SecurityGroupRuleUpdate{{
		SecurityGroupRuleId: made[1].SecurityGroupRuleId,
		SecurityGroupRule:   &ec2api.SecurityGroupRuleRequest{IpProtocol: new("udp"), FromPort: new(int32(53)), ToPort: new(int32(53)), CidrIpv4: new("10.0.0.0/8")},
	}}}))
	ok(s.UpdateSecurityGroupRuleDescriptionsIngress(ctx, &ec2api.UpdateSecurityGroupRuleDescriptionsIngressInput{GroupId: &g, SecurityGroupRuleDescriptions: []ec2api.SecurityGroupRuleDescription{
		{SecurityGroupRuleId: made[1].SecurityGroupRuleId, Description: new("names")},
	}}))
	rules := ok(s.DescribeSecurityGroupRules(ctx, &ec2api.DescribeSecurityGroupRulesInput{SecurityGroupRuleIds: []string{*made[1].SecurityGroupRuleId}})).SecurityGroupRules
	if len(rules) != 1 || *rules[0].IpProtocol != "udp" || *rules[0].FromPort != 53 || *rules[0].Description != "names" || len(rules[0].Tags) != 1 {
		t.Errorf("%+v", rules)
	}
	if all := ok(s.DescribeSecurityGroupRules(ctx, &ec2api.DescribeSecurityGroupRulesInput{Filters: []ec2api.Filter{filter("group-id", g), filter("tag:a", "b")}})).SecurityGroupRules; len(all) != 3 {
		t.Errorf("%d rules with the tag, want 3", len(all))
	}

	// All is revoked or nothing.
	_, err = s.RevokeSecurityGroupIngress(ctx, &ec2api.RevokeSecurityGroupIngressInput{GroupId: &g, IpPermissions: []ec2api.IpPermission{tcp(80, 80, "0.0.0.0/0"), tcp(99, 99, "0.0.0.0/0")}})
	refused(t, err, "InvalidPermission.NotFound", "The specified rule does not exist in this security group.")
	_, err = s.RevokeSecurityGroupEgress(ctx, &ec2api.RevokeSecurityGroupEgressInput{GroupId: &g, SecurityGroupRuleIds: []string{*made[0].SecurityGroupRuleId}})
	refused(t, err, "InvalidSecurityGroupRuleId.NotFound", "")
	revoked := ok(s.RevokeSecurityGroupIngress(ctx, &ec2api.RevokeSecurityGroupIngressInput{GroupId: &g, CidrIp: new("0.0.0.0/0"), IpProtocol: new("6"), FromPort: new(int32(80)), ToPort: new(int32(80))})).RevokedSecurityGroupRules
	if len(revoked) != 1 || *revoked[0].SecurityGroupRuleId != *made[0].SecurityGroupRuleId {
		t.Errorf("%+v", revoked)
	}
	everything := ec2api.IpPermission{IpProtocol: new("-1"), IpRanges: []ec2api.IpRange{{CidrIp: new("0.0.0.0/0")}}}
	ok(s.RevokeSecurityGroupEgress(ctx, &ec2api.RevokeSecurityGroupEgressInput{GroupId: &g, IpPermissions: []ec2api.IpPermission{everything}}))
	if left := ok(s.DescribeSecurityGroups(ctx, &ec2api.DescribeSecurityGroupsInput{GroupIds: []string{g}})).SecurityGroups[0].IpPermissionsEgress; left == nil || len(left) != 0 {
		t.Errorf("%+v", left)
	}

	var many []string
	for i := range 58 { // three are there
		many = append(many, fmt.Sprintf("1.0.0.%d/32", i))
	}
	_, err = s.AuthorizeSecurityGroupIngress(ctx, in(tcp(22, 22, many...)))
	refused(t, err, "RulesPerSecurityGroupLimitExceeded", "The maximum number of rules per security group has been reached.")
	ok(s.AuthorizeSecurityGroupIngress(ctx, in(tcp(22, 22, many[1:]...))))
}

func TestTags(t *testing.T) {
	s, home := withVPC(t, "ap-northeast-2", "192.168.0.0/16")
	ctx := t.Context()
	i := run(t, s, ec2.LaunchInput{Type: "t3.small", Subnet: home.ID, Count: 1})[0]
	g := newGroup(t, s, home.VPC, "a")
	rules := ok(s.AuthorizeSecurityGroupIngress(ctx, &ec2api.AuthorizeSecurityGroupIngressInput{GroupId: &g, IpPermissions: []ec2api.IpPermission{tcp(1, 1, "1.0.0.0/8", "2.0.0.0/8")}})).SecurityGroupRules
	// A group and its rules are one item in the store, and so are an instance and its volume.
	all := []string{home.VPC, home.ID, i.ID, i.ENI, i.Volume.ID, g, *rules[0].SecurityGroupRuleId, *rules[1].SecurityGroupRuleId}
	tags := func(kv ...string) (out []ec2api.Tag) {
		for j := 0; j < len(kv); j += 2 {
			out = append(out, ec2api.Tag{Key: &kv[j], Value: &kv[j+1]})
		}
		return out
	}
	ok(s.CreateTags(ctx, &ec2api.CreateTagsInput{Resources: all, Tags: tags("kubernetes.io/cluster/lake", "owned", "Team", "water")}))
	found := ok(s.DescribeTags(ctx, &ec2api.DescribeTagsInput{Filters: []ec2api.Filter{filter("key", "kubernetes.io/cluster/*"), filter("value", "owned")}})).Tags
	var ids []string
	for _, f := range found {
		ids = append(ids, *f.ResourceId)
	}
	slices.Sort(all)
	if !slices.Equal(ids, all) {
		t.Errorf("tagged are %v, want %v", ids, all)
	}
	if only := ok(s.DescribeTags(ctx, &ec2api.DescribeTagsInput{Filters: []ec2api.Filter{filter("resource-type", "instance"), filter("tag:Team", "water")}})).Tags; len(only) != 1 || *only[0].ResourceId != i.ID || only[0].ResourceType != "instance" {
		t.Errorf("%+v", only)
	}
	for _, test := range []struct {
		name        string
		resources   []string
		tags        []ec2api.Tag
		code, words string
	}{
		{"AWS's own", all, tags("aws:cloudformation:stack-name", "a"), "InvalidParameterValue", "reserved for internal use"},
		{"a long key", all, tags(strings.Repeat("k", 129), ""), "InvalidParameterValue", "Tag key exceeds"},
		{"a long value", all, tags("k", strings.Repeat("호", 257)), "InvalidParameterValue", "Tag value exceeds"},
		{"one that is not there", []string{home.VPC, "subnet-00000000000000000"}, tags("a", "b"), "InvalidSubnetID.NotFound", "subnet-00000000000000000"},
		{"no id", []string{"lake"}, tags("a", "b"), "InvalidID", "The ID 'lake' is not valid"},
		{"no tags", all, nil, "MissingParameter", ""},
	} {
		_, err := s.CreateTags(ctx, &ec2api.CreateTagsInput{Resources: test.resources, Tags: test.tags})
		refused(t, err, test.code, test.words)
	}
	if v, _ := s.VPCs.Get(ctx, home.VPC); v.Value.Tags["a"] != "" {
		t.Error("tags were set although one resource does not exist")
	}
	var many []string
	for j := range 49 {
		many = append(many, fmt.Sprint("k", j), "")
	}
	_, err := s.CreateTags(ctx, &ec2api.CreateTagsInput{Resources: []string{i.ID}, Tags: tags(many...)})
	refused(t, err, "TagLimitExceeded", "")

	// A value must be the tag's for it to be deleted; no value is any.
	ok(s.DeleteTags(ctx, &ec2api.DeleteTagsInput{Resources: all, Tags: append(tags("Team", "fire"), ec2api.Tag{Key: new("kubernetes.io/cluster/lake")})}))
	if sub := ok(s.DescribeSubnets(ctx, &ec2api.DescribeSubnetsInput{Filters: []ec2api.Filter{filter("tag-key", "Team")}})).Subnets; len(sub) != 1 {
		t.Errorf("%d subnets keep their tag Team", len(sub))
	}
	if left := ok(s.DescribeTags(ctx, &ec2api.DescribeTagsInput{Filters: []ec2api.Filter{filter("key", "kubernetes.io/cluster/lake")}})).Tags; left == nil || len(left) != 0 {
		t.Errorf("%+v", left)
	}
	ok(s.DeleteTags(ctx, &ec2api.DeleteTagsInput{Resources: []string{g}}))
	_, err = s.CreateTags(ctx, &ec2api.CreateTagsInput{Resources: []string{g}, Tags: tags("a", "b"), DryRun: new(true)})
	refused(t, err, "DryRunOperation", "")
	if shown := ok(s.DescribeSecurityGroups(ctx, &ec2api.DescribeSecurityGroupsInput{GroupIds: []string{g}})).SecurityGroups[0]; len(shown.Tags) != 0 {
		t.Errorf("%+v", shown.Tags)
	}
}
