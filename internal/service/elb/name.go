package elb

import (
	"context"
)

// ByDNSName finds the load balancer with a DNS name, with or without dualstack.
// before it and a dot at the end, in whatever case; ok is false if there is none.
func (s *Service) ByDNSName(ctx context.Context, name string) (lb LoadBalancer, ok bool, err error) {
	items, _, err := s.all.List(ctx)
	if err != nil {
		return LoadBalancer{}, false, err
	}
	for _, it := range items {
		if it.Value.Named(name) {
			return it.Value, true, nil
		}
	}
	return LoadBalancer{}, false, nil
}

// ARN names a load balancer.
func (s *Service) ARN(name string) string {
	return s.scope.Of(service, "loadbalancer/%s", name)
}

// InUse are the ARNs of the load balancers that have a listener with the
// certificate. ACM asks.
func (s *Service) InUse(ctx context.Context, certificate string) ([]string, error) {
	items, _, err := s.all.List(ctx)
	if err != nil {
		return nil, err
	}
	var users []string
	for _, it := range items {
		for _, l := range it.Value.Listeners {
			if l.Certificate == certificate {
				users = append(users, s.ARN(it.Value.Name))
				break
			}
		}
	}
	return users, nil
}
