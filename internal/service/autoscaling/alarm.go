package autoscaling

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/tarn-eks/tarn/internal/api"
	autoscalingapi "github.com/tarn-eks/tarn/internal/api/autoscaling"
)

// AlarmSpec is an alarm that a target tracking policy owns. Statistic, Metric and
// Namespace are empty if Queries are given.
type AlarmSpec struct {
	Name        string
	Description string
	Action      string // the policy's ARN

	Namespace, Metric string
	Dimensions        []autoscalingapi.MetricDimension
	Statistic         string // Average …
	Unit              string // "": any
	Queries           []autoscalingapi.TargetTrackingMetricDataQuery

	Period     time.Duration
	Periods    int
	Comparison string
	Threshold  float64
}

// What AWS's own alarms have: three minutes above the target, or fifteen below
// seven tenths of it.
const (
	trackingPeriod = time.Minute
	highPeriods    = 3
	lowPeriods     = 15
	lowShare       = 0.7
)

// TargetAlarms are the alarms that a target tracking policy needs, which name the
// action. The names of those that the policy has are kept.
func TargetAlarms(p Policy, action string) []AlarmSpec {
	t := p.Target
	spec := AlarmSpec{
		Description: "DO NOT EDIT OR DELETE. For TargetTrackingScaling policy " + action + ".",
		Action:      action, Period: trackingPeriod,
	}
	if c := t.CustomizedMetricSpecification; c != nil {
		spec.Namespace, spec.Metric, spec.Dimensions = api.Val(c.Namespace), api.Val(c.MetricName), c.Dimensions
		spec.Statistic, spec.Unit, spec.Queries = string(c.Statistic), api.Val(c.Unit), c.Metrics
	} else {
		spec.Namespace, spec.Metric, spec.Statistic, spec.Dimensions = predefined(p.Group, t.PredefinedMetricSpecification)
	}
	name := func(i int, side string) string {
		if i < len(p.Alarms) {
			return p.Alarms[i]
		}
		return "TargetTracking-" + p.Group + "-" + side + "-" + uuid.NewString()
	}
	high := spec
	high.Name, high.Periods = name(0, "AlarmHigh"), highPeriods
	high.Comparison, high.Threshold = "GreaterThanThreshold", *t.TargetValue
	if api.Val(t.DisableScaleIn) {
		return []AlarmSpec{high}
	}
	low := spec
	low.Name, low.Periods = name(1, "AlarmLow"), lowPeriods
	low.Comparison, low.Threshold = "LessThanThreshold", *t.TargetValue*lowShare
	return []AlarmSpec{high, low}
}

// predefined is the metric that a predefined one stands for.
func predefined(group string, m *autoscalingapi.PredefinedMetricSpecification) (namespace, metric, statistic string, dimensions []autoscalingapi.MetricDimension) {
	ofGroup := []autoscalingapi.MetricDimension{{Name: new("AutoScalingGroupName"), Value: &group}}
	switch m.PredefinedMetricType {
	case autoscalingapi.MetricTypeASGAverageNetworkIn:
		return "AWS/EC2", "NetworkIn", "Average", ofGroup
	case autoscalingapi.MetricTypeASGAverageNetworkOut:
		return "AWS/EC2", "NetworkOut", "Average", ofGroup
	case autoscalingapi.MetricTypeALBRequestCountPerTarget:
		balancer, target, _ := ParseResourceLabel(api.Val(m.ResourceLabel))
		return "AWS/ApplicationELB", "RequestCountPerTarget", "Sum", []autoscalingapi.MetricDimension{
			{Name: new("LoadBalancer"), Value: &balancer}, {Name: new("TargetGroup"), Value: &target},
		}
	}
	return "AWS/EC2", "CPUUtilization", "Average", ofGroup
}

// deleteAlarms takes away the alarms that a policy owns.
func (s *Service) deleteAlarms(ctx context.Context, p Policy) error {
	if len(p.Alarms) == 0 {
		return nil
	}
	return s.alarms.Delete(ctx, p.Alarms)
}

// ParseResourceLabel takes a label of the metric ALBRequestCountPerTarget apart:
// app/<name>/<id>/targetgroup/<name>/<id>.
func ParseResourceLabel(label string) (balancer, target string, ok bool) {
	f := strings.Split(label, "/")
	if len(f) != 6 || f[0] != "app" || f[3] != "targetgroup" || slices.Contains(f, "") {
		return "", "", false
	}
	return strings.Join(f[:3], "/"), strings.Join(f[3:], "/"), true
}
