package autoscaling_test

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"

	autoscalingapi "github.com/tarn-eks/tarn/internal/api/autoscaling"
	"github.com/tarn-eks/tarn/internal/service/autoscaling"
)

// tracking is a policy that follows the group's CPU.
func tracking(group, name string, value float64) *sdk.PutScalingPolicyInput {
	return &sdk.PutScalingPolicyInput{
		AutoScalingGroupName: &group, PolicyName: &name, PolicyType: new("TargetTrackingScaling"),
		TargetTrackingConfiguration: &types.TargetTrackingConfiguration{
			TargetValue: &value, PredefinedMetricSpecification: &types.PredefinedMetricSpecification{PredefinedMetricType: types.MetricTypeASGAverageCPUUtilization},
		},
	}
}

// step is one step: bounds that are NaN are not given.
func step(lower, upper float64, by int32) types.StepAdjustment {
	s := types.StepAdjustment{ScalingAdjustment: &by}
	if lower == lower {
		s.MetricIntervalLowerBound = &lower
	}
	if upper == upper {
		s.MetricIntervalUpperBound = &upper
	}
	return s
}

var none = func() float64 { var zero float64; return zero / zero }()

func TestTargetTracking(t *testing.T) {
	f := newFixture(t)
	f.create("web", 0, 3, 1)
	out, err := f.PutScalingPolicy(t.Context(), tracking("web", "cpu", 50))
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`^arn:aws:autoscaling:ap-northeast-2:111122223333:scalingPolicy:[0-9a-f-]{36}:autoScalingGroupName/web:policyName/cpu$`).MatchString(*out.PolicyARN) {
		t.Errorf("the ARN is %s", *out.PolicyARN)
	}
	high, low := f.world.alarms[*out.Alarms[0].AlarmName], f.world.alarms[*out.Alarms[1].AlarmName]
	for name, pattern := range map[string]string{
		high.Name: `^TargetTracking-web-AlarmHigh-[0-9a-f-]{36}$`, low.Name: `^TargetTracking-web-AlarmLow-[0-9a-f-]{36}$`,
		*out.Alarms[0].AlarmARN: `^arn:aws:cloudwatch:ap-northeast-2:111122223333:alarm:TargetTracking-web-AlarmHigh-`,
	} {
		if !regexp.MustCompile(pattern).MatchString(name) {
			t.Errorf("%q is not %s", name, pattern)
		}
	}
	same(t, "high", fmt.Sprintln(high.Namespace, high.Metric, high.Statistic, *high.Dimensions[0].Name, *high.Dimensions[0].Value, high.Period, high.Periods, high.Comparison, high.Threshold, high.Action == *out.PolicyARN),
		"AWS/EC2 CPUUtilization Average AutoScalingGroupName web 1m0s 3 GreaterThanThreshold 50 true\n")
	same(t, "low", fmt.Sprintln(low.Metric, low.Period, low.Periods, low.Comparison, low.Threshold, low.Description), "CPUUtilization 1m0s 15 LessThanThreshold 35 DO NOT EDIT OR DELETE. For TargetTrackingScaling policy "+*out.PolicyARN+".\n")

	in := tracking("web", "cpu", 60)
	in.TargetTrackingConfiguration.DisableScaleIn = new(true)
	again, err := f.PutScalingPolicy(t.Context(), in)
	f.ok("change", err)
	same(t, "the same policy", *again.PolicyARN, *out.PolicyARN)
	same(t, "alarms", slices.Sorted(maps.Keys(f.world.alarms)), []string{high.Name})
	same(t, "threshold", f.world.alarms[high.Name].Threshold, 60)
	_, err = f.PutScalingPolicy(t.Context(), tracking("web", "other", 10))
	f.fails("one metric, two policies", err, "ValidationError", "Only one TargetTrackingScaling policy for a given metric specification is allowed.")
	f.world.acting = map[string][]string{*out.PolicyARN: {high.Name, "mine"}}
	policies, err := f.DescribePolicies(t.Context(), &sdk.DescribePoliciesInput{PolicyNames: []string{*out.PolicyARN}, PolicyTypes: []string{"TargetTrackingScaling"}})
	f.ok("describe", err)
	p := policies.ScalingPolicies[0]
	same(t, "policy", fmt.Sprint(len(policies.ScalingPolicies), *p.PolicyName, *p.Enabled, *p.TargetTrackingConfiguration.TargetValue, len(p.Alarms), *p.Alarms[1].AlarmName), "1cputrue 60 2mine")

	// It becomes another type: its alarms go.
	_, err = f.PutScalingPolicy(t.Context(), &sdk.PutScalingPolicyInput{AutoScalingGroupName: new("web"), PolicyName: new("cpu"), AdjustmentType: new("ChangeInCapacity"), ScalingAdjustment: new(int32(1))})
	f.ok("simple", err)
	same(t, "alarms", len(f.world.alarms), 0)
	f.world.alarmErr = errors.New("no alarms today")
	if _, err = f.PutScalingPolicy(t.Context(), tracking("web", "new", 10)); err == nil {
		t.Error("a policy without alarms was made")
	}
	f.world.alarmErr = nil
	_, err = f.DeletePolicy(t.Context(), &sdk.DeletePolicyInput{AutoScalingGroupName: new("web"), PolicyName: new("new")})
	f.fails("delete", err, "ValidationError", "Policy new not found")
	_, err = f.PutScalingPolicy(t.Context(), tracking("web", "new", 10))
	f.ok("again", err)
	_, err = f.DeletePolicy(t.Context(), &sdk.DeletePolicyInput{AutoScalingGroupName: new("web"), PolicyName: new("new")})
	f.ok("delete", err)
	same(t, "alarms of no policy", len(f.world.alarms), 0)
}

