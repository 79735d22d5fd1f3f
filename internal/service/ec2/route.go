package ec2

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"time"

	ec2api "github.com/tarn-eks/tarn/internal/api/ec2"
	"github.com/tarn-eks/tarn/internal/store"
)

// RouteTable says where what leaves the subnets that are associated with it goes.
type RouteTable struct {
	ID           string
	VPC          string
	Routes       []Route // without the VPC's own, local one
	Associations []Association
	Tags         map[string]string
	Created      time.Time
}

// Route is where packets to a destination go: to one of the targets.
type Route struct {
	Destination netip.Prefix // IPv4
	Gateway     string       // igw-…
	Instance    string       // i-…
	ENI         string       // eni-…
}

// Association is a subnet's with its route table, or a VPC's with its main one.
type Association struct {
	ID     string // rtbassoc-…
	Main   bool
	Subnet string // empty for the main one
}

// maxRoutes is EC2's quota for one table.
const maxRoutes = 50

func (s *Service) newRouteTable(v VPC, tags map[string]string) RouteTable {
	return RouteTable{ID: newID("rtb"), VPC: v.ID, Tags: maps.Clone(tags), Created: s.now()}
}

// main is the association that makes the table its VPC's main one, or nil.
func (t *RouteTable) main() *Association {
	for i := range t.Associations {
		if t.Associations[i].Main {
			return &t.Associations[i]
		}
	}
	return nil
}

// leave ends a subnet's association, and says whether there was one.
func (t *RouteTable) leave(subnet string) bool {
	n := len(t.Associations)
	t.Associations = slices.DeleteFunc(t.Associations, func(a Association) bool { return a.Subnet == subnet })
	return len(t.Associations) != n
}

// IsPublic says whether the subnet's route table, or its VPC's main one if it has
// none, has a route to an internet gateway.
func IsPublic(sub Subnet, tables []RouteTable) bool {
	var table *RouteTable
	for i := range tables {
		t := &tables[i]
		if slices.ContainsFunc(t.Associations, func(a Association) bool { return a.Subnet == sub.ID }) {
			table = t
			break
		}
		if t.VPC == sub.VPC && t.main() != nil {
			table = t
		}
	}
	return table != nil && slices.ContainsFunc(table.Routes, func(r Route) bool { return r.Gateway != "" })
}

// CreateRouteTable makes a table that has the local route only.
func (s *Service) CreateRouteTable(ctx context.Context, in *ec2api.CreateRouteTableInput) (*ec2api.CreateRouteTableOutput, error) {
	tags, err := tagSpecifications(ctx, in.TagSpecifications, ec2api.ResourceTypeRouteTable)
	if err != nil {
		return nil, err
	}
	return exclusively(s, func() (*ec2api.CreateRouteTableOutput, error) {
		v, err := get(ctx, s.VPCs, vpcIDs, *in.VpcId)
		if err != nil {
			return nil, err
		}
		made, remember, err := s.recall(ctx, "CreateRouteTable", in.ClientToken, in)
		if err != nil {
			return nil, err
		}
		if err := dryRun(in.DryRun); err != nil {
			return nil, err
		}
		var t RouteTable
		if len(made) > 0 {
			item, err := get(ctx, s.RouteTables, routeTableIDs, made[0])
			if err != nil {
				return nil, err
			}
			t = item.Value
		} else {
			t = s.newRouteTable(v.Value, tags[ec2api.ResourceTypeRouteTable])
			ops := append(remember(t.ID), s.VPCs.MustExist(v.Key), s.RouteTables.CreateOp(t.ID, t))
			if _, err := store.Commit(ctx, s.client, ops...); err != nil {
				return nil, err
			}
		}
		out := s.tableOut(t, v.Value, func(Route) bool { return true })
		return &ec2api.CreateRouteTableOutput{RouteTable: &out, ClientToken: in.ClientToken}, nil
	})
}

// DeleteRouteTable deletes a table that no subnet uses and that is not a main one.
func (s *Service) DeleteRouteTable(ctx context.Context, in *ec2api.DeleteRouteTableInput) (*ec2api.DeleteRouteTableOutput, error) {
	return exclusively(s, func() (*ec2api.DeleteRouteTableOutput, error) {
		t, err := get(ctx, s.RouteTables, routeTableIDs, *in.RouteTableId)
		if err != nil {
			return nil, err
		}
		if len(t.Value.Associations) > 0 {
			return nil, bad("DependencyViolation", "The routeTable '%s' has dependencies and cannot be deleted.", t.Key)
		}
		if err := dryRun(in.DryRun); err != nil {
			return nil, err
		}
		return &ec2api.DeleteRouteTableOutput{}, s.RouteTables.DeleteItem(ctx, t)
	})
}

