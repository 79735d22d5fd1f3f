package autoscaling

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tarn-eks/tarn/internal/api"
	autoscalingapi "github.com/tarn-eks/tarn/internal/api/autoscaling"
	"github.com/tarn-eks/tarn/internal/store"
)

// What health may be.
const (
	healthy   = "Healthy"
	unhealthy = "Unhealthy"
)

// member finds the group's member by its instance.
func (s *Service) member(ctx context.Context, instance string) (store.Item[Member], error) {
	all, _, err := s.members.List(ctx)
	if err != nil {
		return store.Item[Member]{}, err
	}
	for _, it := range all {
		if it.Value.Instance == instance && it.Value.State != Terminated {
			return s.Members.Get(ctx, it.Key) // a value of its own
		}
	}
	return store.Item[Member]{}, noInstance(instance)
}

// chosen finds members of a group by their instances; each must be in one of the
// states, which words say.
func (s *Service) chosen(ctx context.Context, group string, instances []string, words string, states ...State) ([]store.Item[Member], error) {
	var items []store.Item[Member]
	for _, id := range unique(instances) {
		it, err := s.Members.Get(ctx, Member{Group: group, Instance: id}.Key())
		if errors.Is(err, store.ErrNotFound) {
			return nil, notInGroup(id, group)
		}
		if err != nil {
			return nil, err
		}
		if !slices.Contains(states, it.Value.Shown()) {
			return nil, invalid("The instance %s is not in %s.", id, words)
		}
		items = append(items, it)
	}
	return items, nil
}

// TerminateInstanceInAutoScalingGroup implements autoscalingapi.Handler: it asks for
// the instance's end, with its activity, and loop fleet ends it. An instance that is
// already on its way out keeps its activity.
func (s *Service) TerminateInstanceInAutoScalingGroup(ctx context.Context, in *autoscalingapi.TerminateInstanceInAutoScalingGroupInput) (*autoscalingapi.TerminateInstanceInAutoScalingGroupOutput, error) {
	found, err := s.member(ctx, *in.InstanceId)
	if err != nil {
		return nil, err
	}
	var a Activity
	_, err = s.commit(ctx, &found.Value.Group, func(g *Group) ([]store.Op, error) {
		it, err := s.Members.Get(ctx, found.Key)
		if errors.Is(err, store.ErrNotFound) {
			return nil, noInstance(*in.InstanceId)
		}
		if err != nil {
			return nil, err
		}
		m := &it.Value
		if m.leaving() {
			known, err := s.Activities.Get(ctx, Activity{Group: m.Group, ID: m.Activity}.Key())
			if err == nil {
				a = known.Value
				return nil, nil
			}
			if !errors.Is(err, store.ErrNotFound) {
				return nil, err
			}
		}
		shrinks := ""
		if *in.ShouldDecrementDesiredCapacity && m.Counts() {
			if g.Desired <= g.Min {
				return nil, invalid("Currently, desiredSize equals minSize (%d). Terminating instance without replacement will violate group's min size constraint. "+
					"Either set shouldDecrementDesiredCapacity flag to false or lower group's min size.", g.Min)
			}
			g.Desired--
			shrinks = fmt.Sprintf(", shrinking the capacity from %d to %d", g.Desired+1, g.Desired)
		}
		ops, err := s.cancelActivity(ctx, *m)
		if err != nil {
			return nil, err
		}
		m.Ending = true
		m.Cause = Sentence(s.now(), "instance %s was taken out of service in response to a user request%s", m.Instance, shrinks)
		a = s.NewActivity(*g, fmt.Sprintf(TerminatingInstance, m.Instance), m.Cause, Details(m.Subnet, m.Zone))
		m.Activity = a.ID
		return append(ops, s.Members.UpdateOp(it), s.Activities.CreateOp(a.Key(), a)), nil
	})
	return &autoscalingapi.TerminateInstanceInAutoScalingGroupOutput{Activity: new(s.activityOut(a, false))}, err
}

// leaving says whether the instance's end was asked for, or is on its way.
func (m Member) leaving() bool {
	switch m.State {
	case TerminatingNow, TerminatingWait, TerminatingProceed, Terminated, WarmedTerminating, WarmedTerminatingWait, WarmedTerminatingProceed, WarmedTerminated:
		return true
	}
	return m.Ending
}

// cancelActivity ends what is in progress with the member, for something else begins.
func (s *Service) cancelActivity(ctx context.Context, m Member) ([]store.Op, error) {
	if m.Activity == "" {
		return nil, nil
	}
	it, err := s.Activities.Get(ctx, Activity{Group: m.Group, ID: m.Activity}.Key())
	if errors.Is(err, store.ErrNotFound) || err == nil && !it.Value.End.IsZero() {
		return nil, nil
	}
	it.Value.Finish(s.now(), Cancelled, "")
	return []store.Op{s.Activities.UpdateOp(it)}, err
}

// SetInstanceHealth implements autoscalingapi.Handler. An instance that is not
// healthy is replaced by loop fleet.
func (s *Service) SetInstanceHealth(ctx context.Context, in *autoscalingapi.SetInstanceHealthInput) (*autoscalingapi.SetInstanceHealthOutput, error) {
	if h := *in.HealthStatus; h != healthy && h != unhealthy {
		return nil, invalid("Valid instance health states are: [%s, %s].", healthy, unhealthy)
	}
	it, err := s.member(ctx, *in.InstanceId)
	if err != nil {
		return nil, err
	}
	g, err := s.Groups.Get(ctx, it.Value.Group)
	if err != nil {
		return nil, err
	}
	_, err = s.Members.Modify(ctx, it.Key, func(m *Member) error {
		bad := *in.HealthStatus == unhealthy
		if bad && (in.ShouldRespectGracePeriod == nil || *in.ShouldRespectGracePeriod) && m.InGrace(g.Value, s.now()) {
			return nil
		}
		m.Healthy, m.Unhealthy = !bad, ""
		if bad {
			m.Unhealthy = "an instance was taken out of service in response to a user health-check."
		}
		return nil
	})
	if errors.Is(err, store.ErrNotFound) {
		err = noInstance(*in.InstanceId)
	}
	return &autoscalingapi.SetInstanceHealthOutput{}, err
}

// InGrace says whether the member's health does not matter yet.
func (m Member) InGrace(g Group, now time.Time) bool {
	return m.InService.IsZero() || now.Before(m.InService.Add(g.GracePeriod))
}

// SetInstanceProtection implements autoscalingapi.Handler.
func (s *Service) SetInstanceProtection(ctx context.Context, in *autoscalingapi.SetInstanceProtectionInput) (*autoscalingapi.SetInstanceProtectionOutput, error) {
	if len(in.InstanceIds) > maxBatch {
		return nil, constraint("instanceIds", in.InstanceIds, "have length less than or equal to %d", maxBatch)
	}
	_, err := s.commit(ctx, in.AutoScalingGroupName, func(g *Group) ([]store.Op, error) {
		items, err := s.chosen(ctx, g.Name, in.InstanceIds, "InService or EnteringStandby or Standby",
			InService, EnteringStandby, Standby, Pending, PendingWait, PendingProceed)
		var ops []store.Op
		for _, it := range items {
			it.Value.Protected = api.Val(in.ProtectedFromScaleIn)
			ops = append(ops, s.Members.UpdateOp(it))
		}
		return ops, err
	})
	return &autoscalingapi.SetInstanceProtectionOutput{}, err
}
