package elb

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/tarn-eks/tarn/internal/api"
	elbapi "github.com/tarn-eks/tarn/internal/api/elb"
	"github.com/tarn-eks/tarn/internal/loadbalancer"
	"github.com/tarn-eks/tarn/internal/store"
)

// CreateLoadBalancer implements elbapi.Handler. One that is there already and was
// created with the same parameters is what the caller wants.
func (s *Service) CreateLoadBalancer(ctx context.Context, in *elbapi.CreateLoadBalancerInput) (*elbapi.CreateLoadBalancerOutput, error) {
	lb, err := s.newLoadBalancer(ctx, in)
	if err != nil {
		return nil, err
	}
	s.creating.Lock()
	defer s.creating.Unlock()
	all, _, err := s.all.List(ctx)
	if err != nil {
		return nil, err
	}
	if i := slices.IndexFunc(all, func(it store.Item[LoadBalancer]) bool { return it.Key == lb.Name }); i >= 0 {
		has := all[i].Value
		if !lb.sameParameters(has) {
			return nil, elbapi.DuplicateAccessPointNameException.New("Load Balancer named %s already exists and it is configured with different parameters.", lb.Name)
		}
		return &elbapi.CreateLoadBalancerOutput{DNSName: &has.DNSName}, nil
	}
	if len(all) >= maxLoadBalancers {
		return nil, elbapi.TooManyAccessPointsException.New("Exceeded quota of account %s", s.scope.Account)
	}
	if _, err := s.LoadBalancers.Create(ctx, lb.Name, lb); err != nil {
		return nil, err
	}
	return &elbapi.CreateLoadBalancerOutput{DNSName: &lb.DNSName}, nil
}

// sameParameters says whether a load balancer that is there is as a new one would be.
func (lb LoadBalancer) sameParameters(has LoadBalancer) bool {
	return lb.Scheme == has.Scheme && lb.VPC == has.VPC && sameSet(lb.Subnets, has.Subnets) && sameSet(lb.SecurityGroups, has.SecurityGroups) &&
		len(lb.Listeners) == len(has.Listeners) && !slices.ContainsFunc(lb.Listeners, func(l Listener) bool {
		o := has.listener(l.Port)
		return o == nil || !l.same(*o)
	})
}

// newLoadBalancer is the record that a request asks for.
func (s *Service) newLoadBalancer(ctx context.Context, in *elbapi.CreateLoadBalancerInput) (LoadBalancer, error) {
	lb := LoadBalancer{
		Placement:  loadbalancer.Placement{Name: api.Val(in.LoadBalancerName), Scheme: loadbalancer.InternetFacing, Created: s.time()},
		Attributes: defaultAttributes,
	}
	if err := checkName(lb.Name); err != nil {
		return lb, err
	}
	switch scheme := api.Val(in.Scheme); scheme {
	case "", loadbalancer.InternetFacing:
	case loadbalancer.Internal:
		lb.Scheme = scheme
	default:
		return lb, elbapi.InvalidSchemeException.New("The specified value for the scheme is not valid: '%s' is neither internet-facing nor internal", scheme)
	}
	listeners, err := s.readListeners(ctx, in.Listeners)
	if err != nil {
		return lb, err
	}
	if err := lb.addListeners(listeners); err != nil {
		return lb, err
	}
	lb.HealthCheck = HealthCheck{
		Target: fmt.Sprintf("TCP:%d", lb.Listeners[0].InstancePort), Interval: 30, Timeout: 5, UnhealthyThreshold: 2, HealthyThreshold: 10,
	}
	if lb.Tags, err = checkTags(in.Tags); err != nil {
		return lb, err
	}
	if len(lb.Tags) > maxTags {
		return lb, tooManyTags()
	}
	if err := s.place(ctx, &lb, in); err != nil {
		return lb, err
	}
	lb.DNSName = loadbalancer.NewDNSName(lb.Name, lb.Scheme, s.scope.Region)
	lb.ID = loadbalancer.NewID()
	return lb, nil
}

// DeleteLoadBalancer implements elbapi.Handler. One that is not there is as it is
// to be. What it has in the VPC is removed by loop/balancing.
func (s *Service) DeleteLoadBalancer(ctx context.Context, in *elbapi.DeleteLoadBalancerInput) (*elbapi.DeleteLoadBalancerOutput, error) {
	name := api.Val(in.LoadBalancerName)
	if err := checkName(name); err != nil {
		return nil, err
	}
	if err := s.LoadBalancers.Delete(ctx, name); err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, err
	}
	return &elbapi.DeleteLoadBalancerOutput{}, nil
}
