package elbv2

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/tarn-eks/tarn/internal/api"
	elbv2api "github.com/tarn-eks/tarn/internal/api/elbv2"
	"github.com/tarn-eks/tarn/internal/hostedzone"
	"github.com/tarn-eks/tarn/internal/loadbalancer"
	"github.com/tarn-eks/tarn/internal/store"
)

// DescribeLoadBalancers implements elbv2api.Handler.
func (s *Service) DescribeLoadBalancers(ctx context.Context, in *elbv2api.DescribeLoadBalancersInput) (*elbv2api.DescribeLoadBalancersOutput, error) {
	all, _, err := s.balancers.List(ctx)
	if err != nil {
		return nil, err
	}
	switch {
	case len(in.Names) > 0 && len(in.LoadBalancerArns) > 0:
		return nil, invalid("Load balancer names and load balancer ARNs cannot be specified at the same time")
	case len(in.Names) > 0:
		if all, err = s.named(all, in.Names); err != nil {
			return nil, err
		}
	case len(in.LoadBalancerArns) > 0:
		if all, err = s.withARNs(all, in.LoadBalancerArns); err != nil {
			return nil, err
		}
	}
	out := &elbv2api.DescribeLoadBalancersOutput{LoadBalancers: []elbv2api.LoadBalancer{}}
	all, out.NextMarker, err = loadbalancer.Page(all, func(it store.Item[LoadBalancer]) string { return it.Key }, in.PageSize, in.Marker)
	if err != nil {
		return nil, err
	}
	for _, it := range all {
		out.LoadBalancers = append(out.LoadBalancers, s.describe(it.Value))
	}
	return out, nil
}

// named are the load balancers with the names, all of which must exist.
func (s *Service) named(all []store.Item[LoadBalancer], names []string) ([]store.Item[LoadBalancer], error) {
	var missing []string
	for _, name := range unique(names) {
		if err := checkName("The load balancer", name); err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(all, func(it store.Item[LoadBalancer]) bool { return it.Key == name }) {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		return nil, elbv2api.LoadBalancerNotFoundException.New("Load balancers '[%s]' not found", strings.Join(missing, ", "))
	}
	return slices.DeleteFunc(all, func(it store.Item[LoadBalancer]) bool { return !slices.Contains(names, it.Key) }), nil
}

// withARNs are the load balancers with the ARNs, all of which must exist.
func (s *Service) withARNs(all []store.Item[LoadBalancer], arns []string) ([]store.Item[LoadBalancer], error) {
	for _, arn := range arns {
		if _, _, err := s.parseBalancer(arn); err != nil && !elbv2api.LoadBalancerNotFoundException.Is(err) {
			return nil, err
		}
	}
	all = slices.DeleteFunc(all, func(it store.Item[LoadBalancer]) bool { return !slices.Contains(arns, s.ARN(it.Value)) })
	if len(all) < len(unique(arns)) {
		return nil, elbv2api.LoadBalancerNotFoundException.New("One or more load balancers not found")
	}
	return all, nil
}

func (s *Service) describe(lb LoadBalancer) elbv2api.LoadBalancer {
	state := elbv2api.LoadBalancerStateEnumProvisioning
	if lb.ready() {
		state = elbv2api.LoadBalancerStateEnumActive
	}
	out := elbv2api.LoadBalancer{
		LoadBalancerArn: new(s.ARN(lb)), LoadBalancerName: &lb.Name, DNSName: &lb.DNSName, CreatedTime: &lb.Created,
		Scheme: elbv2api.LoadBalancerSchemeEnum(lb.Scheme), VpcId: &lb.VPC, State: &elbv2api.LoadBalancerState{Code: state},
		Type: elbv2api.LoadBalancerTypeEnumApplication, AvailabilityZones: lb.zones(), SecurityGroups: lb.SecurityGroups,
		IpAddressType: elbv2api.IpAddressTypeIpv4,
	}
	if zone := hostedzone.OfLoadBalancers(s.scope.Region); zone != "" {
		out.CanonicalHostedZoneId = &zone
	}
	return out
}

func (lb *LoadBalancer) zones() []elbv2api.AvailabilityZone {
	out := []elbv2api.AvailabilityZone{}
	for i := range lb.Subnets {
		out = append(out, elbv2api.AvailabilityZone{
			ZoneName: &lb.Zones[i], SubnetId: &lb.Subnets[i], LoadBalancerAddresses: []elbv2api.LoadBalancerAddress{},
		})
	}
	return out
}

// DescribeAccountLimits implements elbv2api.Handler.
func (s *Service) DescribeAccountLimits(_ context.Context, in *elbv2api.DescribeAccountLimitsInput) (*elbv2api.DescribeAccountLimitsOutput, error) {
	limits := []elbv2api.Limit{
		{Name: new("application-load-balancers"), Max: new(strconv.Itoa(maxLoadBalancers))},
		{Name: new("listeners-per-application-load-balancer"), Max: new(strconv.Itoa(maxListeners))},
		{Name: new("target-groups"), Max: new(strconv.Itoa(maxTargetGroups))},
		{Name: new("target-groups-per-action-on-application-load-balancer"), Max: new("1")},
		{Name: new("targets-per-application-load-balancer"), Max: new(strconv.Itoa(maxTargets))},
	}
	limits, next, err := loadbalancer.Page(limits, func(l elbv2api.Limit) string { return api.Val(l.Name) }, in.PageSize, in.Marker)
	return &elbv2api.DescribeAccountLimitsOutput{Limits: limits, NextMarker: next}, err
}
