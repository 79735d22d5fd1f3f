package ec2

import (
	"context"
	"net/netip"
	"slices"

	"github.com/tarn-eks/tarn/internal/api"
	ec2api "github.com/tarn-eks/tarn/internal/api/ec2"
	"github.com/tarn-eks/tarn/internal/store"
)

// routeInput are the parameters that CreateRoute and ReplaceRoute share.
type routeInput struct {
	cidr                   *string
	cidr6, prefixList      *string
	gateway, instance, eni *string
	// others are targets of kinds that do not exist here: by name, the error that
	// says so.
	others map[string]target
}

type target struct {
	id  *string
	ids idKind
}

// destination reads a route's destination.
func (in routeInput) destination() (netip.Prefix, error) {
	given := 0
	for _, p := range []*string{in.cidr, in.cidr6, in.prefixList} {
		if p != nil {
			given++
		}
	}
	switch {
	case given == 0:
		return netip.Prefix{}, missing("destinationCidrBlock")
	case given > 1:
		return netip.Prefix{}, bad("InvalidParameterCombination", "The request must contain exactly one of destinationCidrBlock, destinationIpv6CidrBlock, destinationPrefixListId")
	case in.cidr6 != nil:
		return netip.Prefix{}, unsupported(map[string]bool{"destinationIpv6CidrBlock": true})
	case in.prefixList != nil:
		return netip.Prefix{}, bad("InvalidPrefixListID.NotFound", "The prefix list ID '%s' does not exist", *in.prefixList)
	}
	return parseCIDR("destinationCidrBlock", *in.cidr)
}

// route is what the parameters describe, checked against the table's VPC.
func (s *Service) route(ctx context.Context, in routeInput, t RouteTable) (Route, error) {
	destination, err := in.destination()
	if err != nil {
		return Route{}, err
	}
	r := Route{Destination: destination}
	given := 0
	for _, p := range []*string{in.gateway, in.instance, in.eni} {
		if p != nil {
			given++
		}
	}
	var other target
	for _, o := range in.others {
		if o.id != nil {
			other = o
			given++
		}
	}
	const targets = "The request must contain exactly one of gatewayId, natGatewayId, networkInterfaceId, vpcPeeringConnectionId, egressOnlyInternetGatewayId, transitGatewayId, localGatewayId, instanceId, carrierGatewayId, vpcEndpointId, coreNetworkArn"
	switch {
	case given == 0:
		return Route{}, bad("MissingParameter", targets)
	case given > 1:
		return Route{}, bad("InvalidParameterCombination", targets)
	case other.id != nil:
		return Route{}, other.ids.missing(*other.id)
	}
	v, err := get(ctx, s.VPCs, vpcIDs, t.VPC)
	if err != nil {
		return Route{}, err
	}
	if in.gateway != nil && destination.Bits() >= v.Value.CIDR.Bits() && v.Value.CIDR.Contains(destination.Addr()) {
		return Route{}, bad("InvalidParameterValue", "The destination CIDR block %s is equal to or more specific than one of this VPC's CIDR blocks. This route can target only an interface or an instance.", destination)
	}
	return r, s.aim(ctx, &r, in, t)
}

// aim fills in the route's target, which must be in the table's VPC.
func (s *Service) aim(ctx context.Context, r *Route, in routeInput, t RouteTable) error {
	switch {
	case in.gateway != nil:
		g, err := get(ctx, s.InternetGateways, gatewayIDs, *in.gateway)
		if err != nil {
			return err
		}
		if g.Value.VPC != t.VPC {
			return bad("InvalidParameterValue", "route table %s and network gateway %s belong to different networks", t.ID, g.Key)
		}
		r.Gateway = g.Key
		return nil
	case in.instance != nil:
		i, err := get(ctx, s.Instances, instanceIDs, *in.instance)
		if err != nil {
			return err
		}
		if i.Value.State == Terminated {
			return instanceIDs.missing(i.Key)
		}
		r.Instance, r.ENI = i.Key, i.Value.ENI
	default:
		r.ENI = *in.eni
	}
	eni, err := get(ctx, s.ENIs, interfaceIDs, r.ENI)
	if err != nil {
		return err
	}
	if eni.Value.VPC != t.VPC {
		return bad("InvalidParameterValue", "route table %s and interface %s belong to different networks", t.ID, eni.Key)
	}
	r.Instance = eni.Value.Instance
	return nil
}

// elsewhere are the targets of kinds that the region has none of.
func elsewhere(nat, peering, egressOnly, transit, local, carrier, endpoint, core *string) map[string]target {
	kind := func(id *string, prefix, code, noun string) target {
		return target{id, idKind{prefix: prefix, notFound: code, noun: noun}}
	}
	return map[string]target{
		"nat":        kind(nat, "nat", "InvalidNatGatewayID.NotFound", "natGateway ID"),
		"peering":    kind(peering, "pcx", "InvalidVpcPeeringConnectionID.NotFound", "vpcPeeringConnection ID"),
		"egressOnly": kind(egressOnly, "eigw", "InvalidGatewayID.NotFound", "eigw ID"),
		"transit":    kind(transit, "tgw", "InvalidTransitGatewayID.NotFound", "transitGateway ID"),
		"local":      kind(local, "lgw", "InvalidLocalGatewayID.NotFound", "localGateway ID"),
		"carrier":    kind(carrier, "cagw", "InvalidCarrierGatewayID.NotFound", "CarrierGateway ID"),
		"endpoint":   kind(endpoint, "vpce", "InvalidVpcEndpointId.NotFound", "vpcEndpoint ID"),
		"core":       kind(core, "core-network", "InvalidCoreNetworkArn.NotFound", "core network"),
	}
}

