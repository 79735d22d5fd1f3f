package autoscaling_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"

	"github.com/tarn-eks/tarn/internal/service/autoscaling"
)

func TestTerminate(t *testing.T) {
	f := newFixture(t)
	f.create("web", 1, 3, 2)
	f.join("web", "i-1", autoscaling.InService)
	f.join("web", "i-2", autoscaling.InService)
	end := func(id string, decrement bool) (*types.Activity, error) {
		out, err := f.TerminateInstanceInAutoScalingGroup(t.Context(), &sdk.TerminateInstanceInAutoScalingGroupInput{InstanceId: &id, ShouldDecrementDesiredCapacity: &decrement})
		if err != nil {
			return nil, err
		}
		return out.Activity, nil
	}
	a, err := end("i-1", true)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "activity", fmt.Sprintln(*a.Description, *a.Cause, a.StatusCode, *a.Progress, *a.Details, *a.StartTime), fmt.Sprintln(
		"Terminating EC2 instance: i-1",
		"At 2026-11-29T01:02:03Z instance i-1 was taken out of service in response to a user request, shrinking the capacity from 2 to 1.",
		"InProgress", 0, `{"Subnet ID":"subnet-a","Availability Zone":"ap-northeast-2a"}`, time.Date(2026, 11, 29, 1, 2, 3, 456_000_000, time.UTC)))
	m := f.member("web", "i-1")
	same(t, "member", fmt.Sprint(m.Ending, m.Counts(), m.Activity == *a.ActivityId, m.Cause == *a.Cause), "true false true true")
	same(t, "size", f.group("web").Desired, 1)
	again, err := end("i-1", true)
	if err != nil || *again.ActivityId != *a.ActivityId || f.group("web").Desired != 1 {
		t.Errorf("again: %+v, %v", again, err)
	}
	d := f.describe("web")
	same(t, "state", fmt.Sprint(d.Instances[0].LifecycleState, d.Instances[1].LifecycleState), "TerminatingInService")

	_, err = end("i-2", true)
	f.fails("minimum", err, "ValidationError", "Currently, desiredSize equals minSize (1). Terminating instance without replacement will violate group's min size constraint. "+
		"Either set shouldDecrementDesiredCapacity flag to false or lower group's min size.")
	a, err = end("i-2", false)
	f.ok("replaced", err)
	same(t, "cause", *a.Cause, "At 2026-11-29T01:02:03Z instance i-2 was taken out of service in response to a user request.")
	_, err = end("i-9", false)
	f.fails("none", err, "ValidationError", "Instance Id not found - No managed instance found for instance ID: i-9")
}

// Of callers at the same time each has its part of the size.
func TestTerminateAtOnce(t *testing.T) {
	f := newFixture(t)
	f.create("web", 2, 8, 8)
	var wg sync.WaitGroup
	refused := make(chan error, 8)
	for i := range 8 {
		f.join("web", fmt.Sprint("i-", i), autoscaling.InService)
	}
	for i := range 8 {
		wg.Go(func() {
			_, err := f.TerminateInstanceInAutoScalingGroup(t.Context(), &sdk.TerminateInstanceInAutoScalingGroupInput{InstanceId: new(fmt.Sprint("i-", i)), ShouldDecrementDesiredCapacity: new(true)})
			if err != nil {
				refused <- err
			}
		})
	}
	wg.Wait()
	same(t, "refused", len(refused), 2)
	same(t, "size", f.group("web").Desired, 2)
}

