package autoscaling_test

import (
	"fmt"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"

	"github.com/tarn-eks/tarn/internal/service/autoscaling"
)

func TestScheduledActions(t *testing.T) {
	f := newFixture(t)
	f.create("web", 0, 10, 1)
	put := func(name string, change func(*sdk.PutScheduledUpdateGroupActionInput)) error {
		in := &sdk.PutScheduledUpdateGroupActionInput{AutoScalingGroupName: new("web"), ScheduledActionName: &name}
		change(in)
		_, err := f.PutScheduledUpdateGroupAction(t.Context(), in)
		return err
	}
	tomorrow := f.clock.Add(24 * time.Hour).Truncate(time.Second)
	for _, tt := range []struct {
		message string
		change  func(*sdk.PutScheduledUpdateGroupActionInput)
	}{
		{"At least one of max size, min size, or desired capacity must be specified", func(in *sdk.PutScheduledUpdateGroupActionInput) {}},
		{"Min size must be non-negative", func(in *sdk.PutScheduledUpdateGroupActionInput) { in.MinSize = new(int32(-1)) }},
		{"Desired capacity must be less than or equal to max size", func(in *sdk.PutScheduledUpdateGroupActionInput) {
			in.MaxSize, in.DesiredCapacity = new(int32(1)), new(int32(2))
		}},
		{"Scheduled start time must be specified for non-recurrent future group action", func(in *sdk.PutScheduledUpdateGroupActionInput) { in.MinSize = new(int32(1)) }},
		{"Given start time is in the past", func(in *sdk.PutScheduledUpdateGroupActionInput) {
			in.MinSize, in.StartTime = new(int32(1)), new(f.clock.Add(-time.Hour))
		}},
		{"Given end time must be after start time", func(in *sdk.PutScheduledUpdateGroupActionInput) {
			in.MinSize, in.StartTime, in.EndTime = new(int32(1)), &tomorrow, new(tomorrow.Add(-time.Hour))
		}},
		{"Given recurrence string: 0 9 * * ? is invalid", func(in *sdk.PutScheduledUpdateGroupActionInput) {
			in.MinSize, in.Recurrence = new(int32(1)), new("0 9 * * ?")
		}},
		{"Given recurrence string: @daily is invalid", func(in *sdk.PutScheduledUpdateGroupActionInput) {
			in.MinSize, in.Recurrence = new(int32(1)), new("@daily")
		}},
		{"Time zone specified does not conform to standardized time zones found in IANA Time Zone Database", func(in *sdk.PutScheduledUpdateGroupActionInput) {
			in.MinSize, in.Recurrence, in.TimeZone = new(int32(1)), new("0 9 * * *"), new("Mars/Olympus")
		}},
	} {
		f.fails(tt.message, put("x", tt.change), "ValidationError", tt.message)
	}
	f.ok("morning", put("morning", func(in *sdk.PutScheduledUpdateGroupActionInput) {
		in.MinSize, in.Recurrence, in.TimeZone = new(int32(3)), new("30 9 * * 1-5"), new("Asia/Seoul")
	}))
	f.ok("once", put("once", func(in *sdk.PutScheduledUpdateGroupActionInput) {
		in.DesiredCapacity, in.StartTime = new(int32(2)), &tomorrow
	}))
	f.fails("at the same time", put("other", func(in *sdk.PutScheduledUpdateGroupActionInput) { in.MinSize, in.StartTime = new(int32(2)), &tomorrow }),
		"AlreadyExists", "Scheduled action with this scheduled start time already exists")
	f.ok("change", put("once", func(in *sdk.PutScheduledUpdateGroupActionInput) { in.MaxSize = new(int32(9)) }))

	list := func(names ...string) []types.ScheduledUpdateGroupAction {
		t.Helper()
		out, err := f.DescribeScheduledActions(t.Context(), &sdk.DescribeScheduledActionsInput{AutoScalingGroupName: new("web"), ScheduledActionNames: names})
		f.ok("describe", err)
		return out.ScheduledUpdateGroupActions
	}
	all := list()
	// Sunday the 29th in UTC: Monday 9:30 in Seoul is half past midnight.
	same(t, "morning", fmt.Sprint(len(all), *all[0].ScheduledActionName, *all[0].StartTime, *all[0].MinSize, all[0].DesiredCapacity), "2morning2026-11-30 00:30:00 +0000 UTC 3 <nil>")
	same(t, "once", fmt.Sprint(*all[1].StartTime, *all[1].DesiredCapacity, *all[1].MaxSize), "2026-11-30 01:02:03 +0000 UTC 2 9")

	batch, err := f.BatchPutScheduledUpdateGroupAction(t.Context(), &sdk.BatchPutScheduledUpdateGroupActionInput{AutoScalingGroupName: new("web"), ScheduledUpdateGroupActions: []types.ScheduledUpdateGroupActionRequest{
		{ScheduledActionName: new("good"), MinSize: new(int32(1)), Recurrence: new("0 0 * * 7")}, {ScheduledActionName: new("bad"), MinSize: new(int32(1))},
	}})
	f.ok("batch", err)
	same(t, "failed", fmt.Sprint(len(batch.FailedScheduledUpdateGroupActions), *batch.FailedScheduledUpdateGroupActions[0].ScheduledActionName, *batch.FailedScheduledUpdateGroupActions[0].ErrorCode), "1badValidationError")
	deleted, err := f.BatchDeleteScheduledAction(t.Context(), &sdk.BatchDeleteScheduledActionInput{AutoScalingGroupName: new("web"), ScheduledActionNames: []string{"good", "bad"}})
	f.ok("batch", err)
	same(t, "failed", fmt.Sprint(len(deleted.FailedScheduledActions), *deleted.FailedScheduledActions[0].ErrorMessage), "1Scheduled action name not found")
	_, err = f.DeleteScheduledAction(t.Context(), &sdk.DeleteScheduledActionInput{AutoScalingGroupName: new("web"), ScheduledActionName: new("morning")})
	f.ok("delete", err)
	_, err = f.DeleteScheduledAction(t.Context(), &sdk.DeleteScheduledActionInput{AutoScalingGroupName: new("web"), ScheduledActionName: new("morning")})
	f.fails("again", err, "ValidationError", "Scheduled action name not found")
	f.clock = tomorrow
	same(t, "past", len(list()), 0)
	same(t, "by its name", len(list("once")), 1)
}

