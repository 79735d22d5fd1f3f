package elbv2

import (
	"context"
	"slices"

	"github.com/tarn-eks/tarn/internal/api"
	elbv2api "github.com/tarn-eks/tarn/internal/api/elbv2"
)

// defaultGroupAttributes are those of new target groups.
var defaultGroupAttributes = TargetGroupAttributes{DeregistrationDelay: 300, Algorithm: RoundRobin, StickyDuration: 86400}

const maxCookie = 604800 // seconds: a week

// groupAttributes are all that a target group of instances for an Application Load
// Balancer has. Those that do not act have AWS's default.
//
// https://docs.aws.amazon.com/elasticloadbalancing/latest/application/edit-target-group-attributes.html
var groupAttributes = []attribute[TargetGroup]{
	seconds("deregistration_delay.timeout_seconds", 0, 3600, func(g *TargetGroup) *int32 { return &g.Attributes.DeregistrationDelay }),
	constant[TargetGroup]("load_balancing.algorithm.anomaly_mitigation", "off"),
	{"load_balancing.algorithm.type", func(g *TargetGroup) string { return g.Attributes.Algorithm }, setAlgorithm},
	constant[TargetGroup]("load_balancing.cross_zone.enabled", "use_load_balancer_configuration"),
	{"slow_start.duration_seconds", slowStart.get, setSlowStart},
	constant[TargetGroup]("stickiness.app_cookie.cookie_name", ""),
	constant[TargetGroup]("stickiness.app_cookie.duration_seconds", "86400"),
	boolean("stickiness.enabled", func(g *TargetGroup) *bool { return &g.Attributes.Sticky }),
	seconds("stickiness.lb_cookie.duration_seconds", 1, maxCookie, func(g *TargetGroup) *int32 { return &g.Attributes.StickyDuration }),
	{"stickiness.type", func(*TargetGroup) string { return "lb_cookie" }, setStickiness},
	constant[TargetGroup]("target_group_health.dns_failover.minimum_healthy_targets.count", "1"),
	constant[TargetGroup]("target_group_health.dns_failover.minimum_healthy_targets.percentage", "off"),
	constant[TargetGroup]("target_group_health.unhealthy_state_routing.minimum_healthy_targets.count", "1"),
	constant[TargetGroup]("target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage", "off"),
}

func setAlgorithm(g *TargetGroup, value string) error {
	switch value {
	case RoundRobin, LeastOutstanding:
		g.Attributes.Algorithm = value
		return nil
	case "weighted_random":
		return notImplemented("load_balancing.algorithm.type weighted_random: use round_robin or least_outstanding_requests.")
	}
	return badAttribute("load_balancing.algorithm.type", value, "must be round_robin, least_outstanding_requests or weighted_random")
}

var slowStart = seconds("slow_start.duration_seconds", 0, 900, func(g *TargetGroup) *int32 { return &g.Attributes.SlowStart })

func setSlowStart(g *TargetGroup, value string) error {
	if err := slowStart.set(g, value); err != nil {
		return err
	}
	if n := g.Attributes.SlowStart; n > 0 && n < 30 {
		return badAttribute(slowStart.key, value, "must be 0 or a number from 30 to 900")
	}
	return nil
}

func setStickiness(_ *TargetGroup, value string) error {
	switch value {
	case "lb_cookie":
		return nil
	case "app_cookie":
		return notImplemented("stickiness.type app_cookie: use lb_cookie.")
	}
	return badAttribute("stickiness.type", value, "must be lb_cookie or app_cookie")
}

func (g *TargetGroup) attributes() []elbv2api.TargetGroupAttribute {
	var out []elbv2api.TargetGroupAttribute
	for _, a := range groupAttributes {
		out = append(out, elbv2api.TargetGroupAttribute{Key: &a.key, Value: new(a.get(g))})
	}
	return out
}

// DescribeTargetGroupAttributes implements elbv2api.Handler.
func (s *Service) DescribeTargetGroupAttributes(ctx context.Context, in *elbv2api.DescribeTargetGroupAttributesInput) (*elbv2api.DescribeTargetGroupAttributesOutput, error) {
	g, err := s.TargetGroup(ctx, api.Val(in.TargetGroupArn))
	if err != nil {
		return nil, err
	}
	return &elbv2api.DescribeTargetGroupAttributesOutput{Attributes: g.attributes()}, nil
}

// ModifyTargetGroupAttributes implements elbv2api.Handler. What a request leaves out
// stays as it is.
func (s *Service) ModifyTargetGroupAttributes(ctx context.Context, in *elbv2api.ModifyTargetGroupAttributesInput) (*elbv2api.ModifyTargetGroupAttributesOutput, error) {
	g, err := s.modifyGroup(ctx, api.Val(in.TargetGroupArn), func(g *TargetGroup) error {
		for _, wanted := range in.Attributes {
			i := slices.IndexFunc(groupAttributes, func(a attribute[TargetGroup]) bool { return a.key == api.Val(wanted.Key) })
			if i < 0 {
				return invalid("Target group attribute key '%s' is not recognized", api.Val(wanted.Key))
			}
			if err := groupAttributes[i].set(g, api.Val(wanted.Value)); err != nil {
				return err
			}
		}
		if g.Attributes.SlowStart > 0 && g.Attributes.Algorithm == LeastOutstanding {
			return refused("You cannot enable both slow start and least outstanding requests algorithm on a target group")
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &elbv2api.ModifyTargetGroupAttributesOutput{Attributes: g.attributes()}, nil
}