func TestStandby(t *testing.T) {
	f := newFixture(t)
	f.create("web", 1, 3, 2)
	f.join("web", "i-1", autoscaling.InService)
	f.join("web", "i-2", autoscaling.Pending)
	enter := func(decrement bool, ids ...string) ([]types.Activity, error) {
		out, err := f.EnterStandby(t.Context(), &sdk.EnterStandbyInput{AutoScalingGroupName: new("web"), InstanceIds: ids, ShouldDecrementDesiredCapacity: &decrement})
		if err != nil {
			return nil, err
		}
		return out.Activities, nil
	}
	_, err := enter(true, "i-2")
	f.fails("pending", err, "ValidationError", "The instance i-2 is not in InService.")
	_, err = enter(true, "i-9")
	f.fails("none", err, "ValidationError", "The instance i-9 is not part of Auto Scaling group web.")
	a, err := enter(true, "i-1")
	if err != nil {
		t.Fatal(err)
	}
	same(t, "activity", fmt.Sprint(*a[0].Description, "|", *a[0].Cause, "|", a[0].StatusCode, *a[0].Progress), "Moving EC2 instance to Standby: i-1|"+
		"At 2026-11-29T01:02:03Z instance i-1 was moved to standby in response to a user request, shrinking the capacity from 2 to 1.|InProgress50")
	same(t, "member", fmt.Sprint(f.member("web", "i-1").State, f.group("web").Desired), "EnteringStandby1")

	exit := func(ids ...string) ([]types.Activity, error) {
		out, err := f.ExitStandby(t.Context(), &sdk.ExitStandbyInput{AutoScalingGroupName: new("web"), InstanceIds: ids})
		if err != nil {
			return nil, err
		}
		return out.Activities, nil
	}
	_, err = exit("i-1")
	f.fails("too early", err, "ValidationError", "The instance i-1 is not in Standby.")
	_, err = f.service.Members.Modify(t.Context(), f.member("web", "i-1").Key(), func(m *autoscaling.Member) error { m.State = autoscaling.Standby; return nil })
	f.ok("standby", err)
	a, err = exit("i-1")
	if err != nil {
		t.Fatal(err)
	}
	same(t, "activity", fmt.Sprint(*a[0].Description, "|", *a[0].Cause, "|", a[0].StatusCode, *a[0].Progress), "Moving EC2 instance out of Standby: i-1|"+
		"At 2026-11-29T01:02:03Z instance i-1 was moved out of standby in response to a user request, increasing the capacity from 1 to 2.|PreInService30")
	same(t, "member", fmt.Sprint(f.member("web", "i-1").State, f.group("web").Desired), "Pending2")
	same(t, "what was begun before", fmt.Sprint(activities(f, "web")), "[Moving EC2 instance out of Standby: i-1 PreInService Moving EC2 instance to Standby: i-1 Cancelled]")
	_, err = f.UpdateAutoScalingGroup(t.Context(), &sdk.UpdateAutoScalingGroupInput{AutoScalingGroupName: new("web"), MinSize: new(int32(2))})
	f.ok("minimum", err)
	f.join("web", "i-3", autoscaling.InService)
	_, err = enter(true, "i-3")
	f.fails("minimum", err, "ValidationError", "AutoScalingGroup web has min-size=2, max-size=3, and desired-size=2. To place into standby 1 instance, please update the AutoScalingGroup sizes appropriately.")
	_, err = enter(false, "i-3")
	f.ok("with a substitute", err)
}

func activities(f *fixture, group string) (list []string) {
	f.Helper()
	out, err := f.DescribeScalingActivities(f.Context(), &sdk.DescribeScalingActivitiesInput{AutoScalingGroupName: &group})
	f.ok("activities", err)
	for _, a := range out.Activities {
		list = append(list, fmt.Sprint(*a.Description, " ", a.StatusCode))
	}
	return list
}

