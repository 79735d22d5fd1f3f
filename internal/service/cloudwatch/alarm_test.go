package cloudwatch_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	"github.com/tarn-eks/tarn/internal/service/cloudwatch"
	"github.com/tarn-eks/tarn/internal/store"
)

func (f *fixture) describe(in *sdk.DescribeAlarmsInput) (names []string) {
	f.Helper()
	out, err := f.DescribeAlarms(f.Context(), in)
	f.ok("describe", err)
	for _, a := range out.MetricAlarms {
		names = append(names, *a.AlarmName)
	}
	for _, a := range out.CompositeAlarms {
		names = append(names, *a.AlarmName)
	}
	return names
}

func TestPutAndDescribe(t *testing.T) {
	f := newFixture(t)
	in := alarm("busy")
	in.AlarmActions, in.OKActions, in.Dimensions, in.AlarmDescription = []string{scaling, topic}, []string{topic}, dims("Pod=x"), new("too busy")
	f.putAlarm(in)
	out, err := f.DescribeAlarms(t.Context(), &sdk.DescribeAlarmsInput{})
	f.ok("describe", err)
	a := out.MetricAlarms[0]
	same(t, "names", fmt.Sprint(*a.AlarmArn, *a.MetricName, *a.Namespace, a.Statistic, *a.Period, *a.Threshold, *a.EvaluationPeriods, a.DatapointsToAlarm, a.TreatMissingData),
		"arn:aws:cloudwatch:ap-northeast-2:111122223333:alarm:busymNAverage60 50 1 <nil> <nil>")
	same(t, "state", fmt.Sprint(a.StateValue, *a.StateReason, a.StateUpdatedTimestamp.Equal(nine), a.StateTransitionedTimestamp.Equal(nine), *a.ActionsEnabled),
		"INSUFFICIENT_DATAUnchecked: Initial alarm creationtrue true true")
	same(t, "actions", [][]string{a.AlarmActions, a.OKActions, a.InsufficientDataActions}, [][]string{{scaling, topic}, {topic}, {}})

	f.set("busy", types.StateValueAlarm)
	f.set("busy", types.StateValueAlarm) // which is no transition
	in.Threshold = new(70.0)
	f.putAlarm(in)
	out, err = f.DescribeAlarms(t.Context(), &sdk.DescribeAlarmsInput{})
	f.ok("describe", err)
	if a := out.MetricAlarms[0]; *a.Threshold != 70 || a.StateValue != types.StateValueAlarm || *a.StateReason != "a test" {
		t.Errorf("%+v", a)
	}
	same(t, "history", f.summaries("busy"), []string{
		`Alarm "busy" created`, "Alarm updated from INSUFFICIENT_DATA to ALARM",
		`Failed to execute action ` + topic + `. Received error: "the region has no Amazon SNS: nobody was notified"`, `Alarm "busy" updated`,
	})
}