func TestPutScalingPolicyFails(t *testing.T) {
	f := newFixture(t)
	f.create("web", 0, 3, 1)
	simple := func(change func(*sdk.PutScalingPolicyInput)) *sdk.PutScalingPolicyInput {
		in := &sdk.PutScalingPolicyInput{AutoScalingGroupName: new("web"), PolicyName: new("p"), AdjustmentType: new("ChangeInCapacity"), ScalingAdjustment: new(int32(1))}
		change(in)
		return in
	}
	steps := func(kind string, steps ...types.StepAdjustment) *sdk.PutScalingPolicyInput {
		return simple(func(in *sdk.PutScalingPolicyInput) {
			in.PolicyType, in.AdjustmentType, in.ScalingAdjustment, in.StepAdjustments = new("StepScaling"), &kind, nil, steps
		})
	}
	track := func(change func(*types.TargetTrackingConfiguration)) *sdk.PutScalingPolicyInput {
		in := tracking("web", "p", 50)
		change(in.TargetTrackingConfiguration)
		return in
	}
	predict := func(change func(*types.PredictiveScalingConfiguration)) *sdk.PutScalingPolicyInput {
		in := predictive()
		change(in.PredictiveScalingConfiguration)
		return in
	}
	for _, tt := range []struct {
		name    string
		in      *sdk.PutScalingPolicyInput
		message string
	}{
		{"no group", simple(func(in *sdk.PutScalingPolicyInput) { in.AutoScalingGroupName = new("no") }), "AutoScalingGroup name not found - AutoScalingGroup no not found"},
		{"type", simple(func(in *sdk.PutScalingPolicyInput) { in.PolicyType = new("Magic") }), "Valid policy types are: [SimpleScaling, StepScaling, TargetTrackingScaling, PredictiveScaling]."},
		{"adjustment type", simple(func(in *sdk.PutScalingPolicyInput) { in.AdjustmentType = nil }), "You must specify an AdjustmentType for policy type: SimpleScaling"},
		{"adjustment", simple(func(in *sdk.PutScalingPolicyInput) { in.ScalingAdjustment = nil }), "Scaling increment must be specified for a SimpleScaling policy"},
		{"warm-up", simple(func(in *sdk.PutScalingPolicyInput) { in.EstimatedInstanceWarmup = new(int32(1)) }), "EstimatedInstanceWarmup is not supported for a SimpleScaling policy"},
		{"negative", simple(func(in *sdk.PutScalingPolicyInput) {
			in.AdjustmentType, in.ScalingAdjustment = new("ExactCapacity"), new(int32(-1))
		}), "The lowest value for ScalingAdjustment parameter is 0 with the specified adjustment type"},
		{"magnitude", simple(func(in *sdk.PutScalingPolicyInput) { in.MinAdjustmentMagnitude = new(int32(2)) }), "MinAdjustmentMagnitude is not supported by the specified adjustment type"},
		{"no magnitude", simple(func(in *sdk.PutScalingPolicyInput) {
			in.AdjustmentType, in.MinAdjustmentMagnitude = new("PercentChangeInCapacity"), new(int32(0))
		}), "If specified, MinAdjustmentMagnitude must be greater than zero"},
		{"no steps", steps("ChangeInCapacity"), "You should specify at least one StepAdjustment with a StepScaling policy"},
		{"no bounds", steps("ChangeInCapacity", step(none, none, 1)), "Both lower and upper bounds of a StepAdjustment cannot be left unspecified"},
		{"inverse", steps("ChangeInCapacity", step(2, 1, 1)), "LowerBound must be less than the UpperBound for StepAdjustment"},
		{"two ends", steps("ChangeInCapacity", step(0, none, 1), step(5, none, 1)), "At most one StepAdjustment may have an unspecified upper bound"},
		{"two beginnings", steps("ChangeInCapacity", step(none, 0, 1), step(none, -1, 1)), "At most one StepAdjustment may have an unspecified lower bound"},
		{"gap", steps("ChangeInCapacity", step(0, 10, 1), step(11, none, 1)), "StepAdjustment intervals cannot have gaps between them"},
		{"overlap", steps("ChangeInCapacity", step(0, 10, 1), step(9, none, 1)), "StepAdjustment intervals cannot overlap"},
		{"ends", steps("ChangeInCapacity", step(0, 10, 1)), "There must be a StepAdjustment with an unspecified upper bound (i.e., upper bound is null) when one StepAdjustment has a positive upper bound"},
		{"begins", steps("ChangeInCapacity", step(-10, 0, 1)), "There must be a StepAdjustment with an unspecified lower bound (i.e., lower bound is null) when one StepAdjustment has a negative lower bound"},
		{"no configuration", simple(func(in *sdk.PutScalingPolicyInput) {
			in.PolicyType, in.AdjustmentType, in.ScalingAdjustment = new("TargetTrackingScaling"), nil, nil
		}), "You should provide a TargetTrackingConfiguration"},
		{"target", track(func(c *types.TargetTrackingConfiguration) { c.TargetValue = new(0.0) }), "Target value must be between 8.51592E-12 and 1.174271E17"},
		{"label", track(func(c *types.TargetTrackingConfiguration) {
			c.PredefinedMetricSpecification.PredefinedMetricType = "ALBRequestCountPerTarget"
		}), "Resource label should be specified for predefined metric type ALBRequestCountPerTarget"},
		{"target group", track(func(c *types.TargetTrackingConfiguration) {
			c.PredefinedMetricSpecification.PredefinedMetricType, c.PredefinedMetricSpecification.ResourceLabel = "ALBRequestCountPerTarget", new("app/a/1/targetgroup/tg/1")
		}), "Target group targetgroup/tg/1 is not attached to the Auto Scaling group web."},
		{"metrics and metric", track(func(c *types.TargetTrackingConfiguration) {
			c.PredefinedMetricSpecification = nil
			c.CustomizedMetricSpecification = &types.CustomizedMetricSpecification{MetricName: new("m"), Metrics: []types.TargetTrackingMetricDataQuery{{Id: new("a"), Expression: new("1")}}}
		}), "A customized metric specification with 'Metrics' specified cannot have any of ['Dimensions', 'MetricName', 'Namespace', 'Statistic', 'Unit', 'Period'] specified as well"},
		{"no data", track(func(c *types.TargetTrackingConfiguration) {
			c.PredefinedMetricSpecification = nil
			c.CustomizedMetricSpecification = &types.CustomizedMetricSpecification{Metrics: []types.TargetTrackingMetricDataQuery{{Id: new("a"), Expression: new("1"), ReturnData: new(false)}}}
		}), "Exactly one element of the metrics list should return data."},
		{"buffer", predict(func(c *types.PredictiveScalingConfiguration) { c.MaxCapacityBuffer = new(int32(10)) }), "You must not specify max capacity buffer when using HonorMaxCapacity"},
		{"no buffer", predict(func(c *types.PredictiveScalingConfiguration) { c.MaxCapacityBreachBehavior = "IncreaseMaxCapacity" }), "You must specify max capacity buffer when using IncreaseMaxCapacity"},
		{"two metrics", predict(func(c *types.PredictiveScalingConfiguration) {
			c.MetricSpecifications = append(c.MetricSpecifications, c.MetricSpecifications...)
		}), "You must specify one metric specification"},
		{"no pair", predict(func(c *types.PredictiveScalingConfiguration) {
			c.MetricSpecifications[0].PredefinedMetricPairSpecification = nil
		}), "A policy must have either one scaling metric and one load metric or one metric pair."},
		{"other's", func() *sdk.PutScalingPolicyInput {
			in := predictive()
			in.AdjustmentType = new("ExactCapacity")
			return in
		}(), "You can't specify AdjustmentType for policy type: PredictiveScaling"},
	} {
		_, err := f.PutScalingPolicy(t.Context(), tt.in)
		f.fails(tt.name, err, "ValidationError", tt.message)
	}
	same(t, "alarms", len(f.world.alarms), 0)
}

