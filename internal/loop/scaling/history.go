package scaling

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/tarn-eks/tarn/internal/api"
	autoscalingapi "github.com/tarn-eks/tarn/internal/api/autoscaling"
	cloudwatchapi "github.com/tarn-eks/tarn/internal/api/cloudwatch"
	"github.com/tarn-eks/tarn/internal/metrics"
	"github.com/tarn-eks/tarn/internal/service/autoscaling"
)

// history is what a predictive policy learns of.
type history struct {
	Load []Hour
	// Ratio is the load for each unit of capacity and of the scaling metric.
	Ratio float64
}

// measured is a metric of EC2 that is predefined for predictive policies.
var measured = map[string]string{
	string(autoscalingapi.PredefinedMetricPairTypeASGCPUUtilization):           "CPUUtilization",
	string(autoscalingapi.PredefinedMetricPairTypeASGNetworkIn):                "NetworkIn",
	string(autoscalingapi.PredefinedMetricPairTypeASGNetworkOut):               "NetworkOut",
	string(autoscalingapi.PredefinedLoadMetricTypeASGTotalCPUUtilization):      "CPUUtilization",
	string(autoscalingapi.PredefinedLoadMetricTypeASGTotalNetworkIn):           "NetworkIn",
	string(autoscalingapi.PredefinedLoadMetricTypeASGTotalNetworkOut):          "NetworkOut",
	string(autoscalingapi.PredefinedScalingMetricTypeASGAverageCPUUtilization): "CPUUtilization",
	string(autoscalingapi.PredefinedScalingMetricTypeASGAverageNetworkIn):      "NetworkIn",
	string(autoscalingapi.PredefinedScalingMetricTypeASGAverageNetworkOut):     "NetworkOut",
}

// predefined is a predefined metric of a predictive policy; the label says of which
// target group, where it is about requests.
type predefined struct{ name, label string }

// requests says that the metric is about a target group's requests.
func (p predefined) requests() bool { return strings.HasPrefix(p.name, "ALB") }

// load is the metric that has the load's total.
func (p predefined) load(group string) metrics.ID {
	if p.requests() {
		return p.ofTargets("RequestCount")
	}
	return metrics.ID{Namespace: "AWS/EC2", Name: measured[p.name], Dimensions: ofGroup(group)}
}

// metric is the one that is to be at its target.
func (p predefined) metric(group string) metrics.ID {
	if p.requests() {
		return p.ofTargets("RequestCountPerTarget")
	}
	return p.load(group)
}

// value is the metric's in an hour: requests are those of a minute.
func (p predefined) value(of metrics.Point) float64 {
	if p.requests() {
		return of.Sum / 60
	}
	return average(of)
}

func (p predefined) ofTargets(name string) metrics.ID {
	balancer, target, _ := autoscaling.ParseResourceLabel(p.label)
	return metrics.ID{Namespace: "AWS/ApplicationELB", Name: name, Dimensions: map[string]string{"LoadBalancer": balancer, "TargetGroup": target}}
}

func average(p metrics.Point) float64 { return p.Sum / p.Count }

// learn reads the history of a policy's load up to the last full hour, and how the
// load, the scaling metric and the capacity belong together.
func (l *Loop) learn(ctx context.Context, spec autoscalingapi.PredictiveScalingMetricSpecification, group string, now time.Time) (h history, err error) {
	end := now.UTC().Truncate(time.Hour)
	start := end.Add(-mostHistory * time.Hour)
	var metric, capacity []Hour
	var loads, scales predefined
	if p := spec.PredefinedMetricPairSpecification; p != nil {
		loads = predefined{string(p.PredefinedMetricType), api.Val(p.ResourceLabel)}
		scales = loads
	}
	if p := spec.PredefinedLoadMetricSpecification; p != nil {
		loads = predefined{string(p.PredefinedMetricType), api.Val(p.ResourceLabel)}
	}
	if p := spec.PredefinedScalingMetricSpecification; p != nil {
		scales = predefined{string(p.PredefinedMetricType), api.Val(p.ResourceLabel)}
	}
	if c := spec.CustomizedLoadMetricSpecification; c != nil {
		h.Load, err = l.query(ctx, c.MetricDataQueries, start, end)
	} else {
		h.Load, err = l.hours(ctx, loads.load(group), start, end, func(p metrics.Point) float64 { return p.Sum })
	}
	if err != nil {
		return h, err
	}
	if c := spec.CustomizedScalingMetricSpecification; c != nil {
		metric, err = l.query(ctx, c.MetricDataQueries, start, end)
	} else {
		metric, err = l.hours(ctx, scales.metric(group), start, end, scales.value)
	}
	if err != nil {
		return h, err
	}
	switch {
	case spec.CustomizedCapacityMetricSpecification != nil:
		capacity, err = l.query(ctx, spec.CustomizedCapacityMetricSpecification.MetricDataQueries, start, end)
	case scales.requests():
		capacity, err = l.hours(ctx, scales.ofTargets("HealthyHostCount"), start, end, average)
	case measured[scales.name] != "":
		capacity, err = l.seen(ctx, measured[scales.name], group, start, end)
	default:
		capacity, err = l.hours(ctx, metrics.ID{Namespace: "AWS/AutoScaling", Name: "GroupInServiceInstances", Dimensions: ofGroup(group)}, start, end, average)
	}
	h.Ratio = Ratio(h.Load, metric, capacity)
	return h, err
}

