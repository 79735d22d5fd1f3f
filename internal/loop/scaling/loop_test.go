package scaling

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	autoscalingapi "github.com/tarn-eks/tarn/internal/api/autoscaling"
	cloudwatchapi "github.com/tarn-eks/tarn/internal/api/cloudwatch"
	"github.com/tarn-eks/tarn/internal/service/autoscaling"
	"github.com/tarn-eks/tarn/internal/service/cloudwatch"
)

// more adds an instance as long as its alarm is in ALARM.
var more = autoscaling.Policy{Group: "g", Name: "more", Type: autoscaling.StepScaling, AdjustmentType: autoscaling.ChangeInCapacity, Steps: []autoscalingapi.StepAdjustment{
	step(new(0.0), nil, 1),
}}

func TestAlarmCallsPolicy(t *testing.T) {
	m := minute()
	f := newFixture(t, m)
	f.group(autoscaling.Group{Name: "g", Max: 5, Desired: 2})
	action := f.policy(more)
	f.alarm(cloudwatch.Alarm{Name: "busy", Alarm: []string{action}})
	next := f.turn(m)
	f.wantState("busy", cloudwatch.InsufficientData)
	if want := m.Add(defaultSettle); !next.Equal(want) {
		t.Errorf("the loop wants to look again at %v, want %v", next, want)
	}
	f.after(m)

	f.put(m.Add(time.Minute), 90)
	if next := f.turn(m.Add(time.Minute + time.Second)); !next.Equal(m.Add(time.Minute + defaultSettle)) {
		t.Errorf("before the data are in, it looks again at %v", next)
	}
	f.wantDesired("g", 2)
	f.after(m.Add(time.Minute))
	f.wantState("busy", cloudwatch.InAlarm)
	f.wantDesired("g", 3)
	want := autoscaling.Sentence(m.Add(time.Minute+defaultSettle), "a monitor alarm busy in state ALARM triggered policy more changing the desired capacity from 2 to 3")
	if got := f.reasons("g"); len(got) != 2 || got[1] != want {
		t.Errorf("reasons: %q\nwant %q", got, want)
	}
	f.wantActions("busy", "Successfully executed action "+action)

	// It stays in ALARM: while the new one warms up nothing more is to be done,
	// after that there is.
	f.member("g", "i-new", autoscaling.Pending, f.clock.Now())
	f.put(m.Add(2*time.Minute), 90)
	f.after(m.Add(2 * time.Minute))
	f.wantDesired("g", 3)
	if _, err := f.groups.Members.Modify(t.Context(), autoscaling.Prefix("g")+"i-new", func(i *autoscaling.Member) error {
		i.State, i.InService = autoscaling.InService, m
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	f.put(m.Add(10*time.Minute), 80)
	f.after(m.Add(10 * time.Minute))
	f.wantDesired("g", 4)
	f.wantActions("busy", "Successfully executed action "+action, "Successfully executed action "+action)
	f.turn(f.clock.Now().Add(time.Second)) // not each time that anything happens
	f.wantDesired("g", 4)
}

// A region that ended after an alarm had changed, and before its action, acts when
// it starts again; and once only.
func TestRestart(t *testing.T) {
	m := minute()
	f := newFixture(t, m)
	f.group(autoscaling.Group{Name: "g", Max: 5, Desired: 2})
	action := f.policy(autoscaling.Policy{Group: "g", Name: "plus", Type: autoscaling.SimpleScaling, AdjustmentType: autoscaling.ChangeInCapacity, Adjustment: 1})
	f.alarm(cloudwatch.Alarm{Name: "busy", Alarm: []string{action}})
	f.put(m.Add(time.Minute), 90)
	it, err := f.watch.Alarms.Get(t.Context(), "busy")
	if err != nil {
		t.Fatal(err)
	}
	e, err := f.watch.Look(t.Context(), it.Value, m.Add(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	if changed, _, err := f.watch.Decide(t.Context(), it, e); err != nil || !changed {
		t.Fatal(changed, err)
	}
	f.turn(m.Add(time.Minute + 2*time.Second))
	f.wantDesired("g", 3)
	// As if it had been launched, and no cooldown were: a second call would count.
	f.member("g", "i-new", autoscaling.InService, m)
	f.restart()
	f.turn(m.Add(time.Minute + 3*time.Second))
	f.wantDesired("g", 3)
	f.wantActions("busy", "Successfully executed action "+action)
	f.put(m.Add(2*time.Minute), 90)
	f.after(m.Add(2 * time.Minute))
	f.wantDesired("g", 4)
}

func TestTargetTracking(t *testing.T) {
	m := minute()
	f := newFixture(t, m)
	f.group(autoscaling.Group{Name: "g", Max: 9, Desired: 4})
	p := autoscaling.Policy{Group: "g", Name: "cpu", ID: "id-of-cpu", Type: autoscaling.TargetTrackingScaling, Target: &autoscalingapi.TargetTrackingConfiguration{
		TargetValue:                   new(50.0),
		CustomizedMetricSpecification: &autoscalingapi.CustomizedMetricSpecification{Namespace: new("Test"), MetricName: new("Load"), Statistic: autoscalingapi.MetricStatisticAverage},
	}}
	alarms := autoscaling.TargetAlarms(p, f.groups.PolicyARN(p))
	if err := (Alarms{f.watch}).Put(t.Context(), alarms); err != nil {
		t.Fatal(err)
	}
	f.policy(p)
	high, low := alarms[0].Name, alarms[1].Name
	if got, err := (Alarms{f.watch}).Acting(t.Context(), []string{f.groups.PolicyARN(p), "arn:other"}); err != nil || !slices.Equal(got[f.groups.PolicyARN(p)], []string{high, low}) || len(got) != 1 {
		t.Errorf("acting: %v, %v", got, err)
	}
	f.after(m)
	for i := 1; i <= alarms[0].Periods; i++ {
		f.wantDesired("g", 4)
		at := m.Add(time.Duration(i) * time.Minute)
		f.put(at, 70)
		f.after(at)
	}
	f.wantState(high, cloudwatch.InAlarm)
	f.wantDesired("g", 6)
	f.member("g", "i-new1", autoscaling.InService, m.Add(-time.Hour))
	f.member("g", "i-new2", autoscaling.InService, m.Add(-time.Hour))

	for i := range alarms[1].Periods {
		f.wantDesired("g", 6)
		at := m.Add(time.Duration(4+i) * time.Minute)
		f.put(at, 5)
		f.after(at)
	}
	f.wantState(low, cloudwatch.InAlarm)
	f.wantState(high, cloudwatch.OK)
	f.wantDesired("g", 5) // one by one
	if err := (Alarms{f.watch}).Delete(t.Context(), []string{high, low, "gone"}); err != nil {
		t.Fatal(err)
	}
	if items, _, err := f.watch.Alarms.List(t.Context(), ""); err != nil || len(items) != 0 {
		t.Errorf("%d alarms, %v", len(items), err)
	}
}

// A metric that is computed: work that waits, for each of the instances.
func TestTargetTrackingOfMath(t *testing.T) {
	m := minute()
	f := newFixture(t, m)
	f.group(autoscaling.Group{Name: "g", Max: 9, Desired: 2})
	stat := func(name string) *autoscalingapi.TargetTrackingMetricStat {
		return &autoscalingapi.TargetTrackingMetricStat{Stat: new("Average"), Metric: &autoscalingapi.Metric{Namespace: new("Test"), MetricName: &name}}
	}
	p := autoscaling.Policy{Group: "g", Name: "queue", ID: "id-of-queue", Type: autoscaling.TargetTrackingScaling, Target: &autoscalingapi.TargetTrackingConfiguration{
		TargetValue: new(10.0), DisableScaleIn: new(true),
		CustomizedMetricSpecification: &autoscalingapi.CustomizedMetricSpecification{Metrics: []autoscalingapi.TargetTrackingMetricDataQuery{
			{Id: new("m1"), MetricStat: stat("Load"), ReturnData: new(false)},
			{Id: new("e1"), Expression: new("m1 / 2"), ReturnData: new(true)},
		}},
	}}
	alarms := autoscaling.TargetAlarms(p, f.groups.PolicyARN(p))
	if err := (Alarms{f.watch}).Put(t.Context(), alarms); err != nil || len(alarms) != 1 {
		t.Fatal(len(alarms), err)
	}
	f.policy(p)
	for i := range 3 {
		at := m.Add(time.Duration(i+1) * time.Minute)
		f.put(at, 50)
		f.after(at)
	}
	f.wantState(alarms[0].Name, cloudwatch.InAlarm)
	f.wantDesired("g", 5)
}

func TestOtherActions(t *testing.T) {
	m := minute()
	f := newFixture(t, m)
	const stop, topic, function = "arn:aws:automate:ap-northeast-2:ec2:stop", "arn:aws:sns:ap-northeast-2:000000000000:t", "arn:aws:lambda:ap-northeast-2:000000000000:function:f"
	gone := "arn:aws:autoscaling:ap-northeast-2:000000000000:scalingPolicy:1:autoScalingGroupName/g:policyName/gone"
	f.alarm(cloudwatch.Alarm{Name: "busy", Alarm: []string{stop, function, topic, gone}, Dimensions: dimensions([]autoscalingapi.MetricDimension{{Name: new("InstanceId"), Value: new("i-1")}}), Missing: "breaching"})
	f.alarm(cloudwatch.Alarm{Name: "quiet", Alarm: []string{stop}, ActionsOff: true, Missing: "breaching"})
	f.alarm(cloudwatch.Alarm{Name: "nobody", Alarm: []string{stop}, Missing: "breaching"})
	f.turn(m.Add(defaultSettle))
	f.wantState("busy", cloudwatch.InAlarm)
	f.wantState("quiet", cloudwatch.InAlarm)
	if !slices.Equal(f.machines.done, []string{"stop i-1"}) {
		t.Errorf("done: %v", f.machines.done)
	}
	got := f.actions("busy")
	slices.Sort(got)
	want := []string{
		"Failed to execute action " + gone + `. Received error: "No scaling policy found for the ARN ` + gone,
		"Failed to execute action " + function + `. Received error: "The region has no service for it"`,
		"Failed to execute action " + topic,
		"Successfully executed action " + stop,
	}
	if !slices.EqualFunc(got, want, strings.HasPrefix) {
		t.Errorf("actions: %s", strings.Join(got, "\n"))
	}
	f.wantActions("quiet")
	f.wantActions("nobody", "Failed to execute action "+stop+`. Received error: "The alarm's metric has no dimension InstanceId"`)

	// Once is enough, also for what has failed.
	f.machines.fail = errors.New("no such instance")
	f.restart()
	f.turn(m.Add(2 * defaultSettle))
	if len(f.machines.done) != 1 {
		t.Errorf("done: %v", f.machines.done)
	}
}

// A state that a person sets calls policies with the datapoints that the person
// gives.
func TestSetAlarmState(t *testing.T) {
	m := minute()
	f := newFixture(t, m)
	f.group(autoscaling.Group{Name: "g", Max: 50, Desired: 10})
	action := f.policy(steps)
	f.alarm(cloudwatch.Alarm{Name: "busy", Alarm: []string{action}, Missing: "ignore"})
	f.turn(m)
	set := func(state cloudwatchapi.StateValue, data *string) {
		t.Helper()
		if _, err := f.watch.SetAlarmState(t.Context(), &cloudwatchapi.SetAlarmStateInput{AlarmName: new("busy"), StateValue: state, StateReason: new("test"), StateReasonData: data}); err != nil {
			t.Fatal(err)
		}
		f.turn(f.clock.Now().Add(time.Second))
	}
	set(cloudwatchapi.StateValueAlarm, nil)
	f.wantDesired("g", 10)
	set(cloudwatchapi.StateValueOk, nil)
	set(cloudwatchapi.StateValueAlarm, new(`{"recentDatapoints":[60.0,70.0]}`)) // 15 above: 30 %
	f.wantDesired("g", 13)
	f.wantActions("busy", "Failed to execute action "+action+`. Received error: "Failed to execute AutoScaling action: Metric data points must be provided"`, "Successfully executed action "+action)
}

// Somebody changes an alarm after the loop has read it: its action is carried out
// if it is still in the state that called, and once.
func TestConflict(t *testing.T) {
	m := minute()
	f := newFixture(t, m)
	f.group(autoscaling.Group{Name: "g", Max: 9, Desired: 1})
	action := f.policy(autoscaling.Policy{Group: "g", Name: "plus", Type: autoscaling.SimpleScaling, AdjustmentType: autoscaling.ChangeInCapacity, Adjustment: 1})
	f.alarm(cloudwatch.Alarm{Name: "busy", Alarm: []string{action}, Missing: "ignore"})
	f.turn(m)
	set := func(state cloudwatchapi.StateValue) {
		t.Helper()
		if _, err := f.watch.SetAlarmState(t.Context(), &cloudwatchapi.SetAlarmStateInput{AlarmName: new("busy"), StateValue: state, StateReason: new("test")}); err != nil {
			t.Fatal(err)
		}
	}
	meanwhile := func(change func()) {
		t.Helper()
		w, err := f.loop.read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		f.loop.look(t.Context(), w, m)
		change()
		f.loop.act(t.Context(), w, m)
	}
	set(cloudwatchapi.StateValueAlarm)
	meanwhile(func() { set(cloudwatchapi.StateValueOk) })
	f.wantDesired("g", 1)
	set(cloudwatchapi.StateValueAlarm)
	meanwhile(func() {
		if _, err := f.watch.Alarms.Modify(t.Context(), "busy", func(a *cloudwatch.Alarm) error { a.Description = "x"; return nil }); err != nil {
			t.Fatal(err)
		}
	})
	f.wantDesired("g", 2)
	if a := f.wantState("busy", cloudwatch.InAlarm); a.Description != "x" || len(a.Due) != 0 {
		t.Errorf("%+v", a)
	}
	f.turn(m)
	f.wantDesired("g", 2)
	f.wantActions("busy", "Successfully executed action "+action)
}

func TestInstanceAction(t *testing.T) {
	for action, want := range map[string]string{
		"arn:aws:automate:ap-northeast-2:ec2:terminate":                                        "terminate",
		"arn:aws:swf:ap-northeast-2:000000000000:action/actions/AWS_EC2.InstanceId.Reboot/1.0": "reboot",
		"arn:aws:automate:ap-northeast-2:ec2:recover":                                          "recover",
		"arn:aws:automate:ap-northeast-2:ec2:dance":                                            "",
		"arn:aws:sns:ap-northeast-2:000000000000:ec2:stop":                                     "",
	} {
		if got, ok := instanceAction(action); got != want || ok != (want != "") {
			t.Errorf("%s: %q, %v", action, got, ok)
		}
	}
}

// A composite alarm follows its children in the turn in which they change, and its
// suppressor holds it back.
func TestComposite(t *testing.T) {
	m := minute()
	f := newFixture(t, m)
	f.group(autoscaling.Group{Name: "g", Max: 5, Desired: 2})
	plus := f.policy(autoscaling.Policy{Group: "g", Name: "plus", Type: autoscaling.SimpleScaling, AdjustmentType: autoscaling.ChangeInCapacity, Adjustment: 1})
	f.alarm(cloudwatch.Alarm{Name: "child"})
	f.alarm(cloudwatch.Alarm{Name: "deploying", Comparison: "LessThanThreshold", Threshold: 0})
	f.alarm(cloudwatch.Alarm{Name: "a-top", Rule: "ALARM(middle)", Alarm: []string{plus}, Suppressor: "deploying", SuppressorWait: 30 * time.Second, SuppressorExtension: time.Minute})
	f.alarm(cloudwatch.Alarm{Name: "middle", Rule: "ALARM(child)"})
	f.put(m.Add(time.Minute), 10)
	f.after(m.Add(time.Minute))
	f.wantState("a-top", cloudwatch.OK)

	f.put(m.Add(2*time.Minute), 90)
	next := f.after(m.Add(2 * time.Minute))
	f.wantState("middle", cloudwatch.InAlarm)
	if top := f.wantState("a-top", cloudwatch.InAlarm); top.Suppressed != "WaitPeriod" {
		t.Errorf("suppressed by %q", top.Suppressed)
	}
	f.wantDesired("g", 2)
	if want := m.Add(2*time.Minute + defaultSettle + 30*time.Second); !next.Equal(want) {
		t.Errorf("the loop wants to look again at %v, want %v", next, want)
	}
	f.turn(next)
	f.wantDesired("g", 3)
	f.wantActions("a-top", "Successfully executed action "+plus)
}

func TestLogsOnce(t *testing.T) {
	f := newFixture(t, minute())
	for range 3 {
		f.loop.say("doing something", "x", fmt.Errorf("no"))
	}
	f.loop.say("doing something", "x", nil)
	f.loop.say("doing something", "x", fmt.Errorf("no"))
	if n := strings.Count(f.log.String(), "doing something"); n != 2 {
		t.Errorf("it is logged %d times: %s", n, f.log)
	}
}
