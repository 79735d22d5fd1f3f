package elbv2

import (
	"context"
	"slices"
	"strconv"

	"github.com/tarn-eks/tarn/internal/api"
	elbv2api "github.com/tarn-eks/tarn/internal/api/elbv2"
	"github.com/tarn-eks/tarn/internal/loadbalancer"
)

// groupHealth is what the health of a target group's targets follows from.
type groupHealth struct {
	group     TargetGroup
	balancer  LoadBalancer
	used      bool // whether there is a balancer
	probed    []TargetHealth
	instances map[string]loadbalancer.Instance
}

// DescribeTargetHealth implements elbv2api.Handler. Targets that drain are among all
// of them; those that are named must exist, registered or not.
func (s *Service) DescribeTargetHealth(ctx context.Context, in *elbv2api.DescribeTargetHealthInput) (*elbv2api.DescribeTargetHealthOutput, error) {
	if len(in.Include) > 0 {
		return nil, notImplemented("Include %s: anomalies are found with load_balancing.algorithm.type weighted_random alone.", in.Include[0])
	}
	arn := api.Val(in.TargetGroupArn)
	g, err := s.TargetGroup(ctx, arn)
	if err != nil {
		return nil, err
	}
	named, err := readTargets(in.Targets)
	if err != nil {
		return nil, err
	}
	h := groupHealth{group: g}
	if h.balancer, h.used, err = s.BalancerOf(ctx, arn); err != nil {
		return nil, err
	}
	if h.used {
		if h.probed, err = s.health.TargetHealth(ctx, h.balancer, g); err != nil {
			return nil, err
		}
	}
	wanted := h.wanted(named)
	if h.instances, err = s.lookup(ctx, wanted); err != nil {
		return nil, err
	}
	out := &elbv2api.DescribeTargetHealthOutput{TargetHealthDescriptions: []elbv2api.TargetHealthDescription{}}
	var missing []string
	for _, t := range wanted {
		if _, ok := h.instances[t.ID]; !ok && !slices.Contains(h.all(), t) {
			missing = append(missing, t.ID)
		}
		out.TargetHealthDescriptions = append(out.TargetHealthDescriptions, g.describeHealth(h.of(t)))
	}
	if len(missing) > 0 {
		return nil, noInstances(missing)
	}
	return out, nil
}

// all are the targets that are registered, and then those that are not any more and
// drain.
func (h *groupHealth) all() []Target {
	all := slices.Clone(h.group.Targets)
	for _, p := range h.probed {
		if !slices.Contains(all, p.Target) {
			all = append(all, p.Target)
		}
	}
	return all
}

// wanted are the targets that a request names, or all. One that is named without a
// port is every port of its instance, and the group's if there is none.
func (h *groupHealth) wanted(named []Target) []Target {
	all := h.all()
	if len(named) == 0 {
		return all
	}
	var out []Target
	for _, n := range named {
		ports := []Target{n}
		if n.Port == 0 {
			ports = slices.DeleteFunc(slices.Clone(all), func(t Target) bool { return t.ID != n.ID })
			if len(ports) == 0 {
				ports = []Target{{n.ID, h.group.Port}}
			}
		}
		for _, t := range ports {
			if !slices.Contains(out, t) {
				out = append(out, t)
			}
		}
	}
	return out
}

// of says how a target does, in AWS's words.
func (h *groupHealth) of(t Target) TargetHealth {
	state := func(state elbv2api.TargetHealthStateEnum, reason elbv2api.TargetHealthReasonEnum, description string) TargetHealth {
		return TargetHealth{t, string(state), string(reason), description}
	}
	const unused = elbv2api.TargetHealthStateEnumUnused
	i := slices.IndexFunc(h.probed, func(p TargetHealth) bool { return p.Target == t })
	instance, exists := h.instances[t.ID]
	switch {
	case !slices.Contains(h.group.Targets, t):
		if i >= 0 { // it may end what it has begun
			return h.probed[i]
		}
		return state(unused, elbv2api.TargetHealthReasonEnumTargetNotRegistered, "Target is not registered to the target group")
	case !h.used:
		return state(unused, elbv2api.TargetHealthReasonEnumTargetNotInUse, "Target group is not configured to receive traffic from the load balancer")
	case !exists:
		return state(unused, elbv2api.TargetHealthReasonEnumTargetInvalidState, "Target is in the terminated state")
	case instance.State != "running":
		return state(unused, elbv2api.TargetHealthReasonEnumTargetInvalidState, "Target is in the "+instance.State+" state")
	case !slices.Contains(h.balancer.Zones, instance.Zone):
		return state(unused, elbv2api.TargetHealthReasonEnumTargetNotInUse, "Target is in an Availability Zone that is not enabled for the load balancer")
	case i >= 0:
		return h.probed[i]
	}
	return state(elbv2api.TargetHealthStateEnumInitial, elbv2api.TargetHealthReasonEnumElbRegistrationInProgress, "Target registration is in progress")
}

func (g *TargetGroup) describeHealth(h TargetHealth) elbv2api.TargetHealthDescription {
	port := h.Port
	if g.HealthCheck.Port != 0 {
		port = g.HealthCheck.Port
	}
	d := elbv2api.TargetHealthDescription{
		Target: &elbv2api.TargetDescription{Id: &h.ID, Port: &h.Port}, HealthCheckPort: new(strconv.Itoa(int(port))),
		TargetHealth: &elbv2api.TargetHealth{State: elbv2api.TargetHealthStateEnum(h.State), Reason: elbv2api.TargetHealthReasonEnum(h.Reason)},
	}
	if h.Description != "" {
		d.TargetHealth.Description = &h.Description
	}
	return d
}
