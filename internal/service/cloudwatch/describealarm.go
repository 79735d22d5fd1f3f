package cloudwatch

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/tarn-eks/tarn/internal/api"
	cloudwatchapi "github.com/tarn-eks/tarn/internal/api/cloudwatch"
)

// DescribeAlarms implements cloudwatchapi.Handler: metric alarms, and composite ones
// if they are asked for.
func (s *Service) DescribeAlarms(ctx context.Context, in *cloudwatchapi.DescribeAlarmsInput) (*cloudwatchapi.DescribeAlarmsOutput, error) {
	if err := checkDescribe(in); err != nil {
		return nil, err
	}
	items, _, err := s.all.List(ctx)
	if err != nil {
		return nil, err
	}
	var all []Alarm
	for _, it := range items {
		all = append(all, it.Value)
	}
	relatives, wanted, err := related(all, in)
	if err != nil {
		return nil, err
	}
	if !relatives {
		wanted = slices.DeleteFunc(all, func(a Alarm) bool { return !asked(a, in) })
	}
	size := 50
	if in.MaxRecords != nil {
		size = int(*in.MaxRecords)
	}
	wanted, next, err := page(wanted, func(a Alarm) string { return a.Name }, size, in.NextToken)
	if err != nil {
		return nil, err
	}
	out := &cloudwatchapi.DescribeAlarmsOutput{CompositeAlarms: []cloudwatchapi.CompositeAlarm{}, MetricAlarms: []cloudwatchapi.MetricAlarm{}, NextToken: next}
	for _, a := range wanted {
		switch {
		case relatives && a.Composite():
			out.CompositeAlarms = append(out.CompositeAlarms, cloudwatchapi.CompositeAlarm{
				AlarmName: &a.Name, AlarmArn: new(s.ARN(a.Name)), StateValue: cloudwatchapi.StateValue(a.State), StateUpdatedTimestamp: &a.Changed,
			})
		case relatives:
			out.MetricAlarms = append(out.MetricAlarms, cloudwatchapi.MetricAlarm{
				AlarmName: &a.Name, AlarmArn: new(s.ARN(a.Name)), StateValue: cloudwatchapi.StateValue(a.State), StateUpdatedTimestamp: &a.Changed,
			})
		case a.Composite():
			out.CompositeAlarms = append(out.CompositeAlarms, s.describeComposite(a))
		default:
			out.MetricAlarms = append(out.MetricAlarms, s.describe(a))
		}
	}
	return out, nil
}

func checkDescribe(in *cloudwatchapi.DescribeAlarmsInput) error {
	if err := named(in.AlarmNames); err != nil {
		return err
	}
	if in.MaxRecords != nil {
		if err := between("maxRecords", *in.MaxRecords, 1, 100); err != nil {
			return err
		}
	}
	for _, t := range in.AlarmTypes {
		if err := oneOf("alarmTypes", t, "CompositeAlarm", "MetricAlarm"); err != nil {
			return err
		}
	}
	if err := oneOf("stateValue", in.StateValue, "INSUFFICIENT_DATA", "ALARM", "OK"); err != nil {
		return err
	}
	filters := len(in.AlarmNames) > 0 || in.AlarmNamePrefix != nil || len(in.AlarmTypes) > 0 || in.StateValue != "" || in.ActionPrefix != nil
	switch {
	case len(in.AlarmNames) > 0 && in.AlarmNamePrefix != nil:
		return both("AlarmNames", "AlarmNamePrefix")
	case in.ChildrenOfAlarmName != nil && in.ParentsOfAlarmName != nil:
		return both("ChildrenOfAlarmName", "ParentsOfAlarmName")
	case filters && in.ChildrenOfAlarmName != nil:
		return invalid("ChildrenOfAlarmName can be used with MaxRecords and NextToken only")
	case filters && in.ParentsOfAlarmName != nil:
		return invalid("ParentsOfAlarmName can be used with MaxRecords and NextToken only")
	}
	return nil
}

