package ec2_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	ec2api "github.com/tarn-eks/tarn/internal/api/ec2"
	"github.com/tarn-eks/tarn/internal/service/ec2"
)

// needs are a call's needs, a line each: the action, the resource, and those of
// the condition keys that are asked for.
func needs(t *testing.T, s *ec2.Service, operation string, in any, keys ...string) string {
	t.Helper()
	requests, err := s.Authorization(t.Context(), operation, in)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, r := range requests {
		if !slices.Equal(r.Context["ec2:region"], []string{"ap-northeast-2"}) {
			t.Errorf("%s: ec2:region is %v", operation, r.Context["ec2:region"])
		}
		words := append([]string{r.Action}, r.Resources...)
		for _, k := range slices.Sorted(maps.Keys(r.Context)) {
			if slices.Contains(keys, k) {
				words = append(words, k+"="+strings.Join(r.Context[k], ","))
			}
			if k != strings.ToLower(k) {
				t.Errorf("%s: the key %s is not in lower case", operation, k)
			}
		}
		lines = append(lines, strings.Join(words, " "))
	}
	return strings.ReplaceAll(strings.Join(lines, "\n"), "arn:aws:ec2:ap-northeast-2:000000000000:", "")
}

// Every operation has an answer, even when what it names does not exist, and the
// first of it is about its own action.
func TestAuthorizationKnowsEveryOperation(t *testing.T) {
	s := service(t, "ap-northeast-2")
	for _, op := range ec2api.Service.Operations {
		in := filled(op.Input)
		requests, err := s.Authorization(t.Context(), op.Name, in)
		if err != nil {
			t.Errorf("%s: %v", op.Name, err)
			continue
		}
		if len(requests) == 0 || requests[0].Action != "ec2:"+op.Name {
			t.Errorf("%s needs %v", op.Name, requests)
		}
		for _, r := range requests {
			for _, resource := range r.Resources {
				if !strings.HasPrefix(resource, "arn:aws:ec2:ap-northeast-2:") {
					t.Errorf("%s needs %s on %s", op.Name, r.Action, resource)
				}
			}
			if strings.HasPrefix(op.Name, "Describe") == (len(r.Resources) > 0) && !slices.Contains([]string{"DescribeVpcAttribute", "DescribeInstanceAttribute", "GetInstanceTypesFromInstanceRequirements"}, op.Name) {
				t.Errorf("%s needs %s on %v", op.Name, r.Action, r.Resources)
			}
		}
	}
	if _, err := s.Authorization(t.Context(), "CreateLake", &ec2api.CreateVpcInput{}); err == nil {
		t.Error("an operation that nobody knows may be made by all")
	}
}

