package cloudwatch

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tarn-eks/tarn/internal/api"
	cloudwatchapi "github.com/tarn-eks/tarn/internal/api/cloudwatch"
	"github.com/tarn-eks/tarn/internal/arn"
)

const unchecked = "Unchecked: Initial alarm creation"

// PutMetricAlarm implements cloudwatchapi.Handler.
func (s *Service) PutMetricAlarm(ctx context.Context, in *cloudwatchapi.PutMetricAlarmInput) (*cloudwatchapi.PutMetricAlarmOutput, error) {
	a, err := s.newMetricAlarm(in)
	if err != nil {
		return nil, err
	}
	if a.Tags, err = checkTags(in.Tags); err != nil {
		return nil, err
	}
	return &cloudwatchapi.PutMetricAlarmOutput{}, s.put(ctx, a)
}

// newMetricAlarm is the record that a request asks for.
func (s *Service) newMetricAlarm(in *cloudwatchapi.PutMetricAlarmInput) (Alarm, error) {
	a := Alarm{
		Name: api.Val(in.AlarmName), Description: api.Val(in.AlarmDescription), ActionsOff: in.ActionsEnabled != nil && !*in.ActionsEnabled,
		OK: in.OKActions, Alarm: in.AlarmActions, Empty: in.InsufficientDataActions,
		Namespace: api.Val(in.Namespace), Metric: api.Val(in.MetricName), Dimensions: in.Dimensions,
		Statistic: string(in.Statistic), Extended: api.Val(in.ExtendedStatistic), Unit: string(in.Unit), Metrics: in.Metrics,
		Period: time.Duration(api.Val(in.Period)) * time.Second, Periods: int(api.Val(in.EvaluationPeriods)), Datapoints: int(api.Val(in.DatapointsToAlarm)),
		Comparison: string(in.ComparisonOperator), Threshold: api.Val(in.Threshold),
		Missing: api.Val(in.TreatMissingData), LowSamples: api.Val(in.EvaluateLowSampleCountPercentile), ThresholdMetric: api.Val(in.ThresholdMetricId),
	}
	if err := checkAlarm(a); err != nil {
		return a, err
	}
	if err := oneOf("comparisonOperator", in.ComparisonOperator,
		"GreaterThanOrEqualToThreshold", "GreaterThanThreshold", "LessThanThreshold", "LessThanOrEqualToThreshold",
		"LessThanLowerOrGreaterThanUpperThreshold", "LessThanLowerThreshold", "GreaterThanUpperThreshold"); err != nil {
		return a, err
	}
	if a.ThresholdMetric != "" || comparisons[a.Comparison] == "" {
		return a, invalid("Alarms on anomaly detection models are not supported here: %s needs a band that is learnt from weeks of data", in.ComparisonOperator)
	}
	if in.Threshold == nil {
		return a, invalid("Threshold must not be null")
	}
	if a.Missing != "" && !slices.Contains([]string{"breaching", "notBreaching", "ignore", "missing"}, a.Missing) {
		return a, invalid("The value %s is not supported for TreatMissingData parameter. Supported values are [breaching, notBreaching, ignore, missing].", a.Missing)
	}
	if a.LowSamples != "" && a.LowSamples != "evaluate" && a.LowSamples != "ignore" {
		return a, invalid("Option for EvaluateLowSampleCountPercentile: %s is not supported. Supported values are [evaluate, ignore].", a.LowSamples)
	}
	var err error
	if len(a.Metrics) > 0 {
		err = s.checkMath(in)
	} else {
		err = checkMetric(in)
	}
	if err != nil {
		return a, err
	}
	if err := checkRange(a, in); err != nil {
		return a, err
	}
	return a, s.checkActions(a)
}

// checkAlarm wants what all alarms have.
func checkAlarm(a Alarm) error {
	if err := length("alarmName", a.Name, 1, 255); err != nil {
		return err
	}
	if strings.ContainsFunc(a.Name, func(r rune) bool { return r < 0x20 || r == 0x7f }) {
		return constraint("alarmName", a.Name, "satisfy regular expression pattern: [^\\x00-\\x1f]+")
	}
	return length("alarmDescription", a.Description, 0, 1024)
}

// checkMetric wants what an alarm on one metric has.
func checkMetric(in *cloudwatchapi.PutMetricAlarmInput) error {
	switch {
	case api.Val(in.MetricName) == "":
		return invalid("MetricName must not be null")
	case api.Val(in.Namespace) == "":
		return invalid("Namespace must not be null")
	case in.Period == nil:
		return invalid("Period must not be null")
	case !validPeriod(*in.Period):
		return invalid("Period must be 1, 5, 10, 20, 30 or a multiple of 60")
	case in.Statistic == "" && in.ExtendedStatistic == nil:
		return invalid("Exactly one of Statistic or ExtendedStatistic must be specified")
	case in.Statistic != "" && in.ExtendedStatistic != nil:
		return both("Statistic", "ExtendedStatistic")
	}
	if err := oneOf("statistic", in.Statistic, statistics...); err != nil {
		return err
	}
	if in.ExtendedStatistic != nil {
		if st, err := parseStatistic(*in.ExtendedStatistic); err != nil || st.simple() {
			return invalid("The value %s for parameter ExtendedStatistic is not supported.", *in.ExtendedStatistic)
		}
	}
	if err := oneOf("unit", in.Unit, units...); err != nil {
		return err
	}
	return checkDimensions("Dimensions", in.Dimensions)
}

