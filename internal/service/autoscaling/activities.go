package autoscaling

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/tarn-eks/tarn/internal/api"
	autoscalingapi "github.com/tarn-eks/tarn/internal/api/autoscaling"
	"github.com/tarn-eks/tarn/internal/store"
)

// activityOut is an activity as the API has it; gone says that its group is deleted.
func (s *Service) activityOut(a Activity, gone bool) autoscalingapi.Activity {
	out := autoscalingapi.Activity{
		ActivityId: &a.ID, AutoScalingGroupName: &a.Group, AutoScalingGroupARN: pointer(a.GroupARN), Description: &a.Description, Cause: &a.Cause,
		StartTime: &a.Start, StatusCode: autoscalingapi.ScalingActivityStatusCode(a.Status), StatusMessage: pointer(a.Message),
		Progress: number(a.Progress), Details: &a.Details,
	}
	if !a.End.IsZero() {
		out.EndTime = &a.End
	}
	if gone {
		out.AutoScalingGroupState = new("Deleted")
	}
	return out
}

func (s *Service) activitiesOut(activities []Activity) []autoscalingapi.Activity {
	out := []autoscalingapi.Activity{}
	for _, a := range activities {
		out = append(out, s.activityOut(a, false))
	}
	return out
}

// order sorts activities as DescribeScalingActivities has them: those in progress
// first, each part from the newest to the oldest.
func (a Activity) order() string {
	ended := 0
	if !a.End.IsZero() {
		ended = 1
	}
	return fmt.Sprintf("%d %016x %s", ended, math.MaxInt64-a.Start.UnixNano(), a.ID)
}

// DescribeScalingActivities implements autoscalingapi.Handler. Activities of groups
// that are deleted are only told on request.
func (s *Service) DescribeScalingActivities(ctx context.Context, in *autoscalingapi.DescribeScalingActivitiesInput) (*autoscalingapi.DescribeScalingActivitiesOutput, error) {
	name, deleted, prefix := api.Val(in.AutoScalingGroupName), api.Val(in.IncludeDeletedGroups), ""
	if name != "" {
		prefix = Prefix(name)
		if !deleted {
			if _, err := s.get(ctx, &name); err != nil {
				return nil, err
			}
		}
	}
	all, _, err := s.Activities.List(ctx, prefix)
	if err != nil {
		return nil, err
	}
	groups, _, err := s.groups.List(ctx)
	if err != nil {
		return nil, err
	}
	alive := map[string]bool{}
	for _, it := range groups {
		alive[s.ARN(it.Value)] = true
	}
	all = slices.DeleteFunc(all, func(it store.Item[Activity]) bool {
		return !deleted && !alive[it.Value.GroupARN] || len(in.ActivityIds) > 0 && !slices.Contains(in.ActivityIds, it.Value.ID)
	})
	slices.SortFunc(all, func(a, b store.Item[Activity]) int { return strings.Compare(a.Value.order(), b.Value.order()) })
	items, next, err := page(all, func(it store.Item[Activity]) string { return it.Value.order() }, in.MaxRecords, in.NextToken, 100, 100)
	out := &autoscalingapi.DescribeScalingActivitiesOutput{Activities: []autoscalingapi.Activity{}, NextToken: next}
	for _, it := range items {
		out.Activities = append(out.Activities, s.activityOut(it.Value, !alive[it.Value.GroupARN]))
	}
	return out, err
}
