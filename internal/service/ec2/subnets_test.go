package ec2_test

import (
	"slices"
	"testing"

	ec2api "github.com/tarn-eks/tarn/internal/api/ec2"
	"github.com/tarn-eks/tarn/internal/service/ec2"
)

// newVPC makes a VPC by the API.
func newVPC(t *testing.T, s *ec2.Service, cidr string) string {
	t.Helper()
	return *ok(s.CreateVpc(t.Context(), &ec2api.CreateVpcInput{CidrBlock: &cidr})).Vpc.VpcId
}

func newSubnet(t *testing.T, s *ec2.Service, vpc, cidr string) string {
	t.Helper()
	return *ok(s.CreateSubnet(t.Context(), &ec2api.CreateSubnetInput{VpcId: &vpc, CidrBlock: &cidr})).Subnet.SubnetId
}

func TestSubnets(t *testing.T) {
	s, ctx := service(t, "ap-northeast-2"), t.Context()
	v := newVPC(t, s, "10.0.0.0/16")
	other := newVPC(t, s, "10.0.0.0/16") // VPCs may overlap, and so may their subnets
	made := ok(s.CreateSubnet(ctx, &ec2api.CreateSubnetInput{VpcId: &v, CidrBlock: new("10.0.1.0/24"), AvailabilityZoneId: new("apne2-az3")})).Subnet
	checkID(t, "subnet", *made.SubnetId)
	if *made.AvailabilityZone != "ap-northeast-2c" || *made.AvailableIpAddressCount != 251 || *made.MapPublicIpOnLaunch ||
		*made.SubnetArn != "arn:aws:ec2:ap-northeast-2:000000000000:subnet/"+*made.SubnetId {
		t.Errorf("%+v", made)
	}
	newSubnet(t, s, other, "10.0.1.0/24")
	const none = "vpc-00000000000000000"
	for _, test := range []struct {
		in          ec2api.CreateSubnetInput
		code, words string
	}{
		{ec2api.CreateSubnetInput{VpcId: &v, CidrBlock: new("10.0.1.128/25")}, "InvalidSubnet.Conflict", "The CIDR '10.0.1.128/25' conflicts with another subnet"},
		{ec2api.CreateSubnetInput{VpcId: &v, CidrBlock: new("10.0.0.0/16")}, "InvalidSubnet.Conflict", ""},
		{ec2api.CreateSubnetInput{VpcId: &v, CidrBlock: new("10.1.0.0/24")}, "InvalidSubnet.Range", "The CIDR '10.1.0.0/24' is invalid."},
		{ec2api.CreateSubnetInput{VpcId: &v, CidrBlock: new("10.0.2.0/29")}, "InvalidSubnet.Range", ""},
		{ec2api.CreateSubnetInput{VpcId: &v, CidrBlock: new("10.0.0.0/8")}, "InvalidSubnet.Range", ""},
		{ec2api.CreateSubnetInput{VpcId: &v, CidrBlock: new("10.0.2.0/24"), AvailabilityZone: new("ap-northeast-2z")}, "InvalidParameterValue",
			"Value (ap-northeast-2z) for parameter availabilityZone is invalid. Subnets can currently only be created in the following availability zones: ap-northeast-2a, ap-northeast-2b, ap-northeast-2c, ap-northeast-2d."},
		{ec2api.CreateSubnetInput{VpcId: new(none), CidrBlock: new("10.0.2.0/24")}, "InvalidVpcID.NotFound", none},
		{ec2api.CreateSubnetInput{VpcId: &v}, "MissingParameter", "cidrBlock"},
		{ec2api.CreateSubnetInput{VpcId: &v, CidrBlock: new("10.0.2.0/24"), DryRun: new(true)}, "DryRunOperation", ""},
	} {
		_, err := s.CreateSubnet(ctx, &test.in)
		refused(t, err, test.code, test.words)
	}

	// Addresses that interfaces have are not available; AWS counts each.
	run(t, s, ec2.LaunchInput{Type: "t3.small", Subnet: *made.SubnetId, Count: 1})
	taken := len(enis(t, s)[0].Value.Addresses)
	shown := ok(s.DescribeSubnets(ctx, &ec2api.DescribeSubnetsInput{Filters: []ec2api.Filter{filter("vpc-id", v), filter("availability-zone-id", "apne2-az3")}})).Subnets
	if len(shown) != 1 || int(*shown[0].AvailableIpAddressCount) != 251-taken || taken < 1 {
		t.Errorf("%d of 251 addresses available with %d taken", *shown[0].AvailableIpAddressCount, taken)
	}
	_, err := s.DeleteSubnet(ctx, &ec2api.DeleteSubnetInput{SubnetId: made.SubnetId})
	refused(t, err, "DependencyViolation", "The subnet '"+*made.SubnetId+"' has dependencies and cannot be deleted.")
	_, err = s.DeleteVpc(ctx, &ec2api.DeleteVpcInput{VpcId: &v})
	refused(t, err, "DependencyViolation", "The vpc '"+v+"' has dependencies and cannot be deleted.")

	ok(s.ModifySubnetAttribute(ctx, &ec2api.ModifySubnetAttributeInput{SubnetId: made.SubnetId, MapPublicIpOnLaunch: &ec2api.AttributeBooleanValue{Value: new(true)}}))
	if shown := ok(s.DescribeSubnets(ctx, &ec2api.DescribeSubnetsInput{SubnetIds: []string{*made.SubnetId}})).Subnets; !*shown[0].MapPublicIpOnLaunch {
		t.Error("mapPublicIpOnLaunch did not change")
	}
	_, err = s.ModifySubnetAttribute(ctx, &ec2api.ModifySubnetAttributeInput{SubnetId: made.SubnetId, EnableDns64: &ec2api.AttributeBooleanValue{Value: new(true)}})
	refused(t, err, "UnsupportedOperation", "EnableDns64")
}

