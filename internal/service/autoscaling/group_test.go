package autoscaling_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"

	"github.com/tarn-eks/tarn/internal/service/autoscaling"
)

func TestCreate(t *testing.T) {
	f := newFixture(t)
	_, err := f.CreateAutoScalingGroup(t.Context(), &sdk.CreateAutoScalingGroupInput{
		AutoScalingGroupName: new("web"), LaunchTemplate: &types.LaunchTemplateSpecification{LaunchTemplateName: new("web")},
		MinSize: new(int32(1)), MaxSize: new(int32(5)), DesiredCapacity: new(int32(2)), VPCZoneIdentifier: new("subnet-b, subnet-a"),
		LoadBalancerNames: []string{"lb1"}, HealthCheckType: new("ELB"), HealthCheckGracePeriod: new(int32(60)), DefaultInstanceWarmup: new(int32(30)),
		Tags:                           []types.Tag{{Key: new("team"), Value: new("a"), PropagateAtLaunch: new(true)}, {Key: new("k8s.io/cluster-autoscaler/enabled")}},
		TerminationPolicies:            []string{"OldestInstance", "Default"},
		LifecycleHookSpecificationList: []types.LifecycleHookSpecification{{LifecycleHookName: new("drain"), LifecycleTransition: new("autoscaling:EC2_INSTANCE_TERMINATING"), HeartbeatTimeout: new(int32(60))}},
	})
	if err != nil {
		t.Fatal(err)
	}
	g := f.describe("web")
	if !regexp.MustCompile(`^arn:aws:autoscaling:ap-northeast-2:111122223333:autoScalingGroup:[0-9a-f-]{36}:autoScalingGroupName/web$`).MatchString(*g.AutoScalingGroupARN) {
		t.Errorf("the ARN is %s", *g.AutoScalingGroupARN)
	}
	same(t, "sizes", []int32{*g.MinSize, *g.MaxSize, *g.DesiredCapacity, *g.DefaultCooldown, *g.HealthCheckGracePeriod, *g.DefaultInstanceWarmup}, []int32{1, 5, 2, 300, 60, 30})
	same(t, "template", []string{*g.LaunchTemplate.LaunchTemplateId, *g.LaunchTemplate.LaunchTemplateName, *g.LaunchTemplate.Version}, []string{"lt-1", "web", "$Default"})
	same(t, "places", [][]string{{*g.VPCZoneIdentifier}, g.AvailabilityZones, g.LoadBalancerNames, g.TerminationPolicies},
		[][]string{{"subnet-b,subnet-a"}, {"ap-northeast-2b", "ap-northeast-2a"}, {"lb1"}, {"OldestInstance", "Default"}})
	same(t, "texts", []string{*g.HealthCheckType, *g.ServiceLinkedRoleARN, *g.TrafficSources[0].Identifier, *g.TrafficSources[0].Type}, []string{"ELB", role, "lb1", "elb"})
	same(t, "time", *g.CreatedTime, time.Date(2026, 11, 29, 1, 2, 3, 456_000_000, time.UTC))
	var tags []string
	for _, tag := range g.Tags {
		tags = append(tags, fmt.Sprint(*tag.Key, "=", *tag.Value, " ", *tag.PropagateAtLaunch, " ", *tag.ResourceId))
	}
	same(t, "tags", tags, []string{"k8s.io/cluster-autoscaler/enabled= false web", "team=a true web"})
	if g.Status != nil || g.LaunchConfigurationName != nil || g.WarmPoolConfiguration != nil || len(g.Instances) > 0 || *g.CapacityRebalance || *g.NewInstancesProtectedFromScaleIn {
		t.Errorf("a new group has %+v", g)
	}
	same(t, "reasons", f.group("web").Reasons, []string{"At 2026-11-29T01:02:03Z a user request created an AutoScalingGroup changing the desired capacity from 0 to 2."})
	hooks, err := f.DescribeLifecycleHooks(t.Context(), &sdk.DescribeLifecycleHooksInput{AutoScalingGroupName: new("web")})
	f.ok("hooks", err)
	h := hooks.LifecycleHooks[0]
	same(t, "hook", fmt.Sprint(*h.LifecycleHookName, *h.HeartbeatTimeout, *h.GlobalTimeout, *h.DefaultResult), "drain60 6000ABANDON")
}

