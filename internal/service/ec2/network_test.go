package ec2_test

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tarn-eks/tarn/internal/api"
	ec2api "github.com/tarn-eks/tarn/internal/api/ec2"
	"github.com/tarn-eks/tarn/internal/service/ec2"
	"github.com/tarn-eks/tarn/internal/store"
	"github.com/tarn-eks/tarn/internal/subnet"
)

// refused wants an error with the code, and with the words if there are any.
func refused(t *testing.T, err error, code, words string) {
	t.Helper()
	if got := api.Code(err); got != code || err != nil && !strings.Contains(err.Error(), words) {
		t.Errorf("%v, want %s with %q", err, code, words)
	}
}

// ok is what a call gave, which must be no error.
func ok[O any](out *O, err error) *O {
	if err != nil {
		panic(err)
	}
	return out
}

func filter(name string, values ...string) ec2api.Filter {
	return ec2api.Filter{Name: &name, Values: values}
}

func TestCreateVPC(t *testing.T) {
	s := service(t, "ap-northeast-2")
	tags := map[string]string{"Name": "eksctl-lake-cluster/VPC", "team": "water"}
	made, subnets, err := s.CreateVPC(t.Context(), netip.MustParsePrefix("192.168.0.0/16"), zones, tags)
	if err != nil {
		t.Fatal(err)
	}
	checkID(t, "vpc", made.ID)
	kept, err := s.VPCs.Get(t.Context(), made.ID)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(made, kept.Value, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
	layout, err := subnet.Layout(made.CIDR, zones)
	if err != nil {
		t.Fatal(err)
	}
	if len(subnets) != len(layout) {
		t.Fatalf("%d subnets, want %d", len(subnets), len(layout))
	}
	tables, _, err := s.RouteTables.List(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	var all []ec2.RouteTable
	for _, item := range tables {
		all = append(all, item.Value)
	}
	for i, sub := range subnets {
		checkID(t, "subnet", sub.ID)
		item, err := s.Subnets.Get(t.Context(), sub.ID)
		if err != nil {
			t.Fatal(err)
		}
		if item.Revision != kept.Revision {
			t.Errorf("%s was not written together with its VPC", sub.ID)
		}
		if got := item.Value.Network(); got != layout[i] || item.Value.VPC != made.ID || item.Value.Tags["team"] != "water" {
			t.Errorf("subnet %d: %+v, want %+v", i, item.Value, layout[i])
		}
		role, name := "kubernetes.io/role/internal-elb", "eksctl-lake-cluster/SubnetPrivateAPNORTHEAST2A"
		if sub.Public {
			role, name = "kubernetes.io/role/elb", "eksctl-lake-cluster/SubnetPublicAPNORTHEAST2A"
		}
		if sub.Tags[role] != "1" || sub.Zone == zones[0] && sub.Tags["Name"] != name {
			t.Errorf("subnet %d has tags %v, want %s=1 and Name=%s", i, sub.Tags, role, name)
		}
		if ec2.IsPublic(sub, all) != sub.Public {
			t.Errorf("subnet %d: its route table makes it public: %v", i, ec2.IsPublic(sub, all))
		}
	}
	if len(tables) != 1+1+len(zones) {
		t.Errorf("%d route tables: want the main one, one for the public subnets, one for each private subnet", len(tables))
	}
	if _, _, err := s.CreateVPC(t.Context(), netip.MustParsePrefix("10.0.0.0/30"), zones, nil); err == nil {
		t.Error("a VPC of four addresses was made")
	}
}

func TestCreateNetworkInterface(t *testing.T) {
	s, home := withVPC(t, "ap-northeast-2", "192.168.0.0/16")
	made, err := s.CreateNetworkInterface(t.Context(), ec2.InterfaceInput{Subnet: home.ID, Description: "Amazon EKS eks-work", Requester: "amazon-eks"})
	if err != nil {
		t.Fatal(err)
	}
	checkID(t, "eni", made.ID)
	kept, err := s.ENIs.Get(t.Context(), made.ID)
	if err != nil {
		t.Fatal(err)
	}
	if v := kept.Value; v.Description != "Amazon EKS eks-work" || v.Instance != "" || len(v.Addresses) != 1 || v.Subnet != home.ID || v.VPC != home.VPC || v.Zone != home.Zone {
		t.Errorf("%+v", v)
	}
	checkAddresses(t, s, home)
	groups := ok(s.DescribeSecurityGroups(t.Context(), &ec2api.DescribeSecurityGroupsInput{})).SecurityGroups
	if len(groups) != 1 || *groups[0].GroupName != "default" || !slices.Equal(made.SecurityGroups, []string{*groups[0].GroupId}) {
		t.Errorf("in groups %v, want the VPC's default one of %d", made.SecurityGroups, len(groups))
	}

	shown := ok(s.DescribeNetworkInterfaces(t.Context(), &ec2api.DescribeNetworkInterfacesInput{
		Filters: []ec2api.Filter{filter("group-id", made.SecurityGroups...), filter("status", "in-use"), filter("private-ip-address", made.Addresses[0].String())},
	})).NetworkInterfaces
	if len(shown) != 1 || *shown[0].NetworkInterfaceId != made.ID || *shown[0].RequesterId != "amazon-eks" || *shown[0].Attachment.InstanceOwnerId != "amazon-eks" {
		t.Errorf("%+v", shown)
	}
	_, err = s.ModifyNetworkInterfaceAttribute(t.Context(), &ec2api.ModifyNetworkInterfaceAttributeInput{NetworkInterfaceId: &made.ID, Groups: made.SecurityGroups})
	refused(t, err, "AuthFailure", "permission")

	if _, err := s.CreateNetworkInterface(t.Context(), ec2.InterfaceInput{Subnet: "subnet-0"}); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("in a subnet that does not exist: %v", err)
	}
	if _, err := s.CreateNetworkInterface(t.Context(), ec2.InterfaceInput{Subnet: home.ID, SecurityGroups: []string{"sg-0"}}); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("in a group that does not exist: %v", err)
	}
	for range 2 { // the second time it is gone already
		if err := s.DeleteNetworkInterface(t.Context(), made.ID); err != nil {
			t.Error(err)
		}
	}
	if len(enis(t, s)) != 0 {
		t.Error("the interface is still there")
	}
	i := run(t, s, ec2.LaunchInput{Type: "t3.small", Subnet: home.ID, Count: 1})[0]
	if err := s.DeleteNetworkInterface(t.Context(), i.ENI); err == nil {
		t.Error("an instance's interface was deleted")
	}
}