func predictive() *sdk.PutScalingPolicyInput {
	return &sdk.PutScalingPolicyInput{
		AutoScalingGroupName: new("web"), PolicyName: new("ahead"), PolicyType: new("PredictiveScaling"),
		PredictiveScalingConfiguration: &types.PredictiveScalingConfiguration{MetricSpecifications: []types.PredictiveScalingMetricSpecification{{
			TargetValue:                       new(40.0),
			PredefinedMetricPairSpecification: &types.PredictiveScalingPredefinedMetricPair{PredefinedMetricType: "ASGCPUUtilization"},
		}}},
	}
}

func TestForecast(t *testing.T) {
	f := newFixture(t)
	f.create("web", 0, 3, 1)
	_, err := f.PutScalingPolicy(t.Context(), predictive())
	f.ok("put", err)
	p, err := f.DescribePolicies(t.Context(), &sdk.DescribePoliciesInput{AutoScalingGroupName: new("web")})
	f.ok("describe", err)
	c := p.ScalingPolicies[0].PredictiveScalingConfiguration
	same(t, "defaults", fmt.Sprint(c.Mode, c.MaxCapacityBreachBehavior, *c.SchedulingBufferTime), "ForecastOnlyHonorMaxCapacity300")
	get := func(policy string) (*sdk.GetPredictiveScalingForecastOutput, error) {
		return f.GetPredictiveScalingForecast(t.Context(), &sdk.GetPredictiveScalingForecastInput{
			AutoScalingGroupName: new("web"), PolicyName: &policy, StartTime: &f.clock, EndTime: new(f.clock.Add(48 * time.Hour))})
	}
	_, err = get("ahead")
	f.fails("too early", err, "ValidationError", "No forecast is available for the policy ahead yet. Predictive scaling needs at least 24 hours of historical data.")
	_, err = get("no")
	f.fails("no policy", err, "ValidationError", "Policy no not found")
	at := f.clock.Truncate(time.Hour)
	f.world.forecast = &autoscaling.Forecast{
		Load:     []autoscalingapi.LoadForecast{{Timestamps: []time.Time{at}, Values: []float64{1.5}, MetricSpecification: &autoscalingapi.PredictiveScalingMetricSpecification{TargetValue: new(40.0)}}},
		Capacity: autoscalingapi.CapacityForecast{Timestamps: []time.Time{at}, Values: []float64{2}}, Updated: f.clock,
	}
	out, err := get("ahead")
	f.ok("forecast", err)
	same(t, "forecast", fmt.Sprint(out.LoadForecast[0].Values, out.CapacityForecast.Values, out.CapacityForecast.Timestamps[0].Equal(at)), "[1.5] [2] true")
}

