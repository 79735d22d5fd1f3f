package elbv2

import (
	"context"
	"slices"
	"strconv"

	"github.com/tarn-eks/tarn/internal/api"
	elbv2api "github.com/tarn-eks/tarn/internal/api/elbv2"
	"github.com/tarn-eks/tarn/internal/loadbalancer"
	"github.com/tarn-eks/tarn/internal/store"
)

// DescribeTargetGroups implements elbv2api.Handler.
func (s *Service) DescribeTargetGroups(ctx context.Context, in *elbv2api.DescribeTargetGroupsInput) (*elbv2api.DescribeTargetGroupsOutput, error) {
	all, _, err := s.groups.List(ctx)
	if err != nil {
		return nil, err
	}
	if all, err = s.wantedGroups(ctx, all, in); err != nil {
		return nil, err
	}
	all, next, err := loadbalancer.Page(all, func(it store.Item[TargetGroup]) string { return it.Key }, in.PageSize, in.Marker)
	if err != nil {
		return nil, err
	}
	groups := make([]TargetGroup, len(all))
	for i, it := range all {
		groups[i] = it.Value
	}
	out, err := s.describeGroups(ctx, groups...)
	return &elbv2api.DescribeTargetGroupsOutput{TargetGroups: out, NextMarker: next}, err
}

// wantedGroups are the target groups that a request names, all of which must exist.
func (s *Service) wantedGroups(ctx context.Context, all []store.Item[TargetGroup], in *elbv2api.DescribeTargetGroupsInput) ([]store.Item[TargetGroup], error) {
	if api.Val(in.LoadBalancerArn) != "" {
		if len(in.Names) > 0 || len(in.TargetGroupArns) > 0 {
			return nil, invalid("A load balancer ARN cannot be specified with target group names or target group ARNs at the same time")
		}
		lb, err := s.get(ctx, *in.LoadBalancerArn)
		return slices.DeleteFunc(all, func(it store.Item[TargetGroup]) bool { return !lb.Uses(s.TargetGroupARN(it.Value)) }), err
	}
	wanted, of := in.Names, func(g TargetGroup) string { return g.Name }
	switch {
	case len(in.Names) > 0 && len(in.TargetGroupArns) > 0:
		return nil, invalid("Target group names and target group ARNs cannot be specified at the same time")
	case len(in.TargetGroupArns) > 0:
		wanted, of = in.TargetGroupArns, s.TargetGroupARN
		for _, arn := range wanted {
			if _, _, err := s.parseGroup(arn); err != nil {
				return nil, err
			}
		}
	case len(in.Names) > 0:
		for _, name := range wanted {
			if err := checkName("Target group", name); err != nil {
				return nil, err
			}
		}
	default:
		return all, nil
	}
	all = slices.DeleteFunc(all, func(it store.Item[TargetGroup]) bool { return !slices.Contains(wanted, of(it.Value)) })
	if len(all) < len(unique(wanted)) {
		return nil, elbv2api.TargetGroupNotFoundException.New("One or more target groups not found")
	}
	return all, nil
}

// describeGroups says how target groups are, and which load balancers use them.
func (s *Service) describeGroups(ctx context.Context, groups ...TargetGroup) ([]elbv2api.TargetGroup, error) {
	balancers, _, err := s.balancers.List(ctx)
	if err != nil {
		return nil, err
	}
	out := []elbv2api.TargetGroup{}
	for _, g := range groups {
		arn := s.TargetGroupARN(g)
		d := elbv2api.TargetGroup{
			TargetGroupArn: &arn, TargetGroupName: &g.Name, Protocol: elbv2api.ProtocolEnum(g.Protocol), Port: &g.Port, VpcId: &g.VPC,
			ProtocolVersion: new("HTTP1"), TargetType: elbv2api.TargetTypeEnumInstance, IpAddressType: elbv2api.TargetGroupIpAddressTypeEnumIpv4,
			HealthCheckProtocol: elbv2api.ProtocolEnum(g.HealthCheck.Protocol), HealthCheckPort: new(trafficPort),
			HealthCheckEnabled: new(true), HealthCheckPath: &g.HealthCheck.Path, Matcher: &elbv2api.Matcher{HttpCode: &g.HealthCheck.Matcher},
			HealthCheckIntervalSeconds: &g.HealthCheck.Interval, HealthCheckTimeoutSeconds: &g.HealthCheck.Timeout,
			HealthyThresholdCount: &g.HealthCheck.HealthyThreshold, UnhealthyThresholdCount: &g.HealthCheck.UnhealthyThreshold,
			LoadBalancerArns: []string{},
		}
		if g.HealthCheck.Port != 0 {
			d.HealthCheckPort = new(strconv.Itoa(int(g.HealthCheck.Port)))
		}
		for _, it := range balancers {
			if it.Value.Uses(arn) {
				d.LoadBalancerArns = append(d.LoadBalancerArns, s.ARN(it.Value))
			}
		}
		out = append(out, d)
	}
	return out, nil
}
