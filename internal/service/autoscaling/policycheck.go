package autoscaling

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/tarn-eks/tarn/internal/api"
	autoscalingapi "github.com/tarn-eks/tarn/internal/api/autoscaling"
)

// newPolicy checks a request and makes the policy that it describes.
func newPolicy(in *autoscalingapi.PutScalingPolicyInput) (Policy, error) {
	p := Policy{Group: *in.AutoScalingGroupName, Name: *in.PolicyName, Type: api.Val(in.PolicyType), Disabled: in.Enabled != nil && !*in.Enabled}
	if err := checkName("policyName", p.Name); err != nil {
		return p, err
	}
	for _, n := range []struct {
		member string
		value  *int32
	}{{"cooldown", in.Cooldown}, {"estimatedInstanceWarmup", in.EstimatedInstanceWarmup}} {
		if n.value != nil {
			if err := between(n.member, int(*n.value), 0, 1<<31-1); err != nil {
				return p, err
			}
		}
	}
	switch p.Type {
	case "", SimpleScaling:
		p.Type = SimpleScaling
		return p, p.setSimple(in)
	case StepScaling:
		return p, p.setStep(in)
	case TargetTrackingScaling:
		return p, p.setTracking(in)
	case PredictiveScaling:
		return p, p.setPredictive(in)
	}
	return p, invalid("Valid policy types are: [%s, %s, %s, %s].", SimpleScaling, StepScaling, TargetTrackingScaling, PredictiveScaling)
}

// given are the members of the request that not every type of policy has.
func given(in *autoscalingapi.PutScalingPolicyInput) map[string]bool {
	return map[string]bool{
		"AdjustmentType": in.AdjustmentType != nil, "MinAdjustmentMagnitude": in.MinAdjustmentMagnitude != nil,
		"ScalingAdjustment": in.ScalingAdjustment != nil, "MetricAggregationType": in.MetricAggregationType != nil,
		"StepAdjustments": len(in.StepAdjustments) > 0, "EstimatedInstanceWarmup": in.EstimatedInstanceWarmup != nil,
		"TargetTrackingConfiguration": in.TargetTrackingConfiguration != nil, "PredictiveScalingConfiguration": in.PredictiveScalingConfiguration != nil,
	}
}

// without refuses members that the type of policy does not have; %s is the member.
func without(in *autoscalingapi.PutScalingPolicyInput, sentence string, members ...string) error {
	has := given(in)
	for _, m := range members {
		if has[m] {
			return invalid(sentence, m)
		}
	}
	return nil
}

// setAdjustment sets what simple and step policies have in common.
func (p *Policy) setAdjustment(in *autoscalingapi.PutScalingPolicyInput) error {
	p.AdjustmentType = api.Val(in.AdjustmentType)
	switch p.AdjustmentType {
	case ChangeInCapacity, ExactCapacity, PercentChangeInCapacity:
	case "":
		return invalid("You must specify an AdjustmentType for policy type: %s", p.Type)
	default:
		return invalid("Valid adjustment types are: [%s, %s, %s].", ChangeInCapacity, ExactCapacity, PercentChangeInCapacity)
	}
	magnitude, name := in.MinAdjustmentMagnitude, "MinAdjustmentMagnitude"
	if magnitude == nil {
		magnitude, name = in.MinAdjustmentStep, "MinAdjustmentStep" // its name of before
	}
	if magnitude != nil {
		if *magnitude <= 0 {
			return invalid("If specified, %s must be greater than zero", name)
		}
		if p.AdjustmentType != PercentChangeInCapacity {
			return invalid("%s is not supported by the specified adjustment type", name)
		}
		p.MinMagnitude = int(*magnitude)
	}
	return nil
}

// mayAdjust refuses a capacity below zero.
func (p *Policy) mayAdjust(by int32) error {
	if p.AdjustmentType == ExactCapacity && by < 0 {
		return invalid("The lowest value for ScalingAdjustment parameter is 0 with the specified adjustment type")
	}
	return nil
}

func (p *Policy) setSimple(in *autoscalingapi.PutScalingPolicyInput) error {
	err := without(in, "%s is not supported for a SimpleScaling policy",
		"MetricAggregationType", "EstimatedInstanceWarmup", "StepAdjustments", "TargetTrackingConfiguration", "PredictiveScalingConfiguration")
	if err != nil {
		return err
	}
	if err := p.setAdjustment(in); err != nil {
		return err
	}
	if in.ScalingAdjustment == nil {
		return invalid("Scaling increment must be specified for a SimpleScaling policy")
	}
	p.Adjustment = int(*in.ScalingAdjustment)
	if in.Cooldown != nil {
		p.Cooldown = new(seconds(*in.Cooldown))
	}
	return p.mayAdjust(*in.ScalingAdjustment)
}