// related are the children or parents of a composite alarm, if the request is for
// them.
func related(all []Alarm, in *cloudwatchapi.DescribeAlarmsInput) (asked bool, found []Alarm, err error) {
	var names []string
	switch {
	case in.ChildrenOfAlarmName != nil:
		i := slices.IndexFunc(all, func(a Alarm) bool { return a.Name == *in.ChildrenOfAlarmName && a.Composite() })
		if i < 0 {
			return true, nil, invalid("%s is not the name of a composite alarm", *in.ChildrenOfAlarmName)
		}
		rule, err := ParseRule(all[i].Rule)
		if err != nil {
			return true, nil, err
		}
		names = rule.Names
	case in.ParentsOfAlarmName != nil:
		names = dependents(all, *in.ParentsOfAlarmName)
	default:
		return false, nil, nil
	}
	return true, slices.DeleteFunc(all, func(a Alarm) bool { return !slices.Contains(names, a.Name) }), nil
}

// asked says whether the filters of a request let an alarm through.
func asked(a Alarm, in *cloudwatchapi.DescribeAlarmsInput) bool {
	types := in.AlarmTypes
	if len(types) == 0 {
		types = []cloudwatchapi.AlarmType{cloudwatchapi.AlarmTypeMetricAlarm}
	}
	actions := slices.Concat(a.OK, a.Alarm, a.Empty)
	return slices.Contains(types, a.kind()) &&
		(len(in.AlarmNames) == 0 || slices.Contains(in.AlarmNames, a.Name)) &&
		strings.HasPrefix(a.Name, api.Val(in.AlarmNamePrefix)) &&
		(in.StateValue == "" || string(in.StateValue) == a.State) &&
		(in.ActionPrefix == nil || slices.ContainsFunc(actions, func(action string) bool { return strings.HasPrefix(action, *in.ActionPrefix) }))
}

// DescribeAlarmsForMetric implements cloudwatchapi.Handler: alarms on exactly the
// metric. Metric math is no match, as on AWS.
func (s *Service) DescribeAlarmsForMetric(ctx context.Context, in *cloudwatchapi.DescribeAlarmsForMetricInput) (*cloudwatchapi.DescribeAlarmsForMetricOutput, error) {
	if err := oneOf("statistic", in.Statistic, statistics...); err != nil {
		return nil, err
	}
	items, _, err := s.all.List(ctx)
	if err != nil {
		return nil, err
	}
	out := &cloudwatchapi.DescribeAlarmsForMetricOutput{MetricAlarms: []cloudwatchapi.MetricAlarm{}}
	for _, it := range items {
		a := it.Value
		if a.Metric != "" && a.Metric == api.Val(in.MetricName) && a.Namespace == api.Val(in.Namespace) && sameDimensions(a.Dimensions, in.Dimensions) &&
			(in.Statistic == "" || string(in.Statistic) == a.Statistic) &&
			(in.ExtendedStatistic == nil || *in.ExtendedStatistic == a.Extended) &&
			(in.Period == nil || time.Duration(*in.Period)*time.Second == a.Period) &&
			(in.Unit == "" || string(in.Unit) == a.Unit) {
			out.MetricAlarms = append(out.MetricAlarms, s.describe(a))
		}
	}
	return out, nil
}

func sameDimensions(a, b []cloudwatchapi.Dimension) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(x cloudwatchapi.Dimension) bool {
		return !slices.ContainsFunc(b, func(y cloudwatchapi.Dimension) bool {
			return api.Val(x.Name) == api.Val(y.Name) && api.Val(x.Value) == api.Val(y.Value)
		})
	})
}

