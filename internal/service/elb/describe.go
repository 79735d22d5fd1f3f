package elb

import (
	"context"
	"slices"
	"strconv"

	"github.com/tarn-eks/tarn/internal/api"
	elbapi "github.com/tarn-eks/tarn/internal/api/elb"
	"github.com/tarn-eks/tarn/internal/hostedzone"
	"github.com/tarn-eks/tarn/internal/loadbalancer"
	"github.com/tarn-eks/tarn/internal/store"
)

// DescribeLoadBalancers implements elbapi.Handler.
func (s *Service) DescribeLoadBalancers(ctx context.Context, in *elbapi.DescribeLoadBalancersInput) (*elbapi.DescribeLoadBalancersOutput, error) {
	all, _, err := s.all.List(ctx)
	if err != nil {
		return nil, err
	}
	if len(in.LoadBalancerNames) > 0 {
		if all, err = among(all, in.LoadBalancerNames); err != nil {
			return nil, err
		}
	}
	out := &elbapi.DescribeLoadBalancersOutput{LoadBalancerDescriptions: []elbapi.LoadBalancerDescription{}}
	all, out.NextMarker, err = loadbalancer.Page(all, func(it store.Item[LoadBalancer]) string { return it.Key }, in.PageSize, in.Marker)
	if err != nil {
		return nil, err
	}
	names, err := s.sourceGroups(ctx, all)
	if err != nil {
		return nil, err
	}
	for _, it := range all {
		out.LoadBalancerDescriptions = append(out.LoadBalancerDescriptions, s.describe(it.Value, names))
	}
	return out, nil
}

// among are the load balancers that a request names, all of which must exist.
func among(all []store.Item[LoadBalancer], names []string) ([]store.Item[LoadBalancer], error) {
	for _, name := range names {
		if err := checkName(name); err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(all, func(it store.Item[LoadBalancer]) bool { return it.Key == name }) {
			return nil, notFound(name)
		}
	}
	return slices.DeleteFunc(all, func(it store.Item[LoadBalancer]) bool { return !slices.Contains(names, it.Key) }), nil
}

// sourceGroups are the names of the load balancers' first security groups, by id.
func (s *Service) sourceGroups(ctx context.Context, all []store.Item[LoadBalancer]) (map[string]string, error) {
	var ids []string
	for _, it := range all {
		ids = append(ids, it.Value.SecurityGroups[:min(1, len(it.Value.SecurityGroups))]...)
	}
	if len(ids) == 0 {
		return nil, nil
	}
	groups, err := s.network.SecurityGroups(ctx, unique(ids))
	names := map[string]string{}
	for _, g := range groups {
		names[g.ID] = g.Name
	}
	return names, err
}

func (s *Service) describe(lb LoadBalancer, groupNames map[string]string) elbapi.LoadBalancerDescription {
	out := elbapi.LoadBalancerDescription{
		LoadBalancerName: &lb.Name, DNSName: &lb.DNSName, CanonicalHostedZoneName: &lb.DNSName,
		ListenerDescriptions: []elbapi.ListenerDescription{}, BackendServerDescriptions: []elbapi.BackendServerDescription{},
		AvailabilityZones: list(lb.Zones), Subnets: list(lb.Subnets), VPCId: &lb.VPC, Instances: instancesOut(lb.Instances),
		HealthCheck: lb.HealthCheck.out(), SecurityGroups: list(lb.SecurityGroups), CreatedTime: &lb.Created, Scheme: &lb.Scheme,
		Policies: &elbapi.Policies{
			AppCookieStickinessPolicies: []elbapi.AppCookieStickinessPolicy{}, LBCookieStickinessPolicies: []elbapi.LBCookieStickinessPolicy{}, OtherPolicies: []string{},
		},
	}
	if zone := hostedzone.OfLoadBalancers(s.scope.Region); zone != "" {
		out.CanonicalHostedZoneNameID = &zone
	}
	if len(lb.SecurityGroups) > 0 {
		if name, ok := groupNames[lb.SecurityGroups[0]]; ok {
			out.SourceSecurityGroup = &elbapi.SourceSecurityGroup{OwnerAlias: &s.scope.Account, GroupName: &name}
		}
	}
	for _, l := range lb.Listeners {
		d := elbapi.Listener{Protocol: &l.Protocol, LoadBalancerPort: &l.Port, InstanceProtocol: &l.InstanceProtocol, InstancePort: &l.InstancePort}
		if l.Certificate != "" {
			d.SSLCertificateId = &l.Certificate
		}
		out.ListenerDescriptions = append(out.ListenerDescriptions, elbapi.ListenerDescription{Listener: &d, PolicyNames: list(l.Policies)})
	}
	for _, b := range lb.BackendServers {
		out.BackendServerDescriptions = append(out.BackendServerDescriptions, elbapi.BackendServerDescription{InstancePort: &b.InstancePort, PolicyNames: list(b.Policies)})
	}
	for _, p := range lb.Policies {
		switch p.Type {
		case AppCookieStickiness:
			out.Policies.AppCookieStickinessPolicies = append(out.Policies.AppCookieStickinessPolicies,
				elbapi.AppCookieStickinessPolicy{PolicyName: &p.Name, CookieName: new(p.Value("CookieName"))})
		case LBCookieStickiness:
			d := elbapi.LBCookieStickinessPolicy{PolicyName: &p.Name}
			if seconds, err := strconv.ParseInt(p.Value("CookieExpirationPeriod"), 10, 64); err == nil {
				d.CookieExpirationPeriod = &seconds
			}
			out.Policies.LBCookieStickinessPolicies = append(out.Policies.LBCookieStickinessPolicies, d)
		default:
			out.Policies.OtherPolicies = append(out.Policies.OtherPolicies, p.Name)
		}
	}
	return out
}

// list is a list that is present, even if it is empty.
func list(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}

// DescribeAccountLimits implements elbapi.Handler.
func (s *Service) DescribeAccountLimits(_ context.Context, in *elbapi.DescribeAccountLimitsInput) (*elbapi.DescribeAccountLimitsOutput, error) {
	limits := []elbapi.Limit{
		{Name: new("classic-listeners"), Max: new(strconv.Itoa(maxListeners))},
		{Name: new("classic-load-balancers"), Max: new(strconv.Itoa(maxLoadBalancers))},
		{Name: new("classic-registered-instances"), Max: new(strconv.Itoa(maxInstances))},
	}
	limits, next, err := loadbalancer.Page(limits, func(l elbapi.Limit) string { return api.Val(l.Name) }, in.PageSize, in.Marker)
	return &elbapi.DescribeAccountLimitsOutput{Limits: limits, NextMarker: next}, err
}