// A list that is empty is in the answer, as on AWS: `length(LoadBalancerNames)` of
// the aws CLI is 0, and no error.
func TestEmptyListsAreThere(t *testing.T) {
	f := newFixture(t)
	f.create("web", 0, 1, 0)
	g := f.describe("web")
	if g.LoadBalancerNames == nil || g.TargetGroupARNs == nil || g.Instances == nil || g.SuspendedProcesses == nil || g.TrafficSources == nil {
		t.Errorf("%+v", g)
	}
}

func TestCreateFails(t *testing.T) {
	f := newFixture(t)
	f.create("here", 0, 1, 0)
	many := make([]types.LifecycleHookSpecification, 6)
	for i := range many {
		many[i] = types.LifecycleHookSpecification{LifecycleHookName: new(fmt.Sprint("h", i)), LifecycleTransition: new(autoscaling.Launching)}
	}
	for _, tt := range []struct {
		name, message string
		change        func(*sdk.CreateAutoScalingGroupInput)
	}{
		{"long name", "1 validation error detected: Value '" + strings.Repeat("x", 256) + "' at 'autoScalingGroupName' failed to satisfy constraint: Member must have length less than or equal to 255",
			func(in *sdk.CreateAutoScalingGroupInput) { in.AutoScalingGroupName = new(strings.Repeat("x", 256)) }},
		{"no source", "Valid requests must contain either LaunchTemplate, LaunchConfigurationName, InstanceId or MixedInstancesPolicy parameter.",
			func(in *sdk.CreateAutoScalingGroupInput) { in.LaunchTemplate = nil }},
		{"two sources", "Valid requests must contain either LaunchTemplate, LaunchConfigurationName, InstanceId or MixedInstancesPolicy parameter.",
			func(in *sdk.CreateAutoScalingGroupInput) { in.LaunchConfigurationName = new("lc") }},
		{"no configuration", "Launch configuration name not found - Launch configuration lc not found",
			func(in *sdk.CreateAutoScalingGroupInput) {
				in.LaunchTemplate, in.LaunchConfigurationName = nil, new("lc")
			}},
		{"id and name", "Valid requests must contain either launchTemplateId or LaunchTemplateName",
			func(in *sdk.CreateAutoScalingGroupInput) { in.LaunchTemplate.LaunchTemplateName = new("web") }},
		{"no template", "You must use a valid fully-formed launch template. The specified launch template, with template ID lt-9, does not exist.",
			func(in *sdk.CreateAutoScalingGroupInput) { in.LaunchTemplate.LaunchTemplateId = new("lt-9") }},
		{"no version", "You must use a valid fully-formed launch template. Could not find the specified version 99 for the launch template with ID lt-1.",
			func(in *sdk.CreateAutoScalingGroupInput) { in.LaunchTemplate.Version = new("99") }},
		{"no image", "You must use a valid fully-formed launch template. The request must contain the parameter ImageId",
			func(in *sdk.CreateAutoScalingGroupInput) { in.LaunchTemplate.LaunchTemplateId = new("lt-bare") }},
		{"bounds", "Max bound, 0, must be greater than or equal to min bound, 1",
			func(in *sdk.CreateAutoScalingGroupInput) { in.MaxSize = new(int32(0)) }},
		{"desired", "Desired capacity:9 must be between the specified min size:1 and max size:3",
			func(in *sdk.CreateAutoScalingGroupInput) { in.DesiredCapacity = new(int32(9)) }},
		{"no place", "At least one Availability Zone or VPC Subnet is required.",
			func(in *sdk.CreateAutoScalingGroupInput) { in.VPCZoneIdentifier = nil }},
		{"no subnet", "The subnet ID 'subnet-9' does not exist",
			func(in *sdk.CreateAutoScalingGroupInput) { in.VPCZoneIdentifier = new("subnet-a,subnet-9") }},
		{"other zones", "The availability zones of the specified subnets and the Auto Scaling group do not match",
			func(in *sdk.CreateAutoScalingGroupInput) { in.AvailabilityZones = []string{region + "c"} }},
		{"no zone", "Invalid availability zones: [ap-northeast-2z]",
			func(in *sdk.CreateAutoScalingGroupInput) {
				in.VPCZoneIdentifier, in.AvailabilityZones = nil, []string{region + "z"}
			}},
		{"no default subnet", "No default subnet for availability zone: 'ap-northeast-2b'",
			func(in *sdk.CreateAutoScalingGroupInput) {
				in.VPCZoneIdentifier, in.AvailabilityZones = nil, []string{region + "b"}
			}},
		{"health check", "Specifying EC2 in addition to other health check types is not supported",
			func(in *sdk.CreateAutoScalingGroupInput) { in.HealthCheckType = new("EC2,ELB") }},
		{"grace", "Grace period must be a positive integer.",
			func(in *sdk.CreateAutoScalingGroupInput) { in.HealthCheckGracePeriod = new(int32(-1)) }},
		{"lifetime", "maxInstanceLifetime must be between 86400 and 31536000 seconds (inclusive)",
			func(in *sdk.CreateAutoScalingGroupInput) { in.MaxInstanceLifetime = new(int32(60)) }},
		{"termination", "[Newest] is not a valid termination policy",
			func(in *sdk.CreateAutoScalingGroupInput) { in.TerminationPolicies = []string{"Newest"} }},
		{"load balancer", "Provided Load Balancers may not be valid. Please ensure they exist and try again.",
			func(in *sdk.CreateAutoScalingGroupInput) { in.LoadBalancerNames = []string{"lb1", "no"} }},
		{"target group", "Provided Target Groups may not be valid. Please ensure they exist and try again.",
			func(in *sdk.CreateAutoScalingGroupInput) { in.TargetGroupARNs = []string{target + "2"} }},
		{"hooks", "You cannot specify more than 5 hooks",
			func(in *sdk.CreateAutoScalingGroupInput) { in.LifecycleHookSpecificationList = many }},
		{"same hooks", "Multiple lifecycle hooks found for name 'h0'",
			func(in *sdk.CreateAutoScalingGroupInput) {
				in.LifecycleHookSpecificationList = []types.LifecycleHookSpecification{many[0], many[0]}
			}},
		{"tag", "Your account is not allowed to create tag aws:x",
			func(in *sdk.CreateAutoScalingGroupInput) { in.Tags = []types.Tag{{Key: new("aws:x")}} }},
		{"role", "ARN specified for Service-Linked Role does not exist.",
			func(in *sdk.CreateAutoScalingGroupInput) { in.ServiceLinkedRoleARN = new(role + "_x") }},
		{"maintenance", "The difference between MaxHealthyPercentage and MinHealthyPercentage must be less than or equal to 100",
			func(in *sdk.CreateAutoScalingGroupInput) {
				in.InstanceMaintenancePolicy = &types.InstanceMaintenancePolicy{MinHealthyPercentage: new(int32(50)), MaxHealthyPercentage: new(int32(200))}
			}},
	} {
		in := &sdk.CreateAutoScalingGroupInput{
			AutoScalingGroupName: new("new"), LaunchTemplate: template(), MinSize: new(int32(1)), MaxSize: new(int32(3)), VPCZoneIdentifier: new("subnet-a"),
		}
		tt.change(in)
		_, err := f.CreateAutoScalingGroup(t.Context(), in)
		f.fails(tt.name, err, "ValidationError", tt.message)
	}
	_, err := f.CreateAutoScalingGroup(t.Context(), &sdk.CreateAutoScalingGroupInput{
		AutoScalingGroupName: new("here"), LaunchTemplate: template(), MinSize: new(int32(1)), MaxSize: new(int32(3)), VPCZoneIdentifier: new("subnet-a"),
	})
	f.fails("twice", err, "AlreadyExists", "AutoScalingGroup by this name already exists - A group with the name here already exists")
}

