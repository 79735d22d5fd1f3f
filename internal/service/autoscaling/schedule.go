package autoscaling

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/tarn-eks/tarn/internal/api"
	autoscalingapi "github.com/tarn-eks/tarn/internal/api/autoscaling"
	"github.com/tarn-eks/tarn/internal/store"
)

// take sets what a request gives, and checks the action as it is then.
func (a *ScheduledAction) take(in autoscalingapi.ScheduledUpdateGroupActionRequest, now time.Time) error {
	for _, n := range []struct {
		what  string
		value *int32
		to    **int
	}{{"Min size", in.MinSize, &a.Min}, {"Max size", in.MaxSize, &a.Max}, {"Desired capacity", in.DesiredCapacity, &a.Desired}} {
		if n.value == nil {
			continue
		}
		if *n.value < 0 {
			return invalid("%s must be non-negative", n.what)
		}
		*n.to = count(n.value)
	}
	switch {
	case a.Min == nil && a.Max == nil && a.Desired == nil:
		return invalid("At least one of max size, min size, or desired capacity must be specified")
	case a.Min != nil && a.Max != nil && *a.Min > *a.Max:
		return invalid("Min size must be less than or equal to max size")
	case a.Desired != nil && a.Max != nil && *a.Desired > *a.Max:
		return invalid("Desired capacity must be less than or equal to max size")
	case a.Desired != nil && a.Min != nil && *a.Desired < *a.Min:
		return invalid("Desired capacity must be greater than or equal to min size")
	}
	return a.takeTimes(in, now)
}

func (a *ScheduledAction) takeTimes(in autoscalingapi.ScheduledUpdateGroupActionRequest, now time.Time) error {
	if in.StartTime != nil {
		if in.StartTime.Before(now) {
			return invalid("Given start time is in the past")
		}
		a.Start = in.StartTime.UTC().Truncate(time.Second)
	}
	if in.EndTime != nil {
		if in.EndTime.Before(now) {
			return invalid("Given end time is in the past")
		}
		a.End = in.EndTime.UTC().Truncate(time.Second)
	}
	if in.Recurrence != nil {
		a.Recurrence = *in.Recurrence
	}
	if in.TimeZone != nil {
		a.TimeZone = *in.TimeZone
	}
	if a.Recurrence == "" && a.Start.IsZero() {
		return invalid("Scheduled start time must be specified for non-recurrent future group action")
	}
	if !a.End.IsZero() && !a.Start.IsZero() && !a.End.After(a.Start) {
		return invalid("Given end time must be after start time")
	}
	if _, err := loadZone(a.TimeZone); err != nil {
		return invalid("Time zone specified does not conform to standardized time zones found in IANA Time Zone Database")
	}
	if a.Recurrence != "" {
		if _, err := ParseRecurrence(a.Recurrence, a.TimeZone); err != nil {
			return invalid("Given recurrence string: %s is invalid", a.Recurrence)
		}
	}
	return nil
}

// schedule makes or changes a scheduled action. What is not given stays.
func (s *Service) schedule(ctx context.Context, group *string, in autoscalingapi.ScheduledUpdateGroupActionRequest) error {
	if err := checkName("scheduledActionName", api.Val(in.ScheduledActionName)); err != nil {
		return err
	}
	_, err := s.commit(ctx, group, func(g *Group) ([]store.Op, error) {
		all, _, err := s.Scheduled.List(ctx, Prefix(g.Name))
		if err != nil {
			return nil, err
		}
		it := store.Item[ScheduledAction]{Value: ScheduledAction{Group: g.Name, Name: *in.ScheduledActionName, ID: uuid.NewString(), Ran: s.time()}}
		for _, has := range all {
			if has.Value.Name == it.Value.Name {
				it = has
			}
		}
		a := &it.Value
		if err := a.take(in, s.now()); err != nil {
			return nil, err
		}
		for _, has := range all {
			if has.Value.Name != a.Name && !a.Start.IsZero() && has.Value.Start.Equal(a.Start) {
				return nil, autoscalingapi.AlreadyExistsFault.New("Scheduled action with this scheduled start time already exists")
			}
		}
		if it.Revision > 0 {
			return []store.Op{s.Scheduled.UpdateOp(it)}, nil
		}
		if len(all) >= maxScheduled {
			return nil, autoscalingapi.LimitExceededFault.New("Only %d scheduled actions are allowed per AutoScalingGroup", maxScheduled)
		}
		return []store.Op{s.Scheduled.CreateOp(a.Key(), *a)}, nil
	})
	return err
}

