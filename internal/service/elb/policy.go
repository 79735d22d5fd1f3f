package elb

import (
	"context"
	"slices"
	"strconv"

	"github.com/tarn-eks/tarn/internal/api"
	elbapi "github.com/tarn-eks/tarn/internal/api/elb"
)

// addPolicy adds a policy that the load balancer does not have. The same one again
// is what the caller wants.
func (lb *LoadBalancer) addPolicy(p Policy) error {
	if has, ok := lb.Policy(p.Name); ok {
		if has.Type != p.Type || !slices.Equal(has.Attributes, p.Attributes) {
			return elbapi.DuplicatePolicyNameException.New("A policy with name %s already exists for load balancer %s, with different attributes", p.Name, lb.Name)
		}
		return nil
	}
	if len(lb.Policies) >= maxPolicies {
		return elbapi.TooManyPoliciesException.New("The quota for the number of policies for this load balancer has been reached")
	}
	lb.Policies = append(lb.Policies, p)
	return nil
}

func (s *Service) createPolicy(ctx context.Context, lb, name *string, kind string, attributes []elbapi.PolicyAttribute) error {
	if _, err := s.get(ctx, lb); err != nil {
		return err
	}
	p, err := readPolicy(api.Val(name), kind, attributes)
	if err != nil {
		return err
	}
	_, err = s.modify(ctx, lb, func(lb *LoadBalancer) error {
		for _, key := range p.Values("PublicKeyPolicyName") {
			if k, ok := lb.Policy(key); !ok || k.Type != PublicKey {
				return refused("There is no policy with name %s and type %s for load balancer %s", key, PublicKey, lb.Name)
			}
		}
		return lb.addPolicy(p)
	})
	return err
}

// CreateLoadBalancerPolicy implements elbapi.Handler.
func (s *Service) CreateLoadBalancerPolicy(ctx context.Context, in *elbapi.CreateLoadBalancerPolicyInput) (*elbapi.CreateLoadBalancerPolicyOutput, error) {
	return &elbapi.CreateLoadBalancerPolicyOutput{}, s.createPolicy(ctx, in.LoadBalancerName, in.PolicyName, api.Val(in.PolicyTypeName), in.PolicyAttributes)
}

// CreateAppCookieStickinessPolicy implements elbapi.Handler.
func (s *Service) CreateAppCookieStickinessPolicy(ctx context.Context, in *elbapi.CreateAppCookieStickinessPolicyInput) (*elbapi.CreateAppCookieStickinessPolicyOutput, error) {
	return &elbapi.CreateAppCookieStickinessPolicyOutput{}, s.createPolicy(ctx, in.LoadBalancerName, in.PolicyName, AppCookieStickiness,
		[]elbapi.PolicyAttribute{{AttributeName: new("CookieName"), AttributeValue: in.CookieName}})
}

// CreateLBCookieStickinessPolicy implements elbapi.Handler.
func (s *Service) CreateLBCookieStickinessPolicy(ctx context.Context, in *elbapi.CreateLBCookieStickinessPolicyInput) (*elbapi.CreateLBCookieStickinessPolicyOutput, error) {
	var attributes []elbapi.PolicyAttribute
	if in.CookieExpirationPeriod != nil {
		attributes = append(attributes, elbapi.PolicyAttribute{
			AttributeName: new("CookieExpirationPeriod"), AttributeValue: new(strconv.FormatInt(*in.CookieExpirationPeriod, 10)),
		})
	}
	return &elbapi.CreateLBCookieStickinessPolicyOutput{}, s.createPolicy(ctx, in.LoadBalancerName, in.PolicyName, LBCookieStickiness, attributes)
}

// DeleteLoadBalancerPolicy implements elbapi.Handler. A policy that is not there is
// as it is to be.
func (s *Service) DeleteLoadBalancerPolicy(ctx context.Context, in *elbapi.DeleteLoadBalancerPolicyInput) (*elbapi.DeleteLoadBalancerPolicyOutput, error) {
	name := api.Val(in.PolicyName)
	_, err := s.modify(ctx, in.LoadBalancerName, func(lb *LoadBalancer) error {
		for _, used := range lb.enabled() {
			p, _ := lb.Policy(used)
			if used == name || slices.Contains(p.Values("PublicKeyPolicyName"), name) {
				return refused("You cannot delete policy [%s] since it is enabled or referred by other enabled policy.", name)
			}
		}
		lb.Policies = slices.DeleteFunc(lb.Policies, func(p Policy) bool { return p.Name == name })
		return nil
	})
	return &elbapi.DeleteLoadBalancerPolicyOutput{}, err
}

// enabled are the names of the policies that listeners and backend servers have.
func (lb *LoadBalancer) enabled() []string {
	var names []string
	for _, l := range lb.Listeners {
		names = append(names, l.Policies...)
	}
	for _, b := range lb.BackendServers {
		names = append(names, b.Policies...)
	}
	return names
}

// named finds policies that are to be enabled together: all must exist, and no two
// may be of one type.
func (lb *LoadBalancer) named(names []string) ([]Policy, error) {
	var found []Policy
	for _, name := range unique(names) {
		p, ok := lb.Policy(name)
		if !ok {
			return nil, noPolicy(name, lb.Name)
		}
		if slices.ContainsFunc(found, func(o Policy) bool { return o.Type == p.Type }) {
			return nil, refused("Only one policy of type %s can be enabled", p.Type)
		}
		found = append(found, p)
	}
	return found, nil
}

