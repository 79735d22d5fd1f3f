package autoscaling

import (
	"context"
	"slices"

	"github.com/tarn-eks/tarn/internal/api"
	autoscalingapi "github.com/tarn-eks/tarn/internal/api/autoscaling"
	"github.com/tarn-eks/tarn/internal/store"
)

// UpdateAutoScalingGroup implements autoscalingapi.Handler: what is not given stays.
func (s *Service) UpdateAutoScalingGroup(ctx context.Context, in *autoscalingapi.UpdateAutoScalingGroupInput) (*autoscalingapi.UpdateAutoScalingGroupOutput, error) {
	_, err := s.modify(ctx, in.AutoScalingGroupName, func(g *Group) error {
		from := source{in.LaunchConfigurationName, in.LaunchTemplate, in.MixedInstancesPolicy}
		if from.count() > 0 {
			if err := s.refreshAllows(ctx, g.Name); err != nil {
				return err
			}
			if err := s.setSource(ctx, g, from); err != nil {
				return err
			}
		}
		if in.VPCZoneIdentifier != nil || len(in.AvailabilityZones) > 0 {
			if err := s.setPlace(ctx, g, in.VPCZoneIdentifier, in.AvailabilityZones); err != nil {
				return err
			}
		}
		err := g.set(settings{
			cooldown: in.DefaultCooldown, grace: in.HealthCheckGracePeriod, lifetime: in.MaxInstanceLifetime, warmup: in.DefaultInstanceWarmup,
			healthCheck: in.HealthCheckType, placement: in.PlacementGroup, context: in.Context, kind: in.DesiredCapacityType,
			policies: in.TerminationPolicies, protect: in.NewInstancesProtectedFromScaleIn, rebalance: in.CapacityRebalance,
			maintenance: in.InstanceMaintenancePolicy,
		})
		if err != nil {
			return err
		}
		if in.ServiceLinkedRoleARN != nil {
			if g.ServiceRole, err = s.checkRole(ctx, in.ServiceLinkedRoleARN); err != nil {
				return err
			}
		}
		if err := checkBounds(in.MinSize, in.MaxSize, in.DesiredCapacity); err != nil {
			return err
		}
		return g.Resize(s.now(), "a user request update of AutoScalingGroup constraints to", count(in.MinSize), count(in.MaxSize), count(in.DesiredCapacity))
	})
	return &autoscalingapi.UpdateAutoScalingGroupOutput{}, err
}

func count(n *int32) *int {
	if n == nil {
		return nil
	}
	return new(int(*n))
}

// DeleteAutoScalingGroup implements autoscalingapi.Handler. A group with instances
// goes only by force; loop fleet ends them first.
func (s *Service) DeleteAutoScalingGroup(ctx context.Context, in *autoscalingapi.DeleteAutoScalingGroupInput) (*autoscalingapi.DeleteAutoScalingGroupOutput, error) {
	out, force := &autoscalingapi.DeleteAutoScalingGroupOutput{}, api.Val(in.ForceDelete)
	it, err := s.get(ctx, in.AutoScalingGroupName)
	if err != nil || it.Value.Deleting && !force {
		return out, err
	}
	if force {
		return out, s.DeleteGroup(ctx, it.Key, true)
	}
	_, err = s.modify(ctx, in.AutoScalingGroupName, func(g *Group) error {
		members, err := s.MembersOf(ctx, g.Name)
		if err != nil {
			return err
		}
		if len(members) > 0 {
			return autoscalingapi.ResourceInUseFault.New("You cannot delete an AutoScalingGroup while there are instances or pending Spot instance request(s) still in the group.")
		}
		busy, err := s.inProgress(ctx, g.Name)
		if err != nil {
			return err
		}
		if busy != "" || g.Desired > 0 {
			return autoscalingapi.ScalingActivityInProgressFault.New("You cannot delete an AutoScalingGroup while there are scaling activities in progress for that group.")
		}
		g.delete(s.now(), false)
		return nil
	})
	return out, err
}

// MembersOf are the members of a group.
func (s *Service) MembersOf(ctx context.Context, group string) ([]store.Item[Member], error) {
	items, _, err := s.Members.List(ctx, Prefix(group))
	return items, err
}

// inProgress is the id of the group's newest activity that is in progress, "" if
// there is none.
func (s *Service) inProgress(ctx context.Context, group string) (string, error) {
	items, _, err := s.Activities.List(ctx, Prefix(group))
	for _, it := range slices.Backward(items) {
		if it.Value.End.IsZero() {
			return it.Value.ID, err
		}
	}
	return "", err
}

// SetDesiredCapacity implements autoscalingapi.Handler.
func (s *Service) SetDesiredCapacity(ctx context.Context, in *autoscalingapi.SetDesiredCapacityInput) (*autoscalingapi.SetDesiredCapacityOutput, error) {
	desired := int(*in.DesiredCapacity)
	if err := between("desiredCapacity", desired, 0, 1<<31-1); err != nil {
		return nil, err
	}
	_, err := s.modify(ctx, in.AutoScalingGroupName, func(g *Group) error {
		if api.Val(in.HonorCooldown) {
			if err := s.cooled(ctx, *g, g.Cooldown); err != nil {
				return err
			}
		}
		return g.setDesired(desired, Sentence(s.now(), "a user request explicitly set group desired capacity changing the desired capacity from %d to %d", g.Desired, desired))
	})
	return &autoscalingapi.SetDesiredCapacityOutput{}, err
}
