package autoscaling

import (
	"context"
	"slices"
	"strings"
)

// setPlace checks where instances are to be, and sets it: subnets, or zones, which
// stand for the default VPC's subnets in them.
func (s *Service) setPlace(ctx context.Context, g *Group, subnets *string, zones []string) error {
	switch {
	case subnets != nil && len(fields(*subnets)) > 0:
		return s.setSubnets(ctx, g, unique(fields(*subnets)), zones)
	case len(zones) > 0:
		return s.setZones(ctx, g, unique(zones))
	}
	return invalid("At least one Availability Zone or VPC Subnet is required.")
}

func (s *Service) setSubnets(ctx context.Context, g *Group, ids, zones []string) error {
	found, err := s.network.Subnets(ctx, ids)
	if err != nil {
		return err
	}
	g.Subnets, g.Zones, g.Implied = nil, nil, false
	vpc := ""
	for _, id := range ids {
		i := slices.IndexFunc(found, func(s Subnet) bool { return s.ID == id })
		if i < 0 {
			return invalid("The subnet ID '%s' does not exist", id)
		}
		if vpc != "" && vpc != found[i].VPC {
			return invalid("All subnets must belong to the same VPC: '%s' is in %s, and others are in %s", id, found[i].VPC, vpc)
		}
		vpc = found[i].VPC
		g.Subnets, g.Zones = append(g.Subnets, id), append(g.Zones, found[i].Zone)
	}
	g.Zones = unique(g.Zones)
	if len(zones) > 0 && len(missing(zones, g.Zones))+len(missing(g.Zones, zones)) > 0 {
		return invalid("The availability zones of the specified subnets and the Auto Scaling group do not match")
	}
	return nil
}

func (s *Service) setZones(ctx context.Context, g *Group, zones []string) error {
	known, err := s.network.Zones(ctx)
	if err != nil {
		return err
	}
	if no := missing(zones, known); len(no) > 0 {
		return invalid("Invalid availability zones: [%s]", strings.Join(no, ", "))
	}
	defaults, err := s.network.DefaultSubnets(ctx)
	if err != nil {
		return err
	}
	if len(defaults) == 0 {
		return invalid("No default VPC for this user")
	}
	g.Subnets, g.Zones, g.Implied = nil, zones, true
	for _, zone := range zones {
		i := slices.IndexFunc(defaults, func(s Subnet) bool { return s.Zone == zone })
		if i < 0 {
			return invalid("No default subnet for availability zone: '%s'", zone)
		}
		g.Subnets = append(g.Subnets, defaults[i].ID)
	}
	return nil
}