func (p *Policy) setStep(in *autoscalingapi.PutScalingPolicyInput) error {
	err := without(in, "%s is not supported for a StepScaling policy", "ScalingAdjustment", "TargetTrackingConfiguration", "PredictiveScalingConfiguration")
	if err != nil {
		return err
	}
	if err := p.setAdjustment(in); err != nil {
		return err
	}
	p.Aggregation = "Average"
	if a := in.MetricAggregationType; a != nil {
		p.Aggregation = *a
		if err := oneOf("metricAggregationType", *a, "Minimum", "Maximum", "Average"); err != nil {
			return err
		}
	}
	p.setWarmup(in)
	for _, s := range in.StepAdjustments {
		if err := p.mayAdjust(*s.ScalingAdjustment); err != nil {
			return err
		}
	}
	p.Steps = in.StepAdjustments
	return checkSteps(p.Steps)
}

func (p *Policy) setWarmup(in *autoscalingapi.PutScalingPolicyInput) {
	if in.EstimatedInstanceWarmup != nil {
		p.Warmup = new(time.Duration(*in.EstimatedInstanceWarmup) * time.Second)
	}
}

// checkSteps wants intervals that touch each other, and go on without end on each
// side of the threshold that has some.
func checkSteps(steps []autoscalingapi.StepAdjustment) error {
	if len(steps) == 0 {
		return invalid("You should specify at least one StepAdjustment with a StepScaling policy")
	}
	if len(steps) > maxSteps {
		return autoscalingapi.LimitExceededFault.New("You cannot have more than %d StepAdjustments in a policy", maxSteps)
	}
	lower := func(s autoscalingapi.StepAdjustment) float64 {
		if s.MetricIntervalLowerBound == nil {
			return math.Inf(-1)
		}
		return *s.MetricIntervalLowerBound
	}
	upper := func(s autoscalingapi.StepAdjustment) float64 {
		if s.MetricIntervalUpperBound == nil {
			return math.Inf(1)
		}
		return *s.MetricIntervalUpperBound
	}
	below, above := 0, 0 // steps without bound
	for _, s := range steps {
		switch {
		case s.MetricIntervalLowerBound == nil && s.MetricIntervalUpperBound == nil:
			return invalid("Both lower and upper bounds of a StepAdjustment cannot be left unspecified")
		case lower(s) >= upper(s):
			return invalid("LowerBound must be less than the UpperBound for StepAdjustment")
		case s.MetricIntervalLowerBound == nil:
			below++
		case s.MetricIntervalUpperBound == nil:
			above++
		}
	}
	if below > 1 {
		return invalid("At most one StepAdjustment may have an unspecified lower bound")
	}
	if above > 1 {
		return invalid("At most one StepAdjustment may have an unspecified upper bound")
	}
	sorted := slices.SortedFunc(slices.Values(steps), func(a, b autoscalingapi.StepAdjustment) int { return cmp.Compare(lower(a), lower(b)) })
	for i := 1; i < len(sorted); i++ {
		switch last, next := upper(sorted[i-1]), lower(sorted[i]); {
		case last > next:
			return invalid("StepAdjustment intervals cannot overlap")
		case last < next:
			return invalid("StepAdjustment intervals cannot have gaps between them")
		}
	}
	if low := lower(sorted[0]); low < 0 && !math.IsInf(low, -1) {
		return invalid("There must be a StepAdjustment with an unspecified lower bound (i.e., lower bound is null) when one StepAdjustment has a negative lower bound")
	}
	if high := upper(sorted[len(sorted)-1]); high > 0 && !math.IsInf(high, 1) {
		return invalid("There must be a StepAdjustment with an unspecified upper bound (i.e., upper bound is null) when one StepAdjustment has a positive upper bound")
	}
	return nil
}

func (p *Policy) setTracking(in *autoscalingapi.PutScalingPolicyInput) error {
	err := without(in, "%s are not supported for a TargetTracking policy",
		"AdjustmentType", "MetricAggregationType", "MinAdjustmentMagnitude", "ScalingAdjustment", "StepAdjustments", "PredictiveScalingConfiguration")
	if err != nil {
		return err
	}
	t := in.TargetTrackingConfiguration
	if t == nil {
		return invalid("You should provide a TargetTrackingConfiguration")
	}
	if v := *t.TargetValue; !(v >= 8.51592e-12 && v <= 1.174271e17) {
		return invalid("Target value must be between 8.51592E-12 and 1.174271E17")
	}
	if (t.PredefinedMetricSpecification == nil) == (t.CustomizedMetricSpecification == nil) {
		return invalid("Only one of PredefinedMetricSpecification or CustomizedMetricSpecification must be specified in the TargetTrackingConfiguration")
	}
	p.Target = t
	p.setWarmup(in)
	if c := t.CustomizedMetricSpecification; c != nil {
		return checkCustomized(c)
	}
	return checkPredefined(t.PredefinedMetricSpecification)
}