// describe is a metric alarm as the API has it.
func (s *Service) describe(a Alarm) cloudwatchapi.MetricAlarm {
	out := cloudwatchapi.MetricAlarm{
		AlarmName: &a.Name, AlarmArn: new(s.ARN(a.Name)), AlarmDescription: present(a.Description), AlarmConfigurationUpdatedTimestamp: &a.Updated,
		ActionsEnabled: new(!a.ActionsOff), OKActions: list(a.OK), AlarmActions: list(a.Alarm), InsufficientDataActions: list(a.Empty),
		StateValue: cloudwatchapi.StateValue(a.State), StateReason: &a.Reason, StateReasonData: present(a.ReasonData),
		StateUpdatedTimestamp: &a.Changed, StateTransitionedTimestamp: &a.Transition,
		MetricName: present(a.Metric), Namespace: present(a.Namespace), Statistic: cloudwatchapi.Statistic(a.Statistic), ExtendedStatistic: present(a.Extended),
		Dimensions: list(a.Dimensions), Unit: cloudwatchapi.StandardUnit(a.Unit), EvaluationPeriods: new(int32(a.Periods)), Threshold: &a.Threshold,
		ComparisonOperator: cloudwatchapi.ComparisonOperator(a.Comparison), TreatMissingData: present(a.Missing),
		EvaluateLowSampleCountPercentile: present(a.LowSamples), Metrics: a.Metrics, ThresholdMetricId: present(a.ThresholdMetric),
	}
	if a.Period > 0 {
		out.Period = new(int32(a.Period / time.Second))
	}
	if a.Datapoints > 0 {
		out.DatapointsToAlarm = new(int32(a.Datapoints))
	}
	return out
}

// DescribeAlarmHistory implements cloudwatchapi.Handler. The history of an alarm
// that was deleted is there too.
func (s *Service) DescribeAlarmHistory(ctx context.Context, in *cloudwatchapi.DescribeAlarmHistoryInput) (*cloudwatchapi.DescribeAlarmHistoryOutput, error) {
	size := 100
	if in.MaxRecords != nil {
		if err := between("maxRecords", *in.MaxRecords, 1, 100); err != nil {
			return nil, err
		}
		size = int(*in.MaxRecords)
	}
	if err := oneOf("historyItemType", in.HistoryItemType, "ConfigurationUpdate", "StateUpdate", "Action"); err != nil {
		return nil, err
	}
	if err := oneOf("scanBy", in.ScanBy, "TimestampDescending", "TimestampAscending"); err != nil {
		return nil, err
	}
	types := in.AlarmTypes
	if len(types) == 0 {
		types = []cloudwatchapi.AlarmType{cloudwatchapi.AlarmTypeMetricAlarm}
	}
	prefix := ""
	if in.AlarmName != nil {
		prefix = historyPrefix(*in.AlarmName)
	}
	items, _, err := s.history.List(ctx, prefix)
	if err != nil {
		return nil, err
	}
	type keyed struct {
		key string // by time, then by alarm
		Entry
	}
	var entries []keyed
	for _, it := range items {
		e := it.Value
		if slices.Contains(types, e.Kind) && (in.HistoryItemType == "" || e.Type == in.HistoryItemType) &&
			(in.StartDate == nil || !e.At.Before(*in.StartDate)) && (in.EndDate == nil || !e.At.After(*in.EndDate)) {
			alarm, at, _ := strings.Cut(it.Key, "\x00")
			entries = append(entries, keyed{at + alarm, e})
		}
	}
	slices.SortFunc(entries, func(a, b keyed) int { return strings.Compare(a.key, b.key) })
	key := func(e keyed) string { return e.key }
	if in.ScanBy != cloudwatchapi.ScanByTimestampAscending {
		slices.Reverse(entries)
		key = func(e keyed) string { return inverted(e.key) }
	}
	entries, next, err := page(entries, key, size, in.NextToken)
	if err != nil {
		return nil, err
	}
	out := &cloudwatchapi.DescribeAlarmHistoryOutput{AlarmHistoryItems: []cloudwatchapi.AlarmHistoryItem{}, NextToken: next}
	for _, e := range entries {
		out.AlarmHistoryItems = append(out.AlarmHistoryItems, cloudwatchapi.AlarmHistoryItem{
			AlarmName: &e.Alarm, AlarmType: e.Kind, Timestamp: &e.At, HistoryItemType: e.Type, HistorySummary: &e.Summary, HistoryData: &e.Data,
		})
	}
	return out, nil
}

// inverted sorts the other way round.
func inverted(s string) string {
	b := append([]byte(s), 0)
	for i := range b {
		b[i] = ^b[i]
	}
	return string(b)
}