func TestDescribeFilters(t *testing.T) {
	f := newFixture(t)
	for _, name := range []string{"web-1", "web-2", "db", "free"} {
		in := alarm(name)
		if name != "free" {
			in.AlarmActions = []string{topic}
		}
		f.putAlarm(in)
	}
	f.ok("composite", f.putComposite("any", `ALARM("web-1") OR ALARM("web-2")`))
	f.ok("composite", f.putComposite("top", `ALARM(any) AND NOT ALARM(db)`))
	f.set("db", types.StateValueOk)
	both := []types.AlarmType{types.AlarmTypeMetricAlarm, types.AlarmTypeCompositeAlarm}
	for _, tt := range []struct {
		in   sdk.DescribeAlarmsInput
		want []string
	}{
		{sdk.DescribeAlarmsInput{}, []string{"db", "free", "web-1", "web-2"}},
		{sdk.DescribeAlarmsInput{AlarmTypes: both}, []string{"db", "free", "web-1", "web-2", "any", "top"}},
		{sdk.DescribeAlarmsInput{AlarmTypes: both[1:]}, []string{"any", "top"}},
		{sdk.DescribeAlarmsInput{AlarmNames: []string{"db", "none", "any"}}, []string{"db"}},
		{sdk.DescribeAlarmsInput{AlarmNamePrefix: new("web")}, []string{"web-1", "web-2"}},
		{sdk.DescribeAlarmsInput{StateValue: types.StateValueOk}, []string{"db"}},
		{sdk.DescribeAlarmsInput{ActionPrefix: new("arn:aws:sns")}, []string{"db", "web-1", "web-2"}},
		{sdk.DescribeAlarmsInput{ChildrenOfAlarmName: new("top")}, []string{"db", "any"}},
		{sdk.DescribeAlarmsInput{ParentsOfAlarmName: new("web-1")}, []string{"any"}},
	} {
		same(t, fmt.Sprintf("%+v", tt.in), f.describe(&tt.in), tt.want)
	}
	var pages [][]string
	for p := sdk.NewDescribeAlarmsPaginator(f, &sdk.DescribeAlarmsInput{MaxRecords: new(int32(3))}); p.HasMorePages(); {
		out, err := p.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, a := range out.MetricAlarms {
			names = append(names, *a.AlarmName)
		}
		pages = append(pages, names)
	}
	same(t, "pages", pages, [][]string{{"db", "free", "web-1"}, {"web-2"}})
	_, err := f.DescribeAlarms(t.Context(), &sdk.DescribeAlarmsInput{ChildrenOfAlarmName: new("db")})
	f.fails("children of a metric alarm", err, "ValidationError", "db is not the name of a composite alarm")

	for in, want := range map[*sdk.DescribeAlarmsForMetricInput]int{
		{Namespace: new("N"), MetricName: new("m")}:                                4,
		{Namespace: new("N"), MetricName: new("m"), Statistic: types.StatisticSum}: 0,
		{Namespace: new("N"), MetricName: new("m"), Dimensions: dims("a=b")}:       0,
		{Namespace: new("N"), MetricName: new("m"), Period: new(int32(60))}:        4,
	} {
		out, err := f.DescribeAlarmsForMetric(t.Context(), in)
		f.ok("for metric", err)
		same(t, fmt.Sprintf("%+v", in), len(out.MetricAlarms), want)
	}
}

func TestPutMetricAlarmRefuses(t *testing.T) {
	f := newFixture(t)
	for _, tt := range []struct {
		change        func(*sdk.PutMetricAlarmInput)
		code, message string
	}{
		{func(in *sdk.PutMetricAlarmInput) { in.AlarmName = new("") }, "ValidationError",
			"1 validation error detected: Value '' at 'alarmName' failed to satisfy constraint: Member must have length greater than or equal to 1"},
		{func(in *sdk.PutMetricAlarmInput) { in.Period = new(int32(45)) }, "ValidationError", "Period must be 1, 5, 10, 20, 30 or a multiple of 60"},
		{func(in *sdk.PutMetricAlarmInput) { in.Period = nil }, "ValidationError", "Period must not be null"},
		{func(in *sdk.PutMetricAlarmInput) { in.EvaluationPeriods = new(int32(1441)) }, "ValidationError",
			"Metrics cannot be checked across more than a day (EvaluationPeriods * Period must be <= 86400)."},
		{func(in *sdk.PutMetricAlarmInput) { in.EvaluationPeriods, in.Period = new(int32(169)), new(int32(3600)) }, "ValidationError",
			"Metrics cannot be checked across more than a week (EvaluationPeriods * Period must be <= 604800)."},
		{func(in *sdk.PutMetricAlarmInput) { in.DatapointsToAlarm = new(int32(2)) }, "ValidationError", "DatapointsToAlarm must be less than or equal to EvaluationPeriods"},
		{func(in *sdk.PutMetricAlarmInput) { in.TreatMissingData = new("bad") }, "ValidationError",
			"The value bad is not supported for TreatMissingData parameter. Supported values are [breaching, notBreaching, ignore, missing]."},
		{func(in *sdk.PutMetricAlarmInput) { in.Statistic = "Mean" }, "ValidationError",
			"1 validation error detected: Value 'Mean' at 'statistic' failed to satisfy constraint: Member must satisfy enum value set: [SampleCount, Average, Sum, Minimum, Maximum]"},
		{func(in *sdk.PutMetricAlarmInput) { in.Statistic = "" }, "ValidationError", "Exactly one of Statistic or ExtendedStatistic must be specified"},
		{func(in *sdk.PutMetricAlarmInput) { in.ExtendedStatistic = new("p99") }, "InvalidParameterCombination",
			"The parameters Statistic and ExtendedStatistic are mutually exclusive and you have specified both."},
		{func(in *sdk.PutMetricAlarmInput) { in.AlarmActions = []string{"x"} }, "ValidationError", "Invalid arn syntax: x"},
		{func(in *sdk.PutMetricAlarmInput) {
			in.AlarmActions = []string{"arn:aws:lambda:ap-northeast-2:1:function:f"}
		}, "ValidationError",
			"Unsupported alarm action: arn:aws:lambda:ap-northeast-2:1:function:f"},
		{func(in *sdk.PutMetricAlarmInput) { in.AlarmActions = []string{"arn:aws:sns:us-east-1:1:t"} }, "ValidationError", "Invalid region us-east-1 specified. Only ap-northeast-2 is supported."},
		{func(in *sdk.PutMetricAlarmInput) { in.AlarmActions = []string{stop} }, "ValidationError", "The EC2 action " + stop + " needs an alarm on a metric with the dimension InstanceId"},
		{func(in *sdk.PutMetricAlarmInput) { in.Metrics = []types.MetricDataQuery{metricQuery("m1", "m")} }, "InvalidParameterCombination", ""},
		{func(in *sdk.PutMetricAlarmInput) {
			*in = sdk.PutMetricAlarmInput{AlarmName: in.AlarmName, EvaluationPeriods: in.EvaluationPeriods, Threshold: in.Threshold, ComparisonOperator: in.ComparisonOperator,
				Metrics: []types.MetricDataQuery{metricQuery("m1", "m"), metricQuery("m2", "m")}}
		}, "ValidationError", "Exactly one element of the metrics list should return data."},
	} {
		in := alarm("x")
		tt.change(in)
		_, err := f.PutMetricAlarm(t.Context(), in)
		if tt.message == "" { // one of several
			if err == nil || !strings.Contains(err.Error(), tt.code) {
				t.Error(err)
			}
			continue
		}
		f.fails(tt.message, err, tt.code, tt.message)
	}
	in := alarm("x")
	in.AlarmActions, in.Dimensions = []string{stop, scaling}, dims("InstanceId=i-1")
	f.putAlarm(in)
}

