package autoscaling

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/tarn-eks/tarn/internal/api"
	autoscalingapi "github.com/tarn-eks/tarn/internal/api/autoscaling"
	"github.com/tarn-eks/tarn/internal/store"
)

func noPolicy(name string) error { return invalid("Policy %s not found", name) }

// PutScalingPolicy implements autoscalingapi.Handler. A policy that tracks a target
// has its alarms made before it: they do nothing as long as they name no policy.
func (s *Service) PutScalingPolicy(ctx context.Context, in *autoscalingapi.PutScalingPolicyInput) (*autoscalingapi.PutScalingPolicyOutput, error) {
	p, err := newPolicy(in)
	if err != nil {
		return nil, err
	}
	s.creating.Lock()
	defer s.creating.Unlock()
	g, err := s.get(ctx, in.AutoScalingGroupName)
	if err != nil {
		return nil, err
	}
	others, _, err := s.Policies.List(ctx, Prefix(g.Key))
	if err != nil {
		return nil, err
	}
	p.ID = uuid.NewString()
	var had Policy
	for _, it := range others {
		o := it.Value
		switch {
		case o.Name == p.Name:
			had = o
			p.ID = o.ID
		case p.Target != nil && o.Target != nil && sameMetric(p.Target, o.Target):
			return nil, invalid("Only one TargetTrackingScaling policy for a given metric specification is allowed.")
		}
	}
	if had.Name == "" && len(others) >= maxPolicies {
		return nil, autoscalingapi.LimitExceededFault.New("Only %d scaling policies are allowed per AutoScalingGroup", maxPolicies)
	}
	if err := g.Value.hasTarget(p); err != nil {
		return nil, err
	}
	if p.Target != nil {
		p.Alarms = had.Alarms
		specs := TargetAlarms(p, s.PolicyARN(p))
		p.Alarms = nil
		for _, a := range specs {
			p.Alarms = append(p.Alarms, a.Name)
		}
		err = s.alarms.Put(ctx, specs)
	}
	if err == nil {
		err = s.storePolicy(ctx, in.AutoScalingGroupName, p)
	}
	if err != nil { // What was made for the policy goes with it; what it had stays.
		return nil, errors.Join(err, s.forgetAlarms(ctx, missing(p.Alarms, had.Alarms)))
	}
	if err := s.forgetAlarms(ctx, missing(had.Alarms, p.Alarms)); err != nil {
		return nil, err
	}
	return &autoscalingapi.PutScalingPolicyOutput{PolicyARN: new(s.PolicyARN(p)), Alarms: s.alarmsOut(p.Alarms)}, nil
}

// storePolicy writes a policy to a group that is there, and stays.
func (s *Service) storePolicy(ctx context.Context, group *string, p Policy) error {
	_, err := s.commit(ctx, group, func(*Group) ([]store.Op, error) {
		it, err := s.Policies.Get(ctx, p.Key())
		if errors.Is(err, store.ErrNotFound) {
			return []store.Op{s.Policies.CreateOp(p.Key(), p)}, nil
		}
		it.Value = p
		return []store.Op{s.Policies.UpdateOp(it)}, err
	})
	return err
}

func (s *Service) forgetAlarms(ctx context.Context, names []string) error {
	if len(names) == 0 {
		return nil
	}
	return s.alarms.Delete(ctx, names)
}

// hasTarget wants the target group whose requests a policy counts to be the group's.
func (g Group) hasTarget(p Policy) error {
	if p.Target == nil || p.Target.PredefinedMetricSpecification == nil {
		return nil
	}
	_, target, ok := ParseResourceLabel(api.Val(p.Target.PredefinedMetricSpecification.ResourceLabel))
	if !ok || slices.ContainsFunc(g.TargetGroups, func(arn string) bool { return strings.HasSuffix(arn, ":"+target) }) {
		return nil
	}
	return invalid("Target group %s is not attached to the Auto Scaling group %s.", target, g.Name)
}

func (s *Service) alarmsOut(names []string) []autoscalingapi.Alarm {
	out := []autoscalingapi.Alarm{}
	for _, n := range names {
		out = append(out, autoscalingapi.Alarm{AlarmName: &n, AlarmARN: new(s.scope.Of("cloudwatch", "alarm:%s", n))})
	}
	return out
}

// policy finds a policy by its name in a group, or by its ARN.
func (s *Service) policy(ctx context.Context, group *string, name string) (store.Item[Policy], error) {
	if g, n, ok := ParsePolicyARN(name); ok {
		if group != nil && *group != g {
			return store.Item[Policy]{}, noPolicy(name)
		}
		group, name = &g, n
	}
	if group == nil {
		return store.Item[Policy]{}, invalid("AutoScalingGroupName must be specified if the policy is not named by its ARN")
	}
	if _, err := s.get(ctx, group); err != nil {
		return store.Item[Policy]{}, err
	}
	it, err := s.Policies.Get(ctx, Policy{Group: *group, Name: name}.Key())
	if errors.Is(err, store.ErrNotFound) {
		err = noPolicy(name)
	}
	return it, err
}