// CreateRoute adds a route to a table.
func (s *Service) CreateRoute(ctx context.Context, in *ec2api.CreateRouteInput) (*ec2api.CreateRouteOutput, error) {
	err := s.changeRoutes(ctx, in.RouteTableId, in.DryRun, func(t *RouteTable) error {
		r, err := s.route(ctx, routeInput{
			cidr: in.DestinationCidrBlock, cidr6: in.DestinationIpv6CidrBlock, prefixList: in.DestinationPrefixListId,
			gateway: in.GatewayId, instance: in.InstanceId, eni: in.NetworkInterfaceId,
			others: elsewhere(in.NatGatewayId, in.VpcPeeringConnectionId, in.EgressOnlyInternetGatewayId, in.TransitGatewayId,
				in.LocalGatewayId, in.CarrierGatewayId, in.VpcEndpointId, in.CoreNetworkArn),
		}, *t)
		switch {
		case err != nil:
			return err
		case t.find(r.Destination) >= 0:
			return bad("RouteAlreadyExists", "The route identified by %s already exists.", r.Destination)
		case len(t.Routes)+1 >= maxRoutes:
			return bad("RouteLimitExceeded", "The maximum number of routes for the route table has been reached.")
		}
		t.Routes = append(t.Routes, r)
		return nil
	})
	return &ec2api.CreateRouteOutput{Return: new(true)}, err
}

// ReplaceRoute gives a route another target.
func (s *Service) ReplaceRoute(ctx context.Context, in *ec2api.ReplaceRouteInput) (*ec2api.ReplaceRouteOutput, error) {
	err := s.changeRoutes(ctx, in.RouteTableId, in.DryRun, func(t *RouteTable) error {
		r, err := s.route(ctx, routeInput{
			cidr: in.DestinationCidrBlock, cidr6: in.DestinationIpv6CidrBlock, prefixList: in.DestinationPrefixListId,
			gateway: in.GatewayId, instance: in.InstanceId, eni: in.NetworkInterfaceId,
			others: elsewhere(in.NatGatewayId, in.VpcPeeringConnectionId, in.EgressOnlyInternetGatewayId, in.TransitGatewayId,
				in.LocalGatewayId, in.CarrierGatewayId, nil, in.CoreNetworkArn),
		}, *t)
		if err != nil {
			return err
		}
		i := t.find(r.Destination)
		if i < 0 {
			return bad("InvalidParameterValue", "There is no route defined for '%s' in the route table. Use CreateRoute instead.", r.Destination)
		}
		t.Routes[i] = r
		return nil
	})
	return &ec2api.ReplaceRouteOutput{}, err
}

// DeleteRoute removes a route from a table.
func (s *Service) DeleteRoute(ctx context.Context, in *ec2api.DeleteRouteInput) (*ec2api.DeleteRouteOutput, error) {
	err := s.changeRoutes(ctx, in.RouteTableId, in.DryRun, func(t *RouteTable) error {
		destination, err := routeInput{cidr: in.DestinationCidrBlock, cidr6: in.DestinationIpv6CidrBlock, prefixList: in.DestinationPrefixListId}.destination()
		if err != nil {
			return err
		}
		i := t.find(destination)
		if i >= 0 {
			t.Routes = slices.Delete(t.Routes, i, i+1)
			return nil
		}
		v, err := get(ctx, s.VPCs, vpcIDs, t.VPC)
		if err == nil && v.Value.CIDR == destination {
			return bad("InvalidParameterValue", "cannot remove local route %s in route table %s", destination, t.ID)
		}
		return bad("InvalidRoute.NotFound", "no route with destination-cidr-block %s in route table %s", destination, t.ID)
	})
	return &ec2api.DeleteRouteOutput{}, err
}

// find is the index of the route to a destination, or -1.
func (t *RouteTable) find(destination netip.Prefix) int {
	return slices.IndexFunc(t.Routes, func(r Route) bool { return r.Destination == destination })
}

// changeRoutes edits a table.
func (s *Service) changeRoutes(ctx context.Context, id *string, dry *bool, change func(*RouteTable) error) error {
	s.allocating.Lock()
	defer s.allocating.Unlock()
	if err := routeTableIDs.check(api.Val(id)); err != nil {
		return err
	}
	_, err := s.RouteTables.Modify(ctx, *id, func(t *RouteTable) error {
		if err := change(t); err != nil {
			return err
		}
		return dryRun(dry)
	})
	return orMissing(err, routeTableIDs.notFound, "The routeTable ID '%s' does not exist", *id)
}