func TestAttachAndDetach(t *testing.T) {
	f := newFixture(t)
	f.create("web", 0, 2, 1)
	f.join("web", "i-1", autoscaling.InService)
	attach := func(ids ...string) error {
		_, err := f.AttachInstances(t.Context(), &sdk.AttachInstancesInput{AutoScalingGroupName: new("web"), InstanceIds: ids})
		return err
	}
	f.fails("none", attach("i-9"), "ValidationError", "The instance ID 'i-9' does not exist")
	f.fails("stopped", attach("i-stopped"), "ValidationError", "The instance i-stopped is not in running state.")
	f.fails("elsewhere", attach("i-far"), "ValidationError", "The instance i-far is in the availability zone ap-northeast-2c, which AutoScalingGroup web does not have.")
	f.ok("attach", attach("i-run"))
	f.fails("again", attach("i-run"), "ValidationError", "The Instance: i-run is already part of AutoScalingGroup:web")
	m := f.member("web", "i-run")
	same(t, "member", fmt.Sprint(m.State, m.Type, m.Zone, m.Healthy, f.group("web").Desired), "Pendingt3.largeap-northeast-2atrue 2")
	same(t, "activity", activities(f, "web"), []string{"Attaching an existing EC2 instance: i-run PreInService"})

	detach := func(decrement bool, ids ...string) ([]types.Activity, error) {
		out, err := f.DetachInstances(t.Context(), &sdk.DetachInstancesInput{AutoScalingGroupName: new("web"), InstanceIds: ids, ShouldDecrementDesiredCapacity: &decrement})
		if err != nil {
			return nil, err
		}
		return out.Activities, nil
	}
	_, err := detach(true, "i-run")
	f.fails("pending", err, "ValidationError", "The instance i-run is not in InService or Standby.")
	a, err := detach(true, "i-1")
	if err != nil {
		t.Fatal(err)
	}
	same(t, "cause", *a[0].Cause, "At 2026-11-29T01:02:03Z instance i-1 was detached in response to a user request, shrinking the capacity from 2 to 1.")
	same(t, "member", fmt.Sprint(f.member("web", "i-1").State, f.group("web").Desired), "Detaching1")
	_, err = f.UpdateAutoScalingGroup(t.Context(), &sdk.UpdateAutoScalingGroupInput{AutoScalingGroupName: new("web"), MaxSize: new(int32(1))})
	f.ok("maximum", err)
	f.world.instances = append(f.world.instances, autoscaling.Instance{ID: "i-more", Zone: region + "a", State: "running"})
	f.fails("full", attach("i-more"), "ValidationError", "AutoScalingGroup web has min-size=0, max-size=1, and desired-size=1. To attach 1 instance, please update the AutoScalingGroup sizes appropriately.")
}

func TestHealthAndProtection(t *testing.T) {
	f := newFixture(t)
	f.create("web", 0, 2, 1)
	f.join("web", "i-1", autoscaling.InService)
	_, err := f.UpdateAutoScalingGroup(t.Context(), &sdk.UpdateAutoScalingGroupInput{AutoScalingGroupName: new("web"), HealthCheckGracePeriod: new(int32(60))})
	f.ok("grace", err)
	health := func(status string, respect bool) error {
		_, err := f.SetInstanceHealth(t.Context(), &sdk.SetInstanceHealthInput{InstanceId: new("i-1"), HealthStatus: &status, ShouldRespectGracePeriod: &respect})
		return err
	}
	f.ok("in its grace period", health("Unhealthy", true))
	same(t, "healthy", f.member("web", "i-1").Healthy, true)
	f.ok("whatever", health("Unhealthy", false))
	same(t, "why", f.member("web", "i-1").Unhealthy, "an instance was taken out of service in response to a user health-check.")
	out, err := f.DescribeAutoScalingInstances(t.Context(), &sdk.DescribeAutoScalingInstancesInput{InstanceIds: []string{"i-1", "i-9"}})
	f.ok("describe", err)
	i := out.AutoScalingInstances[0]
	same(t, "instance", fmt.Sprint(len(out.AutoScalingInstances), *i.AutoScalingGroupName, *i.HealthStatus, *i.LifecycleState, *i.LaunchTemplate.Version), "1webUNHEALTHYInService3")
	f.ok("back", health("Healthy", true))
	f.clock = f.clock.Add(time.Minute)
	f.ok("after its grace period", health("Unhealthy", true))
	same(t, "unhealthy", f.member("web", "i-1").Healthy, false)
	f.fails("state", health("Ill", true), "ValidationError", "Valid instance health states are: [Healthy, Unhealthy].")

	protect := func(ids ...string) error {
		_, err := f.SetInstanceProtection(t.Context(), &sdk.SetInstanceProtectionInput{AutoScalingGroupName: new("web"), InstanceIds: ids, ProtectedFromScaleIn: new(true)})
		return err
	}
	f.ok("protect", protect("i-1"))
	same(t, "protected", f.member("web", "i-1").Protected, true)
	f.fails("none", protect("i-1", "i-9"), "ValidationError", "The instance i-9 is not part of Auto Scaling group web.")
	f.join("web", "i-2", autoscaling.TerminatingNow)
	f.fails("leaving", protect("i-2"), "ValidationError", "The instance i-2 is not in InService or EnteringStandby or Standby.")
}

