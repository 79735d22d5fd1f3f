package autoscaling

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/tarn-eks/tarn/internal/api"
	autoscalingapi "github.com/tarn-eks/tarn/internal/api/autoscaling"
)

// Types of traffic sources.
const (
	trafficELB   = "elb"   // Classic Load Balancers, by name
	trafficELBv2 = "elbv2" // target groups, by ARN
)

// split sorts traffic sources into Classic Load Balancers and target groups. One
// without a type has the type that its identifier looks like.
func split(sources []autoscalingapi.TrafficSourceIdentifier) (balancers, targets []string, err error) {
	for _, t := range sources {
		kind := api.Val(t.Type)
		if kind == "" {
			kind = trafficKind(*t.Identifier)
		}
		switch kind {
		case trafficELB:
			balancers = append(balancers, *t.Identifier)
		case trafficELBv2:
			targets = append(targets, *t.Identifier)
		default:
			return nil, nil, invalid("Invalid traffic source type: %s. Valid types are: [elb, elbv2]", kind)
		}
	}
	return balancers, targets, nil
}

// trafficKind is the type that a load balancer's identifier looks like.
func trafficKind(identifier string) string {
	if IsTargetGroup(identifier) {
		return trafficELBv2
	}
	return trafficELB
}

// IsTargetGroup tells the ARN of a target group from the name of a Classic Load
// Balancer, which has no colon.
func IsTargetGroup(identifier string) bool { return strings.HasPrefix(identifier, "arn:") }

// addTraffic checks load balancers and adds them to the group.
func (s *Service) addTraffic(ctx context.Context, g *Group, balancers, targets []string, sources []autoscalingapi.TrafficSourceIdentifier) error {
	more, others, err := split(sources)
	if err != nil {
		return err
	}
	balancers, targets = unique(slices.Concat(balancers, more)), unique(slices.Concat(targets, others))
	if len(balancers) > 0 {
		known, err := s.balancers.LoadBalancers(ctx, balancers)
		if err != nil {
			return err
		}
		if len(missing(balancers, known)) > 0 {
			return invalid("Provided Load Balancers may not be valid. Please ensure they exist and try again.")
		}
	}
	if len(targets) > 0 {
		known, err := s.balancers.TargetGroups(ctx, targets)
		if err != nil {
			return err
		}
		if len(missing(targets, known)) > 0 {
			return invalid("Provided Target Groups may not be valid. Please ensure they exist and try again.")
		}
	}
	g.LoadBalancers = unique(slices.Concat(g.LoadBalancers, balancers))
	g.Leaving = missing(g.Leaving, slices.Concat(balancers, targets))
	g.TargetGroups = unique(slices.Concat(g.TargetGroups, targets))
	if len(g.LoadBalancers) > maxLoadBalancers || len(g.TargetGroups) > maxLoadBalancers {
		return invalid("An AutoScalingGroup cannot have more than %d load balancers or target groups", maxLoadBalancers)
	}
	return nil
}

// removeTraffic takes load balancers from the group.
func (g *Group) removeTraffic(balancers, targets []string) error {
	if len(missing(balancers, g.LoadBalancers)) > 0 {
		return invalid("Trying to remove Load Balancers that are not part of the group")
	}
	if len(missing(targets, g.TargetGroups)) > 0 {
		return invalid("Trying to remove Target Groups that are not part of the group")
	}
	g.LoadBalancers, g.TargetGroups = missing(g.LoadBalancers, balancers), missing(g.TargetGroups, targets)
	g.Leaving = unique(slices.Concat(g.Leaving, balancers, targets))
	return nil
}

// AttachLoadBalancers implements autoscalingapi.Handler.
func (s *Service) AttachLoadBalancers(ctx context.Context, in *autoscalingapi.AttachLoadBalancersInput) (*autoscalingapi.AttachLoadBalancersOutput, error) {
	_, err := s.modify(ctx, in.AutoScalingGroupName, func(g *Group) error { return s.addTraffic(ctx, g, in.LoadBalancerNames, nil, nil) })
	return &autoscalingapi.AttachLoadBalancersOutput{}, err
}

// DetachLoadBalancers implements autoscalingapi.Handler.
func (s *Service) DetachLoadBalancers(ctx context.Context, in *autoscalingapi.DetachLoadBalancersInput) (*autoscalingapi.DetachLoadBalancersOutput, error) {
	_, err := s.modify(ctx, in.AutoScalingGroupName, func(g *Group) error { return g.removeTraffic(in.LoadBalancerNames, nil) })
	return &autoscalingapi.DetachLoadBalancersOutput{}, err
}

// AttachLoadBalancerTargetGroups implements autoscalingapi.Handler.
func (s *Service) AttachLoadBalancerTargetGroups(ctx context.Context, in *autoscalingapi.AttachLoadBalancerTargetGroupsInput) (*autoscalingapi.AttachLoadBalancerTargetGroupsOutput, error) {
	_, err := s.modify(ctx, in.AutoScalingGroupName, func(g *Group) error { return s.addTraffic(ctx, g, nil, in.TargetGroupARNs, nil) })
	return &autoscalingapi.AttachLoadBalancerTargetGroupsOutput{}, err
}

// DetachLoadBalancerTargetGroups implements autoscalingapi.Handler.
func (s *Service) DetachLoadBalancerTargetGroups(ctx context.Context, in *autoscalingapi.DetachLoadBalancerTargetGroupsInput) (*autoscalingapi.DetachLoadBalancerTargetGroupsOutput, error) {
	_, err := s.modify(ctx, in.AutoScalingGroupName, func(g *Group) error { return g.removeTraffic(nil, in.TargetGroupARNs) })
	return &autoscalingapi.DetachLoadBalancerTargetGroupsOutput{}, err
}