func TestExecutePolicy(t *testing.T) {
	f := newFixture(t)
	f.create("web", 0, 10, 4)
	put := func(in *sdk.PutScalingPolicyInput) {
		t.Helper()
		in.AutoScalingGroupName = new("web")
		_, err := f.PutScalingPolicy(t.Context(), in)
		f.ok(*in.PolicyName, err)
	}
	put(&sdk.PutScalingPolicyInput{PolicyName: new("half"), AdjustmentType: new("PercentChangeInCapacity"), ScalingAdjustment: new(int32(50)), Cooldown: new(int32(60))})
	put(&sdk.PutScalingPolicyInput{PolicyName: new("steps"), PolicyType: new("StepScaling"), AdjustmentType: new("ChangeInCapacity"), StepAdjustments: []types.StepAdjustment{step(0, 10, 1), step(10, none, 3)}})
	run := func(in *sdk.ExecutePolicyInput) error {
		in.AutoScalingGroupName = new("web")
		_, err := f.ExecutePolicy(t.Context(), in)
		return err
	}
	f.ok("half", run(&sdk.ExecutePolicyInput{PolicyName: new("half"), HonorCooldown: new(true)}))
	g := f.group("web")
	same(t, "half", fmt.Sprint(g.Desired, g.Reasons[len(g.Reasons)-1]), "6At 2026-11-29T01:02:03Z a user request executed policy half changing the desired capacity from 4 to 6.")
	f.ok("step", run(&sdk.ExecutePolicyInput{PolicyName: new("steps"), MetricValue: new(61.0), BreachThreshold: new(50.0)}))
	same(t, "step", f.group("web").Desired, 9)
	f.fails("no step", run(&sdk.ExecutePolicyInput{PolicyName: new("steps"), MetricValue: new(0.0), BreachThreshold: new(1.5)}), "ValidationError", "No step adjustment found for metric value [0.0] and breach threshold 1.5")
	f.fails("no value", run(&sdk.ExecutePolicyInput{PolicyName: new("steps")}), "ValidationError", "MetricValue and BreachThreshold must be specified for a StepScaling policy")
	a, err := f.service.BeginActivity(t.Context(), g, "Launching a new EC2 instance: i-1", "", "{}")
	f.ok("activity", err)
	f.fails("busy", run(&sdk.ExecutePolicyInput{PolicyName: new("half"), HonorCooldown: new(true)}), "ScalingActivityInProgress", "Scaling activity "+a.ID+" is in progress and blocks this action")
	f.ok("not honoured", run(&sdk.ExecutePolicyInput{PolicyName: new("half")}))
	same(t, "maximum", f.group("web").Desired, 10)
}