func TestAuthorization(t *testing.T) {
	s, home := withVPC(t, "ap-northeast-2", "192.168.0.0/16")
	ctx := t.Context()
	team := []ec2api.Tag{{Key: new("Team"), Value: new("water")}}
	g := newGroup(t, s, home.VPC, "web")
	ok(s.CreateTags(ctx, &ec2api.CreateTagsInput{Resources: []string{g}, Tags: team}))
	i := run(t, s, ec2.LaunchInput{Type: "t3.small", Subnet: home.ID, Count: 1, Tags: map[string]string{"Team": "fire"}})[0]
	tables := ok(s.DescribeRouteTables(ctx, &ec2api.DescribeRouteTablesInput{Filters: []ec2api.Filter{filter("association.subnet-id", home.ID)}})).RouteTables
	association := tables[0].Associations[slices.IndexFunc(tables[0].Associations, func(a ec2api.RouteTableAssociation) bool { return *a.SubnetId == home.ID })]
	for _, test := range []struct {
		name, operation string
		in              any
		keys            []string
		want            string
	}{
		{"no resource", "DescribeInstances", &ec2api.DescribeInstancesInput{}, nil, "ec2:DescribeInstances"},
		{"what does not exist", "DeleteSubnet", &ec2api.DeleteSubnetInput{SubnetId: new("subnet-1")}, nil, "ec2:DeleteSubnet subnet/subnet-1"},
		{"a group by name", "DeleteSecurityGroup", &ec2api.DeleteSecurityGroupInput{GroupName: new("a")}, nil, "ec2:DeleteSecurityGroup security-group/*"},
		{"its tags", "DeleteSecurityGroup", &ec2api.DeleteSecurityGroupInput{GroupId: &g}, []string{"aws:resourcetag/team", "ec2:resourcetag/team", "ec2:vpc"},
			"ec2:DeleteSecurityGroup security-group/" + g + " aws:resourcetag/team=water ec2:resourcetag/team=water ec2:vpc=vpc/" + home.VPC},
		{"several", "TerminateInstances", &ec2api.TerminateInstancesInput{InstanceIds: []string{i.ID, "i-1"}}, []string{"aws:resourcetag/team", "ec2:instancetype"},
			"ec2:TerminateInstances instance/" + i.ID + " aws:resourcetag/team=fire ec2:instancetype=t3.small\nec2:TerminateInstances instance/i-1"},
		{"one that is made, in another", "CreateSubnet", &ec2api.CreateSubnetInput{VpcId: &home.VPC, TagSpecifications: []ec2api.TagSpecification{{ResourceType: "subnet", Tags: team}}},
			[]string{"aws:requesttag/team", "aws:tagkeys", "ec2:createaction", "ec2:vpcid"},
			"ec2:CreateSubnet subnet/* aws:requesttag/team=water aws:tagkeys=Team\n" +
				"ec2:CreateSubnet vpc/" + home.VPC + " ec2:vpcid=" + home.VPC + "\n" +
				"ec2:CreateTags subnet/* aws:requesttag/team=water aws:tagkeys=Team ec2:createaction=CreateSubnet"},
		{"a rule without tags", "AuthorizeSecurityGroupIngress", &ec2api.AuthorizeSecurityGroupIngressInput{GroupId: &g}, nil, "ec2:AuthorizeSecurityGroupIngress security-group/" + g},
		{"tags", "CreateTags", &ec2api.CreateTagsInput{Resources: []string{g, i.ID}, Tags: team}, []string{"aws:requesttag/team", "aws:resourcetag/team", "ec2:createaction"},
			"ec2:CreateTags security-group/" + g + " aws:requesttag/team=water aws:resourcetag/team=water\n" +
				"ec2:CreateTags instance/" + i.ID + " aws:requesttag/team=water aws:resourcetag/team=fire"},
		{"an association", "DisassociateRouteTable", &ec2api.DisassociateRouteTableInput{AssociationId: association.RouteTableAssociationId}, nil,
			"ec2:DisassociateRouteTable route-table/" + *tables[0].RouteTableId + "\nec2:DisassociateRouteTable subnet/" + home.ID},
		{"a role", "AssociateIamInstanceProfile", &ec2api.AssociateIamInstanceProfileInput{InstanceId: &i.ID, IamInstanceProfile: &ec2api.IamInstanceProfileSpecification{Name: new("nodes")}},
			[]string{"iam:passedtoservice"},
			"ec2:AssociateIamInstanceProfile instance/" + i.ID + "\niam:PassRole arn:aws:iam::000000000000:role/nodes iam:passedtoservice=ec2.amazonaws.com"},
		{"no such role", "AssociateIamInstanceProfile", &ec2api.AssociateIamInstanceProfileInput{InstanceId: &i.ID, IamInstanceProfile: &ec2api.IamInstanceProfileSpecification{Name: new("none")}},
			nil, "ec2:AssociateIamInstanceProfile instance/" + i.ID},
		{"a volume", "DeleteTags", &ec2api.DeleteTagsInput{Resources: []string{i.Volume.ID}}, nil, "ec2:DeleteTags volume/" + i.Volume.ID},
		{"a key pair", "CreateKeyPair", &ec2api.CreateKeyPairInput{KeyName: new("me")}, []string{"ec2:keypairname"}, "ec2:CreateKeyPair key-pair/me ec2:keypairname=me"},
	} {
		if diff := cmp.Diff(test.want, needs(t, s, test.operation, test.in, test.keys...)); diff != "" {
			t.Errorf("%s: %s", test.name, diff)
		}
	}
}