func TestAlarmsLifeOnItsMetric(t *testing.T) {
	f := newFixture(t)
	in := alarm("busy")
	in.AlarmActions, in.DatapointsToAlarm = []string{scaling}, new(int32(1))
	f.putAlarm(in)
	if changed, _ := f.evaluate("busy"); changed { // it is new: nothing is known before, and now
		t.Error("changed")
	}
	f.put("m", []float64{91})
	changed, actions := f.evaluate("busy")
	same(t, "breached", fmt.Sprint(changed, actions, f.item("busy").Value.Due), fmt.Sprint(true, []string{scaling}, []string{scaling}))
	same(t, "reason", f.item("busy").Value.Reason, "Threshold Crossed: 1 out of the last 1 datapoints [91.0 (29/11/26 08:59:00)] was greater than the threshold (50.0) (minimum 1 datapoint for OK -> ALARM transition).")
	f.ok("acted", f.service.Acted(t.Context(), "busy", scaling, nil))
	if changed, actions = f.evaluate("busy"); changed || actions != nil || len(f.item("busy").Value.Due) != 0 {
		t.Error(changed, actions, f.item("busy").Value.Due)
	}
	f.now = nine.Add(10 * time.Minute) // all data are too old
	changed, _ = f.evaluate("busy")
	same(t, "silence", fmt.Sprint(changed, f.item("busy").Value.State), "trueINSUFFICIENT_DATA")
	same(t, "history", f.summaries("busy"), []string{
		`Alarm "busy" created`, "Alarm updated from INSUFFICIENT_DATA to ALARM", "Successfully executed action " + scaling, "Alarm updated from ALARM to INSUFFICIENT_DATA",
	})
	out, err := f.DescribeAlarmHistory(t.Context(), &sdk.DescribeAlarmHistoryInput{AlarmName: new("busy"), HistoryItemType: types.HistoryItemTypeStateUpdate, MaxRecords: new(int32(1))})
	f.ok("history", err)
	if len(out.AlarmHistoryItems) != 1 || out.NextToken == nil {
		t.Fatalf("%+v", out)
	}
	data := *out.AlarmHistoryItems[0].HistoryData
	for _, want := range []string{`{"version":"1.0","oldState":{"stateValue":"ALARM","stateReason":"Threshold Crossed: `, `"stateReasonData":{"version":"1.0",`, `"newState":{"stateValue":"INSUFFICIENT_DATA","stateReason":"Insufficient Data: 1 datapoint was unknown."`} {
		if !strings.Contains(data, want) {
			t.Errorf("%s lacks %s", data, want)
		}
	}
	out, err = f.DescribeAlarmHistory(t.Context(), &sdk.DescribeAlarmHistoryInput{AlarmName: new("busy"), HistoryItemType: types.HistoryItemTypeStateUpdate, NextToken: out.NextToken})
	f.ok("history", err)
	same(t, "the second page", *out.AlarmHistoryItems[0].HistorySummary, "Alarm updated from INSUFFICIENT_DATA to ALARM")
}