func TestModifyNetworkInterface(t *testing.T) {
	s, home := withVPC(t, "ap-northeast-2", "192.168.0.0/16")
	i := run(t, s, ec2.LaunchInput{Type: "t3.small", Subnet: home.ID, Count: 1})[0]
	group := *ok(s.CreateSecurityGroup(t.Context(), &ec2api.CreateSecurityGroupInput{
		GroupName: new("web"), Description: new("web"), VpcId: &home.VPC,
	})).GroupId
	for _, in := range []ec2api.ModifyNetworkInterfaceAttributeInput{
		{Groups: []string{group}},
		{SourceDestCheck: &ec2api.AttributeBooleanValue{Value: new(false)}},
		{Description: &ec2api.AttributeValue{Value: new("front")}},
	} {
		in.NetworkInterfaceId = &i.ENI
		ok(s.ModifyNetworkInterfaceAttribute(t.Context(), &in))
	}
	if got := get(t, s, i.ID).Value; !slices.Equal(got.SecurityGroups, []string{group}) || !got.NoDestCheck {
		t.Errorf("the instance does not know: %v, %v", got.SecurityGroups, got.NoDestCheck)
	}
	if got := enis(t, s)[0].Value; !slices.Equal(got.SecurityGroups, []string{group}) || !got.NoDestCheck || got.Description != "front" {
		t.Errorf("%+v", got)
	}
	_, err := s.DeleteSecurityGroup(t.Context(), &ec2api.DeleteSecurityGroupInput{GroupId: &group})
	refused(t, err, "DependencyViolation", "resource "+group+" has a dependent object")
	_, err = s.ModifyNetworkInterfaceAttribute(t.Context(), &ec2api.ModifyNetworkInterfaceAttributeInput{NetworkInterfaceId: &i.ENI, Groups: []string{"sg-00000000000000000"}})
	refused(t, err, "InvalidGroup.NotFound", "")
	_, err = s.ModifyNetworkInterfaceAttribute(t.Context(), &ec2api.ModifyNetworkInterfaceAttributeInput{NetworkInterfaceId: &i.ENI, Groups: []string{group}, DryRun: new(true)})
	refused(t, err, "DryRunOperation", "Request would have succeeded, but DryRun flag is set.")
}