func checkPredefined(m *autoscalingapi.PredefinedMetricSpecification) error {
	label := api.Val(m.ResourceLabel)
	switch m.PredefinedMetricType {
	case autoscalingapi.MetricTypeALBRequestCountPerTarget:
		if label == "" {
			return invalid("Resource label should be specified for predefined metric type %s", m.PredefinedMetricType)
		}
		if _, _, ok := ParseResourceLabel(label); !ok {
			return invalid("Invalid resource label '%s' for predefined metric type %s", label, m.PredefinedMetricType)
		}
		return nil
	case autoscalingapi.MetricTypeASGAverageCPUUtilization, autoscalingapi.MetricTypeASGAverageNetworkIn, autoscalingapi.MetricTypeASGAverageNetworkOut:
		if label != "" {
			return invalid("Resource label should not be specified for predefined metric type %s", m.PredefinedMetricType)
		}
		return nil
	}
	return constraint("targetTrackingConfiguration.predefinedMetricSpecification.predefinedMetricType", m.PredefinedMetricType,
		"satisfy enum value set: [ASGTotalCPUUtilization, ASGAverageCPUUtilization, ASGAverageNetworkIn, ASGAverageNetworkOut, ALBRequestCountPerTarget]")
}

func checkCustomized(c *autoscalingapi.CustomizedMetricSpecification) error {
	single := c.MetricName != nil || c.Namespace != nil || c.Statistic != "" || c.Unit != nil || len(c.Dimensions) > 0
	if len(c.Metrics) == 0 {
		if c.MetricName == nil || c.Namespace == nil || c.Statistic == "" {
			return invalid("A customized metric specification must have either 'Metrics' or all of ['MetricName', 'Namespace', 'Statistic'] specified")
		}
		return oneOf("targetTrackingConfiguration.customizedMetricSpecification.statistic", string(c.Statistic), "Average", "Minimum", "Maximum", "SampleCount", "Sum")
	}
	if single {
		return invalid("A customized metric specification with 'Metrics' specified cannot have any of ['Dimensions', 'MetricName', 'Namespace', 'Statistic', 'Unit', 'Period'] specified as well")
	}
	var ids []string
	returned := 0
	for _, q := range c.Metrics {
		if (q.Expression == nil) == (q.MetricStat == nil) {
			return invalid("The parameters MetricDataQuery Expression and MetricStat are mutually exclusive and you have specified both or neither.")
		}
		if slices.Contains(ids, *q.Id) {
			return invalid("The MetricDataQuery Id %s is not unique.", *q.Id)
		}
		ids = append(ids, *q.Id)
		if q.ReturnData == nil || *q.ReturnData {
			returned++
		}
	}
	if returned != 1 {
		return invalid("Exactly one element of the metrics list should return data.")
	}
	return nil
}

// sameMetric says whether two target tracking policies follow the same metric, which
// only one may.
func sameMetric(a, b *autoscalingapi.TargetTrackingConfiguration) bool {
	key := func(t *autoscalingapi.TargetTrackingConfiguration) string {
		if m := t.PredefinedMetricSpecification; m != nil {
			return string(m.PredefinedMetricType) + "\n" + api.Val(m.ResourceLabel)
		}
		c := t.CustomizedMetricSpecification
		parts := []string{api.Val(c.Namespace), api.Val(c.MetricName), string(c.Statistic)}
		for _, d := range c.Dimensions {
			parts = append(parts, api.Val(d.Name)+"="+api.Val(d.Value))
		}
		slices.Sort(parts[3:])
		for _, q := range c.Metrics {
			parts = append(parts, queryKey(q))
		}
		return strings.Join(parts, "\n")
	}
	return key(a) == key(b)
}

func queryKey(q autoscalingapi.TargetTrackingMetricDataQuery) string {
	if q.Expression != nil {
		return *q.Id + " = " + *q.Expression
	}
	parts := []string{*q.Id, api.Val(q.MetricStat.Metric.Namespace), api.Val(q.MetricStat.Metric.MetricName), api.Val(q.MetricStat.Stat)}
	for _, d := range q.MetricStat.Metric.Dimensions {
		parts = append(parts, api.Val(d.Name)+"="+api.Val(d.Value))
	}
	slices.Sort(parts[4:])
	return strings.Join(parts, " ")
}
