package scaling

import (
	"context"
	"slices"
	"time"

	autoscalingapi "github.com/tarn-eks/tarn/internal/api/autoscaling"
	cloudwatchapi "github.com/tarn-eks/tarn/internal/api/cloudwatch"
	"github.com/tarn-eks/tarn/internal/service/autoscaling"
	"github.com/tarn-eks/tarn/internal/service/cloudwatch"
)

// Owner is whose the alarms of target tracking policies are.
const Owner = "autoscaling"

// Alarms is CloudWatch for the policies that own alarms.
type Alarms struct{ CloudWatch *cloudwatch.Service }

var _ autoscaling.Alarms = Alarms{}

// Put makes or replaces alarms.
func (a Alarms) Put(ctx context.Context, alarms []autoscaling.AlarmSpec) error {
	for _, spec := range alarms {
		if err := a.CloudWatch.PutOwned(ctx, owned(spec)); err != nil {
			return err
		}
	}
	return nil
}

// Delete takes alarms away; those that are not there do not matter.
func (a Alarms) Delete(ctx context.Context, names []string) error {
	return a.CloudWatch.DeleteOwned(ctx, names...)
}

// Acting returns the names of the alarms that have one of the policies for an
// action.
func (a Alarms) Acting(ctx context.Context, policies []string) (map[string][]string, error) {
	items, _, err := a.CloudWatch.Alarms.List(ctx, "")
	if err != nil {
		return nil, err
	}
	acting := map[string][]string{}
	for _, it := range items {
		for _, policy := range policies {
			if slices.Contains(slices.Concat(it.Value.OK, it.Value.Alarm, it.Value.Empty), policy) {
				acting[policy] = append(acting[policy], it.Key)
			}
		}
	}
	return acting, nil
}

// owned is the alarm of a policy, as CloudWatch has it.
func owned(s autoscaling.AlarmSpec) cloudwatch.Alarm {
	return cloudwatch.Alarm{
		Name: s.Name, Owner: Owner, Description: s.Description, Alarm: []string{s.Action},
		Namespace: s.Namespace, Metric: s.Metric, Dimensions: dimensions(s.Dimensions), Statistic: s.Statistic, Unit: s.Unit,
		Metrics: tracked(s.Queries, s.Period), Period: periodOf(s), Periods: s.Periods,
		Comparison: s.Comparison, Threshold: s.Threshold,
	}
}

// periodOf is the alarm's own period: one with queries has none.
func periodOf(s autoscaling.AlarmSpec) time.Duration {
	if len(s.Queries) > 0 {
		return 0
	}
	return s.Period
}

func dimensions(list []autoscalingapi.MetricDimension) []cloudwatchapi.Dimension {
	var all []cloudwatchapi.Dimension
	for _, d := range list {
		all = append(all, cloudwatchapi.Dimension{Name: d.Name, Value: d.Value})
	}
	return all
}

func metricStat(m *autoscalingapi.Metric, stat, unit *string, period time.Duration) *cloudwatchapi.MetricStat {
	s := &cloudwatchapi.MetricStat{Stat: stat, Period: new(int32(period / time.Second))}
	if unit != nil {
		s.Unit = cloudwatchapi.StandardUnit(*unit)
	}
	if m != nil {
		s.Metric = &cloudwatchapi.Metric{Namespace: m.Namespace, MetricName: m.MetricName, Dimensions: dimensions(m.Dimensions)}
	}
	return s
}

// tracked are the queries of a customized metric, by periods of the length given.
func tracked(list []autoscalingapi.TargetTrackingMetricDataQuery, period time.Duration) []cloudwatchapi.MetricDataQuery {
	var all []cloudwatchapi.MetricDataQuery
	for _, q := range list {
		to := cloudwatchapi.MetricDataQuery{Id: q.Id, Expression: q.Expression, Label: q.Label, ReturnData: q.ReturnData}
		if m := q.MetricStat; m != nil {
			to.MetricStat = metricStat(m.Metric, m.Stat, m.Unit, period)
		}
		all = append(all, to)
	}
	return all
}

// foretold are the queries of a customized predictive metric, likewise.
func foretold(list []autoscalingapi.MetricDataQuery, period time.Duration) []cloudwatchapi.MetricDataQuery {
	var all []cloudwatchapi.MetricDataQuery
	for _, q := range list {
		to := cloudwatchapi.MetricDataQuery{Id: q.Id, Expression: q.Expression, Label: q.Label, ReturnData: q.ReturnData}
		if m := q.MetricStat; m != nil {
			to.MetricStat = metricStat(m.Metric, m.Stat, m.Unit, period)
		}
		all = append(all, to)
	}
	return all
}
