package autoscaling_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"

	"github.com/tarn-eks/tarn/internal/service/autoscaling"
)

// The alarms of every kind of metric, and which metrics are the same.
func TestTrackedMetrics(t *testing.T) {
	f := newFixture(t)
	f.create("web", 0, 3, 1)
	_, err := f.AttachLoadBalancerTargetGroups(t.Context(), &sdk.AttachLoadBalancerTargetGroupsInput{AutoScalingGroupName: new("web"), TargetGroupARNs: []string{target}})
	f.ok("attach", err)
	predefined := func(kind types.MetricType, label string) *types.TargetTrackingConfiguration {
		m := &types.PredefinedMetricSpecification{PredefinedMetricType: kind}
		if label != "" {
			m.ResourceLabel = &label
		}
		return &types.TargetTrackingConfiguration{TargetValue: new(10.0), PredefinedMetricSpecification: m}
	}
	custom := func(c types.CustomizedMetricSpecification) *types.TargetTrackingConfiguration {
		return &types.TargetTrackingConfiguration{TargetValue: new(10.0), CustomizedMetricSpecification: &c}
	}
	dimension := func(name, value string) types.MetricDimension {
		return types.MetricDimension{Name: &name, Value: &value}
	}
	stat := func(id, metric string, returned bool) types.TargetTrackingMetricDataQuery {
		return types.TargetTrackingMetricDataQuery{Id: &id, ReturnData: &returned, MetricStat: &types.TargetTrackingMetricStat{
			Stat: new("Sum"), Metric: &types.Metric{Namespace: new("App"), MetricName: &metric, Dimensions: []types.MetricDimension{dimension("q", "1"), dimension("a", "2")}}}}
	}
	sum := types.TargetTrackingMetricDataQuery{Id: new("e"), Expression: new("a+b")}
	single := types.CustomizedMetricSpecification{Namespace: new("App"), MetricName: new("Backlog"), Statistic: "Sum", Unit: new("Count"), Dimensions: []types.MetricDimension{dimension("q", "1"), dimension("a", "2")}}
	turned := single
	turned.Dimensions = []types.MetricDimension{dimension("a", "2"), dimension("q", "1")}
	for _, tt := range []struct {
		name   string
		config *types.TargetTrackingConfiguration
		want   string // of the alarm, or the error's text
	}{
		{"network in", predefined("ASGAverageNetworkIn", ""), "AWS/EC2 NetworkIn Average AutoScalingGroupName=web 0"},
		{"network out", predefined("ASGAverageNetworkOut", ""), "AWS/EC2 NetworkOut Average AutoScalingGroupName=web 0"},
		{"requests", predefined("ALBRequestCountPerTarget", "app/a/1/targetgroup/tg/1"), "AWS/ApplicationELB RequestCountPerTarget Sum LoadBalancer=app/a/1 TargetGroup=targetgroup/tg/1 0"},
		{"label", predefined("ALBRequestCountPerTarget", "app/a/targetgroup/tg"), "Invalid resource label 'app/a/targetgroup/tg' for predefined metric type ALBRequestCountPerTarget"},
		{"no label", predefined("ASGAverageCPUUtilization", "x"), "Resource label should not be specified for predefined metric type ASGAverageCPUUtilization"},
		{"custom", custom(single), "App Backlog Sum q=1 a=2 0"},
		{"the same", custom(turned), "Only one TargetTrackingScaling policy for a given metric specification is allowed."},
		{"incomplete", custom(types.CustomizedMetricSpecification{MetricName: new("m")}), "A customized metric specification must have either 'Metrics' or all of ['MetricName', 'Namespace', 'Statistic'] specified"},
		{"math", custom(types.CustomizedMetricSpecification{Metrics: []types.TargetTrackingMetricDataQuery{stat("a", "x", false), stat("b", "y", false), sum}}), "    3"},
		{"the same math", custom(types.CustomizedMetricSpecification{Metrics: []types.TargetTrackingMetricDataQuery{stat("a", "x", false), stat("b", "y", false), sum}}), "Only one TargetTrackingScaling policy for a given metric specification is allowed."},
		{"other math", custom(types.CustomizedMetricSpecification{Metrics: []types.TargetTrackingMetricDataQuery{stat("a", "x", false), stat("b", "z", false), sum}}), "    3"},
		{"two ids", custom(types.CustomizedMetricSpecification{Metrics: []types.TargetTrackingMetricDataQuery{stat("e", "x", false), sum}}), "The MetricDataQuery Id e is not unique."},
		{"two results", custom(types.CustomizedMetricSpecification{Metrics: []types.TargetTrackingMetricDataQuery{stat("a", "x", true), sum}}), "Exactly one element of the metrics list should return data."},
	} {
		out, err := f.PutScalingPolicy(t.Context(), &sdk.PutScalingPolicyInput{AutoScalingGroupName: new("web"), PolicyName: &tt.name, PolicyType: new("TargetTrackingScaling"), TargetTrackingConfiguration: tt.config, EstimatedInstanceWarmup: new(int32(20))})
		if err != nil {
			f.fails(tt.name, err, "ValidationError", tt.want)
			continue
		}
		a := f.world.alarms[*out.Alarms[0].AlarmName]
		var dimensions []string
		for _, d := range a.Dimensions {
			dimensions = append(dimensions, *d.Name+"="+*d.Value)
		}
		same(t, tt.name, strings.Join([]string{a.Namespace, a.Metric, a.Statistic, strings.Join(dimensions, " "), fmt.Sprint(len(a.Queries))}, " "), tt.want)
	}
	p, err := f.DescribePolicies(t.Context(), &sdk.DescribePoliciesInput{AutoScalingGroupName: new("web"), PolicyNames: []string{"math"}})
	f.ok("describe", err)
	same(t, "warm-up", *p.ScalingPolicies[0].EstimatedInstanceWarmup, 20)
	_, err = f.DetachLoadBalancerTargetGroups(t.Context(), &sdk.DetachLoadBalancerTargetGroupsInput{AutoScalingGroupName: new("web"), TargetGroupARNs: []string{target, target + "2"}})
	f.fails("detach", err, "ValidationError", "Trying to remove Target Groups that are not part of the group")
}

