package elbv2

import (
	"context"
	"errors"
	"slices"

	"github.com/tarn-eks/tarn/internal/api"
	elbv2api "github.com/tarn-eks/tarn/internal/api/elbv2"
	"github.com/tarn-eks/tarn/internal/loadbalancer"
	"github.com/tarn-eks/tarn/internal/store"
)

// CreateTargetGroup implements elbv2api.Handler. One that is there already and was
// created with the same settings is what the caller wants.
func (s *Service) CreateTargetGroup(ctx context.Context, in *elbv2api.CreateTargetGroupInput) (*elbv2api.CreateTargetGroupOutput, error) {
	g, err := s.newTargetGroup(ctx, in)
	if err != nil {
		return nil, err
	}
	s.joining.Lock()
	defer s.joining.Unlock()
	all, _, err := s.groups.List(ctx)
	if err != nil {
		return nil, err
	}
	if i := slices.IndexFunc(all, func(it store.Item[TargetGroup]) bool { return it.Key == g.Name }); i >= 0 {
		has := all[i].Value
		if g.Protocol != has.Protocol || g.Port != has.Port || g.VPC != has.VPC || g.HealthCheck != has.HealthCheck {
			return nil, elbv2api.DuplicateTargetGroupNameException.New("A target group with the same name '%s' exists, but with different settings", g.Name)
		}
		out, err := s.describeGroups(ctx, has)
		return &elbv2api.CreateTargetGroupOutput{TargetGroups: out}, err
	}
	if len(all) >= maxTargetGroups {
		return nil, elbv2api.TooManyTargetGroupsException.New("The maximum number of target groups has been reached")
	}
	if _, err := s.TargetGroups.Create(ctx, g.Name, g); err != nil {
		return nil, err
	}
	out, err := s.describeGroups(ctx, g)
	return &elbv2api.CreateTargetGroupOutput{TargetGroups: out}, err
}

// newTargetGroup is the record that a request asks for.
func (s *Service) newTargetGroup(ctx context.Context, in *elbv2api.CreateTargetGroupInput) (TargetGroup, error) {
	g := TargetGroup{
		Name: api.Val(in.Name), ID: loadbalancer.NewID(), Protocol: string(in.Protocol), Port: api.Val(in.Port), VPC: api.Val(in.VpcId),
		HealthCheck: defaultHealthCheck, Attributes: defaultGroupAttributes,
	}
	if err := checkName("Target group", g.Name); err != nil {
		return g, err
	}
	if err := checkGroupKind(in); err != nil {
		return g, err
	}
	switch {
	case in.Protocol == "":
		return g, invalid("A protocol must be specified")
	case in.Port == nil:
		return g, invalid("A port must be specified")
	case g.VPC == "":
		return g, invalid("A VPC ID must be specified")
	}
	if err := between("port", g.Port, 1, 65535); err != nil {
		return g, err
	}
	if err := g.HealthCheck.change(healthCheckInput{
		Protocol: in.HealthCheckProtocol, Port: in.HealthCheckPort, Path: in.HealthCheckPath, Enabled: in.HealthCheckEnabled, Matcher: in.Matcher,
		Interval: in.HealthCheckIntervalSeconds, Timeout: in.HealthCheckTimeoutSeconds,
		Healthy: in.HealthyThresholdCount, Unhealthy: in.UnhealthyThresholdCount,
	}); err != nil {
		return g, err
	}
	var err error
	if g.Tags, err = checkTags(in.Tags); err != nil {
		return g, err
	}
	ok, err := s.network.VPC(ctx, g.VPC)
	if err == nil && !ok {
		err = invalid("The VPC ID '%s' is not found", g.VPC)
	}
	return g, err
}

