package ec2_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/tarn-eks/tarn/internal/api"
	ec2api "github.com/tarn-eks/tarn/internal/api/ec2"
)

// A VPC from nothing to nothing, by AWS's own client.
func TestNetworkOverTheWire(t *testing.T) {
	c, ctx := client(t, service(t, "ap-northeast-2")), t.Context()
	v := *must[*awsec2.CreateVpcOutput](t)(c.CreateVpc(ctx, &awsec2.CreateVpcInput{CidrBlock: aws.String("10.0.0.0/16"), TagSpecifications: []types.TagSpecification{
		{ResourceType: types.ResourceTypeVpc, Tags: []types.Tag{{Key: aws.String("Name"), Value: aws.String("lake")}}},
	}})).Vpc.VpcId
	sub := *must[*awsec2.CreateSubnetOutput](t)(c.CreateSubnet(ctx, &awsec2.CreateSubnetInput{VpcId: &v, CidrBlock: aws.String("10.0.0.0/24"), AvailabilityZone: aws.String("ap-northeast-2b")})).Subnet.SubnetId
	gateway := *must[*awsec2.CreateInternetGatewayOutput](t)(c.CreateInternetGateway(ctx, &awsec2.CreateInternetGatewayInput{})).InternetGateway.InternetGatewayId
	must[*awsec2.AttachInternetGatewayOutput](t)(c.AttachInternetGateway(ctx, &awsec2.AttachInternetGatewayInput{InternetGatewayId: &gateway, VpcId: &v}))
	tables := must[*awsec2.DescribeRouteTablesOutput](t)(c.DescribeRouteTables(ctx, &awsec2.DescribeRouteTablesInput{Filters: []types.Filter{{Name: aws.String("vpc-id"), Values: []string{v}}}})).RouteTables
	if len(tables) != 1 || !*tables[0].Associations[0].Main {
		t.Fatalf("%d route tables, want the main one", len(tables))
	}
	must[*awsec2.CreateRouteOutput](t)(c.CreateRoute(ctx, &awsec2.CreateRouteInput{RouteTableId: tables[0].RouteTableId, DestinationCidrBlock: aws.String("0.0.0.0/0"), GatewayId: &gateway}))

	g := must[*awsec2.CreateSecurityGroupOutput](t)(c.CreateSecurityGroup(ctx, &awsec2.CreateSecurityGroupInput{GroupName: aws.String("elb"), Description: aws.String("Security group for Kubernetes ELB a1 (default/web)"), VpcId: &v}))
	if want := "arn:aws:ec2:ap-northeast-2:000000000000:security-group/" + *g.GroupId; *g.SecurityGroupArn != want {
		t.Errorf("%s, want %s", *g.SecurityGroupArn, want)
	}
	permissions := []types.IpPermission{{
		IpProtocol: aws.String("tcp"), FromPort: aws.Int32(443), ToPort: aws.Int32(443), IpRanges: []types.IpRange{{CidrIp: aws.String("0.0.0.0/0"), Description: aws.String("web")}},
		Ipv6Ranges: []types.Ipv6Range{{CidrIpv6: aws.String("::/0")}}, UserIdGroupPairs: []types.UserIdGroupPair{{GroupId: g.GroupId}},
	}}
	rules := must[*awsec2.AuthorizeSecurityGroupIngressOutput](t)(c.AuthorizeSecurityGroupIngress(ctx, &awsec2.AuthorizeSecurityGroupIngressInput{GroupId: g.GroupId, IpPermissions: permissions}))
	if !*rules.Return || len(rules.SecurityGroupRules) != 3 {
		t.Errorf("%+v", rules)
	}
	_, err := c.AuthorizeSecurityGroupIngress(ctx, &awsec2.AuthorizeSecurityGroupIngressInput{GroupId: g.GroupId, IpPermissions: permissions})
	wantCode(t, "the same rules again", err, "InvalidPermission.Duplicate", "already exists")
	shown := must[*awsec2.DescribeSecurityGroupsOutput](t)(c.DescribeSecurityGroups(ctx, &awsec2.DescribeSecurityGroupsInput{GroupIds: []string{*g.GroupId}})).SecurityGroups[0].IpPermissions
	if len(shown) != 1 || *shown[0].IpRanges[0].Description != "web" || *shown[0].Ipv6Ranges[0].CidrIpv6 != "::/0" || *shown[0].UserIdGroupPairs[0].UserId != account {
		t.Errorf("%+v", shown)
	}
	revoked := must[*awsec2.RevokeSecurityGroupIngressOutput](t)(c.RevokeSecurityGroupIngress(ctx, &awsec2.RevokeSecurityGroupIngressInput{GroupId: g.GroupId, SecurityGroupRuleIds: []string{*rules.SecurityGroupRules[0].SecurityGroupRuleId}}))
	if len(revoked.RevokedSecurityGroupRules) != 1 {
		t.Errorf("%+v", revoked)
	}
	_, err = c.CreateSecurityGroup(ctx, &awsec2.CreateSecurityGroupInput{GroupName: aws.String("elb"), Description: aws.String("again"), VpcId: &v})
	wantCode(t, "the same name again", err, "InvalidGroup.Duplicate", "elb")
	_, err = c.DeleteVpc(ctx, &awsec2.DeleteVpcInput{VpcId: &v})
	wantCode(t, "a VPC in use", err, "DependencyViolation", v)
	_, err = c.DescribeVpcs(ctx, &awsec2.DescribeVpcsInput{DryRun: aws.Bool(true)})
	wantCode(t, "a dry run", err, "DryRunOperation", "Request would have succeeded, but DryRun flag is set.")

	pages, tagged := awsec2.NewDescribeTagsPaginator(c, &awsec2.DescribeTagsInput{MaxResults: aws.Int32(5)}), []string{}
	must[*awsec2.CreateTagsOutput](t)(c.CreateTags(ctx, &awsec2.CreateTagsInput{Resources: []string{v, sub, gateway, *g.GroupId, *tables[0].RouteTableId}, Tags: []types.Tag{
		{Key: aws.String("a"), Value: aws.String("1")}, {Key: aws.String("b"), Value: aws.String("")},
	}}))
	for pages.HasMorePages() {
		for _, tag := range must[*awsec2.DescribeTagsOutput](t)(pages.NextPage(ctx)).Tags {
			tagged = append(tagged, *tag.ResourceId+" "+*tag.Key+"="+*tag.Value)
		}
	}
	if len(tagged) != 11 || !slices.IsSorted(tagged) || !slices.Contains(tagged, v+" Name=lake") || !slices.Contains(tagged, sub+" b=") {
		t.Errorf("%d tags: %v", len(tagged), tagged)
	}

	must[*awsec2.DeleteSecurityGroupOutput](t)(c.DeleteSecurityGroup(ctx, &awsec2.DeleteSecurityGroupInput{GroupId: g.GroupId}))
	must[*awsec2.DetachInternetGatewayOutput](t)(c.DetachInternetGateway(ctx, &awsec2.DetachInternetGatewayInput{InternetGatewayId: &gateway, VpcId: &v}))
	must[*awsec2.DeleteInternetGatewayOutput](t)(c.DeleteInternetGateway(ctx, &awsec2.DeleteInternetGatewayInput{InternetGatewayId: &gateway}))
	must[*awsec2.DeleteSubnetOutput](t)(c.DeleteSubnet(ctx, &awsec2.DeleteSubnetInput{SubnetId: &sub}))
	must[*awsec2.DeleteVpcOutput](t)(c.DeleteVpc(ctx, &awsec2.DeleteVpcInput{VpcId: &v}))
	if left := must[*awsec2.DescribeTagsOutput](t)(c.DescribeTags(ctx, &awsec2.DescribeTagsInput{})).Tags; len(left) != 0 {
		t.Errorf("deleted things left tags: %v", left)
	}
}

