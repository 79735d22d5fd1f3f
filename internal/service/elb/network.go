package elb

import (
	"context"
	"slices"

	elbapi "github.com/tarn-eks/tarn/internal/api/elb"
	"github.com/tarn-eks/tarn/internal/loadbalancer"
)

// place gives a new load balancer its subnets and security groups.
func (s *Service) place(ctx context.Context, lb *LoadBalancer, in *elbapi.CreateLoadBalancerInput) error {
	var subnets []loadbalancer.Subnet
	var err error
	switch {
	case len(in.Subnets) > 0 && len(in.AvailabilityZones) > 0:
		return invalid("Only one of SubnetIds or AvailabilityZones may be specified")
	case len(in.Subnets) > 0:
		subnets, err = s.subnets(ctx, in.Subnets)
	case len(in.AvailabilityZones) > 0:
		subnets, err = s.defaultSubnets(ctx, in.AvailabilityZones)
	default:
		return invalid("Either AvailabilityZones or SubnetIds must be specified")
	}
	if err != nil {
		return err
	}
	lb.VPC = subnets[0].VPC
	if err := s.attach(ctx, lb, subnets); err != nil {
		return err
	}
	if len(in.SecurityGroups) == 0 {
		g, err := s.network.DefaultGroup(ctx, lb.VPC)
		lb.SecurityGroups = []string{g.ID}
		return err
	}
	lb.SecurityGroups, err = s.groups(ctx, lb.VPC, in.SecurityGroups)
	return err
}

// subnets finds subnets, in the order of their ids.
func (s *Service) subnets(ctx context.Context, ids []string) ([]loadbalancer.Subnet, error) {
	ids = unique(ids)
	found, err := s.network.Subnets(ctx, ids)
	if err != nil {
		return nil, err
	}
	var out []loadbalancer.Subnet
	for _, id := range ids {
		i := slices.IndexFunc(found, func(f loadbalancer.Subnet) bool { return f.ID == id })
		if i < 0 {
			return nil, elbapi.SubnetNotFoundException.New("The subnet ID '%s' does not exist", id)
		}
		out = append(out, found[i])
	}
	return out, nil
}

// defaultSubnets finds the default VPC's subnets in zones.
func (s *Service) defaultSubnets(ctx context.Context, zones []string) ([]loadbalancer.Subnet, error) {
	found, err := s.network.DefaultSubnets(ctx)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, refused("Availability zones are for load balancers in the default VPC, and there is none: specify Subnets")
	}
	var out []loadbalancer.Subnet
	for _, zone := range unique(zones) {
		i := slices.IndexFunc(found, func(f loadbalancer.Subnet) bool { return f.Zone == zone })
		if i < 0 {
			return nil, invalid("Invalid Availability Zone: %s", zone)
		}
		out = append(out, found[i])
	}
	return out, nil
}

// attach adds subnets that the load balancer does not have.
func (s *Service) attach(ctx context.Context, lb *LoadBalancer, subnets []loadbalancer.Subnet) error {
	added := false
	for _, n := range subnets {
		switch {
		case slices.Contains(lb.Subnets, n.ID):
			continue
		case n.VPC != lb.VPC:
			return refused("All subnets must belong to the same VPC: '%s' is in %s, and the load balancer in %s", n.ID, n.VPC, lb.VPC)
		case slices.Contains(lb.Zones, n.Zone):
			return refused("ELB cannot be attached to multiple subnets in the same AZ.")
		case n.Free < loadbalancer.MinFree:
			return elbapi.InvalidSubnetException.New("Not enough IP space available in %s. ELB requires at least %d free IP addresses in each subnet.", n.ID, loadbalancer.MinFree)
		}
		lb.Subnets, lb.Zones = append(lb.Subnets, n.ID), append(lb.Zones, n.Zone)
		added = true
	}
	if !added {
		return nil
	}
	return lb.CheckGateway(ctx, s.network, elbapi.InvalidSubnetException)
}

// detach removes subnets.
func (lb *LoadBalancer) detach(gone func(subnet, zone string) bool) error {
	var subnets, zones []string
	for i, id := range lb.Subnets {
		if !gone(id, lb.Zones[i]) {
			subnets, zones = append(subnets, id), append(zones, lb.Zones[i])
		}
	}
	if len(subnets) == 0 {
		return refused(`Requested configuration change for LoadBalancer "%s" is invalid because you attempted to detach all the subnets for this LoadBalancer and a LoadBalancer cannot be attached to zero subnets in VPC.`, lb.Name)
	}
	lb.Subnets, lb.Zones = subnets, zones
	return nil
}