// checkGroupKind refuses what is no target group of instances that speak HTTP/1.
func checkGroupKind(in *elbv2api.CreateTargetGroupInput) error {
	switch in.TargetType {
	case "", elbv2api.TargetTypeEnumInstance:
	case elbv2api.TargetTypeEnumIp, elbv2api.TargetTypeEnumLambda, elbv2api.TargetTypeEnumAlb:
		return notImplemented("target groups with TargetType %s: use instance.", in.TargetType)
	default:
		return among("targetType", in.TargetType, elbv2api.TargetTypeEnumInstance, elbv2api.TargetTypeEnumIp, elbv2api.TargetTypeEnumLambda, elbv2api.TargetTypeEnumAlb)
	}
	switch in.Protocol {
	case "", HTTP, HTTPS:
	default:
		if err := checkProtocol("protocol", in.Protocol); err != nil {
			return err
		}
		return notImplemented("target groups with protocol %s: use HTTP or HTTPS.", in.Protocol)
	}
	switch version := api.Val(in.ProtocolVersion); version {
	case "", "HTTP1":
	case "HTTP2", "GRPC":
		return notImplemented("target groups with ProtocolVersion %s: use HTTP1.", version)
	default:
		return invalid("Protocol version '%s' must be one of 'HTTP1, HTTP2, GRPC'", version)
	}
	switch in.IpAddressType {
	case "", elbv2api.TargetGroupIpAddressTypeEnumIpv4:
		return nil
	case elbv2api.TargetGroupIpAddressTypeEnumIpv6:
		return notImplemented("target groups with IpAddressType ipv6: use ipv4.")
	}
	return among("ipAddressType", in.IpAddressType, elbv2api.TargetGroupIpAddressTypeEnumIpv4, elbv2api.TargetGroupIpAddressTypeEnumIpv6)
}

// checkProtocol wants one that there is, here or on AWS.
func checkProtocol(member string, protocol elbv2api.ProtocolEnum) error {
	return among(member, protocol, elbv2api.ProtocolEnumHttp, elbv2api.ProtocolEnumHttps, elbv2api.ProtocolEnumTcp, elbv2api.ProtocolEnumTls,
		elbv2api.ProtocolEnumUdp, elbv2api.ProtocolEnumTcpUdp, elbv2api.ProtocolEnumGeneve)
}

// ModifyTargetGroup implements elbv2api.Handler. What a request leaves out stays as
// it is.
func (s *Service) ModifyTargetGroup(ctx context.Context, in *elbv2api.ModifyTargetGroupInput) (*elbv2api.ModifyTargetGroupOutput, error) {
	g, err := s.modifyGroup(ctx, api.Val(in.TargetGroupArn), func(g *TargetGroup) error {
		return g.HealthCheck.change(healthCheckInput{
			Protocol: in.HealthCheckProtocol, Port: in.HealthCheckPort, Path: in.HealthCheckPath, Enabled: in.HealthCheckEnabled, Matcher: in.Matcher,
			Interval: in.HealthCheckIntervalSeconds, Timeout: in.HealthCheckTimeoutSeconds,
			Healthy: in.HealthyThresholdCount, Unhealthy: in.UnhealthyThresholdCount,
		})
	})
	if err != nil {
		return nil, err
	}
	out, err := s.describeGroups(ctx, g)
	return &elbv2api.ModifyTargetGroupOutput{TargetGroups: out}, err
}

// DeleteTargetGroup implements elbv2api.Handler. One that is not there is as it is
// to be.
func (s *Service) DeleteTargetGroup(ctx context.Context, in *elbv2api.DeleteTargetGroupInput) (*elbv2api.DeleteTargetGroupOutput, error) {
	arn := api.Val(in.TargetGroupArn)
	s.joining.Lock()
	defer s.joining.Unlock()
	g, err := s.TargetGroup(ctx, arn)
	if elbv2api.TargetGroupNotFoundException.Is(err) {
		return &elbv2api.DeleteTargetGroupOutput{}, nil
	}
	if err != nil {
		return nil, err
	}
	if _, used, err := s.BalancerOf(ctx, arn); err != nil {
		return nil, err
	} else if used {
		return nil, elbv2api.ResourceInUseException.New("Target group '%s' is currently in use by a listener or a rule", arn)
	}
	if err := s.TargetGroups.Delete(ctx, g.Name); err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, err
	}
	return &elbv2api.DeleteTargetGroupOutput{}, nil
}