// AWS's own examples, and the edges of steps.
func TestAdjust(t *testing.T) {
	lower, upper := func(v float64) *float64 { return &v }, func(v float64) *float64 { return &v }
	// https://docs.aws.amazon.com/autoscaling/ec2/userguide/as-scaling-simple-step.html:
	// threshold 60 % out and 40 % in, a group of 10.
	out := []autoscalingapi.StepAdjustment{
		{MetricIntervalLowerBound: lower(0), MetricIntervalUpperBound: upper(10), ScalingAdjustment: new(int32(0))},
		{MetricIntervalLowerBound: lower(10), MetricIntervalUpperBound: upper(20), ScalingAdjustment: new(int32(10))},
		{MetricIntervalLowerBound: lower(20), ScalingAdjustment: new(int32(30))},
	}
	in := []autoscalingapi.StepAdjustment{
		{MetricIntervalLowerBound: lower(-10), MetricIntervalUpperBound: upper(0), ScalingAdjustment: new(int32(0))},
		{MetricIntervalLowerBound: lower(-20), MetricIntervalUpperBound: upper(-10), ScalingAdjustment: new(int32(-10))},
		{MetricIntervalUpperBound: upper(-20), ScalingAdjustment: new(int32(-30))},
	}
	simple := func(kind string, by, least int) autoscaling.Policy {
		return autoscaling.Policy{Type: autoscaling.SimpleScaling, AdjustmentType: kind, Adjustment: by, MinMagnitude: least}
	}
	steps := func(s []autoscalingapi.StepAdjustment) autoscaling.Policy {
		return autoscaling.Policy{Type: autoscaling.StepScaling, AdjustmentType: autoscaling.PercentChangeInCapacity, Steps: s}
	}
	change, exact, part := autoscaling.ChangeInCapacity, autoscaling.ExactCapacity, autoscaling.PercentChangeInCapacity
	for _, tt := range []struct {
		name    string
		p       autoscaling.Policy
		current int
		breach  float64
		want    int
	}{
		{"three to five", simple(change, 2, 0), 3, 0, 5},
		{"exactly five", simple(exact, 5, 0), 3, 0, 5},
		{"ten per cent of ten", simple(part, 10, 0), 10, 0, 11},
		{"12.7 is 12", simple(part, 127, 0), 10, 0, 22},
		{"0.67 is 1", simple(part, 67, 0), 1, 0, 2},
		{"-0.58 is -1", simple(part, -58, 0), 1, 0, 0},
		{"-6.67 is -6", simple(part, -667, 0), 1, 0, 0},
		{"-6.67 of many", simple(part, -29, 0), 23, 0, 17},
		{"25 % of four, at least two", simple(part, 25, 2), 4, 0, 6},
		{"-25 % of four, at least two", simple(part, -25, 2), 4, 0, 2},
		{"of none", simple(part, 50, 0), 0, 0, 0},
		{"of none, at least one", simple(part, 50, 1), 0, 0, 1},
		{"zero", simple(part, 0, 3), 4, 0, 4},
		{"to the maximum", simple(change, 100, 0), 10, 0, 30},
		{"to the minimum", simple(change, -100, 0), 10, 0, 0},

		{"metric 60", steps(out), 10, 0, 10},
		{"metric 69.9", steps(out), 10, 9.9, 10},
		{"metric 70", steps(out), 10, 10, 11},
		{"metric 80", steps(out), 11, 20, 14},
		{"metric 40", steps(in), 10, 0, 10},
		{"metric 30", steps(in), 10, -10, 9},
		{"metric 30.1", steps(in), 10, -9.9, 10},
		{"metric 20", steps(in), 10, -20, 7},
		{"metric 19", steps(in), 10, -21, 7},
	} {
		got, err := autoscaling.Adjust(tt.p, tt.current, 0, 30, tt.breach)
		if err != nil || got != tt.want {
			t.Errorf("%s: %d, %v; want %d", tt.name, got, err, tt.want)
		}
	}
	if n, err := autoscaling.Adjust(steps(out), 10, 0, 30, -1); !errors.Is(err, autoscaling.ErrNoStep) || n != 10 {
		t.Errorf("below all steps: %d, %v", n, err)
	}
	if _, err := autoscaling.Adjust(autoscaling.Policy{Type: autoscaling.TargetTrackingScaling}, 1, 0, 3, 0); err == nil {
		t.Error("a policy that tracks a target was adjusted")
	}
}