// AssociateRouteTable makes a table hold for a subnet.
func (s *Service) AssociateRouteTable(ctx context.Context, in *ec2api.AssociateRouteTableInput) (*ec2api.AssociateRouteTableOutput, error) {
	switch {
	case in.GatewayId != nil:
		return nil, unsupported(map[string]bool{"gatewayId": true})
	case in.SubnetId == nil:
		return nil, bad("MissingParameter", "Either 'subnetId' or 'gatewayId' should be provided.")
	}
	return exclusively(s, func() (*ec2api.AssociateRouteTableOutput, error) {
		t, err := get(ctx, s.RouteTables, routeTableIDs, *in.RouteTableId)
		if err != nil {
			return nil, err
		}
		sub, err := get(ctx, s.Subnets, subnetIDs, *in.SubnetId)
		if err != nil {
			return nil, err
		}
		if sub.Value.VPC != t.Value.VPC {
			return nil, differentNetworks(t.Key, sub.Key)
		}
		tables, err := list(ctx, s.RouteTables)
		if err != nil {
			return nil, err
		}
		for _, other := range tables {
			if other.leave(sub.Key) {
				return nil, bad("Resource.AlreadyAssociated", "the specified association for route table %s conflicts with an existing association", t.Key)
			}
		}
		if err := dryRun(in.DryRun); err != nil {
			return nil, err
		}
		a := Association{ID: newID("rtbassoc"), Subnet: sub.Key}
		t.Value.Associations = append(t.Value.Associations, a)
		if _, err := store.Commit(ctx, s.client, s.RouteTables.UpdateOp(t), s.Subnets.MustExist(sub.Key)); err != nil {
			return nil, err
		}
		return &ec2api.AssociateRouteTableOutput{AssociationId: &a.ID, AssociationState: associated()}, nil
	})
}

func associated() *ec2api.RouteTableAssociationState {
	return &ec2api.RouteTableAssociationState{State: ec2api.RouteTableAssociationStateCodeAssociated}
}

func differentNetworks(table, sub string) error {
	return bad("InvalidParameterValue", "Route table %s and subnet %s belong to different networks", table, sub)
}

// association finds the table that has an association, and the association's index.
func (s *Service) association(ctx context.Context, id string) (store.Item[RouteTable], int, error) {
	if err := associationIDs.check(id); err != nil {
		return store.Item[RouteTable]{}, 0, err
	}
	items, _, err := s.RouteTables.List(ctx, "")
	if err != nil {
		return store.Item[RouteTable]{}, 0, err
	}
	for _, t := range items {
		for i, a := range t.Value.Associations {
			if a.ID == id {
				return t, i, nil
			}
		}
	}
	return store.Item[RouteTable]{}, 0, associationIDs.missing(id)
}

// DisassociateRouteTable gives a subnet back to the main table.
func (s *Service) DisassociateRouteTable(ctx context.Context, in *ec2api.DisassociateRouteTableInput) (*ec2api.DisassociateRouteTableOutput, error) {
	return exclusively(s, func() (*ec2api.DisassociateRouteTableOutput, error) {
		t, i, err := s.association(ctx, *in.AssociationId)
		if err != nil {
			return nil, err
		}
		if t.Value.Associations[i].Main {
			return nil, bad("InvalidParameterValue", "cannot disassociate the main route table association %s", *in.AssociationId)
		}
		if err := dryRun(in.DryRun); err != nil {
			return nil, err
		}
		t.Value.Associations = slices.Delete(t.Value.Associations, i, i+1)
		_, err = s.RouteTables.Update(ctx, t)
		return &ec2api.DisassociateRouteTableOutput{}, err
	})
}

// ReplaceRouteTableAssociation moves a subnet, or the role of the main table, to
// another table. The association has a new id afterwards.
func (s *Service) ReplaceRouteTableAssociation(ctx context.Context, in *ec2api.ReplaceRouteTableAssociationInput) (*ec2api.ReplaceRouteTableAssociationOutput, error) {
	return exclusively(s, func() (*ec2api.ReplaceRouteTableAssociationOutput, error) {
		from, i, err := s.association(ctx, *in.AssociationId)
		if err != nil {
			return nil, err
		}
		to, err := get(ctx, s.RouteTables, routeTableIDs, *in.RouteTableId)
		if err != nil {
			return nil, err
		}
		a := from.Value.Associations[i]
		switch {
		case to.Value.VPC != from.Value.VPC:
			return nil, differentNetworks(to.Key, a.Subnet)
		case to.Key == from.Key:
			return nil, bad("InvalidParameterValue", "the association %s is already with route table %s", a.ID, to.Key)
		}
		if err := dryRun(in.DryRun); err != nil {
			return nil, err
		}
		a.ID = newID("rtbassoc")
		from.Value.Associations = slices.Delete(from.Value.Associations, i, i+1)
		to.Value.Associations = append(to.Value.Associations, a)
		_, err = store.Commit(ctx, s.client, s.RouteTables.UpdateOp(from), s.RouteTables.UpdateOp(to))
		return &ec2api.ReplaceRouteTableAssociationOutput{NewAssociationId: &a.ID, AssociationState: associated()}, err
	})
}
