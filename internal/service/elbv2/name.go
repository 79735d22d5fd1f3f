package elbv2

import (
	"context"
	"errors"
	"strings"

	"github.com/tarn-eks/tarn/internal/loadbalancer"
	"github.com/tarn-eks/tarn/internal/store"
)

const service = "elasticloadbalancing"

// ARN names a load balancer.
func (s *Service) ARN(lb LoadBalancer) string {
	return s.scope.Of(service, "loadbalancer/%s", lb.Label())
}

// ListenerARN names a listener of a load balancer.
func (s *Service) ListenerARN(lb LoadBalancer, l Listener) string {
	return s.scope.Of(service, "listener/%s/%s", lb.Label(), l.ID)
}

// ruleARN names a listener's default rule.
func (s *Service) ruleARN(lb LoadBalancer, l Listener) string {
	return s.scope.Of(service, "listener-rule/%s/%s/%s", lb.Label(), l.ID, l.Rule)
}

// TargetGroupARN names a target group.
func (s *Service) TargetGroupARN(g TargetGroup) string {
	return s.scope.Of(service, "%s", g.Label())
}

// parse takes the ARN of a resource of a kind apart: what is between the slashes
// after the kind, which has n parts.
func (s *Service) parse(kind string, n int, arn string) ([]string, bool) {
	rest, ok := strings.CutPrefix(arn, s.scope.Of(service, "%s/", kind))
	parts := strings.Split(rest, "/")
	for _, p := range parts {
		ok = ok && p != ""
	}
	return parts, ok && len(parts) == n
}

// parseBalancer finds out whom a load balancer's ARN names. One of another type is
// named too, and not found.
func (s *Service) parseBalancer(arn string) (name, id string, err error) {
	parts, ok := s.parse("loadbalancer", 3, arn)
	switch {
	case !ok:
		return "", "", invalid("'%s' is not a valid load balancer ARN", arn)
	case parts[0] != loadbalancer.Application:
		return "", "", noBalancer(arn)
	}
	return parts[1], parts[2], nil
}

// parseListener finds out which of a load balancer's listeners an ARN names.
func (s *Service) parseListener(arn string) (balancer, id string, err error) {
	parts, ok := s.parse("listener", 4, arn)
	if !ok {
		return "", "", invalid("'%s' is not a valid listener ARN", arn)
	}
	return s.scope.Of(service, "loadbalancer/%s", strings.Join(parts[:3], "/")), parts[3], nil
}

// parseRule finds out which listener has the rule that an ARN names.
func (s *Service) parseRule(arn string) (listener, id string, err error) {
	parts, ok := s.parse("listener-rule", 5, arn)
	if !ok {
		return "", "", invalid("'%s' is not a valid listener rule ARN", arn)
	}
	return s.scope.Of(service, "listener/%s", strings.Join(parts[:4], "/")), parts[4], nil
}

func (s *Service) parseGroup(arn string) (name, id string, err error) {
	parts, ok := s.parse("targetgroup", 2, arn)
	if !ok {
		return "", "", invalid("'%s' is not a valid target group ARN", arn)
	}
	return parts[0], parts[1], nil
}

// TargetGroup finds a target group by its ARN. One that is not there is a
// TargetGroupNotFoundException.
func (s *Service) TargetGroup(ctx context.Context, arn string) (TargetGroup, error) {
	name, id, err := s.parseGroup(arn)
	if err != nil {
		return TargetGroup{}, err
	}
	it, err := s.TargetGroups.Get(ctx, name)
	if errors.Is(err, store.ErrNotFound) || err == nil && it.Value.ID != id {
		return TargetGroup{}, noGroup(arn)
	}
	return it.Value, err
}

// find returns the first load balancer that is wanted; ok is false if none is.
func (s *Service) find(ctx context.Context, wanted func(*LoadBalancer) bool) (lb LoadBalancer, ok bool, err error) {
	items, _, err := s.balancers.List(ctx)
	if err != nil {
		return LoadBalancer{}, false, err
	}
	for _, it := range items {
		if wanted(&it.Value) {
			return it.Value, true, nil
		}
	}
	return LoadBalancer{}, false, nil
}

// BalancerOf finds the load balancer that forwards to a target group; ok is false
// if none does.
func (s *Service) BalancerOf(ctx context.Context, targetGroupARN string) (lb LoadBalancer, ok bool, err error) {
	return s.find(ctx, func(lb *LoadBalancer) bool { return lb.Uses(targetGroupARN) })
}

// ByDNSName finds the load balancer with a DNS name, with or without dualstack.
// before it and a dot at the end, in whatever case; ok is false if there is none.
func (s *Service) ByDNSName(ctx context.Context, name string) (lb LoadBalancer, ok bool, err error) {
	return s.find(ctx, func(lb *LoadBalancer) bool { return lb.Named(name) })
}

// InUse are the ARNs of the load balancers that have a listener with the
// certificate. ACM asks.
func (s *Service) InUse(ctx context.Context, certificate string) ([]string, error) {
	items, _, err := s.balancers.List(ctx)
	if err != nil {
		return nil, err
	}
	var users []string
	for _, it := range items {
		for _, l := range it.Value.Listeners {
			if l.Certificate == certificate {
				users = append(users, s.ARN(it.Value))
				break
			}
		}
	}
	return users, nil
}