func TestMixed(t *testing.T) {
	f := newFixture(t)
	override := func(kind, weight string) types.LaunchTemplateOverrides {
		o := types.LaunchTemplateOverrides{InstanceType: &kind}
		if weight != "" {
			o.WeightedCapacity = &weight
		}
		return o
	}
	create := func(name string, distribution *types.InstancesDistribution, overrides ...types.LaunchTemplateOverrides) error {
		_, err := f.CreateAutoScalingGroup(t.Context(), &sdk.CreateAutoScalingGroupInput{
			AutoScalingGroupName: &name, MinSize: new(int32(0)), MaxSize: new(int32(3)), VPCZoneIdentifier: new("subnet-a"),
			MixedInstancesPolicy: &types.MixedInstancesPolicy{
				LaunchTemplate:        &types.LaunchTemplate{LaunchTemplateSpecification: template(), Overrides: overrides},
				InstancesDistribution: distribution,
			},
		})
		return err
	}
	f.ok("create", create("mixed", nil, override("t3.medium", "1"), override("t3.large", "2")))
	d := f.describe("mixed").MixedInstancesPolicy.InstancesDistribution
	same(t, "defaults", fmt.Sprint(*d.OnDemandAllocationStrategy, *d.OnDemandBaseCapacity, *d.OnDemandPercentageAboveBaseCapacity, *d.SpotAllocationStrategy, *d.SpotInstancePools), "prioritized0 100lowest-price2")
	f.fails("twice", create("x", nil, override("t3.medium", ""), override("t3.medium", "")), "ValidationError", "Cannot add same instance type override more than once")
	f.fails("type", create("x", nil, override("m9.huge", "")), "ValidationError", "You must use a valid fully-formed launch template. Invalid value 'm9.huge' for InstanceType.")
	f.fails("weights", create("x", nil, override("t3.medium", "1"), override("t3.large", "")), "ValidationError", "You must specify WeightedCapacity either for all overrides or for none.")
	f.fails("percentage", create("x", &types.InstancesDistribution{OnDemandPercentageAboveBaseCapacity: new(int32(101))}), "ValidationError",
		"1 validation error detected: Value '101' at 'mixedInstancesPolicy.instancesDistribution.onDemandPercentageAboveBaseCapacity' failed to satisfy constraint: Member must have value less than or equal to 100")
	_, err := f.PutWarmPool(t.Context(), &sdk.PutWarmPoolInput{AutoScalingGroupName: new("mixed")})
	f.fails("warm pool", err, "ValidationError", "You can't add a warm pool to an Auto Scaling group that uses a mixed instances policy with instance weights.")
}