func TestLifecycleHooks(t *testing.T) {
	f := newFixture(t)
	f.create("web", 0, 3, 1)
	put := func(name, transition string, heartbeat int32) error {
		_, err := f.PutLifecycleHook(t.Context(), &sdk.PutLifecycleHookInput{AutoScalingGroupName: new("web"), LifecycleHookName: &name, LifecycleTransition: &transition, HeartbeatTimeout: &heartbeat})
		return err
	}
	f.ok("put", put("b", autoscaling.Launching, 60))
	f.ok("put", put("a", autoscaling.Launching, 30))
	f.fails("transition", put("c", "launch", 30), "ValidationError", "'LifecycleTransition' must be one of: autoscaling:EC2_INSTANCE_LAUNCHING, autoscaling:EC2_INSTANCE_TERMINATING")
	f.fails("heartbeat", put("a", autoscaling.Launching, 29), "ValidationError", "HeartbeatTimeout must be between 30 and 7200 seconds")
	_, err := f.PutLifecycleHook(t.Context(), &sdk.PutLifecycleHookInput{AutoScalingGroupName: new("web"), LifecycleHookName: new("a"), DefaultResult: new("CONTINUE"), NotificationMetadata: new("m")})
	f.ok("change", err)
	_, err = f.PutLifecycleHook(t.Context(), &sdk.PutLifecycleHookInput{AutoScalingGroupName: new("web"), LifecycleHookName: new("x")})
	f.fails("new", err, "ValidationError", "'LifecycleTransition' parameter required when creating a new lifecycle hook")
	_, err = f.PutLifecycleHook(t.Context(), &sdk.PutLifecycleHookInput{AutoScalingGroupName: new("web"), LifecycleHookName: new("a"), NotificationTargetARN: new("arn:aws:sqs:r:1:q"), RoleARN: new("arn:aws:iam::1:role/r")})
	f.fails("target", err, "ValidationError", "Unable to publish test message to notification target arn:aws:sqs:r:1:q using IAM role arn:aws:iam::1:role/r. Please check your target and role configuration and try to put lifecycle hook again.")
	hooks, err := f.DescribeLifecycleHooks(t.Context(), &sdk.DescribeLifecycleHooksInput{AutoScalingGroupName: new("web"), LifecycleHookNames: []string{"a"}})
	f.ok("describe", err)
	h := hooks.LifecycleHooks[0]
	same(t, "hook", fmt.Sprint(len(hooks.LifecycleHooks), *h.LifecycleTransition, *h.HeartbeatTimeout, *h.GlobalTimeout, *h.DefaultResult, *h.NotificationMetadata), "1autoscaling:EC2_INSTANCE_LAUNCHING30 3000CONTINUEm")

	g := f.group("web")
	m := f.join("web", "i-1", autoscaling.Pending)
	_, err = f.service.Members.Modify(t.Context(), m.Key(), func(m *autoscaling.Member) error {
		m.Begin(g.HooksOf(autoscaling.Launching), autoscaling.PendingWait, f.clock)
		return nil
	})
	f.ok("begin", err)
	complete := func(hook, token, instance string) error {
		in := &sdk.CompleteLifecycleActionInput{AutoScalingGroupName: new("web"), LifecycleHookName: &hook, LifecycleActionResult: new("CONTINUE")}
		if token != "" {
			in.LifecycleActionToken = &token
		}
		if instance != "" {
			in.InstanceId = &instance
		}
		_, err := f.CompleteLifecycleAction(t.Context(), in)
		return err
	}
	token := f.member("web", "i-1").Waits[1].Token
	f.fails("other's token", complete("a", token, ""), "ValidationError", "No active Lifecycle Action found with token "+token)
	f.fails("other instance", complete("a", "", "i-9"), "ValidationError", "No active Lifecycle Action found with instance ID i-9")
	f.clock = f.clock.Add(20 * time.Second)
	_, err = f.RecordLifecycleActionHeartbeat(t.Context(), &sdk.RecordLifecycleActionHeartbeatInput{AutoScalingGroupName: new("web"), LifecycleHookName: new("a"), InstanceId: new("i-1")})
	f.ok("heartbeat", err)
	f.clock = f.clock.Add(20 * time.Second)
	if done, _, next := f.member("web", "i-1").Waiting(f.clock); done || !next.Equal(f.clock.Add(10*time.Second)) {
		t.Errorf("it waits until %v, done: %v", next, done)
	}
	f.ok("by instance", complete("a", "", "i-1"))
	f.fails("again", complete("a", "", "i-1"), "ValidationError", "No active Lifecycle Action found with instance ID i-1")
	f.ok("by token", complete("b", token, ""))
	if done, result, _ := f.member("web", "i-1").Waiting(f.clock); !done || result != autoscaling.Continue {
		t.Errorf("it is %v %s", done, result)
	}

	_, err = f.service.Members.Modify(t.Context(), m.Key(), func(m *autoscaling.Member) error {
		m.Begin(g.HooksOf(autoscaling.Launching), autoscaling.PendingWait, f.clock)
		return nil
	})
	f.ok("begin", err)
	_, err = f.DeleteLifecycleHook(t.Context(), &sdk.DeleteLifecycleHookInput{AutoScalingGroupName: new("web"), LifecycleHookName: new("a")})
	f.ok("delete", err)
	if done, result, _ := f.member("web", "i-1").Waiting(f.clock); !done || result != autoscaling.Abandon {
		t.Errorf("without its hook it is %v %s", done, result)
	}
	_, err = f.DeleteLifecycleHook(t.Context(), &sdk.DeleteLifecycleHookInput{AutoScalingGroupName: new("web"), LifecycleHookName: new("a")})
	f.fails("none", err, "ValidationError", "No Lifecycle Hook found with name a for AutoScalingGroup web")
}

