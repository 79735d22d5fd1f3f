package autoscaling

import (
	"context"
	"errors"
	"time"

	"github.com/tarn-eks/tarn/internal/api"
	autoscalingapi "github.com/tarn-eks/tarn/internal/api/autoscaling"
	"github.com/tarn-eks/tarn/internal/store"
)

// setPredictive checks and sets a predictive policy.
func (p *Policy) setPredictive(in *autoscalingapi.PutScalingPolicyInput) error {
	err := without(in, "You can't specify %s for policy type: PredictiveScaling", "TargetTrackingConfiguration", "AdjustmentType", "ScalingAdjustment",
		"StepAdjustments", "EstimatedInstanceWarmup", "MinAdjustmentMagnitude", "MetricAggregationType")
	if err != nil {
		return err
	}
	if in.PredictiveScalingConfiguration == nil {
		return invalid("You must specify PredictiveScalingConfiguration")
	}
	c := *in.PredictiveScalingConfiguration
	p.Predictive = &c
	if c.Mode == "" {
		c.Mode = autoscalingapi.PredictiveScalingModeForecastOnly
	}
	if c.MaxCapacityBreachBehavior == "" {
		c.MaxCapacityBreachBehavior = autoscalingapi.PredictiveScalingMaxCapacityBreachBehaviorHonorMaxCapacity
	}
	if c.SchedulingBufferTime == nil {
		c.SchedulingBufferTime = number(300)
	}
	if err := errors.Join(
		oneOf("predictiveScalingConfiguration.mode", string(c.Mode), "ForecastAndScale", "ForecastOnly"),
		oneOf("predictiveScalingConfiguration.maxCapacityBreachBehavior", string(c.MaxCapacityBreachBehavior), "HonorMaxCapacity", "IncreaseMaxCapacity"),
		between("predictiveScalingConfiguration.schedulingBufferTime", int(*c.SchedulingBufferTime), 0, 3600),
	); err != nil {
		return err
	}
	increases := c.MaxCapacityBreachBehavior == autoscalingapi.PredictiveScalingMaxCapacityBreachBehaviorIncreaseMaxCapacity
	switch {
	case increases && c.MaxCapacityBuffer == nil:
		return invalid("You must specify max capacity buffer when using IncreaseMaxCapacity")
	case !increases && c.MaxCapacityBuffer != nil:
		return invalid("You must not specify max capacity buffer when using HonorMaxCapacity")
	case increases:
		if err := between("predictiveScalingConfiguration.maxCapacityBuffer", int(*c.MaxCapacityBuffer), 0, 100); err != nil {
			return err
		}
	}
	if len(c.MetricSpecifications) != 1 {
		return invalid("You must specify one metric specification")
	}
	return checkPredicted(c.MetricSpecifications[0])
}

// checkPredicted wants a pair of metrics: one of the load, one of what scales.
func checkPredicted(m autoscalingapi.PredictiveScalingMetricSpecification) error {
	pair := m.PredefinedMetricPairSpecification != nil
	loads := both(m.PredefinedLoadMetricSpecification != nil, m.CustomizedLoadMetricSpecification != nil)
	scales := both(m.PredefinedScalingMetricSpecification != nil, m.CustomizedScalingMetricSpecification != nil)
	switch {
	case *m.TargetValue <= 0:
		return invalid("Target value must be greater than zero")
	case pair && loads+scales > 0, !pair && (loads != 1 || scales != 1):
		return invalid("A policy must have either one scaling metric and one load metric or one metric pair.")
	case m.CustomizedCapacityMetricSpecification != nil && m.CustomizedLoadMetricSpecification == nil:
		return invalid("Capacity metric can only be used when you use customized load metric.")
	}
	if p := m.PredefinedMetricPairSpecification; p != nil {
		if err := checkLabel(string(p.PredefinedMetricType), p.ResourceLabel, "ASGCPUUtilization", "ASGNetworkIn", "ASGNetworkOut", "ALBRequestCount"); err != nil {
			return err
		}
	}
	if p := m.PredefinedLoadMetricSpecification; p != nil {
		if err := checkLabel(string(p.PredefinedMetricType), p.ResourceLabel, "ASGTotalCPUUtilization", "ASGTotalNetworkIn", "ASGTotalNetworkOut", "ALBTargetGroupRequestCount"); err != nil {
			return err
		}
	}
	if p := m.PredefinedScalingMetricSpecification; p != nil {
		if err := checkLabel(string(p.PredefinedMetricType), p.ResourceLabel, "ASGAverageCPUUtilization", "ASGAverageNetworkIn", "ASGAverageNetworkOut", "ALBRequestCountPerTarget"); err != nil {
			return err
		}
	}
	var queries [][]autoscalingapi.MetricDataQuery
	if c := m.CustomizedLoadMetricSpecification; c != nil {
		queries = append(queries, c.MetricDataQueries)
	}
	if c := m.CustomizedScalingMetricSpecification; c != nil {
		queries = append(queries, c.MetricDataQueries)
	}
	if c := m.CustomizedCapacityMetricSpecification; c != nil {
		queries = append(queries, c.MetricDataQueries)
	}
	for _, list := range queries {
		if err := checkQueries(list); err != nil {
			return err
		}
	}
	return nil
}