func TestUpdate(t *testing.T) {
	f := newFixture(t)
	f.create("web", 1, 5, 2)
	update := func(in *sdk.UpdateAutoScalingGroupInput) error {
		in.AutoScalingGroupName = new("web")
		_, err := f.UpdateAutoScalingGroup(t.Context(), in)
		return err
	}
	f.ok("bounds", update(&sdk.UpdateAutoScalingGroupInput{MinSize: new(int32(3)), MaxSize: new(int32(4))}))
	g := f.group("web")
	same(t, "size", []int{g.Min, g.Max, g.Desired}, []int{3, 4, 3})
	same(t, "reason", g.Reasons[len(g.Reasons)-1],
		"At 2026-11-29T01:02:03Z a user request update of AutoScalingGroup constraints to min: 3, max: 4, desired: 3 changing the desired capacity from 2 to 3.")
	f.ok("size", update(&sdk.UpdateAutoScalingGroupInput{DesiredCapacity: new(int32(4))}))
	f.fails("size", update(&sdk.UpdateAutoScalingGroupInput{DesiredCapacity: new(int32(5))}), "ValidationError",
		"Desired capacity:5 must be between the specified min size:3 and max size:4")
	f.fails("bound", update(&sdk.UpdateAutoScalingGroupInput{MinSize: new(int32(5))}), "ValidationError", "Max bound, 4, must be greater than or equal to min bound, 5")
	f.ok("settings", update(&sdk.UpdateAutoScalingGroupInput{
		DefaultCooldown: new(int32(5)), HealthCheckType: new("ELB"), VPCZoneIdentifier: new("subnet-b2"), CapacityRebalance: new(true),
		NewInstancesProtectedFromScaleIn: new(true), MaxInstanceLifetime: new(int32(86400)), DefaultInstanceWarmup: new(int32(9)),
		LaunchTemplate: &types.LaunchTemplateSpecification{LaunchTemplateId: new("lt-1"), Version: new("$Latest")},
	}))
	d := f.describe("web")
	same(t, "settings", fmt.Sprint(*d.DefaultCooldown, *d.HealthCheckType, *d.VPCZoneIdentifier, d.AvailabilityZones, *d.CapacityRebalance,
		*d.NewInstancesProtectedFromScaleIn, *d.MaxInstanceLifetime, *d.DefaultInstanceWarmup, *d.LaunchTemplate.Version, *d.DesiredCapacity),
		"5ELBsubnet-b2[ap-northeast-2b] true true 86400 9$Latest4")
	f.ok("back", update(&sdk.UpdateAutoScalingGroupInput{MaxInstanceLifetime: new(int32(0)), DefaultInstanceWarmup: new(int32(-1))}))
	if d := f.describe("web"); d.MaxInstanceLifetime != nil || d.DefaultInstanceWarmup != nil {
		t.Errorf("they are still %+v", d)
	}
	_, err := f.UpdateAutoScalingGroup(t.Context(), &sdk.UpdateAutoScalingGroupInput{AutoScalingGroupName: new("no")})
	f.fails("no group", err, "ValidationError", "AutoScalingGroup name not found - AutoScalingGroup no not found")
}