func TestMetricMathAlarm(t *testing.T) {
	f := newFixture(t)
	f.put("errors", []float64{1, 5})
	f.put("all", []float64{10, 10})
	in := &sdk.PutMetricAlarmInput{
		AlarmName: new("rate"), EvaluationPeriods: new(int32(1)), Threshold: new(40.0), ComparisonOperator: types.ComparisonOperatorGreaterThanThreshold,
		Metrics: []types.MetricDataQuery{metricQuery("e", "errors"), metricQuery("n", "all"), {Id: new("r"), Expression: new("100*e/n")}},
	}
	in.Metrics[0].ReturnData, in.Metrics[1].ReturnData = new(false), new(false)
	f.putAlarm(in)
	f.evaluate("rate")
	same(t, "reason", f.item("rate").Value.Reason, "Threshold Crossed: 1 datapoint [50.0 (29/11/26 08:59:00)] was greater than the threshold (40.0).")
	out, err := f.DescribeAlarms(t.Context(), &sdk.DescribeAlarmsInput{})
	f.ok("describe", err)
	if a := out.MetricAlarms[0]; len(a.Metrics) != 3 || *a.Metrics[2].Expression != "100*e/n" || a.MetricName != nil || a.Period != nil {
		t.Errorf("%+v", a)
	}
}

func TestSecondsAndMinutes(t *testing.T) {
	f := newFixture(t)
	fast := alarm("fast")
	fast.Period, fast.EvaluationPeriods = new(int32(1)), new(int32(2))
	f.putAlarm(fast)
	slow := alarm("slow")
	slow.Period = new(int32(300))
	f.putAlarm(slow)
	var data []types.MetricDatum
	for i := range 120 { // two minutes, the second of which is busy
		data = append(data, types.MetricDatum{MetricName: new("m"), Value: new(float64(i / 60 * 100)), Timestamp: new(nine.Add(time.Duration(i) * time.Second))})
	}
	_, err := f.PutMetricData(t.Context(), &sdk.PutMetricDataInput{Namespace: new("N"), MetricData: data})
	f.ok("put", err)
	f.now = nine.Add(62 * time.Second)
	f.evaluate("fast")
	f.evaluate("slow")
	same(t, "fast", f.item("fast").Value.Reason, "Threshold Crossed: 2 datapoints [100.0 (29/11/26 09:01:01), 100.0 (29/11/26 09:01:00)] were greater than the threshold (50.0).")
	same(t, "slow", f.item("slow").Value.Reason, "Threshold Crossed: 1 datapoint [0.0 (29/11/26 08:56:00)] was not greater than the threshold (50.0).")
}

func TestActionsOff(t *testing.T) {
	f := newFixture(t)
	in := alarm("busy")
	in.AlarmActions = []string{scaling}
	f.putAlarm(in)
	f.set("busy", types.StateValueAlarm)
	same(t, "due", f.item("busy").Value.Due, []string{scaling})
	_, err := f.DisableAlarmActions(t.Context(), &sdk.DisableAlarmActionsInput{AlarmNames: []string{"busy", "none"}})
	f.ok("disable", err)
	same(t, "disabled", len(f.item("busy").Value.Due), 0)
	f.set("busy", types.StateValueOk)
	f.set("busy", types.StateValueAlarm)
	same(t, "none are due", len(f.item("busy").Value.Due), 0)
	_, err = f.EnableAlarmActions(t.Context(), &sdk.EnableAlarmActionsInput{AlarmNames: []string{"busy"}})
	f.ok("enable", err)
	f.set("busy", types.StateValueOk)
	f.set("busy", types.StateValueAlarm)
	same(t, "due again", f.item("busy").Value.Due, []string{scaling})
}

func TestSetAlarmStateRefuses(t *testing.T) {
	f := newFixture(t)
	f.putAlarm(alarm("a"))
	_, err := f.SetAlarmState(t.Context(), &sdk.SetAlarmStateInput{AlarmName: new("a"), StateValue: "INVALID", StateReason: new("x")})
	f.fails("state", err, "ValidationError", "1 validation error detected: Value 'INVALID' at 'stateValue' failed to satisfy constraint: Member must satisfy enum value set: [INSUFFICIENT_DATA, ALARM, OK]")
	_, err = f.SetAlarmState(t.Context(), &sdk.SetAlarmStateInput{AlarmName: new("none"), StateValue: types.StateValueOk, StateReason: new("x")})
	f.fails("none", err, "ResourceNotFound", "")
	_, err = f.SetAlarmState(t.Context(), &sdk.SetAlarmStateInput{AlarmName: new("a"), StateValue: types.StateValueOk, StateReason: new("x"), StateReasonData: new("{")})
	f.fails("data", err, "InvalidFormat", "StateReasonData was not syntactically valid JSON")
}