// PutScheduledUpdateGroupAction implements autoscalingapi.Handler. Time is the name
// that StartTime had before.
func (s *Service) PutScheduledUpdateGroupAction(ctx context.Context, in *autoscalingapi.PutScheduledUpdateGroupActionInput) (*autoscalingapi.PutScheduledUpdateGroupActionOutput, error) {
	start := in.StartTime
	if in.Time != nil {
		if start != nil && !start.Equal(*in.Time) {
			return nil, invalid("Start time and time must be the same when both are specified")
		}
		start = in.Time
	}
	return &autoscalingapi.PutScheduledUpdateGroupActionOutput{}, s.schedule(ctx, in.AutoScalingGroupName, autoscalingapi.ScheduledUpdateGroupActionRequest{
		ScheduledActionName: in.ScheduledActionName, StartTime: start, EndTime: in.EndTime, Recurrence: in.Recurrence, MinSize: in.MinSize,
		MaxSize: in.MaxSize, DesiredCapacity: in.DesiredCapacity, TimeZone: in.TimeZone,
	})
}

// failed is a part of a batch that was refused; other errors end the batch.
func failed(name string, err error) (autoscalingapi.FailedScheduledUpdateGroupActionRequest, error) {
	e, ok := errors.AsType[*api.Error](err)
	if !ok || e.Fault == api.Receiver {
		return autoscalingapi.FailedScheduledUpdateGroupActionRequest{}, err
	}
	return autoscalingapi.FailedScheduledUpdateGroupActionRequest{ScheduledActionName: &name, ErrorCode: &e.Code, ErrorMessage: &e.Message}, nil
}

// BatchPutScheduledUpdateGroupAction implements autoscalingapi.Handler.
func (s *Service) BatchPutScheduledUpdateGroupAction(ctx context.Context, in *autoscalingapi.BatchPutScheduledUpdateGroupActionInput) (*autoscalingapi.BatchPutScheduledUpdateGroupActionOutput, error) {
	if _, err := s.get(ctx, in.AutoScalingGroupName); err != nil {
		return nil, err
	}
	if n := len(in.ScheduledUpdateGroupActions); n < 1 || n > maxBatch {
		return nil, invalid("A batch must have 1 to %d scheduled actions", maxBatch)
	}
	out := &autoscalingapi.BatchPutScheduledUpdateGroupActionOutput{FailedScheduledUpdateGroupActions: []autoscalingapi.FailedScheduledUpdateGroupActionRequest{}}
	for _, a := range in.ScheduledUpdateGroupActions {
		if err := s.schedule(ctx, in.AutoScalingGroupName, a); err != nil {
			f, err := failed(*a.ScheduledActionName, err)
			if err != nil {
				return nil, err
			}
			out.FailedScheduledUpdateGroupActions = append(out.FailedScheduledUpdateGroupActions, f)
		}
	}
	return out, nil
}

func (s *Service) unschedule(ctx context.Context, group, name string) error {
	err := s.Scheduled.Delete(ctx, ScheduledAction{Group: group, Name: name}.Key())
	if errors.Is(err, store.ErrNotFound) {
		err = invalid("Scheduled action name not found")
	}
	return err
}