func TestSetDesiredCapacity(t *testing.T) {
	f := newFixture(t)
	f.create("web", 1, 3, 1)
	set := func(n int32, honor bool) error {
		_, err := f.SetDesiredCapacity(t.Context(), &sdk.SetDesiredCapacityInput{AutoScalingGroupName: new("web"), DesiredCapacity: &n, HonorCooldown: &honor})
		return err
	}
	f.ok("2", set(2, false))
	same(t, "reasons", f.group("web").Reasons[1], "At 2026-11-29T01:02:03Z a user request explicitly set group desired capacity changing the desired capacity from 1 to 2.")
	f.ok("the same", set(2, true))
	same(t, "reasons", len(f.group("web").Reasons), 2)
	f.fails("4", set(4, false), "ValidationError", "New SetDesiredCapacity value 4 is above max value 3 for the AutoScalingGroup.")
	f.fails("0", set(0, false), "ValidationError", "New SetDesiredCapacity value 0 is below min value 1 for the AutoScalingGroup.")

	a, err := f.service.BeginActivity(t.Context(), f.group("web"), "Launching a new EC2 instance: i-1", "", "{}")
	f.ok("activity", err)
	busy := "Scaling activity " + a.ID + " is in progress and blocks this action"
	f.fails("busy", set(3, true), "ScalingActivityInProgress", busy)
	f.ok("end", f.service.FinishActivity(t.Context(), "web", a.ID, autoscaling.Successful, ""))
	_, err = f.service.Groups.Modify(t.Context(), "web", func(g *autoscaling.Group) error { g.Scaled = f.clock; return nil })
	f.ok("scaled", err)
	f.clock = f.clock.Add(299 * time.Second)
	f.fails("cooling", set(3, true), "ScalingActivityInProgress", busy)
	f.ok("not honoured", set(1, false))
	f.clock = f.clock.Add(time.Second)
	f.ok("cooled", set(3, true))
	same(t, "size", f.group("web").Desired, 3)
}

