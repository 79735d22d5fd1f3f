package autoscaling

import (
	"context"
	"fmt"
	"slices"

	autoscalingapi "github.com/tarn-eks/tarn/internal/api/autoscaling"
	"github.com/tarn-eks/tarn/internal/store"
)

// refuseSize is what AWS says when a group's bounds do not allow a move of n
// instances.
func (g Group) refuseSize(to string, n int) error {
	plural := "s"
	if n == 1 {
		plural = ""
	}
	return invalid("AutoScalingGroup %s has min-size=%d, max-size=%d, and desired-size=%d. To %s %d instance%s, please update the AutoScalingGroup sizes appropriately.",
		g.Name, g.Min, g.Max, g.Desired, to, n, plural)
}

// move is how a call takes members from one state to another. Loop fleet goes on
// from there, and ends the activity.
type move struct {
	to          State
	description string // %s is the instance
	cause       string // what was done: "moved to standby"
	status      string
	progress    int
	by          int // of the desired capacity, for each instance that this concerns
}

// begin moves the members, with an activity for each.
func (s *Service) begin(ctx context.Context, g *Group, items []store.Item[Member], how move) ([]store.Op, []Activity, error) {
	var ops []store.Op
	var activities []Activity
	now := s.now()
	for _, it := range items {
		m := &it.Value
		size := ""
		if how.by != 0 && (m.Counts() || how.by > 0) {
			before := g.Desired
			g.Desired += how.by
			way := "shrinking"
			if how.by > 0 {
				way = "increasing"
			}
			size = fmt.Sprintf(", %s the capacity from %d to %d", way, before, g.Desired)
		}
		cancel, err := s.cancelActivity(ctx, *m)
		if err != nil {
			return nil, nil, err
		}
		a := s.NewActivity(*g, fmt.Sprintf(how.description, m.Instance),
			Sentence(now, "instance %s was %s in response to a user request%s", m.Instance, how.cause, size), Details(m.Subnet, m.Zone))
		a.Status, a.Progress = how.status, how.progress
		m.State, m.Since, m.Activity = how.to, now, a.ID
		ops = append(append(ops, cancel...), s.Members.UpdateOp(it), s.Activities.CreateOp(a.Key(), a))
		activities = append(activities, a)
	}
	return ops, activities, nil
}

// counting is how many of the members are part of the group's capacity.
func counting(items []store.Item[Member]) int {
	n := 0
	for _, it := range items {
		if it.Value.Counts() {
			n++
		}
	}
	return n
}

// takeOut detaches members, or puts them on standby: which of the two, the arguments
// say.
func (s *Service) takeOut(ctx context.Context, group *string, ids []string, decrement bool, to, words string, states []State, how move) ([]autoscalingapi.Activity, error) {
	if len(ids) == 0 {
		return nil, invalid("At least one instance ID must be specified")
	}
	if len(ids) > maxAttached {
		return nil, constraint("instanceIds", ids, "have length less than or equal to %d", maxAttached)
	}
	var activities []Activity
	_, err := s.commit(ctx, group, func(g *Group) ([]store.Op, error) {
		items, err := s.chosen(ctx, g.Name, ids, words, states...)
		if err != nil {
			return nil, err
		}
		if decrement {
			how.by = -1
			if n := counting(items); g.Desired-n < g.Min {
				return nil, g.refuseSize(to, n)
			}
		}
		var ops []store.Op
		ops, activities, err = s.begin(ctx, g, items, how)
		return ops, err
	})
	return s.activitiesOut(activities), err
}

// DetachInstances implements autoscalingapi.Handler: the instances run on, by
// themselves.
func (s *Service) DetachInstances(ctx context.Context, in *autoscalingapi.DetachInstancesInput) (*autoscalingapi.DetachInstancesOutput, error) {
	out, err := s.takeOut(ctx, in.AutoScalingGroupName, in.InstanceIds, *in.ShouldDecrementDesiredCapacity, "detach", "InService or Standby",
		[]State{InService, Standby}, move{to: Detaching, description: DetachingInstance, cause: "detached", status: InProgress, progress: 50})
	return &autoscalingapi.DetachInstancesOutput{Activities: out}, err
}