func TestAuthorizationToRun(t *testing.T) {
	s, home := withVPC(t, "ap-northeast-2", "192.168.0.0/16")
	ctx := t.Context()
	standard := *ok(s.DescribeSecurityGroups(ctx, &ec2api.DescribeSecurityGroupsInput{})).SecurityGroups[0].GroupId
	web := newGroup(t, s, home.VPC, "web")
	ok(s.CreateKeyPair(ctx, &ec2api.CreateKeyPairInput{KeyName: new("me"), KeyType: "ed25519"}))
	image := *ok(s.DescribeImages(ctx, &ec2api.DescribeImagesInput{})).Images[0].ImageId
	run := func(in ec2api.RunInstancesInput, keys ...string) string {
		in.MinCount, in.MaxCount = new(int32(1)), new(int32(1))
		return needs(t, s, "RunInstances", &in, keys...)
	}
	tags := func(resource ec2api.ResourceType, key, value string) []ec2api.TagSpecification {
		return []ec2api.TagSpecification{{ResourceType: resource, Tags: []ec2api.Tag{{Key: &key, Value: &value}}}}
	}

	got := run(ec2api.RunInstancesInput{
		ImageId: &image, InstanceType: "t3.small", SubnetId: &home.ID, KeyName: new("me"), TagSpecifications: tags("instance", "Team", "water"),
		IamInstanceProfile: &ec2api.IamInstanceProfileSpecification{Name: new("nodes")},
	}, "ec2:instancetype", "aws:requesttag/team", "ec2:createaction", "ec2:availabilityzone", "ec2:owner", "ec2:islaunchtemplateresource")
	want := fmt.Sprintf(`ec2:RunInstances subnet/%s ec2:availabilityzone=%s
ec2:RunInstances security-group/%s
ec2:RunInstances network-interface/* ec2:availabilityzone=%[2]s
ec2:RunInstances instance/* aws:requesttag/team=water ec2:availabilityzone=%[2]s ec2:instancetype=t3.small
ec2:RunInstances arn:aws:ec2:ap-northeast-2::image/%[4]s ec2:owner=amazon
ec2:RunInstances volume/* ec2:availabilityzone=%[2]s
ec2:RunInstances key-pair/me
iam:PassRole arn:aws:iam::000000000000:role/nodes
ec2:CreateTags instance/* aws:requesttag/team=water ec2:createaction=RunInstances`, home.ID, home.Zone, standard, image)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}

	// What a launch template says needs permission as if the request said it.
	template := ok(s.CreateLaunchTemplate(ctx, &ec2api.CreateLaunchTemplateInput{LaunchTemplateName: new("web"), LaunchTemplateData: &ec2api.RequestLaunchTemplateData{
		ImageId: &image, InstanceType: "t3.large", SecurityGroupIds: []string{web},
		IamInstanceProfile: &ec2api.LaunchTemplateIamInstanceProfileSpecificationRequest{Name: new("nodes")},
		TagSpecifications:  []ec2api.LaunchTemplateTagSpecificationRequest{{ResourceType: "volume", Tags: []ec2api.Tag{{Key: new("Team"), Value: new("fire")}}}},
	}})).LaunchTemplate
	got = run(ec2api.RunInstancesInput{SubnetId: &home.ID, InstanceType: "t3.small", LaunchTemplate: &ec2api.LaunchTemplateSpecification{LaunchTemplateName: new("web")}},
		"ec2:islaunchtemplateresource", "ec2:instancetype", "aws:requesttag/team", "ec2:createaction")
	want = fmt.Sprintf(`ec2:RunInstances launch-template/%s ec2:islaunchtemplateresource=false
ec2:RunInstances subnet/%s ec2:islaunchtemplateresource=false
ec2:RunInstances security-group/%s ec2:islaunchtemplateresource=true
ec2:RunInstances network-interface/* ec2:islaunchtemplateresource=false
ec2:RunInstances instance/* ec2:instancetype=t3.small ec2:islaunchtemplateresource=false
ec2:RunInstances arn:aws:ec2:ap-northeast-2::image/%s ec2:islaunchtemplateresource=true
ec2:RunInstances volume/* aws:requesttag/team=fire ec2:islaunchtemplateresource=false
iam:PassRole arn:aws:iam::000000000000:role/nodes
ec2:CreateTags volume/* aws:requesttag/team=fire ec2:createaction=RunInstances`, *template.LaunchTemplateId, home.ID, web, image)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}

	got = run(ec2api.RunInstancesInput{LaunchTemplate: &ec2api.LaunchTemplateSpecification{LaunchTemplateId: new("lt-0")}, KeyName: new("you"), ImageId: new("ami-0")})
	for _, line := range []string{"launch-template/lt-0", "subnet/*", "key-pair/you", "image/ami-0"} {
		if !strings.Contains(got, line) {
			t.Errorf("%s is not in\n%s", line, got)
		}
	}
}