func TestDelete(t *testing.T) {
	f := newFixture(t)
	f.create("web", 0, 3, 1)
	f.create("web/2", 0, 3, 0)
	del := func(name string, force bool) error {
		_, err := f.DeleteAutoScalingGroup(t.Context(), &sdk.DeleteAutoScalingGroupInput{AutoScalingGroupName: &name, ForceDelete: &force})
		return err
	}
	f.fails("none", del("no", true), "ValidationError", "AutoScalingGroup name not found - AutoScalingGroup no not found")
	f.fails("launching", del("web", false), "ScalingActivityInProgress", "You cannot delete an AutoScalingGroup while there are scaling activities in progress for that group.")
	f.join("web", "i-1", autoscaling.InService)
	f.fails("instances", del("web", false), "ResourceInUse", "You cannot delete an AutoScalingGroup while there are instances or pending Spot instance request(s) still in the group.")
	f.ok("force", del("web", true))
	f.ok("again", del("web", true))
	f.ok("again, patiently", del("web", false))
	d := f.describe("web")
	same(t, "status", fmt.Sprint(*d.Status, *d.DesiredCapacity, *d.MinSize, f.group("web").Forced), "Delete in progress0 0 true")
	_, err := f.SetDesiredCapacity(t.Context(), &sdk.SetDesiredCapacityInput{AutoScalingGroupName: new("web"), DesiredCapacity: new(int32(1))})
	f.fails("late", err, "ScalingActivityInProgress", "AutoScalingGroup web is pending delete.")
	_, err = f.CreateAutoScalingGroup(t.Context(), &sdk.CreateAutoScalingGroupInput{
		AutoScalingGroupName: new("web"), LaunchTemplate: template(), MinSize: new(int32(1)), MaxSize: new(int32(3)), VPCZoneIdentifier: new("subnet-a"),
	})
	f.fails("too early", err, "AlreadyExists", "AutoScalingGroup by this name already exists and is pending delete - A group with the name web already exists and is pending delete")
	f.ok("empty", del("web/2", false))
}

// A group goes with all that belongs to it, and nothing of a group whose name begins
// like its own.
func TestRemove(t *testing.T) {
	f := newFixture(t)
	for _, name := range []string{"web", "web/2", "web%2F2"} {
		f.create(name, 0, 9, 1)
		f.join(name, "i-"+name, autoscaling.InService)
		_, err := f.PutScalingPolicy(t.Context(), tracking(name, "cpu", 50))
		f.ok("policy", err)
		_, err = f.PutScheduledUpdateGroupAction(t.Context(), &sdk.PutScheduledUpdateGroupActionInput{AutoScalingGroupName: &name, ScheduledActionName: new("s"), Recurrence: new("0 9 * * *"), MinSize: new(int32(1))})
		f.ok("schedule", err)
		_, err = f.StartInstanceRefresh(t.Context(), &sdk.StartInstanceRefreshInput{AutoScalingGroupName: &name})
		f.ok("refresh", err)
	}
	same(t, "alarms", len(f.world.alarms), 6)
	f.ok("delete", f.service.DeleteGroup(t.Context(), "web", true))
	f.ok("none", f.service.DeleteGroup(t.Context(), "no", true))
	it, err := f.service.Groups.Get(t.Context(), "web")
	f.ok("get", err)
	f.ok("remove", f.service.RemoveGroup(t.Context(), it))
	count := func(what string, n int, err error) {
		t.Helper()
		if err != nil || n != 2 {
			t.Errorf("there are %d %s, %v", n, what, err)
		}
	}
	members, _, err := f.service.Members.List(t.Context(), "")
	count("members", len(members), err)
	policies, _, err := f.service.Policies.List(t.Context(), "")
	count("policies", len(policies), err)
	scheduled, _, err := f.service.Scheduled.List(t.Context(), "")
	count("schedules", len(scheduled), err)
	refreshes, _, err := f.service.Refreshes.List(t.Context(), "")
	count("refreshes", len(refreshes), err)
	same(t, "alarms", len(f.world.alarms), 4)
	same(t, "another's", len(f.describe("web/2").Instances), 1)
	if err := f.service.RemoveGroup(t.Context(), it); err == nil {
		t.Error("it was removed twice")
	}
}