// EnterStandby implements autoscalingapi.Handler: the instances stay in the group,
// but not in its capacity and behind no load balancer.
func (s *Service) EnterStandby(ctx context.Context, in *autoscalingapi.EnterStandbyInput) (*autoscalingapi.EnterStandbyOutput, error) {
	out, err := s.takeOut(ctx, in.AutoScalingGroupName, in.InstanceIds, *in.ShouldDecrementDesiredCapacity, "place into standby", "InService",
		[]State{InService}, move{to: EnteringStandby, description: EnteringStandbyOf, cause: "moved to standby", status: InProgress, progress: 50})
	return &autoscalingapi.EnterStandbyOutput{Activities: out}, err
}

// ExitStandby implements autoscalingapi.Handler. The group wants the instances again,
// which is why its desired capacity grows.
func (s *Service) ExitStandby(ctx context.Context, in *autoscalingapi.ExitStandbyInput) (*autoscalingapi.ExitStandbyOutput, error) {
	if len(in.InstanceIds) == 0 {
		return nil, invalid("At least one instance ID must be specified")
	}
	var activities []Activity
	_, err := s.commit(ctx, in.AutoScalingGroupName, func(g *Group) ([]store.Op, error) {
		items, err := s.chosen(ctx, g.Name, in.InstanceIds, "Standby", Standby)
		if err != nil {
			return nil, err
		}
		if g.Desired+len(items) > g.Max {
			return nil, g.refuseSize("move out of standby", len(items))
		}
		var ops []store.Op
		ops, activities, err = s.begin(ctx, g, items, move{
			to: Pending, description: ExitingStandbyOf, cause: "moved out of standby", status: PreInService, progress: 30, by: 1,
		})
		return ops, err
	})
	return &autoscalingapi.ExitStandbyOutput{Activities: s.activitiesOut(activities)}, err
}

// AttachInstances implements autoscalingapi.Handler: running instances become
// members, and the group wants that many more.
func (s *Service) AttachInstances(ctx context.Context, in *autoscalingapi.AttachInstancesInput) (*autoscalingapi.AttachInstancesOutput, error) {
	ids := unique(in.InstanceIds)
	if len(ids) == 0 {
		return nil, invalid("At least one instance ID must be specified")
	}
	if len(ids) > maxAttached {
		return nil, constraint("instanceIds", ids, "have length less than or equal to %d", maxAttached)
	}
	_, err := s.commit(ctx, in.AutoScalingGroupName, func(g *Group) ([]store.Op, error) {
		instances, err := s.attachable(ctx, *g, ids)
		if err != nil {
			return nil, err
		}
		if g.Desired+len(ids) > g.Max {
			return nil, g.refuseSize("attach", len(ids))
		}
		var ops []store.Op
		now := s.now()
		for _, i := range instances {
			g.Desired++
			a := s.NewActivity(*g, fmt.Sprintf(AttachingInstance, i.ID),
				Sentence(now, "an instance was added in response to user request. Keeping the capacity at the new %d", g.Desired), Details(i.Subnet, i.Zone))
			a.Status, a.Progress = PreInService, 50
			m := Member{
				Group: g.Name, Instance: i.ID, Type: i.Type, Zone: i.Zone, Subnet: i.Subnet, State: Pending, Since: now, Healthy: true,
				Protected: g.ProtectNew, Activity: a.ID,
			}
			ops = append(ops, s.Members.CreateOp(m.Key(), m), s.Activities.CreateOp(a.Key(), a))
		}
		return ops, nil
	})
	return &autoscalingapi.AttachInstancesOutput{}, err
}

// attachable finds instances that may become the group's.
func (s *Service) attachable(ctx context.Context, g Group, ids []string) ([]Instance, error) {
	found, err := s.instances.Instances(ctx, ids)
	if err != nil {
		return nil, err
	}
	members, _, err := s.members.List(ctx)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		n := slices.IndexFunc(found, func(i Instance) bool { return i.ID == id })
		if n < 0 {
			return nil, invalid("The instance ID '%s' does not exist", id)
		}
		m := slices.IndexFunc(members, func(it store.Item[Member]) bool { return it.Value.Instance == id })
		switch i := found[n]; {
		case m >= 0:
			return nil, invalid("The Instance: %s is already part of AutoScalingGroup:%s", id, members[m].Value.Group)
		case i.State != "running":
			return nil, invalid("The instance %s is not in running state.", id)
		case !slices.Contains(g.Zones, i.Zone):
			return nil, invalid("The instance %s is in the availability zone %s, which AutoScalingGroup %s does not have.", id, i.Zone, g.Name)
		}
	}
	return found, nil
}