func TestActivities(t *testing.T) {
	f := newFixture(t)
	f.create("web", 0, 3, 1)
	g := f.group("web")
	first, err := f.service.BeginActivity(t.Context(), g, fmt.Sprintf(autoscaling.LaunchingInstance, "i-1"), autoscaling.Cause("a.", "b."), autoscaling.Details("subnet-a", "z"))
	f.ok("begin", err)
	f.clock = f.clock.Add(time.Second)
	second, err := f.service.BeginActivity(t.Context(), g, "Launching a new EC2 instance", "c", "{}")
	f.ok("begin", err)
	f.ok("set", f.service.SetActivity(t.Context(), "web", first.ID, autoscaling.MidLifecycleAction, 40))
	f.ok("finish", f.service.FinishActivity(t.Context(), "web", second.ID, autoscaling.Failed, "No room."))
	f.ok("too late", f.service.SetActivity(t.Context(), "web", second.ID, autoscaling.InProgress, 1))
	f.ok("none", f.service.FinishActivity(t.Context(), "web", "no", autoscaling.Successful, ""))
	f.clock = f.clock.Add(time.Second)
	same(t, "activities", activities(f, "web"), []string{"Launching a new EC2 instance: i-1 MidLifecycleAction", "Launching a new EC2 instance.  Status Reason: No room. Failed"})
	var got []string
	pages := sdk.NewDescribeScalingActivitiesPaginator(f.Client, &sdk.DescribeScalingActivitiesInput{MaxRecords: new(int32(1))})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range page.Activities {
			got = append(got, fmt.Sprint(*a.Cause, *a.Progress, a.EndTime != nil, a.StatusMessage != nil))
		}
	}
	same(t, "pages", got, []string{"a.  b.40 false false", "c100 true true"})

	it, err := f.service.Groups.Get(t.Context(), "web")
	f.ok("get", err)
	f.ok("remove", f.service.RemoveGroup(t.Context(), it))
	f.create("web", 0, 3, 1)
	same(t, "of a new group of the name", activities(f, "web"), nil)
	out, err := f.DescribeScalingActivities(t.Context(), &sdk.DescribeScalingActivitiesInput{AutoScalingGroupName: new("web"), IncludeDeletedGroups: new(true)})
	f.ok("deleted", err)
	same(t, "deleted", fmt.Sprint(len(out.Activities), *out.Activities[1].AutoScalingGroupState, *out.Activities[1].AutoScalingGroupARN == f.service.ARN(g)), "2Deletedtrue")
	f.clock = f.clock.Add(6*7*24*time.Hour + time.Second)
	f.ok("forget", f.service.Forget(t.Context()))
	out, err = f.DescribeScalingActivities(t.Context(), &sdk.DescribeScalingActivitiesInput{IncludeDeletedGroups: new(true)})
	f.ok("describe", err)
	same(t, "left", len(out.Activities), 1) // it never ended
}