// DeleteScheduledAction implements autoscalingapi.Handler.
func (s *Service) DeleteScheduledAction(ctx context.Context, in *autoscalingapi.DeleteScheduledActionInput) (*autoscalingapi.DeleteScheduledActionOutput, error) {
	it, err := s.get(ctx, in.AutoScalingGroupName)
	if err == nil {
		err = s.unschedule(ctx, it.Key, *in.ScheduledActionName)
	}
	return &autoscalingapi.DeleteScheduledActionOutput{}, err
}

// BatchDeleteScheduledAction implements autoscalingapi.Handler.
func (s *Service) BatchDeleteScheduledAction(ctx context.Context, in *autoscalingapi.BatchDeleteScheduledActionInput) (*autoscalingapi.BatchDeleteScheduledActionOutput, error) {
	it, err := s.get(ctx, in.AutoScalingGroupName)
	if err != nil {
		return nil, err
	}
	if n := len(in.ScheduledActionNames); n < 1 || n > maxBatch {
		return nil, invalid("A batch must have 1 to %d scheduled actions", maxBatch)
	}
	out := &autoscalingapi.BatchDeleteScheduledActionOutput{FailedScheduledActions: []autoscalingapi.FailedScheduledUpdateGroupActionRequest{}}
	for _, name := range in.ScheduledActionNames {
		if err := s.unschedule(ctx, it.Key, name); err != nil {
			f, err := failed(name, err)
			if err != nil {
				return nil, err
			}
			out.FailedScheduledActions = append(out.FailedScheduledActions, f)
		}
	}
	return out, nil
}

// DescribeScheduledActions implements autoscalingapi.Handler: those that are still to
// come. The times of a request matter only if it names no actions.
func (s *Service) DescribeScheduledActions(ctx context.Context, in *autoscalingapi.DescribeScheduledActionsInput) (*autoscalingapi.DescribeScheduledActionsOutput, error) {
	prefix := ""
	if in.AutoScalingGroupName != nil {
		if _, err := s.get(ctx, in.AutoScalingGroupName); err != nil {
			return nil, err
		}
		prefix = Prefix(*in.AutoScalingGroupName)
	}
	all, _, err := s.Scheduled.List(ctx, prefix)
	if err != nil {
		return nil, err
	}
	now := s.now()
	all = slices.DeleteFunc(all, func(it store.Item[ScheduledAction]) bool {
		if len(in.ScheduledActionNames) > 0 {
			return !slices.Contains(in.ScheduledActionNames, it.Value.Name)
		}
		next, ok := it.Value.Next(now)
		return !ok || in.StartTime != nil && next.Before(*in.StartTime) || in.EndTime != nil && next.After(*in.EndTime)
	})
	items, nextToken, err := page(all, func(it store.Item[ScheduledAction]) string { return it.Key }, in.MaxRecords, in.NextToken, 50, 100)
	out := &autoscalingapi.DescribeScheduledActionsOutput{ScheduledUpdateGroupActions: []autoscalingapi.ScheduledUpdateGroupAction{}, NextToken: nextToken}
	for _, it := range items {
		out.ScheduledUpdateGroupActions = append(out.ScheduledUpdateGroupActions, s.scheduleOut(it.Value, now))
	}
	return out, err
}

func (s *Service) scheduleOut(a ScheduledAction, now time.Time) autoscalingapi.ScheduledUpdateGroupAction {
	out := autoscalingapi.ScheduledUpdateGroupAction{
		AutoScalingGroupName: &a.Group, ScheduledActionName: &a.Name, ScheduledActionARN: new(s.scheduleARN(a)),
		Recurrence: pointer(a.Recurrence), TimeZone: pointer(a.TimeZone),
	}
	for _, n := range []struct {
		from *int
		to   **int32
	}{{a.Min, &out.MinSize}, {a.Max, &out.MaxSize}, {a.Desired, &out.DesiredCapacity}} {
		if n.from != nil {
			*n.to = number(*n.from)
		}
	}
	start := a.Start
	if next, ok := a.Next(now); ok {
		start = next
	}
	if !start.IsZero() {
		out.StartTime, out.Time = &start, &start
	}
	if !a.End.IsZero() {
		out.EndTime = &a.End
	}
	return out
}