// checkRange wants M out of N that can be evaluated.
func checkRange(a Alarm, in *cloudwatchapi.PutMetricAlarmInput) error {
	if err := between("evaluationPeriods", api.Val(in.EvaluationPeriods), 1, 86400); err != nil {
		return err
	}
	if in.DatapointsToAlarm != nil {
		if err := between("datapointsToAlarm", *in.DatapointsToAlarm, 1, 86400); err != nil {
			return err
		}
		if *in.DatapointsToAlarm > *in.EvaluationPeriods {
			return invalid("DatapointsToAlarm must be less than or equal to EvaluationPeriods")
		}
	}
	switch p := a.period(); {
	case p < time.Hour && p*time.Duration(a.Periods) > 24*time.Hour:
		return invalid("Metrics cannot be checked across more than a day (EvaluationPeriods * Period must be <= 86400).")
	case p*time.Duration(a.Periods) > 7*24*time.Hour:
		return invalid("Metrics cannot be checked across more than a week (EvaluationPeriods * Period must be <= 604800).")
	}
	return nil
}

// ec2Actions are what an alarm can do to the instance that it watches.
var ec2Actions = []string{"stop", "terminate", "reboot", "recover"}

// checkActions wants ARNs of what can be done: scaling policies, EC2 actions on the
// instance that the alarm is about, and SNS topics, whose delivery fails later.
func (s *Service) checkActions(a Alarm) error {
	for member, actions := range map[string][]string{"oKActions": a.OK, "alarmActions": a.Alarm, "insufficientDataActions": a.Empty} {
		if len(actions) > maxActions {
			return constraint(member, actions, "have length less than or equal to %d", maxActions)
		}
		for _, action := range actions {
			if err := s.checkAction(a, action); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Service) checkAction(a Alarm, action string) error {
	name, err := arn.Parse(action)
	if err != nil {
		return invalid("Invalid arn syntax: %s", action)
	}
	if name.Region != s.scope.Region {
		return invalid("Invalid region %s specified. Only %s is supported.", name.Region, s.scope.Region)
	}
	kind := "Auto Scaling"
	switch {
	case name.Service == "sns":
		return nil
	case name.Service == "autoscaling" && strings.HasPrefix(name.Resource, "scalingPolicy:"):
	case name.Service == "automate":
		kind = "EC2"
		verb, ok := strings.CutPrefix(name.Resource, "ec2:")
		if name.Account != "" { // arn:aws:automate:REGION:ec2:stop
			verb, ok = name.Resource, name.Account == "ec2"
		}
		if !ok || !slices.Contains(ec2Actions, verb) {
			return invalid("Invalid arn syntax: %s", action)
		}
		if !a.Composite() && !slices.ContainsFunc(a.Dimensions, func(d cloudwatchapi.Dimension) bool { return api.Val(d.Name) == "InstanceId" }) {
			return invalid("The EC2 action %s needs an alarm on a metric with the dimension InstanceId", action)
		}
	default:
		return invalid("Unsupported alarm action: %s", action)
	}
	if a.Composite() {
		return invalid("Composite alarms do not support %s actions: %s", kind, action)
	}
	return nil
}

// checkMath wants metrics of which exactly one returns data, and expressions that
// can be computed.
func (s *Service) checkMath(in *cloudwatchapi.PutMetricAlarmInput) error {
	for name, set := range map[string]bool{
		"MetricName": in.MetricName != nil, "Namespace": in.Namespace != nil, "Period": in.Period != nil, "Statistic": in.Statistic != "",
		"ExtendedStatistic": in.ExtendedStatistic != nil, "Dimensions": len(in.Dimensions) > 0, "Unit": in.Unit != "",
	} {
		if set {
			return both("Metrics", name)
		}
	}
	if len(in.Metrics) > 20 {
		return constraint("metrics", len(in.Metrics), "have length less than or equal to 20")
	}
	plan, err := newPlan("Metrics", in.Metrics)
	if err != nil {
		return err
	}
	if n := len(plan.returned()); n != 1 {
		return invalid("Exactly one element of the metrics list should return data.")
	}
	for _, q := range in.Metrics {
		if q.Expression != nil && queryPeriod(q) == 0 && !plan.hasMetrics() {
			return invalid("Period must not be null")
		}
	}
	if fn := plan.refused("SEARCH"); fn {
		return invalid("SEARCH is not supported on Metric Alarms.")
	}
	return nil
}

// changeOf is how the history tells of a new configuration.
func changeOf(created bool) (verb, kind, member string) {
	if created {
		return "created", "Create", "createdAlarm"
	}
	return "updated", "Update", "updatedAlarm"
}

func summaryOf(name, verb string) string { return fmt.Sprintf("Alarm %q %s", name, verb) }