func TestProcessesAndMetrics(t *testing.T) {
	f := newFixture(t)
	f.create("web", 0, 3, 1)
	_, err := f.SuspendProcesses(t.Context(), &sdk.SuspendProcessesInput{AutoScalingGroupName: new("web"), ScalingProcesses: []string{"Launch", "AZRebalance"}})
	f.ok("suspend", err)
	s := f.describe("web").SuspendedProcesses
	same(t, "suspended", fmt.Sprint(len(s), *s[0].ProcessName, *s[0].SuspensionReason), "2LaunchUser suspended at 2026-11-29T01:02:03Z")
	_, err = f.SuspendProcesses(t.Context(), &sdk.SuspendProcessesInput{AutoScalingGroupName: new("web")})
	f.ok("suspend all", err)
	same(t, "all", len(f.describe("web").SuspendedProcesses), 9)
	_, err = f.ResumeProcesses(t.Context(), &sdk.ResumeProcessesInput{AutoScalingGroupName: new("web"), ScalingProcesses: []string{"Launch"}})
	f.ok("resume", err)
	g := f.group("web")
	same(t, "resumed", fmt.Sprint(g.Suspends("Launch"), g.Suspends("Terminate")), "false true")
	_, err = f.ResumeProcesses(t.Context(), &sdk.ResumeProcessesInput{AutoScalingGroupName: new("web"), ScalingProcesses: []string{"Sleep"}})
	f.fails("process", err, "ValidationError", "Sleep is not a valid scaling process. Valid scaling processes are: [AZRebalance, AddToLoadBalancer, AlarmNotification, HealthCheck, InstanceRefresh, Launch, ReplaceUnhealthy, ScheduledActions, Terminate]")

	enable := func(granularity string, metrics ...string) error {
		_, err := f.EnableMetricsCollection(t.Context(), &sdk.EnableMetricsCollectionInput{AutoScalingGroupName: new("web"), Granularity: &granularity, Metrics: metrics})
		return err
	}
	f.ok("enable", enable("1Minute", "GroupMinSize"))
	m := f.describe("web").EnabledMetrics
	same(t, "metrics", fmt.Sprint(len(m), *m[0].Metric, *m[0].Granularity), "1GroupMinSize1Minute")
	f.ok("enable all", enable("1Minute"))
	_, err = f.DisableMetricsCollection(t.Context(), &sdk.DisableMetricsCollectionInput{AutoScalingGroupName: new("web"), Metrics: []string{"GroupMinSize"}})
	f.ok("disable", err)
	same(t, "metrics", len(f.group("web").Metrics), len(autoscaling.GroupMetrics)-1)
	f.fails("granularity", enable("1Second"), "ValidationError", "Valid metrics granularity type is: [1Minute]")

	limits, err := f.DescribeAccountLimits(t.Context(), &sdk.DescribeAccountLimitsInput{})
	f.ok("limits", err)
	same(t, "limits", fmt.Sprint(*limits.MaxNumberOfAutoScalingGroups, *limits.NumberOfAutoScalingGroups, *limits.NumberOfLaunchConfigurations), "500 1 0")
	for what, list := range map[string]func() (int, error){
		"3 adjustment types": func() (int, error) {
			out, err := f.DescribeAdjustmentTypes(t.Context(), &sdk.DescribeAdjustmentTypesInput{})
			return len(out.AdjustmentTypes), err
		},
		"9 processes": func() (int, error) {
			out, err := f.DescribeScalingProcessTypes(t.Context(), &sdk.DescribeScalingProcessTypesInput{})
			return len(out.Processes), err
		},
		"7 termination policies": func() (int, error) {
			out, err := f.DescribeTerminationPolicyTypes(t.Context(), &sdk.DescribeTerminationPolicyTypesInput{})
			return len(out.TerminationPolicyTypes), err
		},
		"2 hook types": func() (int, error) {
			out, err := f.DescribeLifecycleHookTypes(t.Context(), &sdk.DescribeLifecycleHookTypesInput{})
			return len(out.LifecycleHookTypes), err
		},
		"21 metrics": func() (int, error) {
			out, err := f.DescribeMetricCollectionTypes(t.Context(), &sdk.DescribeMetricCollectionTypesInput{})
			return len(out.Metrics), err
		},
	} {
		n, err := list()
		f.ok(what, err)
		if what[:len(fmt.Sprint(n))] != fmt.Sprint(n) {
			t.Errorf("%s: %d", what, n)
		}
	}
}