func TestWaiting(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	hook := func(name, result string, seconds int) autoscaling.Hook {
		h := autoscaling.NewHook(name, autoscaling.Launching)
		h.SetHeartbeat(time.Duration(seconds) * time.Second)
		h.Default = result
		return h
	}
	type step struct {
		at     time.Duration
		do     func(*autoscaling.Member, time.Time)
		done   bool
		result string
		next   time.Duration
	}
	complete := func(what, result string) func(*autoscaling.Member, time.Time) {
		return func(m *autoscaling.Member, _ time.Time) { m.Complete(what, result) }
	}
	for _, tt := range []struct {
		name  string
		hooks []autoscaling.Hook
		steps []step
	}{
		{"no hooks", nil, []step{{done: true, result: "CONTINUE"}}},
		{"all say so", []autoscaling.Hook{hook("a", "ABANDON", 60), hook("b", "ABANDON", 30)}, []step{
			{next: 30 * time.Second},
			{do: complete("b", "CONTINUE"), next: time.Minute},
			{do: complete("no", "CONTINUE"), next: time.Minute},
			{do: complete("a", "CONTINUE"), done: true, result: "CONTINUE"},
		}},
		{"one is enough", []autoscaling.Hook{hook("a", "CONTINUE", 60), hook("b", "CONTINUE", 30)}, []step{
			{do: complete("a", "ABANDON"), done: true, result: "ABANDON"},
		}},
		{"time is up", []autoscaling.Hook{hook("a", "CONTINUE", 60), hook("b", "ABANDON", 90)}, []step{
			{at: 59 * time.Second, next: time.Minute},
			{at: 60 * time.Second, next: 90 * time.Second},
			{at: 90 * time.Second, done: true, result: "ABANDON"},
		}},
		{"heartbeats", []autoscaling.Hook{hook("a", "CONTINUE", 30)}, []step{
			{at: 20 * time.Second, do: func(m *autoscaling.Member, now time.Time) { m.Beat("a", now) }, next: 50 * time.Second},
			{at: 2999 * time.Second, do: func(m *autoscaling.Member, now time.Time) { m.Beat(m.Waits[0].Token, now) }, next: 3000 * time.Second},
			{at: 3000 * time.Second, done: true, result: "CONTINUE"},
		}},
	} {
		var m autoscaling.Member
		m.Begin(tt.hooks, autoscaling.PendingWait, now)
		same(t, tt.name, fmt.Sprint(m.State, m.Since.Equal(now), len(m.Waits)), fmt.Sprint("Pending:Wait", true, len(tt.hooks)))
		for i, s := range tt.steps {
			at := now.Add(s.at)
			if s.do != nil {
				s.do(&m, at)
			}
			done, result, next := m.Waiting(at)
			want := time.Time{}
			if s.next > 0 {
				want = now.Add(s.next)
			}
			if done != s.done || result != s.result || !next.Equal(want) {
				t.Errorf("%s, step %d: %v %q %v; want %v %q %v", tt.name, i, done, result, next, s.done, s.result, want)
			}
		}
	}
	var m autoscaling.Member
	m.Begin([]autoscaling.Hook{hook("a", "ABANDON", 60)}, autoscaling.PendingWait, now)
	m.Waits[0].Token = "t"
	same(t, "late", m.Abandoned(now.Add(time.Minute)), "Instance failed to complete user's Lifecycle Action: Lifecycle Action with token t was abandoned: Heartbeat Timeout")
	m.Complete("t", "ABANDON")
	same(t, "told", m.Abandoned(now), "Instance failed to complete user's Lifecycle Action: Lifecycle Action with token t was abandoned: Lifecycle Action Completed with ABANDON Result")
}