// Of calls that cannot all succeed, one does, however they come.
func TestNetworkCallsAtOnce(t *testing.T) {
	s, ctx := service(t, "ap-northeast-2"), t.Context()
	v := newVPC(t, s, "10.0.0.0/16")
	g := newGroup(t, s, v, "rules")
	for _, test := range []struct {
		name string
		call func(i int) error
		won  int // calls that succeed
		code string
	}{
		{"a group's name", func(int) error {
			_, err := s.CreateSecurityGroup(ctx, &ec2api.CreateSecurityGroupInput{GroupName: new("web"), Description: new("web"), VpcId: &v})
			return err
		}, 1, "InvalidGroup.Duplicate"},
		{"a block", func(i int) error {
			_, err := s.CreateSubnet(ctx, &ec2api.CreateSubnetInput{VpcId: &v, CidrBlock: new(fmt.Sprintf("10.0.0.0/%d", 20+i%8))})
			return err
		}, 1, "InvalidSubnet.Conflict"},
		{"a rule", func(int) error {
			_, err := s.AuthorizeSecurityGroupIngress(ctx, &ec2api.AuthorizeSecurityGroupIngressInput{GroupId: &g, IpPermissions: []ec2api.IpPermission{tcp(80, 80, "0.0.0.0/0")}})
			return err
		}, 1, "InvalidPermission.Duplicate"},
		{"rules and tags of a group", func(i int) error {
			if i%2 == 0 {
				_, err := s.CreateTags(ctx, &ec2api.CreateTagsInput{Resources: []string{g}, Tags: []ec2api.Tag{{Key: new(fmt.Sprint(i)), Value: new("")}}})
				return err
			}
			_, err := s.AuthorizeSecurityGroupIngress(ctx, &ec2api.AuthorizeSecurityGroupIngressInput{GroupId: &g, IpPermissions: []ec2api.IpPermission{tcp(int32(i), int32(i), "0.0.0.0/0")}})
			return err
		}, 16, ""},
	} {
		var (
			wait sync.WaitGroup
			mu   sync.Mutex
			won  int
		)
		for i := range 16 {
			wait.Go(func() {
				err := test.call(i)
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					won++
				} else if api.Code(err) != test.code {
					t.Errorf("%s: %v", test.name, err)
				}
			})
		}
		wait.Wait()
		if won != test.won {
			t.Errorf("%s: %d calls succeeded, want %d", test.name, won, test.won)
		}
	}
	kept, err := s.SecurityGroups.Get(ctx, g)
	if err != nil || len(kept.Value.Tags) != 8 || len(kept.Value.Rules) != 1+1+8 {
		t.Errorf("%d tags and %d rules, %v", len(kept.Value.Tags), len(kept.Value.Rules), err)
	}
}