func TestWarmPool(t *testing.T) {
	f := newFixture(t)
	f.create("web", 0, 3, 1)
	_, err := f.DeleteWarmPool(t.Context(), &sdk.DeleteWarmPoolInput{AutoScalingGroupName: new("web")})
	f.fails("none", err, "ValidationError", "No warm pool found for the Auto Scaling group web.")
	_, err = f.PutWarmPool(t.Context(), &sdk.PutWarmPoolInput{AutoScalingGroupName: new("web"), MinSize: new(int32(2)), InstanceReusePolicy: &types.InstanceReusePolicy{ReuseOnScaleIn: new(true)}})
	f.ok("put", err)
	same(t, "pool", fmt.Sprintf("%+v", *f.group("web").WarmPool), "{Min:2 MaxPrepared:-1 State:Stopped Reuse:true Deleting:false}")
	_, err = f.PutWarmPool(t.Context(), &sdk.PutWarmPoolInput{AutoScalingGroupName: new("web"), PoolState: types.WarmPoolStateHibernated})
	f.fails("hibernated", err, "ValidationError", "You can't add a warm pool with the pool state Hibernated: the launch template of the Auto Scaling group doesn't have hibernation configured.")
	f.join("web", "i-warm", autoscaling.WarmedStopped)
	f.join("web", "i-1", autoscaling.InService)
	out, err := f.DescribeWarmPool(t.Context(), &sdk.DescribeWarmPoolInput{AutoScalingGroupName: new("web")})
	f.ok("describe", err)
	same(t, "pool", fmt.Sprint(len(out.Instances), *out.Instances[0].InstanceId, out.Instances[0].LifecycleState, *out.WarmPoolConfiguration.MinSize, out.WarmPoolConfiguration.MaxGroupPreparedCapacity), "1i-warmWarmed:Stopped2 <nil>")
	d := f.describe("web")
	same(t, "group", fmt.Sprint(len(d.Instances), *d.WarmPoolSize), "1 1")
	_, err = f.DeleteWarmPool(t.Context(), &sdk.DeleteWarmPoolInput{AutoScalingGroupName: new("web"), ForceDelete: new(true)})
	f.ok("delete", err)
	same(t, "status", f.describe("web").WarmPoolConfiguration.Status, types.WarmPoolStatusPendingDelete)
	f.ok("gone", f.service.Members.Delete(t.Context(), autoscaling.Member{Group: "web", Instance: "i-warm"}.Key()))
	_, err = f.DeleteWarmPool(t.Context(), &sdk.DeleteWarmPoolInput{AutoScalingGroupName: new("web")})
	f.ok("delete", err)
	if d := f.describe("web"); d.WarmPoolConfiguration != nil {
		t.Error("the warm pool is still there")
	}
}