func TestDeleteAlarms(t *testing.T) {
	f := newFixture(t)
	for _, name := range []string{"a", "b", "c"} {
		f.putAlarm(alarm(name))
	}
	f.ok("composite", f.putComposite("on-a", "ALARM(a)"))
	f.ok("composite", f.putComposite("on-b", "ALARM(b)"))
	remove := func(names ...string) error {
		_, err := f.DeleteAlarms(t.Context(), &sdk.DeleteAlarmsInput{AlarmNames: names})
		return err
	}
	f.fails("a child", remove("c", "a"), "ValidationError", "Cannot delete a as there are composite alarm(s) depending on it.")
	f.fails("one that is none", remove("c", "none"), "ResourceNotFound", "Alarm not found: none")
	f.fails("two composite ones", remove("on-a", "on-b"), "ValidationError", "Only one composite alarm can be deleted in one operation")
	same(t, "none is gone", len(f.describe(&sdk.DescribeAlarmsInput{})), 3)
	f.ok("with its parent", remove("a", "on-a", "c"))
	same(t, "the rest", f.describe(&sdk.DescribeAlarmsInput{AlarmTypes: []types.AlarmType{types.AlarmTypeMetricAlarm, types.AlarmTypeCompositeAlarm}}), []string{"b", "on-b"})
	same(t, "history", f.summaries("c"), []string{`Alarm "c" created`, `Alarm "c" deleted`})
}

func TestOwned(t *testing.T) {
	f := newFixture(t)
	a := cloudwatch.Alarm{Name: "TargetTracking-web-AlarmHigh", Owner: "autoscaling", Namespace: "N", Metric: "m", Statistic: "Average", Period: time.Minute, Periods: 3,
		Comparison: "GreaterThanThreshold", Threshold: 50, Alarm: []string{scaling}}
	f.ok("put", f.service.PutOwned(t.Context(), a))
	f.putAlarm(alarm("mine"))
	same(t, "described", f.describe(&sdk.DescribeAlarmsInput{}), []string{a.Name, "mine"})
	f.set(a.Name, types.StateValueAlarm)
	a.Threshold = 60
	f.ok("put again", f.service.PutOwned(t.Context(), a))
	if got := f.item(a.Name).Value; got.State != cloudwatch.InAlarm || got.Threshold != 60 || !slices.Equal(got.Due, []string{scaling}) {
		t.Errorf("%+v", got)
	}
	f.ok("delete", f.service.DeleteOwned(t.Context(), a.Name, "none", "mine"))
	same(t, "a person's stays", f.describe(&sdk.DescribeAlarmsInput{}), []string{"mine"})
	a.Owner = ""
	if err := f.service.PutOwned(t.Context(), a); err == nil {
		t.Error("an alarm without an owner is put")
	}
}

func TestHistoryIsPruned(t *testing.T) {
	f := newFixture(t)
	f.putAlarm(alarm("a"))
	f.putAlarm(alarm("a b")) // whose name begins with the other's
	flip := func(n int) {
		for i := range n {
			f.set("a", []types.StateValue{types.StateValueAlarm, types.StateValueOk}[i%2])
		}
	}
	flip(10)
	f.now = nine.Add(31 * 24 * time.Hour)
	flip(80)
	list := f.summaries("a")
	if slices.Contains(list, `Alarm "a" created`) || slices.Contains(list, "Alarm updated from INSUFFICIENT_DATA to ALARM") || len(list) != 80 {
		t.Errorf("%d: %q", len(list), list[:2])
	}
	same(t, "another's", f.summaries("a b"), []string{`Alarm "a b" created`})
}

// Who decides on what has changed meanwhile is told so, and changes nothing.
func TestDecideOnWhatHasChanged(t *testing.T) {
	f := newFixture(t)
	f.putAlarm(alarm("a"))
	old := f.item("a")
	f.set("a", types.StateValueOk)
	_, _, err := f.service.Decide(t.Context(), old, cloudwatch.Evaluation{State: cloudwatch.InAlarm})
	if !errors.Is(err, store.ErrConflict) || f.item("a").Value.State != cloudwatch.OK {
		t.Error(err)
	}
}