// Every page holds what the call asked for, and nothing is lost or doubled when
// things come and go in between.
func TestPages(t *testing.T) {
	s, ctx := service(t, "ap-northeast-2"), t.Context()
	v := newVPC(t, s, "10.0.0.0/16")
	var want []string
	for _, cidr := range []string{"10.0.0.0/24", "10.0.1.0/24", "10.0.2.0/24", "10.0.3.0/24", "10.0.4.0/24", "10.0.5.0/24", "10.0.6.0/24", "10.0.7.0/24", "10.0.8.0/24", "10.0.9.0/24", "10.0.10.0/24", "10.0.11.0/24"} {
		want = append(want, newSubnet(t, s, v, cidr))
	}
	slices.Sort(want)
	var got []string
	in := &ec2api.DescribeSubnetsInput{MaxResults: new(int32(5))}
	for {
		out := ok(s.DescribeSubnets(ctx, in))
		for _, sub := range out.Subnets {
			got = append(got, *sub.SubnetId)
		}
		if out.NextToken == nil {
			break
		}
		if len(out.Subnets) != 5 {
			t.Errorf("a page of %d", len(out.Subnets))
		}
		// The one that the token was made from goes away.
		ok(s.DeleteSubnet(ctx, &ec2api.DeleteSubnetInput{SubnetId: out.Subnets[4].SubnetId}))
		in.NextToken = out.NextToken
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestRoutes(t *testing.T) {
	s, ctx := service(t, "ap-northeast-2"), t.Context()
	v, other := newVPC(t, s, "10.0.0.0/16"), newVPC(t, s, "10.1.0.0/16")
	sub := newSubnet(t, s, v, "10.0.0.0/24")
	table := *ok(s.CreateRouteTable(ctx, &ec2api.CreateRouteTableInput{VpcId: &v, ClientToken: new("a")})).RouteTable.RouteTableId
	if again := *ok(s.CreateRouteTable(ctx, &ec2api.CreateRouteTableInput{VpcId: &v, ClientToken: new("a")})).RouteTable.RouteTableId; again != table {
		t.Errorf("the same client token made %s and %s", table, again)
	}
	_, err := s.CreateRouteTable(ctx, &ec2api.CreateRouteTableInput{VpcId: &other, ClientToken: new("a")})
	refused(t, err, "IdempotentParameterMismatch", "")

	gateway := *ok(s.CreateInternetGateway(ctx, &ec2api.CreateInternetGatewayInput{})).InternetGateway.InternetGatewayId
	route := func(in ec2api.CreateRouteInput) error {
		in.RouteTableId = &table
		_, err := s.CreateRoute(ctx, &in)
		return err
	}
	everywhere := new("0.0.0.0/0")
	refused(t, route(ec2api.CreateRouteInput{DestinationCidrBlock: everywhere, GatewayId: &gateway}), "InvalidParameterValue", "belong to different networks")
	ok(s.AttachInternetGateway(ctx, &ec2api.AttachInternetGatewayInput{InternetGatewayId: &gateway, VpcId: &v}))
	_, err = s.AttachInternetGateway(ctx, &ec2api.AttachInternetGatewayInput{InternetGatewayId: &gateway, VpcId: &other})
	refused(t, err, "Resource.AlreadyAssociated", "resource "+gateway+" is already attached to network "+v)
	if err := route(ec2api.CreateRouteInput{DestinationCidrBlock: everywhere, GatewayId: &gateway}); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		in          ec2api.CreateRouteInput
		code, words string
	}{
		{ec2api.CreateRouteInput{DestinationCidrBlock: everywhere, GatewayId: &gateway}, "RouteAlreadyExists", "The route identified by 0.0.0.0/0 already exists."},
		{ec2api.CreateRouteInput{DestinationCidrBlock: new("10.0.3.0/24"), GatewayId: &gateway}, "InvalidParameterValue", "equal to or more specific"},
		{ec2api.CreateRouteInput{DestinationCidrBlock: new("1.0.0.0/8")}, "MissingParameter", "exactly one of gatewayId"},
		{ec2api.CreateRouteInput{DestinationCidrBlock: new("1.0.0.0/8"), GatewayId: &gateway, NatGatewayId: new("nat-1")}, "InvalidParameterCombination", ""},
		{ec2api.CreateRouteInput{DestinationCidrBlock: new("1.0.0.0/8"), NatGatewayId: new("nat-1")}, "InvalidNatGatewayID.NotFound", "nat-1"},
		{ec2api.CreateRouteInput{GatewayId: &gateway}, "MissingParameter", ""},
	} {
		refused(t, route(test.in), test.code, test.words)
	}
	association := *ok(s.AssociateRouteTable(ctx, &ec2api.AssociateRouteTableInput{RouteTableId: &table, SubnetId: &sub})).AssociationId
	_, err = s.AssociateRouteTable(ctx, &ec2api.AssociateRouteTableInput{RouteTableId: &table, SubnetId: &sub})
	refused(t, err, "Resource.AlreadyAssociated", "")
	_, err = s.DeleteRouteTable(ctx, &ec2api.DeleteRouteTableInput{RouteTableId: &table})
	refused(t, err, "DependencyViolation", "The routeTable '"+table+"' has dependencies and cannot be deleted.")

	// What the cloud controller manager asks to tell public subnets.
	tables := ok(s.DescribeRouteTables(ctx, &ec2api.DescribeRouteTablesInput{Filters: []ec2api.Filter{filter("vpc-id", v)}})).RouteTables
	if len(tables) != 2 {
		t.Fatalf("%d tables, want the main one and another", len(tables))
	}
	main := ok(s.DescribeRouteTables(ctx, &ec2api.DescribeRouteTablesInput{Filters: []ec2api.Filter{filter("association.main", "true"), filter("vpc-id", v)}})).RouteTables[0]
	if len(main.Routes) != 1 || *main.Routes[0].GatewayId != "local" || !*main.Associations[0].Main || main.Associations[0].SubnetId != nil {
		t.Errorf("main table %+v", main)
	}
	mine := ok(s.DescribeRouteTables(ctx, &ec2api.DescribeRouteTablesInput{Filters: []ec2api.Filter{filter("route.gateway-id", "igw-*"), filter("association.subnet-id", sub)}})).RouteTables
	if len(mine) != 1 || *mine[0].RouteTableId != table || mine[0].Routes[1].State != "active" {
		t.Errorf("%+v", mine)
	}

	// The main role moves, and back.
	moved := *ok(s.ReplaceRouteTableAssociation(ctx, &ec2api.ReplaceRouteTableAssociationInput{AssociationId: main.Associations[0].RouteTableAssociationId, RouteTableId: &table})).NewAssociationId
	if now := ok(s.DescribeRouteTables(ctx, &ec2api.DescribeRouteTablesInput{Filters: []ec2api.Filter{filter("association.main", "true"), filter("vpc-id", v)}})).RouteTables; *now[0].RouteTableId != table {
		t.Error("the main table is the old one")
	}
	ok(s.ReplaceRouteTableAssociation(ctx, &ec2api.ReplaceRouteTableAssociationInput{AssociationId: &moved, RouteTableId: main.RouteTableId}))

	ok(s.DetachInternetGateway(ctx, &ec2api.DetachInternetGatewayInput{InternetGatewayId: &gateway, VpcId: &v}))
	_, err = s.DetachInternetGateway(ctx, &ec2api.DetachInternetGatewayInput{InternetGatewayId: &gateway, VpcId: &v})
	refused(t, err, "Gateway.NotAttached", "")
	if dead := ok(s.DescribeRouteTables(ctx, &ec2api.DescribeRouteTablesInput{Filters: []ec2api.Filter{filter("route.state", "blackhole")}})).RouteTables; len(dead) != 1 || *dead[0].RouteTableId != table {
		t.Errorf("%d tables with a route that leads nowhere, want one", len(dead))
	}
	ok(s.DeleteInternetGateway(ctx, &ec2api.DeleteInternetGatewayInput{InternetGatewayId: &gateway}))

	_, err = s.DeleteRoute(ctx, &ec2api.DeleteRouteInput{RouteTableId: &table, DestinationCidrBlock: new("10.0.0.0/16")})
	refused(t, err, "InvalidParameterValue", "cannot remove local route 10.0.0.0/16")
	ok(s.DeleteRoute(ctx, &ec2api.DeleteRouteInput{RouteTableId: &table, DestinationCidrBlock: everywhere}))
	_, err = s.DeleteRoute(ctx, &ec2api.DeleteRouteInput{RouteTableId: &table, DestinationCidrBlock: everywhere})
	refused(t, err, "InvalidRoute.NotFound", "no route with destination-cidr-block 0.0.0.0/0 in route table "+table)

	// To an instance, as the controller's pod routes go; it leads nowhere when the instance is gone.
	i := run(t, s, ec2.LaunchInput{Type: "t3.small", Subnet: sub, Count: 1})[0]
	if err := route(ec2api.CreateRouteInput{DestinationCidrBlock: new("100.64.0.0/24"), InstanceId: &i.ID}); err != nil {
		t.Fatal(err)
	}
	got := ok(s.DescribeRouteTables(ctx, &ec2api.DescribeRouteTablesInput{RouteTableIds: []string{table}})).RouteTables[0].Routes[1]
	if *got.InstanceId != i.ID || *got.NetworkInterfaceId != i.ENI || *got.InstanceOwnerId != account || got.State != "active" {
		t.Errorf("%+v", got)
	}

	ok(s.DisassociateRouteTable(ctx, &ec2api.DisassociateRouteTableInput{AssociationId: &association}))
	_, err = s.DisassociateRouteTable(ctx, &ec2api.DisassociateRouteTableInput{AssociationId: &association})
	refused(t, err, "InvalidAssociationID.NotFound", "")
	ok(s.DeleteRouteTable(ctx, &ec2api.DeleteRouteTableInput{RouteTableId: &table}))
}

func TestZonesAndRegions(t *testing.T) {
	s, ctx := service(t, "ap-northeast-1"), t.Context()
	all := ok(s.DescribeAvailabilityZones(ctx, &ec2api.DescribeAvailabilityZonesInput{})).AvailabilityZones
	got := map[string]string{}
	for _, z := range all {
		got[*z.ZoneName] = *z.ZoneId
		if *z.ZoneType != "availability-zone" || z.State != "available" {
			t.Errorf("%+v", z)
		}
	}
	if len(got) != 3 || got["ap-northeast-1a"] != "apne1-az4" || got["ap-northeast-1c"] != "apne1-az1" || got["ap-northeast-1d"] != "apne1-az2" {
		t.Errorf("%v", got)
	}
	// A zone that is not shown exists where something lives in it.
	v := newVPC(t, s, "10.0.0.0/16")
	ok(s.CreateSubnet(ctx, &ec2api.CreateSubnetInput{VpcId: &v, CidrBlock: new("10.0.0.0/24"), AvailabilityZone: new("ap-northeast-1b")}))
	b := ok(s.DescribeAvailabilityZones(ctx, &ec2api.DescribeAvailabilityZonesInput{ZoneNames: []string{"ap-northeast-1b"}})).AvailabilityZones
	if len(b) != 1 || *b[0].ZoneId != "apne1-az3" {
		t.Errorf("%+v", b)
	}
	_, err := s.DescribeAvailabilityZones(ctx, &ec2api.DescribeAvailabilityZonesInput{ZoneNames: []string{"us-east-1a"}})
	refused(t, err, "InvalidParameterValue", "us-east-1a")

	var names []string
	for _, r := range ok(s.DescribeRegions(ctx, &ec2api.DescribeRegionsInput{})).Regions {
		names = append(names, *r.RegionName)
	}
	if len(names) != 17 || !slices.Contains(names, "eu-north-1") || slices.Contains(names, "af-south-1") {
		t.Errorf("%v", names)
	}
	every := ok(s.DescribeRegions(ctx, &ec2api.DescribeRegionsInput{AllRegions: new(true), Filters: []ec2api.Filter{filter("opt-in-status", "not-opted-in")}})).Regions
	if len(every) == 0 || *every[0].RegionName != "af-south-1" || *every[0].Endpoint != "ec2.af-south-1.amazonaws.com" {
		t.Errorf("%+v", every)
	}
	attributes := ok(s.DescribeAccountAttributes(ctx, &ec2api.DescribeAccountAttributesInput{AttributeNames: []ec2api.AccountAttributeName{"default-vpc"}})).AccountAttributes
	if len(attributes) != 1 || *attributes[0].AttributeValues[0].AttributeValue != "none" {
		t.Errorf("%+v", attributes)
	}
}