func TestLaunchConfigurations(t *testing.T) {
	f := newFixture(t)
	create := func(in *sdk.CreateLaunchConfigurationInput) error {
		if in.LaunchConfigurationName == nil {
			in.LaunchConfigurationName = new("lc")
		}
		_, err := f.CreateLaunchConfiguration(t.Context(), in)
		return err
	}
	f.fails("nothing", create(&sdk.CreateLaunchConfigurationInput{}), "ValidationError", "Valid requests must contain either the InstanceID parameter or both the ImageId and InstanceType parameters.")
	f.fails("image", create(&sdk.CreateLaunchConfigurationInput{ImageId: new("ami-9"), InstanceType: new("t3.large")}), "ValidationError", "AMI ami-9 is invalid: The image id '[ami-9]' does not exist")
	f.fails("profile", create(&sdk.CreateLaunchConfigurationInput{ImageId: new("ami-1"), InstanceType: new("t3.large"), IamInstanceProfile: new("no")}), "ValidationError", "Invalid IamInstanceProfile: no")
	f.fails("user data", create(&sdk.CreateLaunchConfigurationInput{ImageId: new("ami-1"), InstanceType: new("t3.large"), UserData: new("#!")}), "ValidationError", "Invalid BASE64 encoding of user data.")
	f.ok("like an instance", create(&sdk.CreateLaunchConfigurationInput{InstanceId: new("i-run"), InstanceType: new("t3.small")}))
	f.fails("twice", create(&sdk.CreateLaunchConfigurationInput{InstanceId: new("i-run")}), "AlreadyExists", "Launch Configuration by this name already exists - A launch configuration already exists with the name lc")
	out, err := f.DescribeLaunchConfigurations(t.Context(), &sdk.DescribeLaunchConfigurationsInput{LaunchConfigurationNames: []string{"lc"}})
	f.ok("describe", err)
	c := out.LaunchConfigurations[0]
	same(t, "configuration", fmt.Sprint(*c.ImageId, *c.InstanceType, *c.KeyName, c.SecurityGroups, *c.IamInstanceProfile), "ami-1t3.smallk[sg-1]node")
	_, err = f.CreateAutoScalingGroup(t.Context(), &sdk.CreateAutoScalingGroupInput{AutoScalingGroupName: new("old"), LaunchConfigurationName: new("lc"), MinSize: new(int32(0)), MaxSize: new(int32(1)), AvailabilityZones: []string{region + "a"}})
	f.ok("group", err)
	g := f.describe("old")
	same(t, "group", fmt.Sprint(*g.LaunchConfigurationName, *g.VPCZoneIdentifier, g.AvailabilityZones, f.group("old").Subnets), "lc[ap-northeast-2a] [subnet-da]")
	_, err = f.DeleteLaunchConfiguration(t.Context(), &sdk.DeleteLaunchConfigurationInput{LaunchConfigurationName: new("lc")})
	f.fails("in use", err, "ResourceInUse", "Cannot delete launch configuration lc because it is attached to AutoScalingGroup old")
	_, err = f.UpdateAutoScalingGroup(t.Context(), &sdk.UpdateAutoScalingGroupInput{AutoScalingGroupName: new("old"), LaunchTemplate: template()})
	f.ok("template", err)
	_, err = f.DeleteLaunchConfiguration(t.Context(), &sdk.DeleteLaunchConfigurationInput{LaunchConfigurationName: new("lc")})
	f.ok("delete", err)
	_, err = f.DeleteLaunchConfiguration(t.Context(), &sdk.DeleteLaunchConfigurationInput{LaunchConfigurationName: new("lc")})
	f.fails("again", err, "ValidationError", "Launch configuration name not found - Launch configuration lc not found")
	_, err = f.CreateAutoScalingGroup(t.Context(), &sdk.CreateAutoScalingGroupInput{AutoScalingGroupName: new("alike"), InstanceId: new("i-run"), MinSize: new(int32(0)), MaxSize: new(int32(1))})
	f.ok("group like an instance", err)
	g = f.describe("alike")
	same(t, "group", fmt.Sprint(*g.LaunchConfigurationName, *g.VPCZoneIdentifier), "alikesubnet-a")
}
