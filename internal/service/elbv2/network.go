package elbv2

import (
	"context"
	"slices"

	"github.com/tarn-eks/tarn/internal/api"
	elbv2api "github.com/tarn-eks/tarn/internal/api/elbv2"
	"github.com/tarn-eks/tarn/internal/loadbalancer"
)

// place gives a new load balancer its subnets and security groups.
func (s *Service) place(ctx context.Context, lb *LoadBalancer, in *elbv2api.CreateLoadBalancerInput) error {
	ids, err := subnetIDs(in.Subnets, in.SubnetMappings)
	if err != nil {
		return err
	}
	if err := s.attach(ctx, lb, ids); err != nil {
		return err
	}
	if len(in.SecurityGroups) == 0 {
		g, err := s.network.DefaultGroup(ctx, lb.VPC)
		lb.SecurityGroups = []string{g.ID}
		return err
	}
	lb.SecurityGroups, err = s.securityGroups(ctx, lb.VPC, in.SecurityGroups)
	return err
}

// subnetIDs reads where a request wants a load balancer.
func subnetIDs(ids []string, mappings []elbv2api.SubnetMapping) ([]string, error) {
	if len(ids) > 0 && len(mappings) > 0 {
		return nil, invalid("Subnets and subnet mappings cannot be specified at the same time")
	}
	for _, m := range mappings {
		for member, value := range map[string]*string{"AllocationId": m.AllocationId, "PrivateIPv4Address": m.PrivateIPv4Address, "IPv6Address": m.IPv6Address} {
			if value != nil {
				return nil, notImplemented("%s of SubnetMappings, which is for Network Load Balancers: use SubnetId alone.", member)
			}
		}
		ids = append(ids, api.Val(m.SubnetId))
	}
	if len(ids) == 0 {
		return nil, invalid("A subnet must be specified")
	}
	return unique(ids), nil
}

// attach puts a load balancer into these subnets alone.
func (s *Service) attach(ctx context.Context, lb *LoadBalancer, ids []string) error {
	found, err := s.network.Subnets(ctx, ids)
	if err != nil {
		return err
	}
	had := lb.Subnets
	lb.Subnets, lb.Zones = nil, nil
	added := false
	for _, id := range ids {
		i := slices.IndexFunc(found, func(f loadbalancer.Subnet) bool { return f.ID == id })
		if i < 0 {
			return elbv2api.SubnetNotFoundException.New("The subnet ID '%s' does not exist", id)
		}
		n := found[i]
		if lb.VPC == "" { // a new one
			lb.VPC = n.VPC
		}
		isNew := !slices.Contains(had, id)
		switch {
		case n.VPC != lb.VPC:
			return refused("All subnets must belong to the same VPC: '%s' is in %s, and the load balancer in %s", id, n.VPC, lb.VPC)
		case slices.Contains(lb.Zones, n.Zone):
			return refused("A load balancer cannot be attached to multiple subnets in the same Availability Zone")
		case isNew && n.Free < loadbalancer.MinFree:
			return elbv2api.InvalidSubnetException.New("Not enough IP space available in %s. ELB requires at least %d free IP addresses in each subnet.", id, loadbalancer.MinFree)
		}
		lb.Subnets, lb.Zones = append(lb.Subnets, id), append(lb.Zones, n.Zone)
		added = added || isNew
	}
	if len(lb.Zones) < 2 {
		return invalid("At least two subnets in two different Availability Zones must be specified")
	}
	if !added {
		return nil
	}
	return lb.CheckGateway(ctx, s.network, elbv2api.InvalidSubnetException)
}

// securityGroups checks security groups.
func (s *Service) securityGroups(ctx context.Context, vpc string, ids []string) ([]string, error) {
	return loadbalancer.CheckSecurityGroups(ctx, s.network, vpc, ids, elbv2api.InvalidConfigurationRequestException, elbv2api.InvalidSecurityGroupException)
}

// SetSubnets implements elbv2api.Handler. The subnets take the place of those of
// before.
func (s *Service) SetSubnets(ctx context.Context, in *elbv2api.SetSubnetsInput) (*elbv2api.SetSubnetsOutput, error) {
	if err := checkIPAddressType(in.IpAddressType); err != nil {
		return nil, err
	}
	ids, err := subnetIDs(in.Subnets, in.SubnetMappings)
	if err != nil {
		return nil, err
	}
	lb, err := s.modify(ctx, api.Val(in.LoadBalancerArn), func(lb *LoadBalancer) error { return s.attach(ctx, lb, ids) })
	if err != nil {
		return nil, err
	}
	return &elbv2api.SetSubnetsOutput{AvailabilityZones: lb.zones(), IpAddressType: elbv2api.IpAddressTypeIpv4}, nil
}

// SetSecurityGroups implements elbv2api.Handler.
func (s *Service) SetSecurityGroups(ctx context.Context, in *elbv2api.SetSecurityGroupsInput) (*elbv2api.SetSecurityGroupsOutput, error) {
	if in.EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic != "" {
		return nil, notImplemented("EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic, which is for Network Load Balancers.")
	}
	lb, err := s.modify(ctx, api.Val(in.LoadBalancerArn), func(lb *LoadBalancer) (err error) {
		lb.SecurityGroups, err = s.securityGroups(ctx, lb.VPC, in.SecurityGroups)
		return err
	})
	return &elbv2api.SetSecurityGroupsOutput{SecurityGroupIds: lb.SecurityGroups}, err
}