func TestDescribeGroups(t *testing.T) {
	f := newFixture(t)
	for i := range 5 {
		f.create(fmt.Sprint("g", i), 0, 1, 0)
	}
	tag := func(group, key, value string) {
		_, err := f.CreateOrUpdateTags(t.Context(), &sdk.CreateOrUpdateTagsInput{Tags: []types.Tag{{ResourceId: &group, ResourceType: new("auto-scaling-group"), Key: &key, Value: &value, PropagateAtLaunch: new(false)}}})
		f.ok("tag", err)
	}
	tag("g1", "stage", "prod")
	tag("g1", "team", "a")
	tag("g2", "stage", "test")
	list := func(filters ...types.Filter) string {
		t.Helper()
		var names []string
		pages := sdk.NewDescribeAutoScalingGroupsPaginator(f.Client, &sdk.DescribeAutoScalingGroupsInput{Filters: filters, MaxRecords: new(int32(2))})
		for pages.HasMorePages() {
			page, err := pages.NextPage(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, g := range page.AutoScalingGroups {
				names = append(names, *g.AutoScalingGroupName)
			}
		}
		return strings.Join(names, " ")
	}
	same(t, "all", list(), "g0 g1 g2 g3 g4")
	same(t, "key", list(types.Filter{Name: new("tag-key"), Values: []string{"stage"}}), "g1 g2")
	same(t, "value", list(types.Filter{Name: new("tag-value"), Values: []string{"prod", "x"}}), "g1")
	same(t, "tag", list(types.Filter{Name: new("tag:stage"), Values: []string{"test", "prod"}}, types.Filter{Name: new("tag:team"), Values: []string{"a"}}), "g1")
	same(t, "none", list(types.Filter{Name: new("tag:stage"), Values: []string{"no"}}), "")
	_, err := f.DescribeAutoScalingGroups(t.Context(), &sdk.DescribeAutoScalingGroupsInput{Filters: []types.Filter{{Name: new("name"), Values: []string{"x"}}}})
	f.fails("filter", err, "ValidationError", "Filter type name is not correct. Allowed Filter types are: tag-key tag-value tag:<key>")
	_, err = f.DescribeAutoScalingGroups(t.Context(), &sdk.DescribeAutoScalingGroupsInput{NextToken: new("x")})
	f.fails("token", err, "InvalidNextToken", "The token 'x' is invalid.")
	_, err = f.DescribeAutoScalingGroups(t.Context(), &sdk.DescribeAutoScalingGroupsInput{MaxRecords: new(int32(101))})
	f.fails("size", err, "ValidationError", "1 validation error detected: Value '101' at 'maxRecords' failed to satisfy constraint: Member must have value less than or equal to 100")

	tags, err := f.DescribeTags(t.Context(), &sdk.DescribeTagsInput{Filters: []types.Filter{{Name: new("key"), Values: []string{"stage"}}, {Name: new("auto-scaling-group"), Values: []string{"g1", "g3"}}}})
	f.ok("tags", err)
	same(t, "tags", fmt.Sprint(len(tags.Tags), *tags.Tags[0].ResourceId, *tags.Tags[0].Value), "1g1prod")
	_, err = f.DeleteTags(t.Context(), &sdk.DeleteTagsInput{Tags: []types.Tag{{ResourceId: new("g1"), Key: new("stage"), Value: new("other")}, {ResourceId: new("g2"), Key: new("stage")}}})
	f.ok("delete", err)
	same(t, "left", list(types.Filter{Name: new("tag-key"), Values: []string{"stage"}}), "g1")
	_, err = f.CreateOrUpdateTags(t.Context(), &sdk.CreateOrUpdateTagsInput{Tags: []types.Tag{{ResourceId: new("g0"), Key: new("new")}, {ResourceId: new("no"), Key: new("new")}}})
	f.fails("no group", err, "ValidationError", "AutoScalingGroup name not found - AutoScalingGroup no not found")
	same(t, "all or none", list(types.Filter{Name: new("tag-key"), Values: []string{"new"}}), "")
	tagged, err := f.service.Tagged(t.Context())
	f.ok("tagged", err)
	same(t, "tagged", tagged, map[string]map[string]string{f.service.ARN(f.group("g1")): {"stage": "prod", "team": "a"}})
}

func TestTrafficSources(t *testing.T) {
	f := newFixture(t)
	f.create("web", 0, 3, 1)
	f.join("web", "i-1", autoscaling.InService)
	f.world.serving = []string{"i-1"}
	_, err := f.AttachLoadBalancers(t.Context(), &sdk.AttachLoadBalancersInput{AutoScalingGroupName: new("web"), LoadBalancerNames: []string{"lb1", "lb2"}})
	f.ok("attach", err)
	_, err = f.AttachTrafficSources(t.Context(), &sdk.AttachTrafficSourcesInput{AutoScalingGroupName: new("web"), TrafficSources: []types.TrafficSourceIdentifier{
		{Identifier: new("lb3"), Type: new("elb")}, {Identifier: aws.String(target)}}})
	f.ok("attach", err)
	_, err = f.AttachLoadBalancerTargetGroups(t.Context(), &sdk.AttachLoadBalancerTargetGroupsInput{AutoScalingGroupName: new("web"), TargetGroupARNs: []string{target + "9"}})
	f.fails("no such target group", err, "ValidationError", "Provided Target Groups may not be valid. Please ensure they exist and try again.")
	_, err = f.AttachTrafficSources(t.Context(), &sdk.AttachTrafficSourcesInput{AutoScalingGroupName: new("web"), TrafficSources: []types.TrafficSourceIdentifier{{Identifier: new("svc"), Type: new("vpc-lattice")}}})
	f.fails("lattice", err, "ValidationError", "Invalid traffic source type: vpc-lattice. Valid types are: [elb, elbv2]")
	_, err = f.DetachLoadBalancers(t.Context(), &sdk.DetachLoadBalancersInput{AutoScalingGroupName: new("web"), LoadBalancerNames: []string{"lb9"}})
	f.fails("detach", err, "ValidationError", "Trying to remove Load Balancers that are not part of the group")
	_, err = f.DetachLoadBalancers(t.Context(), &sdk.DetachLoadBalancersInput{AutoScalingGroupName: new("web"), LoadBalancerNames: []string{"lb2"}})
	f.ok("detach", err)
	lbs, err := f.DescribeLoadBalancers(t.Context(), &sdk.DescribeLoadBalancersInput{AutoScalingGroupName: new("web")})
	f.ok("describe", err)
	same(t, "load balancers", fmt.Sprint(len(lbs.LoadBalancers), *lbs.LoadBalancers[0].LoadBalancerName, *lbs.LoadBalancers[0].State, *lbs.LoadBalancers[1].LoadBalancerName, *lbs.LoadBalancers[1].State), "3lb1InServicelb2Removing")
	all, err := f.DescribeTrafficSources(t.Context(), &sdk.DescribeTrafficSourcesInput{AutoScalingGroupName: new("web")})
	f.ok("describe", err)
	same(t, "sources", fmt.Sprint(len(all.TrafficSources), *all.TrafficSources[0].Identifier, *all.TrafficSources[0].Type), "4"+target+"elbv2")
	groups, err := f.DescribeLoadBalancerTargetGroups(t.Context(), &sdk.DescribeLoadBalancerTargetGroupsInput{AutoScalingGroupName: new("web")})
	f.ok("describe", err)
	same(t, "target groups", fmt.Sprint(*groups.LoadBalancerTargetGroups[0].LoadBalancerTargetGroupARN, *groups.LoadBalancerTargetGroups[0].State), target+"InService")
	_, err = f.DetachTrafficSources(t.Context(), &sdk.DetachTrafficSourcesInput{AutoScalingGroupName: new("web"), TrafficSources: []types.TrafficSourceIdentifier{{Identifier: aws.String(target)}, {Identifier: new("lb3")}}})
	f.ok("detach", err)
	same(t, "left", f.describe("web").LoadBalancerNames, []string{"lb1"})
}