func TestPredictedMetrics(t *testing.T) {
	f := newFixture(t)
	f.create("web", 0, 3, 1)
	queries := func(q ...types.MetricDataQuery) []types.MetricDataQuery { return q }
	load := types.MetricDataQuery{Id: new("load"), Expression: new("SEARCH('x', 'Sum')")}
	for _, tt := range []struct {
		name string
		spec types.PredictiveScalingMetricSpecification
		want string
	}{
		{"target", types.PredictiveScalingMetricSpecification{TargetValue: new(0.0)}, "Target value must be greater than zero"},
		{"label", types.PredictiveScalingMetricSpecification{PredefinedMetricPairSpecification: &types.PredictiveScalingPredefinedMetricPair{PredefinedMetricType: "ALBRequestCount"}}, "A resource label is required"},
		{"capacity", types.PredictiveScalingMetricSpecification{
			PredefinedLoadMetricSpecification:     &types.PredictiveScalingPredefinedLoadMetric{PredefinedMetricType: "ASGTotalNetworkIn"},
			PredefinedScalingMetricSpecification:  &types.PredictiveScalingPredefinedScalingMetric{PredefinedMetricType: "ASGAverageNetworkIn"},
			CustomizedCapacityMetricSpecification: &types.PredictiveScalingCustomizedCapacityMetric{MetricDataQueries: queries(load)},
		}, "Capacity metric can only be used when you use customized load metric."},
		{"ids", types.PredictiveScalingMetricSpecification{
			CustomizedLoadMetricSpecification:    &types.PredictiveScalingCustomizedLoadMetric{MetricDataQueries: queries(load, load)},
			PredefinedScalingMetricSpecification: &types.PredictiveScalingPredefinedScalingMetric{PredefinedMetricType: "ASGAverageNetworkIn"},
		}, "The MetricDataQuery Id load is not unique."},
		{"both", types.PredictiveScalingMetricSpecification{
			PredefinedMetricPairSpecification: &types.PredictiveScalingPredefinedMetricPair{PredefinedMetricType: "ASGCPUUtilization"},
			CustomizedLoadMetricSpecification: &types.PredictiveScalingCustomizedLoadMetric{MetricDataQueries: queries(load)},
		}, "A policy must have either one scaling metric and one load metric or one metric pair."},
		{"good", types.PredictiveScalingMetricSpecification{
			CustomizedLoadMetricSpecification:    &types.PredictiveScalingCustomizedLoadMetric{MetricDataQueries: queries(load)},
			PredefinedScalingMetricSpecification: &types.PredictiveScalingPredefinedScalingMetric{PredefinedMetricType: "ASGAverageCPUUtilization"},
		}, ""},
	} {
		in := predictive()
		if tt.spec.TargetValue == nil {
			tt.spec.TargetValue = new(1.0)
		}
		in.PredictiveScalingConfiguration.MetricSpecifications = []types.PredictiveScalingMetricSpecification{tt.spec}
		_, err := f.PutScalingPolicy(t.Context(), in)
		if tt.want == "" {
			f.ok(tt.name, err)
			continue
		}
		f.fails(tt.name, err, "ValidationError", tt.want)
	}
}