func TestNext(t *testing.T) {
	at := func(text string) time.Time {
		if text == "" {
			return time.Time{}
		}
		v, err := time.Parse("2006-01-02 15:04", text)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, tt := range []struct{ name, start, end, recurrence, zone, after, want string }{
		{"once", "2026-03-01 10:00", "", "", "", "2026-02-01 00:00", "2026-03-01 10:00"},
		{"once, and no more", "2026-03-01 10:00", "", "", "", "2026-03-01 10:00", ""},
		{"at its start first", "2026-03-01 10:05", "", "0 12 * * *", "", "2026-02-01 00:00", "2026-03-01 10:05"},
		{"then as it recurs", "2026-03-01 10:05", "", "0 12 * * *", "", "2026-03-01 10:05", "2026-03-01 12:00"},
		{"to its end", "", "2026-03-02 12:00", "0 12 * * *", "", "2026-03-02 11:00", "2026-03-02 12:00"},
		{"not past its end", "", "2026-03-02 12:00", "0 12 * * *", "", "2026-03-02 12:00", ""},
		{"Sunday by seven", "", "", "0 0 * * 7", "", "2026-03-02 00:00", "2026-03-08 00:00"},
		{"weekend", "", "", "0 0 * * 6-7", "", "2026-03-07 00:00", "2026-03-08 00:00"},
		{"every second day", "", "", "0 0 * * 1-7/2", "", "2026-03-06 00:00", "2026-03-08 00:00"},
		{"before summer time", "", "", "0 9 * * *", "America/New_York", "2026-03-07 00:00", "2026-03-07 14:00"},
		{"in summer time", "", "", "0 9 * * *", "America/New_York", "2026-03-08 00:00", "2026-03-08 13:00"},
		{"by a weekday's name", "", "", "0 9 * * MON", "", "2026-11-29 09:00", "2026-11-30 09:00"},
		{"east of UTC", "", "", "0 9 * * *", "Asia/Seoul", "2026-11-29 10:00", "2026-11-30 00:00"},
		{"never", "", "", "0 0 30 2 *", "", "2026-03-08 00:00", ""},
	} {
		a := autoscaling.ScheduledAction{Start: at(tt.start), End: at(tt.end), Recurrence: tt.recurrence, TimeZone: tt.zone}
		next, ok := a.Next(at(tt.after))
		if want := at(tt.want); ok != !want.IsZero() || !next.Equal(want) {
			t.Errorf("%s: %v, %v; want %v", tt.name, next, ok, want)
		}
	}
}

func TestInstanceRefresh(t *testing.T) {
	f := newFixture(t)
	f.create("web", 0, 3, 1)
	start := func(in *sdk.StartInstanceRefreshInput) (string, error) {
		in.AutoScalingGroupName = new("web")
		out, err := f.StartInstanceRefresh(t.Context(), in)
		if err != nil {
			return "", err
		}
		return *out.InstanceRefreshId, nil
	}
	_, err := f.CancelInstanceRefresh(t.Context(), &sdk.CancelInstanceRefreshInput{AutoScalingGroupName: new("web")})
	f.fails("none", err, "ActiveInstanceRefreshNotFound", "No in progress or pending Instance Refresh found for Auto Scaling group web")
	_, err = start(&sdk.StartInstanceRefreshInput{Preferences: &types.RefreshPreferences{AutoRollback: new(true)}})
	f.fails("no way back", err, "ValidationError", "The request isn’t valid. The AutoRollback parameter cannot be set to true when the DesiredConfiguration parameter is empty. Set AutoRollback to false or specify a desired configuration and try again.")
	_, err = start(&sdk.StartInstanceRefreshInput{Preferences: &types.RefreshPreferences{CheckpointPercentages: []int32{50, 20}}})
	f.fails("checkpoints", err, "ValidationError", "CheckpointPercentages must be in ascending order, without duplicates, and between 1 and 100.")
	first, err := start(&sdk.StartInstanceRefreshInput{})
	f.ok("start", err)
	_, err = start(&sdk.StartInstanceRefreshInput{})
	f.fails("twice", err, "InstanceRefreshInProgress", "An Instance Refresh is already in progress and blocks the execution of this Instance Refresh.")
	_, err = f.RollbackInstanceRefresh(t.Context(), &sdk.RollbackInstanceRefreshInput{AutoScalingGroupName: new("web")})
	f.fails("irreversible", err, "IrreversibleInstanceRefresh", "The instance refresh can't be rolled back. The instance refresh has no desired configuration.")
	out, err := f.CancelInstanceRefresh(t.Context(), &sdk.CancelInstanceRefreshInput{AutoScalingGroupName: new("web")})
	f.ok("cancel", err)
	same(t, "cancelled", *out.InstanceRefreshId, first)
	_, err = f.service.Refreshes.Modify(t.Context(), autoscaling.Refresh{Group: "web", ID: first}.Key(), func(r *autoscaling.Refresh) error {
		same(t, "status", r.Status, autoscaling.RefreshCancelling)
		r.Status, r.End = autoscaling.RefreshCancelled, f.clock
		return nil
	})
	f.ok("end", err)

	second, err := start(&sdk.StartInstanceRefreshInput{DesiredConfiguration: &types.DesiredConfiguration{LaunchTemplate: &types.LaunchTemplateSpecification{LaunchTemplateName: new("web"), Version: new("$Latest")}},
		Preferences: &types.RefreshPreferences{MinHealthyPercentage: new(int32(50)), AutoRollback: new(true), CheckpointPercentages: []int32{20, 100}}})
	f.ok("start", err)
	_, err = f.UpdateAutoScalingGroup(t.Context(), &sdk.UpdateAutoScalingGroupInput{AutoScalingGroupName: new("web"), LaunchTemplate: template()})
	f.fails("update", err, "ValidationError", "An active instance refresh with a desired configuration exists. All configuration options derived from the desired configuration are not available for update while the instance refresh is active.")
	_, err = f.RollbackInstanceRefresh(t.Context(), &sdk.RollbackInstanceRefreshInput{AutoScalingGroupName: new("web")})
	f.ok("rollback", err)
	list, err := f.DescribeInstanceRefreshes(t.Context(), &sdk.DescribeInstanceRefreshesInput{AutoScalingGroupName: new("web"), MaxRecords: new(int32(1))})
	f.ok("describe", err)
	r := list.InstanceRefreshes[0]
	same(t, "refresh", fmt.Sprint(*r.InstanceRefreshId == second, r.Status, *r.RollbackDetails.RollbackReason, *r.Preferences.MinHealthyPercentage, *r.Preferences.CheckpointDelay, *r.DesiredConfiguration.LaunchTemplate.LaunchTemplateId),
		"trueRollbackInProgressRollback triggered due to user request.50 3600lt-1")
	list, err = f.DescribeInstanceRefreshes(t.Context(), &sdk.DescribeInstanceRefreshesInput{AutoScalingGroupName: new("web"), NextToken: list.NextToken})
	f.ok("describe", err)
	same(t, "second page", fmt.Sprint(len(list.InstanceRefreshes), *list.InstanceRefreshes[0].InstanceRefreshId == first), "1 true")
	it, err := f.service.Refreshes.Get(t.Context(), autoscaling.Refresh{Group: "web", ID: second}.Key())
	f.ok("get", err)
	same(t, "what was", *it.Value.Previous.LaunchTemplate.Version, "3")

	progress := func(change func(*autoscaling.Refresh)) string {
		_, err := f.service.Refreshes.Modify(t.Context(), it.Key, func(r *autoscaling.Refresh) error { change(r); return nil })
		f.ok("change", err)
		list, err := f.DescribeInstanceRefreshes(t.Context(), &sdk.DescribeInstanceRefreshesInput{AutoScalingGroupName: new("web"), InstanceRefreshIds: []string{second}})
		f.ok("describe", err)
		r := list.InstanceRefreshes[0]
		text := fmt.Sprintf("%d%% %d", *r.PercentageComplete, *r.InstancesToUpdate)
		if p := r.ProgressDetails; p != nil {
			text += fmt.Sprintf(", live %d%% %d, warm %d%% %d", *p.LivePoolProgress.PercentageComplete, *p.LivePoolProgress.InstancesToUpdate,
				*p.WarmPoolProgress.PercentageComplete, *p.WarmPoolProgress.InstancesToUpdate)
		}
		return text
	}
	same(t, "progress", progress(func(r *autoscaling.Refresh) { r.Total, r.ToUpdate = 3, 2 }), "33% 2")
	same(t, "progress with a warm pool", progress(func(r *autoscaling.Refresh) { r.Total, r.ToUpdate, r.Pool, r.PoolToUpdate = 4, 2, 2, 2 }), "50% 2, live 100% 0, warm 0% 2")
	same(t, "nothing to do", progress(func(r *autoscaling.Refresh) {
		*r = autoscaling.Refresh{Group: r.Group, ID: r.ID, Status: autoscaling.RefreshSuccessful}
	}), "100% 0")
}