// DescribeRouteTables lists tables, by id.
func (s *Service) DescribeRouteTables(ctx context.Context, in *ec2api.DescribeRouteTablesInput) (*ec2api.DescribeRouteTablesOutput, error) {
	tables, err := list(ctx, s.RouteTables)
	if err != nil {
		return nil, err
	}
	vpcs, err := list(ctx, s.VPCs)
	if err != nil {
		return nil, err
	}
	byID := map[string]VPC{}
	for _, v := range vpcs {
		byID[v.ID] = v
	}
	leads, err := s.leads(ctx)
	if err != nil {
		return nil, err
	}
	views := make(map[string]ec2api.RouteTable, len(tables))
	for _, t := range tables {
		views[t.ID] = s.tableOut(t, byID[t.VPC], func(r Route) bool { return leads(t, r) })
	}
	found, next, err := describe(tables, query{in.RouteTableIds, in.Filters, in.MaxResults, in.NextToken, in.DryRun}, routeTableIDs,
		func(t RouteTable) string { return t.ID },
		func(t RouteTable) func(string) ([]string, bool) { return s.tableAttributes(views[t.ID]).tagged(t.Tags) })
	if err != nil {
		return nil, err
	}
	out := make([]ec2api.RouteTable, len(found))
	for i, t := range found {
		out[i] = views[t.ID]
	}
	return &ec2api.DescribeRouteTablesOutput{RouteTables: out, NextToken: next}, nil
}

// leads gives a function that says whether a route's target is there: what does
// not lead anywhere is a blackhole.
func (s *Service) leads(ctx context.Context) (func(RouteTable, Route) bool, error) {
	gateways, err := list(ctx, s.InternetGateways)
	if err != nil {
		return nil, err
	}
	enis, err := list(ctx, s.ENIs)
	if err != nil {
		return nil, err
	}
	there := map[string]bool{}
	for _, g := range gateways {
		there[g.VPC+"/"+g.ID] = true
	}
	for _, eni := range enis {
		there[eni.VPC+"/"+eni.ID] = true
	}
	return func(t RouteTable, r Route) bool { return there[t.VPC+"/"+r.Gateway] || there[t.VPC+"/"+r.ENI] }, nil
}

// tableOut is a table as the API has it. leads says whether a route's target is there.
func (s *Service) tableOut(t RouteTable, v VPC, leads func(Route) bool) ec2api.RouteTable {
	out := ec2api.RouteTable{
		RouteTableId: new(t.ID), VpcId: new(t.VPC), OwnerId: &s.scope.Account, Tags: toTags(t.Tags),
		Associations: []ec2api.RouteTableAssociation{}, PropagatingVgws: []ec2api.PropagatingVgw{},
		Routes: []ec2api.Route{{
			DestinationCidrBlock: new(v.CIDR.String()), GatewayId: new("local"), Origin: ec2api.RouteOriginCreateRouteTable, State: ec2api.RouteStateActive,
		}},
	}
	for _, r := range t.Routes {
		route := ec2api.Route{DestinationCidrBlock: new(r.Destination.String()), Origin: ec2api.RouteOriginCreateRoute, State: ec2api.RouteStateActive}
		if !leads(r) {
			route.State = ec2api.RouteStateBlackhole
		}
		if r.Gateway != "" {
			route.GatewayId = new(r.Gateway)
		}
		if r.ENI != "" {
			route.NetworkInterfaceId = new(r.ENI)
		}
		if r.Instance != "" {
			route.InstanceId, route.InstanceOwnerId = new(r.Instance), &s.scope.Account
		}
		out.Routes = append(out.Routes, route)
	}
	for _, a := range t.Associations {
		association := ec2api.RouteTableAssociation{
			RouteTableAssociationId: new(a.ID), RouteTableId: new(t.ID), Main: new(a.Main),
			AssociationState: &ec2api.RouteTableAssociationState{State: ec2api.RouteTableAssociationStateCodeAssociated},
		}
		if a.Subnet != "" {
			association.SubnetId = new(a.Subnet)
		}
		out.Associations = append(out.Associations, association)
	}
	return out
}

// tableAttributes are what the filters of DescribeRouteTables look at.
func (s *Service) tableAttributes(t ec2api.RouteTable) attributes {
	a := attributes{
		"route-table-id": deref(t.RouteTableId), "vpc-id": deref(t.VpcId), "owner-id": {s.scope.Account},
		"association.gateway-id": nil, "association.main": nil, "association.route-table-association-id": nil,
		"association.route-table-id": nil, "association.subnet-id": nil, "route.destination-cidr-block": nil,
		"route.destination-ipv6-cidr-block": nil, "route.destination-prefix-list-id": nil,
		"route.egress-only-internet-gateway-id": nil, "route.gateway-id": nil, "route.instance-id": nil,
		"route.nat-gateway-id": nil, "route.transit-gateway-id": nil, "route.network-interface-id": nil,
		"route.origin": nil, "route.state": nil, "route.vpc-peering-connection-id": nil,
	}
	add := func(name string, v ...string) { a[name] = append(a[name], v...) }
	for _, x := range t.Associations {
		add("association.main", boolean(*x.Main)...)
		add("association.route-table-association-id", *x.RouteTableAssociationId)
		add("association.route-table-id", *x.RouteTableId)
		add("association.subnet-id", deref(x.SubnetId)...)
	}
	for _, r := range t.Routes {
		add("route.destination-cidr-block", *r.DestinationCidrBlock)
		add("route.gateway-id", deref(r.GatewayId)...)
		add("route.instance-id", deref(r.InstanceId)...)
		add("route.network-interface-id", deref(r.NetworkInterfaceId)...)
		add("route.origin", string(r.Origin))
		add("route.state", string(r.State))
	}
	return a
}

// deref is a filter's values for a member that may be absent.
func deref(p *string) []string {
	if p == nil {
		return nil
	}
	return []string{*p}
}