func TestRequirements(t *testing.T) {
	f := newFixture(t)
	create := func(name string, r types.InstanceRequirements) error {
		_, err := f.CreateAutoScalingGroup(t.Context(), &sdk.CreateAutoScalingGroupInput{
			AutoScalingGroupName: &name, MinSize: new(int32(0)), MaxSize: new(int32(3)), VPCZoneIdentifier: new("subnet-a"), DesiredCapacityType: new("vcpu"),
			MixedInstancesPolicy: &types.MixedInstancesPolicy{LaunchTemplate: &types.LaunchTemplate{LaunchTemplateSpecification: template(), Overrides: []types.LaunchTemplateOverrides{{InstanceRequirements: &r}}}},
		})
		return err
	}
	vcpus := func(least, most int32) *types.VCpuCountRequest {
		return &types.VCpuCountRequest{Min: &least, Max: &most}
	}
	memory := &types.MemoryMiBRequest{Min: new(int32(1024))}
	f.fails("bounds", create("x", types.InstanceRequirements{VCpuCount: vcpus(4, 2), MemoryMiB: memory}), "ValidationError",
		"Invalid instance requirements. The Min value (4) in VCpuCount must be less or equal to the Max value (2)")
	f.fails("lists", create("x", types.InstanceRequirements{VCpuCount: vcpus(1, 2), MemoryMiB: memory, AllowedInstanceTypes: []string{"t3.*"}, ExcludedInstanceTypes: []string{"m5.*"}}),
		"ValidationError", "You can specify either AllowedInstanceTypes or ExcludedInstanceTypes, but not both.")
	f.ok("create", create("web", types.InstanceRequirements{VCpuCount: vcpus(1, 2), MemoryMiB: memory}))
	g := f.describe("web")
	same(t, "group", fmt.Sprint(*g.DesiredCapacityType, *g.MixedInstancesPolicy.InstancesDistribution.OnDemandAllocationStrategy), "vcpulowest-price")

	// An update of the distribution alone keeps the templates.
	_, err := f.UpdateAutoScalingGroup(t.Context(), &sdk.UpdateAutoScalingGroupInput{AutoScalingGroupName: new("web"), MixedInstancesPolicy: &types.MixedInstancesPolicy{
		InstancesDistribution: &types.InstancesDistribution{OnDemandBaseCapacity: new(int32(2))}}})
	f.ok("update", err)
	m := f.describe("web").MixedInstancesPolicy
	same(t, "policy", fmt.Sprint(*m.InstancesDistribution.OnDemandBaseCapacity, *m.LaunchTemplate.LaunchTemplateSpecification.LaunchTemplateName, *m.LaunchTemplate.Overrides[0].InstanceRequirements.VCpuCount.Max), "2web2")
}

func TestSentences(t *testing.T) {
	now := time.Date(2026, 11, 29, 10, 2, 3, 456, time.FixedZone("KST", 9*3600))
	same(t, "cause", autoscaling.Cause(autoscaling.Started(now, 1, 2), autoscaling.TakenOut(now, 2, 1), autoscaling.Selected(now, "i-1"), autoscaling.Replaced(now)),
		"At 2026-11-29T01:02:03Z an instance was started in response to a difference between desired and actual capacity, increasing the capacity from 1 to 2.  "+
			"At 2026-11-29T01:02:03Z an instance was taken out of service in response to a difference between desired and actual capacity, shrinking the capacity from 2 to 1.  "+
			"At 2026-11-29T01:02:03Z instance i-1 was selected for termination.  "+
			"At 2026-11-29T01:02:03Z an instance was launched in response to an unhealthy instance needing to be replaced.")
}

// What the region makes for itself has AWS's defaults, and is changed like any group.
func TestOwnGroup(t *testing.T) {
	f := newFixture(t)
	g, err := f.service.CreateGroup(t.Context(), autoscaling.Group{Name: "eks-ng", Owner: "eks", Min: 2, Max: 4, Warmup: -1, Subnets: []string{"subnet-a"}, Zones: []string{region + "a"}})
	f.ok("create", err)
	same(t, "defaults", fmt.Sprint(g.Desired, g.Cooldown, g.HealthCheck, g.TerminationPolicies, g.ServiceRole == role, len(g.ID)), "2 5m0sEC2[Default] true 36")
	_, err = f.service.CreateGroup(t.Context(), autoscaling.Group{Name: "eks-ng"})
	f.fails("twice", err, "AlreadyExists", "AutoScalingGroup by this name already exists - A group with the name eks-ng already exists")
	f.ok("size", f.service.SetDesired(t.Context(), "eks-ng", 4, "At noon."))
	f.ok("the same", f.service.SetDesired(t.Context(), "eks-ng", 4, "At one."))
	g = f.group("eks-ng")
	same(t, "size", fmt.Sprint(g.Desired, g.Reasons[1:]), "4 [At noon.]")
	f.fails("too many", f.service.SetDesired(t.Context(), "eks-ng", 5, ""), "ValidationError", "New SetDesiredCapacity value 5 is above max value 4 for the AutoScalingGroup.")
}