func TestVPCs(t *testing.T) {
	s := service(t, "ap-northeast-2")
	ctx := t.Context()
	v := ok(s.CreateVpc(ctx, &ec2api.CreateVpcInput{
		CidrBlock:         new("10.1.2.3/16"), // canonical: 10.1.0.0/16
		TagSpecifications: []ec2api.TagSpecification{{ResourceType: "vpc", Tags: []ec2api.Tag{{Key: new("Name"), Value: new("a")}}}},
	})).Vpc
	checkID(t, "vpc", *v.VpcId)
	if *v.CidrBlock != "10.1.0.0/16" || v.State != "pending" || len(v.Tags) != 1 || *v.OwnerId != account {
		t.Errorf("%+v", v)
	}
	for _, test := range []struct {
		in          ec2api.CreateVpcInput
		code, words string
	}{
		{ec2api.CreateVpcInput{}, "MissingParameter", "cidrBlock"},
		{ec2api.CreateVpcInput{CidrBlock: new("10.0.0.0/15")}, "InvalidVpc.Range", "The CIDR '10.0.0.0/15' is invalid."},
		{ec2api.CreateVpcInput{CidrBlock: new("10.0.0.0/29")}, "InvalidVpc.Range", ""},
		{ec2api.CreateVpcInput{CidrBlock: new("10.0.0/16")}, "InvalidParameterValue", "Value (10.0.0/16) for parameter cidrBlock is invalid. This is not a valid CIDR block."},
		{ec2api.CreateVpcInput{CidrBlock: new("10.0.0.0/16"), InstanceTenancy: "host"}, "UnsupportedTenancy", "host"},
		{ec2api.CreateVpcInput{CidrBlock: new("10.0.0.0/16"), AmazonProvidedIpv6CidrBlock: new(true)}, "UnsupportedOperation", "Ipv6"},
		{ec2api.CreateVpcInput{CidrBlock: new("10.0.0.0/16"), TagSpecifications: []ec2api.TagSpecification{{ResourceType: "subnet", Tags: []ec2api.Tag{{Key: new("a")}}}}}, "InvalidParameterValue", "'subnet' is not a valid taggable resource type"},
		{ec2api.CreateVpcInput{CidrBlock: new("10.0.0.0/16"), DryRun: new(true)}, "DryRunOperation", ""},
	} {
		_, err := s.CreateVpc(ctx, &test.in)
		refused(t, err, test.code, test.words)
	}
	shown := ok(s.DescribeVpcs(ctx, &ec2api.DescribeVpcsInput{Filters: []ec2api.Filter{filter("tag:Name", "a"), filter("cidr", "10.1.*"), filter("is-default", "false")}}))
	if len(shown.Vpcs) != 1 || shown.Vpcs[0].State != "available" || len(shown.Vpcs[0].CidrBlockAssociationSet) != 1 {
		t.Errorf("%+v", shown.Vpcs)
	}
	for _, test := range []struct {
		in          ec2api.DescribeVpcsInput
		code, words string
	}{
		{ec2api.DescribeVpcsInput{VpcIds: []string{"vpc-00000000000000000"}}, "InvalidVpcID.NotFound", "The vpc ID 'vpc-00000000000000000' does not exist"},
		{ec2api.DescribeVpcsInput{VpcIds: []string{"vpc-x"}}, "InvalidVpcID.Malformed", `Invalid id: "vpc-x"`},
		{ec2api.DescribeVpcsInput{VpcIds: []string{"x"}}, "InvalidVpcID.Malformed", `Invalid id: "x" (expecting "vpc-...")`},
		{ec2api.DescribeVpcsInput{Filters: []ec2api.Filter{filter("colour", "red")}}, "InvalidParameterValue", "The filter 'colour' is invalid"},
		{ec2api.DescribeVpcsInput{MaxResults: new(int32(1))}, "InvalidParameterValue", "maxResults"},
		{ec2api.DescribeVpcsInput{NextToken: new("x")}, "InvalidParameterValue", "pagination token"},
	} {
		_, err := s.DescribeVpcs(ctx, &test.in)
		refused(t, err, test.code, test.words)
	}

	attribute := func(name ec2api.VpcAttributeName) (bool, bool) {
		out := ok(s.DescribeVpcAttribute(ctx, &ec2api.DescribeVpcAttributeInput{VpcId: v.VpcId, Attribute: name}))
		for _, a := range []*ec2api.AttributeBooleanValue{out.EnableDnsSupport, out.EnableDnsHostnames, out.EnableNetworkAddressUsageMetrics} {
			if a != nil {
				return *a.Value, true
			}
		}
		return false, false
	}
	if on, there := attribute("enableDnsSupport"); !on || !there {
		t.Error("a new VPC has no DNS support")
	}
	if on, there := attribute("enableDnsHostnames"); on || !there {
		t.Error("a new VPC has DNS host names")
	}
	ok(s.ModifyVpcAttribute(ctx, &ec2api.ModifyVpcAttributeInput{VpcId: v.VpcId, EnableDnsHostnames: &ec2api.AttributeBooleanValue{Value: new(true)}}))
	if on, _ := attribute("enableDnsHostnames"); !on {
		t.Error("enableDnsHostnames did not change")
	}
	_, err := s.ModifyVpcAttribute(ctx, &ec2api.ModifyVpcAttributeInput{VpcId: v.VpcId})
	refused(t, err, "MissingParameter", "")

	ok(s.DeleteVpc(ctx, &ec2api.DeleteVpcInput{VpcId: v.VpcId}))
	tables, _, _ := s.RouteTables.List(ctx, "")
	groups, _, _ := s.SecurityGroups.List(ctx, "")
	if len(tables)+len(groups) != 0 {
		t.Errorf("the VPC left %d route tables and %d security groups", len(tables), len(groups))
	}
	_, err = s.DeleteVpc(ctx, &ec2api.DeleteVpcInput{VpcId: v.VpcId})
	refused(t, err, "InvalidVpcID.NotFound", "")
}
