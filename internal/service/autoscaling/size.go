package autoscaling

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"

	autoscalingapi "github.com/tarn-eks/tarn/internal/api/autoscaling"
	"github.com/tarn-eks/tarn/internal/store"
)

// CreateGroup makes a group for another service of the region, without the checks
// of the API. It fills in the id, the time and what AWS takes for granted (but for
// Warmup, where 0 is none at all and -1 says that it is not set), and returns
// AlreadyExists if there is a group of the name.
func (s *Service) CreateGroup(ctx context.Context, g Group) (Group, error) {
	now := s.time()
	g.ID, g.Created = uuid.NewString(), now
	if g.Cooldown == 0 {
		g.Cooldown = defaultCooldown
	}
	if g.HealthCheck == "" {
		g.HealthCheck = HealthEC2
	}
	if len(g.TerminationPolicies) == 0 {
		g.TerminationPolicies = []string{DefaultTermination}
	}
	if g.ServiceRole == "" {
		g.ServiceRole = s.defaultRole()
	}
	g.Desired = max(g.Desired, g.Min)
	if g.Desired > 0 {
		g.Reasons = append(g.Reasons, Sentence(now, "a user request created an AutoScalingGroup changing the desired capacity from 0 to %d", g.Desired))
	}
	_, err := s.Groups.Create(ctx, g.Name, g)
	if errors.Is(err, store.ErrExists) {
		return Group{}, s.exists(ctx, g.Name)
	}
	return g, err
}

// exists says why a group cannot be created.
func (s *Service) exists(ctx context.Context, name string) error {
	it, err := s.Groups.Get(ctx, name)
	if err == nil && it.Value.Deleting {
		return autoscalingapi.AlreadyExistsFault.New("AutoScalingGroup by this name already exists and is pending delete - A group with the name %s already exists and is pending delete", name)
	}
	return autoscalingapi.AlreadyExistsFault.New("AutoScalingGroup by this name already exists - A group with the name %s already exists", name)
}

// DeleteGroup says that a group is to end, with its instances; forced, they do not
// wait for their hooks. Loop fleet removes the group when it is empty. It is nil
// when there is none, or when it is being deleted already.
func (s *Service) DeleteGroup(ctx context.Context, name string, force bool) error {
	_, err := s.Groups.Modify(ctx, name, func(g *Group) error {
		g.delete(s.now(), force)
		return nil
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}

func (g *Group) delete(now time.Time, force bool) {
	if !g.Deleting && g.Desired > 0 {
		g.Reasons = append(g.Reasons, Sentence(now, "a user request deleted an AutoScalingGroup changing the desired capacity from %d to 0", g.Desired))
	}
	g.Deleting, g.Forced = true, g.Forced || force
	g.Min, g.Desired = 0, 0
}

// RemoveGroup takes away a group that was to be deleted, with all that belongs to
// it but its activities. The alarms of its policies go first. It returns
// store.ErrConflict if the group was changed since it was read.
func (s *Service) RemoveGroup(ctx context.Context, item store.Item[Group]) error {
	prefix := Prefix(item.Key)
	policies, _, err := s.Policies.List(ctx, prefix)
	if err != nil {
		return err
	}
	var ops []store.Op
	for _, it := range policies {
		if err := s.deleteAlarms(ctx, it.Value); err != nil {
			return err
		}
		ops = append(ops, s.Policies.DeleteOp(it))
	}
	for _, of := range []func(context.Context, string) ([]store.Op, error){deletions(s.Scheduled), deletions(s.Members), deletions(s.Refreshes)} {
		more, err := of(ctx, prefix)
		if err != nil {
			return err
		}
		ops = append(ops, more...)
	}
	// One commit, unless there is more than fits: then the group goes with the last.
	for len(ops) >= store.MaxTxnOps {
		if _, err := store.Commit(ctx, s.client, ops[:store.MaxTxnOps]...); err != nil {
			return err
		}
		ops = ops[store.MaxTxnOps:]
	}
	_, err = store.Commit(ctx, s.client, append(ops, s.Groups.DeleteOp(item))...)
	return err
}

// deletions makes the operations that empty a part of a collection.
func deletions[T any](c *store.Collection[T]) func(context.Context, string) ([]store.Op, error) {
	return func(ctx context.Context, prefix string) ([]store.Op, error) {
		items, _, err := c.List(ctx, prefix)
		var ops []store.Op
		for _, it := range items {
			ops = append(ops, c.DeleteOp(it))
		}
		return ops, err
	}
}

// SetDesired changes how many instances a group is to have, and adds the reason, a
// Sentence, to the group's. A number outside of the group's bounds is a
// ValidationError; the same number as before changes nothing.
func (s *Service) SetDesired(ctx context.Context, group string, desired int, reason string) error {
	_, err := s.modify(ctx, &group, func(g *Group) error { return g.setDesired(desired, reason) })
	return err
}

func (g *Group) setDesired(desired int, reason string) error {
	switch {
	case desired < g.Min:
		return invalid("New SetDesiredCapacity value %d is below min value %d for the AutoScalingGroup.", desired, g.Min)
	case desired > g.Max:
		return invalid("New SetDesiredCapacity value %d is above max value %d for the AutoScalingGroup.", desired, g.Max)
	case desired != g.Desired:
		g.Desired = desired
		g.Reasons = append(slices.Clone(g.Reasons), reason)
	}
	return nil
}

// Resize changes a group's bounds and, if desired is not nil, its size, as an update
// or a schedule does: bounds that the size is outside of move it. What says who
// wants it: "a user request update of AutoScalingGroup constraints to".
func (g *Group) Resize(now time.Time, what string, lowest, highest, desired *int) error {
	least, most, want := g.Min, g.Max, g.Desired
	if lowest != nil {
		least = *lowest
	}
	if highest != nil {
		most = *highest
	}
	if least > most {
		return invalid("Max bound, %d, must be greater than or equal to min bound, %d", most, least)
	}
	if desired == nil {
		want = min(max(want, least), most)
	} else if want = *desired; want < least || want > most {
		return invalid("Desired capacity:%d must be between the specified min size:%d and max size:%d", want, least, most)
	}
	if want != g.Desired {
		g.Reasons = append(g.Reasons, Sentence(now, "%s min: %d, max: %d, desired: %d changing the desired capacity from %d to %d", what, least, most, want, g.Desired, want))
	}
	g.Min, g.Max, g.Desired = least, most, want
	return nil
}
