package autoscaling

import (
	"errors"
	"fmt"

	autoscalingapi "github.com/tarn-eks/tarn/internal/api/autoscaling"
)

// Types of policies.
const (
	SimpleScaling         = "SimpleScaling"
	StepScaling           = "StepScaling"
	TargetTrackingScaling = "TargetTrackingScaling"
	PredictiveScaling     = "PredictiveScaling"
)

// Adjustment types.
const (
	ChangeInCapacity        = "ChangeInCapacity"
	ExactCapacity           = "ExactCapacity"
	PercentChangeInCapacity = "PercentChangeInCapacity"
)

// ErrNoStep is of a breach that no step of the policy is for: nothing is to be
// done.
var ErrNoStep = errors.New("autoscaling: the metric is in none of the policy's steps")

// Adjust is the capacity that a simple or step policy makes of the current one,
// from least to most. Breach is the metric's value less the alarm's threshold; a
// simple policy does not look at it.
//
// https://docs.aws.amazon.com/autoscaling/ec2/userguide/as-scaling-simple-step.html
func Adjust(p Policy, current, least, most int, breach float64) (desired int, err error) {
	by := p.Adjustment
	switch p.Type {
	case SimpleScaling:
	case StepScaling:
		step, ok := p.step(breach)
		if !ok {
			return current, ErrNoStep
		}
		by = int(*step.ScalingAdjustment)
	default:
		return current, fmt.Errorf("autoscaling: a policy of type %s has no adjustment", p.Type)
	}
	switch p.AdjustmentType {
	case ExactCapacity:
		desired = by
	case PercentChangeInCapacity:
		desired = current + percent(current, by, p.MinMagnitude)
	case ChangeInCapacity:
		desired = current + by
	default:
		return current, fmt.Errorf("autoscaling: %q is no adjustment type", p.AdjustmentType)
	}
	return min(max(desired, least), most), nil
}

// percent is a part of the capacity, in instances. It is rounded towards zero, but
// to an instance at least, and to the least that the policy wants.
func percent(current, by, least int) int {
	n, rest := current*by/100, current*by%100
	if n == 0 {
		n = sign(rest)
	}
	if by > 0 {
		return max(n, least)
	}
	if by < 0 {
		return min(n, -least)
	}
	return 0
}

func sign(n int) int {
	switch {
	case n > 0:
		return 1
	case n < 0:
		return -1
	}
	return 0
}

// step finds the step that a breach is in. Above the threshold a step has its lower
// bound and not its upper one, below it is the other way around; the threshold
// itself belongs to the step that begins or ends there.
func (p Policy) step(breach float64) (autoscalingapi.StepAdjustment, bool) {
	for _, s := range p.Steps {
		lower, upper := s.MetricIntervalLowerBound, s.MetricIntervalUpperBound
		var in bool
		switch {
		case breach > 0:
			in = (lower == nil || breach >= *lower) && (upper == nil || breach < *upper)
		case breach < 0:
			in = (lower == nil || breach > *lower) && (upper == nil || breach <= *upper)
		default:
			in = (lower == nil || *lower <= 0) && (upper == nil || *upper >= 0)
		}
		if in {
			return s, true
		}
	}
	return autoscalingapi.StepAdjustment{}, false
}