func noPolicy(name, lb string) error {
	return elbapi.PolicyNotFoundException.New("There is no policy with name %s for load balancer %s", name, lb)
}

// SetLoadBalancerPoliciesOfListener implements elbapi.Handler.
func (s *Service) SetLoadBalancerPoliciesOfListener(ctx context.Context, in *elbapi.SetLoadBalancerPoliciesOfListenerInput) (*elbapi.SetLoadBalancerPoliciesOfListenerOutput, error) {
	_, err := s.modify(ctx, in.LoadBalancerName, func(lb *LoadBalancer) error {
		l := lb.listener(api.Val(in.LoadBalancerPort))
		if l == nil {
			return noListener(lb.Name, api.Val(in.LoadBalancerPort))
		}
		policies, err := lb.named(in.PolicyNames)
		if err != nil {
			return err
		}
		sticky := 0
		for _, p := range policies {
			fits := false
			switch p.Type {
			case SSLNegotiation:
				fits = secure(l.Protocol)
			case AppCookieStickiness, LBCookieStickiness:
				fits = web(l.Protocol)
				sticky++
			}
			if !fits {
				return refused("%s cannot be enabled", p.Name)
			}
		}
		if sticky > 1 {
			return refused("Only one stickiness policy can be enabled")
		}
		l.Policies = unique(in.PolicyNames)
		return nil
	})
	return &elbapi.SetLoadBalancerPoliciesOfListenerOutput{}, err
}

// SetLoadBalancerPoliciesForBackendServer implements elbapi.Handler. The port need
// not be one of a listener: policies stay when a listener goes.
func (s *Service) SetLoadBalancerPoliciesForBackendServer(ctx context.Context, in *elbapi.SetLoadBalancerPoliciesForBackendServerInput) (*elbapi.SetLoadBalancerPoliciesForBackendServerOutput, error) {
	port := api.Val(in.InstancePort)
	if err := between("instancePort", port, 1, 65535); err != nil {
		return nil, err
	}
	_, err := s.modify(ctx, in.LoadBalancerName, func(lb *LoadBalancer) error {
		policies, err := lb.named(in.PolicyNames)
		if err != nil {
			return err
		}
		for _, p := range policies {
			if err := lb.checkBackend(p, port); err != nil {
				return err
			}
		}
		lb.BackendServers = slices.DeleteFunc(lb.BackendServers, func(b BackendServer) bool { return b.InstancePort == port })
		if len(policies) > 0 {
			lb.BackendServers = append(lb.BackendServers, BackendServer{port, unique(in.PolicyNames)})
			slices.SortFunc(lb.BackendServers, func(a, b BackendServer) int { return int(a.InstancePort - b.InstancePort) })
		}
		return nil
	})
	return &elbapi.SetLoadBalancerPoliciesForBackendServerOutput{}, err
}

// checkBackend wants a policy that can be enabled for a port of the instances.
func (lb *LoadBalancer) checkBackend(p Policy, port int32) error {
	switch p.Type {
	case ProxyProtocol:
		return nil
	case BackendServerAuthentication:
		for _, key := range p.Values("PublicKeyPolicyName") {
			if _, ok := lb.Policy(key); !ok {
				return noPolicy(key, lb.Name)
			}
		}
		if !slices.ContainsFunc(lb.Listeners, func(l Listener) bool { return l.InstancePort == port && !secure(l.InstanceProtocol) }) {
			return nil
		}
	}
	return refused("%s cannot be enabled", p.Name)
}

// DescribeLoadBalancerPolicies implements elbapi.Handler. Without a load balancer
// they are the predefined security policies.
func (s *Service) DescribeLoadBalancerPolicies(ctx context.Context, in *elbapi.DescribeLoadBalancerPoliciesInput) (*elbapi.DescribeLoadBalancerPoliciesOutput, error) {
	var lb LoadBalancer
	if in.LoadBalancerName != nil {
		var err error
		if lb, err = s.get(ctx, in.LoadBalancerName); err != nil {
			return nil, err
		}
	} else {
		for _, p := range securityPolicies {
			lb.Policies = append(lb.Policies, Policy{p.name, SSLNegotiation, negotiation(p.enables)})
		}
	}
	policies := lb.Policies
	if len(in.PolicyNames) > 0 {
		policies = nil
		for _, name := range unique(in.PolicyNames) {
			p, ok := lb.Policy(name)
			switch {
			case !ok && lb.Name == "":
				return nil, elbapi.PolicyNotFoundException.New("There is no sample policy with name %s", name)
			case !ok:
				return nil, noPolicy(name, lb.Name)
			}
			policies = append(policies, p)
		}
	}
	out := &elbapi.DescribeLoadBalancerPoliciesOutput{PolicyDescriptions: []elbapi.PolicyDescription{}}
	for _, p := range policies {
		d := elbapi.PolicyDescription{PolicyName: &p.Name, PolicyTypeName: &p.Type, PolicyAttributeDescriptions: []elbapi.PolicyAttributeDescription{}}
		for _, a := range p.Attributes {
			d.PolicyAttributeDescriptions = append(d.PolicyAttributeDescriptions, elbapi.PolicyAttributeDescription{AttributeName: &a.Name, AttributeValue: &a.Value})
		}
		out.PolicyDescriptions = append(out.PolicyDescriptions, d)
	}
	return out, nil
}