func both(a, b bool) int {
	n := 0
	if a {
		n++
	}
	if b {
		n++
	}
	return n
}

// checkLabel checks a predefined metric, whose last type is that of a target group
// and needs a label.
func checkLabel(kind string, label *string, types ...string) error {
	if err := oneOf("predictiveScalingConfiguration.metricSpecifications.predefinedMetricType", kind, types...); err != nil {
		return err
	}
	if kind != types[len(types)-1] {
		return nil
	}
	if api.Val(label) == "" {
		return invalid("A resource label is required")
	}
	if _, _, ok := ParseResourceLabel(*label); !ok {
		return invalid("Invalid resource label '%s' for predefined metric type %s", *label, kind)
	}
	return nil
}

func checkQueries(queries []autoscalingapi.MetricDataQuery) error {
	ids, returned := map[string]bool{}, 0
	for _, q := range queries {
		if (q.Expression == nil) == (q.MetricStat == nil) {
			return invalid("The parameters MetricDataQuery Expression and MetricStat are mutually exclusive and you have specified both or neither.")
		}
		if ids[*q.Id] {
			return invalid("The MetricDataQuery Id %s is not unique.", *q.Id)
		}
		ids[*q.Id] = true
		if q.ReturnData == nil || *q.ReturnData {
			returned++
		}
	}
	if returned != 1 {
		return invalid("Exactly one element of the metrics list should return data.")
	}
	return nil
}

// GetPredictiveScalingForecast implements autoscalingapi.Handler.
func (s *Service) GetPredictiveScalingForecast(ctx context.Context, in *autoscalingapi.GetPredictiveScalingForecastInput) (*autoscalingapi.GetPredictiveScalingForecastOutput, error) {
	it, err := s.get(ctx, in.AutoScalingGroupName)
	if err != nil {
		return nil, err
	}
	p, err := s.Policies.Get(ctx, Policy{Group: it.Key, Name: *in.PolicyName}.Key())
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, noPolicy(*in.PolicyName)
	case err != nil:
		return nil, err
	case p.Value.Type != PredictiveScaling:
		return nil, invalid("The policy %s is not a predictive scaling policy.", *in.PolicyName)
	case !in.EndTime.After(*in.StartTime):
		return nil, invalid("The end time must be after the start time.")
	case in.EndTime.Sub(*in.StartTime) > 30*24*time.Hour:
		return nil, invalid("The maximum time duration between start and end is 30 days.")
	}
	f, ok, err := s.forecasts.Forecast(ctx, p.Value, it.Value, *in.StartTime, *in.EndTime)
	if err == nil && !ok {
		err = invalid("No forecast is available for the policy %s yet. Predictive scaling needs at least 24 hours of historical data.", *in.PolicyName)
	}
	if err != nil {
		return nil, err
	}
	return &autoscalingapi.GetPredictiveScalingForecastOutput{LoadForecast: f.Load, CapacityForecast: &f.Capacity, UpdateTime: &f.Updated}, nil
}
