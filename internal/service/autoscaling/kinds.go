package autoscaling

import (
	"context"

	autoscalingapi "github.com/tarn-eks/tarn/internal/api/autoscaling"
)

// DescribeAccountLimits implements autoscalingapi.Handler.
func (s *Service) DescribeAccountLimits(ctx context.Context, _ *autoscalingapi.DescribeAccountLimitsInput) (*autoscalingapi.DescribeAccountLimitsOutput, error) {
	groups, _, err := s.groups.List(ctx)
	if err != nil {
		return nil, err
	}
	configurations, _, err := s.Configurations.List(ctx, "")
	return &autoscalingapi.DescribeAccountLimitsOutput{
		MaxNumberOfAutoScalingGroups: number(maxGroups), MaxNumberOfLaunchConfigurations: number(maxConfigurations),
		NumberOfAutoScalingGroups: number(len(groups)), NumberOfLaunchConfigurations: number(len(configurations)),
	}, err
}

// DescribeAdjustmentTypes implements autoscalingapi.Handler.
func (s *Service) DescribeAdjustmentTypes(context.Context, *autoscalingapi.DescribeAdjustmentTypesInput) (*autoscalingapi.DescribeAdjustmentTypesOutput, error) {
	out := &autoscalingapi.DescribeAdjustmentTypesOutput{}
	for _, t := range []string{ChangeInCapacity, ExactCapacity, PercentChangeInCapacity} {
		out.AdjustmentTypes = append(out.AdjustmentTypes, autoscalingapi.AdjustmentType{AdjustmentType: &t})
	}
	return out, nil
}

// DescribeScalingProcessTypes implements autoscalingapi.Handler.
func (s *Service) DescribeScalingProcessTypes(context.Context, *autoscalingapi.DescribeScalingProcessTypesInput) (*autoscalingapi.DescribeScalingProcessTypesOutput, error) {
	out := &autoscalingapi.DescribeScalingProcessTypesOutput{}
	for _, p := range processes {
		out.Processes = append(out.Processes, autoscalingapi.ProcessType{ProcessName: &p})
	}
	return out, nil
}

// DescribeTerminationPolicyTypes implements autoscalingapi.Handler.
func (s *Service) DescribeTerminationPolicyTypes(context.Context, *autoscalingapi.DescribeTerminationPolicyTypesInput) (*autoscalingapi.DescribeTerminationPolicyTypesOutput, error) {
	return &autoscalingapi.DescribeTerminationPolicyTypesOutput{TerminationPolicyTypes: terminationPolicies}, nil
}

// DescribeLifecycleHookTypes implements autoscalingapi.Handler.
func (s *Service) DescribeLifecycleHookTypes(context.Context, *autoscalingapi.DescribeLifecycleHookTypesInput) (*autoscalingapi.DescribeLifecycleHookTypesOutput, error) {
	return &autoscalingapi.DescribeLifecycleHookTypesOutput{LifecycleHookTypes: []string{Launching, Terminating}}, nil
}

// DescribeMetricCollectionTypes implements autoscalingapi.Handler.
func (s *Service) DescribeMetricCollectionTypes(context.Context, *autoscalingapi.DescribeMetricCollectionTypesInput) (*autoscalingapi.DescribeMetricCollectionTypesOutput, error) {
	out := &autoscalingapi.DescribeMetricCollectionTypesOutput{Granularities: []autoscalingapi.MetricGranularityType{{Granularity: new(granularity)}}}
	for _, m := range GroupMetrics {
		out.Metrics = append(out.Metrics, autoscalingapi.MetricCollectionType{Metric: &m})
	}
	return out, nil
}