// AttachTrafficSources implements autoscalingapi.Handler.
func (s *Service) AttachTrafficSources(ctx context.Context, in *autoscalingapi.AttachTrafficSourcesInput) (*autoscalingapi.AttachTrafficSourcesOutput, error) {
	_, err := s.modify(ctx, in.AutoScalingGroupName, func(g *Group) error { return s.addTraffic(ctx, g, nil, nil, in.TrafficSources) })
	return &autoscalingapi.AttachTrafficSourcesOutput{}, err
}

// DetachTrafficSources implements autoscalingapi.Handler.
func (s *Service) DetachTrafficSources(ctx context.Context, in *autoscalingapi.DetachTrafficSourcesInput) (*autoscalingapi.DetachTrafficSourcesOutput, error) {
	_, err := s.modify(ctx, in.AutoScalingGroupName, func(g *Group) error {
		balancers, targets, err := split(in.TrafficSources)
		if err != nil {
			return err
		}
		return g.removeTraffic(balancers, targets)
	})
	return &autoscalingapi.DetachTrafficSourcesOutput{}, err
}

// trafficStates are the group's load balancers of a type ("" is all), sorted, each
// with its state: Added as long as none of the group's instances is in service
// there, or InService; Removing until one that was detached has none of them.
func (s *Service) trafficStates(ctx context.Context, name *string, kind string) ([]autoscalingapi.TrafficSourceState, error) {
	it, err := s.get(ctx, name)
	if err != nil {
		return nil, err
	}
	members, err := s.MembersOf(ctx, it.Key)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, m := range members {
		ids = append(ids, m.Value.Instance)
	}
	states := []autoscalingapi.TrafficSourceState{}
	for _, id := range it.Value.Traffic() {
		in, _, err := s.balancers.InService(ctx, id, ids)
		if err != nil {
			return nil, err
		}
		state := "Added"
		if len(in) > 0 {
			state = "InService"
		}
		states = append(states, trafficState(id, state))
	}
	for _, id := range it.Value.Leaving {
		states = append(states, trafficState(id, "Removing"))
	}
	states = slices.DeleteFunc(states, func(t autoscalingapi.TrafficSourceState) bool { return kind != "" && *t.Type != kind })
	slices.SortFunc(states, func(a, b autoscalingapi.TrafficSourceState) int { return cmp.Compare(*a.Identifier, *b.Identifier) })
	return states, nil
}

func trafficState(id, state string) autoscalingapi.TrafficSourceState {
	return autoscalingapi.TrafficSourceState{TrafficSource: &id, Identifier: &id, Type: new(trafficKind(id)), State: &state}
}

func identifier(t autoscalingapi.TrafficSourceState) string { return *t.Identifier }

// DescribeTrafficSources implements autoscalingapi.Handler.
func (s *Service) DescribeTrafficSources(ctx context.Context, in *autoscalingapi.DescribeTrafficSourcesInput) (*autoscalingapi.DescribeTrafficSourcesOutput, error) {
	states, err := s.trafficStates(ctx, in.AutoScalingGroupName, api.Val(in.TrafficSourceType))
	if err != nil {
		return nil, err
	}
	states, next, err := page(states, identifier, in.MaxRecords, in.NextToken, 50, 50)
	return &autoscalingapi.DescribeTrafficSourcesOutput{TrafficSources: states, NextToken: next}, err
}

// DescribeLoadBalancers implements autoscalingapi.Handler.
func (s *Service) DescribeLoadBalancers(ctx context.Context, in *autoscalingapi.DescribeLoadBalancersInput) (*autoscalingapi.DescribeLoadBalancersOutput, error) {
	states, err := s.trafficStates(ctx, in.AutoScalingGroupName, trafficELB)
	if err != nil {
		return nil, err
	}
	states, next, err := page(states, identifier, in.MaxRecords, in.NextToken, 100, 100)
	out := &autoscalingapi.DescribeLoadBalancersOutput{LoadBalancers: []autoscalingapi.LoadBalancerState{}, NextToken: next}
	for _, t := range states {
		out.LoadBalancers = append(out.LoadBalancers, autoscalingapi.LoadBalancerState{LoadBalancerName: t.Identifier, State: t.State})
	}
	return out, err
}

// DescribeLoadBalancerTargetGroups implements autoscalingapi.Handler.
func (s *Service) DescribeLoadBalancerTargetGroups(ctx context.Context, in *autoscalingapi.DescribeLoadBalancerTargetGroupsInput) (*autoscalingapi.DescribeLoadBalancerTargetGroupsOutput, error) {
	states, err := s.trafficStates(ctx, in.AutoScalingGroupName, trafficELBv2)
	if err != nil {
		return nil, err
	}
	states, next, err := page(states, identifier, in.MaxRecords, in.NextToken, 100, 100)
	out := &autoscalingapi.DescribeLoadBalancerTargetGroupsOutput{LoadBalancerTargetGroups: []autoscalingapi.LoadBalancerTargetGroupState{}, NextToken: next}
	for _, t := range states {
		out.LoadBalancerTargetGroups = append(out.LoadBalancerTargetGroups, autoscalingapi.LoadBalancerTargetGroupState{LoadBalancerTargetGroupARN: t.Identifier, State: t.State})
	}
	return out, err
}
