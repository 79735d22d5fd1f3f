package elbv2

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/tarn-eks/tarn/internal/api"
	elbv2api "github.com/tarn-eks/tarn/internal/api/elbv2"
	"github.com/tarn-eks/tarn/internal/loadbalancer"
	"github.com/tarn-eks/tarn/internal/store"
)

// CreateLoadBalancer implements elbv2api.Handler. One that is there already and was
// created with the same settings is what the caller wants.
func (s *Service) CreateLoadBalancer(ctx context.Context, in *elbv2api.CreateLoadBalancerInput) (*elbv2api.CreateLoadBalancerOutput, error) {
	lb, err := s.newLoadBalancer(ctx, in)
	if err != nil {
		return nil, err
	}
	s.joining.Lock()
	defer s.joining.Unlock()
	all, _, err := s.balancers.List(ctx)
	if err != nil {
		return nil, err
	}
	if i := slices.IndexFunc(all, func(it store.Item[LoadBalancer]) bool { return it.Key == lb.Name }); i >= 0 {
		if !lb.sameSettings(all[i].Value) {
			return nil, elbv2api.DuplicateLoadBalancerNameException.New("A load balancer with the same name '%s' exists, but with different settings", lb.Name)
		}
		return &elbv2api.CreateLoadBalancerOutput{LoadBalancers: []elbv2api.LoadBalancer{s.describe(all[i].Value)}}, nil
	}
	if len(all) >= maxLoadBalancers {
		return nil, elbv2api.TooManyLoadBalancersException.New("The maximum number of load balancers has been reached")
	}
	if _, err := s.LoadBalancers.Create(ctx, lb.Name, lb); err != nil {
		return nil, err
	}
	return &elbv2api.CreateLoadBalancerOutput{LoadBalancers: []elbv2api.LoadBalancer{s.describe(lb)}}, nil
}

// sameSettings says whether a load balancer that is there is as a new one would be.
func (lb LoadBalancer) sameSettings(has LoadBalancer) bool {
	return lb.Scheme == has.Scheme && lb.VPC == has.VPC && sameSet(lb.Subnets, has.Subnets) && sameSet(lb.SecurityGroups, has.SecurityGroups)
}

// newLoadBalancer is the record that a request asks for.
func (s *Service) newLoadBalancer(ctx context.Context, in *elbv2api.CreateLoadBalancerInput) (LoadBalancer, error) {
	lb := LoadBalancer{
		Placement: loadbalancer.Placement{
			Name: api.Val(in.Name), ID: loadbalancer.NewID(), Type: loadbalancer.Application, Scheme: loadbalancer.InternetFacing, Created: s.time(),
		},
		Attributes: defaultAttributes,
	}
	if err := checkName("The load balancer", lb.Name); err != nil {
		return lb, err
	}
	if strings.HasPrefix(strings.ToLower(lb.Name), "internal-") {
		return lb, invalid("The load balancer name '%s' cannot begin with 'internal-'", lb.Name)
	}
	if err := checkKind(in); err != nil {
		return lb, err
	}
	if in.Scheme != "" {
		if err := among("scheme", in.Scheme, elbv2api.LoadBalancerSchemeEnumInternal, elbv2api.LoadBalancerSchemeEnumInternetFacing); err != nil {
			return lb, err
		}
		lb.Scheme = string(in.Scheme)
	}
	var err error
	if lb.Tags, err = checkTags(in.Tags); err != nil {
		return lb, err
	}
	if err := s.place(ctx, &lb, in); err != nil {
		return lb, err
	}
	lb.DNSName = loadbalancer.NewDNSName(lb.Name, lb.Scheme, s.scope.Region)
	return lb, nil
}

// checkKind refuses what is no Application Load Balancer with addresses of IPv4.
func checkKind(in *elbv2api.CreateLoadBalancerInput) error {
	switch in.Type {
	case "", elbv2api.LoadBalancerTypeEnumApplication:
	case elbv2api.LoadBalancerTypeEnumNetwork:
		return notImplemented("Network Load Balancers: use Type application for HTTP, or a Classic Load Balancer for TCP.")
	case elbv2api.LoadBalancerTypeEnumGateway:
		return notImplemented("Gateway Load Balancers.")
	default:
		return among("type", in.Type, elbv2api.LoadBalancerTypeEnumApplication, elbv2api.LoadBalancerTypeEnumNetwork, elbv2api.LoadBalancerTypeEnumGateway)
	}
	if in.CustomerOwnedIpv4Pool != nil {
		return notImplemented("CustomerOwnedIpv4Pool, which is for Outposts.")
	}
	return checkIPAddressType(in.IpAddressType)
}

func checkIPAddressType(kind elbv2api.IpAddressType) error {
	switch kind {
	case "", elbv2api.IpAddressTypeIpv4:
		return nil
	case elbv2api.IpAddressTypeDualstack, elbv2api.IpAddressTypeDualstackWithoutPublicIpv4:
		return notImplemented("IpAddressType %s of load balancers: use ipv4.", kind)
	}
	return among("ipAddressType", kind, elbv2api.IpAddressTypeIpv4, elbv2api.IpAddressTypeDualstack, elbv2api.IpAddressTypeDualstackWithoutPublicIpv4)
}

// DeleteLoadBalancer implements elbv2api.Handler. One that is not there is as it is
// to be. Its listeners go with it, target groups stay; what it has in the VPC is
// removed by loop/balancing.
func (s *Service) DeleteLoadBalancer(ctx context.Context, in *elbv2api.DeleteLoadBalancerInput) (*elbv2api.DeleteLoadBalancerOutput, error) {
	arn := api.Val(in.LoadBalancerArn)
	name, id, err := s.parseBalancer(arn)
	if elbv2api.LoadBalancerNotFoundException.Is(err) {
		return &elbv2api.DeleteLoadBalancerOutput{}, nil
	}
	if err != nil {
		return nil, err
	}
	err = s.LoadBalancers.Remove(ctx, name, func(lb LoadBalancer) error {
		switch {
		case lb.ID != id:
			return store.ErrNotFound
		case lb.Attributes.DeletionProtection:
			return elbv2api.OperationNotPermittedException.New("Load balancer '%s' cannot be deleted because deletion protection is enabled", arn)
		}
		return nil
	})
	if errors.Is(err, store.ErrNotFound) {
		err = nil
	}
	return &elbv2api.DeleteLoadBalancerOutput{}, err
}