// groups checks security groups.
func (s *Service) groups(ctx context.Context, vpc string, ids []string) ([]string, error) {
	return loadbalancer.CheckSecurityGroups(ctx, s.network, vpc, ids, elbapi.InvalidConfigurationRequestException, elbapi.InvalidSecurityGroupException)
}

// ApplySecurityGroupsToLoadBalancer implements elbapi.Handler.
func (s *Service) ApplySecurityGroupsToLoadBalancer(ctx context.Context, in *elbapi.ApplySecurityGroupsToLoadBalancerInput) (*elbapi.ApplySecurityGroupsToLoadBalancerOutput, error) {
	lb, err := s.modify(ctx, in.LoadBalancerName, func(lb *LoadBalancer) (err error) {
		lb.SecurityGroups, err = s.groups(ctx, lb.VPC, in.SecurityGroups)
		return err
	})
	return &elbapi.ApplySecurityGroupsToLoadBalancerOutput{SecurityGroups: lb.SecurityGroups}, err
}

// AttachLoadBalancerToSubnets implements elbapi.Handler.
func (s *Service) AttachLoadBalancerToSubnets(ctx context.Context, in *elbapi.AttachLoadBalancerToSubnetsInput) (*elbapi.AttachLoadBalancerToSubnetsOutput, error) {
	lb, err := s.modify(ctx, in.LoadBalancerName, func(lb *LoadBalancer) error {
		subnets, err := s.subnets(ctx, in.Subnets)
		if err != nil {
			return err
		}
		return s.attach(ctx, lb, subnets)
	})
	return &elbapi.AttachLoadBalancerToSubnetsOutput{Subnets: lb.Subnets}, err
}

// DetachLoadBalancerFromSubnets implements elbapi.Handler.
func (s *Service) DetachLoadBalancerFromSubnets(ctx context.Context, in *elbapi.DetachLoadBalancerFromSubnetsInput) (*elbapi.DetachLoadBalancerFromSubnetsOutput, error) {
	lb, err := s.modify(ctx, in.LoadBalancerName, func(lb *LoadBalancer) error {
		return lb.detach(func(subnet, _ string) bool { return slices.Contains(in.Subnets, subnet) })
	})
	return &elbapi.DetachLoadBalancerFromSubnetsOutput{Subnets: lb.Subnets}, err
}

// EnableAvailabilityZonesForLoadBalancer implements elbapi.Handler.
func (s *Service) EnableAvailabilityZonesForLoadBalancer(ctx context.Context, in *elbapi.EnableAvailabilityZonesForLoadBalancerInput) (*elbapi.EnableAvailabilityZonesForLoadBalancerOutput, error) {
	lb, err := s.modify(ctx, in.LoadBalancerName, func(lb *LoadBalancer) error {
		if err := s.inDefaultVPC(ctx, lb, "AttachLoadBalancerToSubnets"); err != nil {
			return err
		}
		subnets, err := s.defaultSubnets(ctx, in.AvailabilityZones)
		if err != nil {
			return err
		}
		subnets = slices.DeleteFunc(subnets, func(n loadbalancer.Subnet) bool { return slices.Contains(lb.Zones, n.Zone) })
		return s.attach(ctx, lb, subnets)
	})
	return &elbapi.EnableAvailabilityZonesForLoadBalancerOutput{AvailabilityZones: lb.Zones}, err
}

// DisableAvailabilityZonesForLoadBalancer implements elbapi.Handler.
func (s *Service) DisableAvailabilityZonesForLoadBalancer(ctx context.Context, in *elbapi.DisableAvailabilityZonesForLoadBalancerInput) (*elbapi.DisableAvailabilityZonesForLoadBalancerOutput, error) {
	lb, err := s.modify(ctx, in.LoadBalancerName, func(lb *LoadBalancer) error {
		if err := s.inDefaultVPC(ctx, lb, "DetachLoadBalancerFromSubnets"); err != nil {
			return err
		}
		return lb.detach(func(_, zone string) bool { return slices.Contains(in.AvailabilityZones, zone) })
	})
	return &elbapi.DisableAvailabilityZonesForLoadBalancerOutput{AvailabilityZones: lb.Zones}, err
}

// inDefaultVPC refuses what is for load balancers in the default VPC alone, and
// says what is for the others.
func (s *Service) inDefaultVPC(ctx context.Context, lb *LoadBalancer, instead string) error {
	found, err := s.network.DefaultSubnets(ctx)
	if err == nil && (len(found) == 0 || found[0].VPC != lb.VPC) {
		err = refused("Availability zones of %s cannot be changed, as it is not in the default VPC: use %s", lb.Name, instead)
	}
	return err
}