// DeletePolicy implements autoscalingapi.Handler. The alarms go first: a policy that
// is left over can be deleted again.
func (s *Service) DeletePolicy(ctx context.Context, in *autoscalingapi.DeletePolicyInput) (*autoscalingapi.DeletePolicyOutput, error) {
	it, err := s.policy(ctx, in.AutoScalingGroupName, *in.PolicyName)
	if err != nil {
		return nil, err
	}
	if err := s.deleteAlarms(ctx, it.Value); err != nil {
		return nil, err
	}
	err = s.Policies.Delete(ctx, it.Key)
	if errors.Is(err, store.ErrNotFound) {
		err = nil
	}
	return &autoscalingapi.DeletePolicyOutput{}, err
}

// DescribePolicies implements autoscalingapi.Handler.
func (s *Service) DescribePolicies(ctx context.Context, in *autoscalingapi.DescribePoliciesInput) (*autoscalingapi.DescribePoliciesOutput, error) {
	prefix := ""
	if in.AutoScalingGroupName != nil {
		if _, err := s.get(ctx, in.AutoScalingGroupName); err != nil {
			return nil, err
		}
		prefix = Prefix(*in.AutoScalingGroupName)
	}
	all, _, err := s.Policies.List(ctx, prefix)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(it store.Item[Policy]) bool {
		named := len(in.PolicyNames) == 0 || slices.Contains(in.PolicyNames, it.Value.Name) || slices.Contains(in.PolicyNames, s.PolicyARN(it.Value))
		return !named || len(in.PolicyTypes) > 0 && !slices.Contains(in.PolicyTypes, it.Value.Type)
	})
	items, next, err := page(all, func(it store.Item[Policy]) string { return it.Key }, in.MaxRecords, in.NextToken, 50, 100)
	if err != nil {
		return nil, err
	}
	var arns []string
	for _, it := range items {
		arns = append(arns, s.PolicyARN(it.Value))
	}
	acting, err := s.alarms.Acting(ctx, arns)
	out := &autoscalingapi.DescribePoliciesOutput{ScalingPolicies: []autoscalingapi.ScalingPolicy{}, NextToken: next}
	for i, it := range items {
		out.ScalingPolicies = append(out.ScalingPolicies, s.policyOut(it.Value, unique(slices.Concat(it.Value.Alarms, acting[arns[i]]))))
	}
	return out, err
}

func (s *Service) policyOut(p Policy, alarms []string) autoscalingapi.ScalingPolicy {
	out := autoscalingapi.ScalingPolicy{
		AutoScalingGroupName: &p.Group, PolicyName: &p.Name, PolicyARN: new(s.PolicyARN(p)), PolicyType: &p.Type,
		AdjustmentType: pointer(p.AdjustmentType), MetricAggregationType: pointer(p.Aggregation), Alarms: s.alarmsOut(alarms),
		StepAdjustments: present(p.Steps), TargetTrackingConfiguration: p.Target,
		PredictiveScalingConfiguration: p.Predictive, Enabled: new(!p.Disabled),
	}
	if p.Type == SimpleScaling {
		out.ScalingAdjustment = number(p.Adjustment)
	}
	if p.MinMagnitude > 0 {
		out.MinAdjustmentMagnitude = number(p.MinMagnitude)
	}
	if p.Cooldown != nil {
		out.Cooldown = inSeconds(*p.Cooldown)
	}
	if p.Warmup != nil {
		out.EstimatedInstanceWarmup = inSeconds(*p.Warmup)
	}
	return out
}

// ExecutePolicy implements autoscalingapi.Handler.
func (s *Service) ExecutePolicy(ctx context.Context, in *autoscalingapi.ExecutePolicyInput) (*autoscalingapi.ExecutePolicyOutput, error) {
	it, err := s.policy(ctx, in.AutoScalingGroupName, *in.PolicyName)
	if err != nil {
		return nil, err
	}
	p, breach := it.Value, 0.0
	switch p.Type {
	case SimpleScaling:
		if in.MetricValue != nil || in.BreachThreshold != nil {
			return nil, invalid("MetricValue and BreachThreshold are not supported for a SimpleScaling policy")
		}
	case StepScaling:
		if in.MetricValue == nil || in.BreachThreshold == nil {
			return nil, invalid("MetricValue and BreachThreshold must be specified for a StepScaling policy")
		}
		if in.HonorCooldown != nil {
			return nil, invalid("HonorCooldown is not supported for a StepScaling policy")
		}
		breach = *in.MetricValue - *in.BreachThreshold
	default:
		return nil, invalid("ExecutePolicy is not supported for a %s policy", p.Type)
	}
	_, err = s.modify(ctx, &p.Group, func(g *Group) error {
		if p.Type == SimpleScaling && api.Val(in.HonorCooldown) {
			cooldown := g.Cooldown
			if p.Cooldown != nil {
				cooldown = *p.Cooldown
			}
			if err := s.cooled(ctx, *g, cooldown); err != nil {
				return err
			}
		}
		desired, err := Adjust(p, g.Desired, g.Min, g.Max, breach)
		if errors.Is(err, ErrNoStep) {
			return invalid("No step adjustment found for metric value [%s] and breach threshold %s", double(*in.MetricValue), double(*in.BreachThreshold))
		}
		if err != nil {
			return err
		}
		return g.setDesired(desired, Sentence(s.now(), "a user request executed policy %s changing the desired capacity from %d to %d", p.Name, g.Desired, desired))
	})
	return &autoscalingapi.ExecutePolicyOutput{}, err
}

// double is a number as AWS's sentences have it: with a fraction, be it 0.
func double(v float64) string {
	text := strconv.FormatFloat(v, 'f', -1, 64)
	if !strings.Contains(text, ".") {
		text += ".0"
	}
	return text
}