func ofGroup(group string) map[string]string {
	return map[string]string{"AutoScalingGroupName": group}
}

// hours are a metric's hours.
func (l *Loop) hours(ctx context.Context, id metrics.ID, start, end time.Time, value func(metrics.Point) float64) ([]Hour, error) {
	points, err := l.cfg.CloudWatch.Metrics.Points(ctx, metrics.Query{ID: id, Start: start, End: end, Period: time.Hour})
	if err != nil {
		return nil, fmt.Errorf("the history of %s: %w", id.Name, err)
	}
	var all []Hour
	for _, p := range points {
		if p.Count > 0 && (len(all) == 0 || all[len(all)-1].At.Before(p.Start)) { // of several units the first
			all = append(all, Hour{At: p.Start.UTC(), Value: value(p)})
		}
	}
	return all, nil
}

// seen is how many instances a group's metric was measured at. The metric has the
// measurements of them all; how many of them are one instance's in an hour, the
// instances' own metrics tell.
func (l *Loop) seen(ctx context.Context, name, group string, start, end time.Time) ([]Hour, error) {
	counts, err := l.hours(ctx, metrics.ID{Namespace: "AWS/EC2", Name: name, Dimensions: ofGroup(group)}, start, end, func(p metrics.Point) float64 { return p.Count })
	if err != nil {
		return nil, err
	}
	members, _, err := l.cfg.AutoScaling.Members.List(ctx, autoscaling.Prefix(group))
	if err != nil {
		return nil, err
	}
	var each float64
	for _, m := range members {
		own, err := l.hours(ctx, metrics.ID{Namespace: "AWS/EC2", Name: name, Dimensions: map[string]string{"InstanceId": m.Value.Instance}},
			end.Add(-24*time.Hour), end, func(p metrics.Point) float64 { return p.Count })
		if err != nil {
			return nil, err
		}
		for _, h := range own {
			each = max(each, h.Value)
		}
	}
	if each == 0 {
		return nil, nil
	}
	for i := range counts {
		counts[i].Value /= each
	}
	return counts, nil
}

// query are the hours of a customized metric: of the query that returns data.
func (l *Loop) query(ctx context.Context, queries []autoscalingapi.MetricDataQuery, start, end time.Time) ([]Hour, error) {
	in := &cloudwatchapi.GetMetricDataInput{
		MetricDataQueries: foretold(queries, time.Hour), StartTime: &start, EndTime: &end, ScanBy: cloudwatchapi.ScanByTimestampAscending,
	}
	var all []Hour
	for {
		out, err := l.cfg.CloudWatch.GetMetricData(ctx, in)
		if err != nil {
			return nil, err
		}
		for _, r := range out.MetricDataResults {
			for i := range min(len(r.Timestamps), len(r.Values)) {
				if v := r.Values[i]; !math.IsNaN(v) && !math.IsInf(v, 0) {
					all = append(all, Hour{At: r.Timestamps[i].UTC(), Value: v})
				}
			}
		}
		if out.NextToken == nil {
			break
		}
		in.NextToken = out.NextToken
	}
	slices.SortStableFunc(all, func(a, b Hour) int { return a.At.Compare(b.At) })
	return all, nil
}
