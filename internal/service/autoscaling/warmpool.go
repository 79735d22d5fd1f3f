package autoscaling

import (
	"context"
	"slices"

	"github.com/tarn-eks/tarn/internal/api"
	autoscalingapi "github.com/tarn-eks/tarn/internal/api/autoscaling"
	"github.com/tarn-eks/tarn/internal/store"
)

// PutWarmPool implements autoscalingapi.Handler. What an update leaves out is AWS's
// default again, but for the size that stays as it was.
func (s *Service) PutWarmPool(ctx context.Context, in *autoscalingapi.PutWarmPoolInput) (*autoscalingapi.PutWarmPoolOutput, error) {
	state := in.PoolState
	switch state {
	case "":
		state = autoscalingapi.WarmPoolStateStopped
	case autoscalingapi.WarmPoolStateStopped, autoscalingapi.WarmPoolStateRunning:
	case autoscalingapi.WarmPoolStateHibernated:
		return nil, invalid("You can't add a warm pool with the pool state Hibernated: the launch template of the Auto Scaling group doesn't have hibernation configured.")
	default:
		return nil, constraint("poolState", state, "satisfy enum value set: [Stopped, Hibernated, Running]")
	}
	if in.MinSize != nil {
		if err := between("minSize", int(*in.MinSize), 0, 1<<31-1); err != nil {
			return nil, err
		}
	}
	if in.MaxGroupPreparedCapacity != nil {
		if err := between("maxGroupPreparedCapacity", int(*in.MaxGroupPreparedCapacity), -1, 1<<31-1); err != nil {
			return nil, err
		}
	}
	_, err := s.modify(ctx, in.AutoScalingGroupName, func(g *Group) error {
		if err := g.allowsWarmPool(); err != nil {
			return err
		}
		pool := &WarmPool{MaxPrepared: -1, State: string(state)}
		if g.WarmPool != nil {
			if g.WarmPool.Deleting {
				return autoscalingapi.ResourceContentionFault.New("The warm pool of AutoScalingGroup %s is pending delete.", g.Name)
			}
			pool.Min, pool.Reuse = g.WarmPool.Min, g.WarmPool.Reuse
		}
		if in.MinSize != nil {
			pool.Min = int(*in.MinSize)
		}
		if in.MaxGroupPreparedCapacity != nil {
			pool.MaxPrepared = int(*in.MaxGroupPreparedCapacity)
		}
		if r := in.InstanceReusePolicy; r != nil {
			pool.Reuse = api.Val(r.ReuseOnScaleIn)
		}
		g.WarmPool = pool
		return nil
	})
	return &autoscalingapi.PutWarmPoolOutput{}, err
}

// allowsWarmPool refuses groups with weights or Spot instances.
func (g Group) allowsWarmPool() error {
	if g.Mixed == nil {
		return nil
	}
	if t := g.Mixed.LaunchTemplate; t != nil && slices.ContainsFunc(t.Overrides, func(o autoscalingapi.LaunchTemplateOverrides) bool { return o.WeightedCapacity != nil }) {
		return invalid("You can't add a warm pool to an Auto Scaling group that uses a mixed instances policy with instance weights.")
	}
	if d := g.Mixed.InstancesDistribution; d != nil && d.OnDemandPercentageAboveBaseCapacity != nil && *d.OnDemandPercentageAboveBaseCapacity < 100 {
		return invalid("You can't add a warm pool to an Auto Scaling group that requests Spot Instances")
	}
	return nil
}

// DeleteWarmPool implements autoscalingapi.Handler. Loop fleet ends the instances;
// the record goes with the last.
func (s *Service) DeleteWarmPool(ctx context.Context, in *autoscalingapi.DeleteWarmPoolInput) (*autoscalingapi.DeleteWarmPoolOutput, error) {
	_, err := s.commit(ctx, in.AutoScalingGroupName, func(g *Group) ([]store.Op, error) {
		if g.WarmPool == nil {
			return nil, invalid("No warm pool found for the Auto Scaling group %s.", g.Name)
		}
		members, err := s.MembersOf(ctx, g.Name)
		if err != nil {
			return nil, err
		}
		var ops []store.Op
		for _, it := range members {
			if !it.Value.Warm() {
				continue
			}
			if api.Val(in.ForceDelete) && len(it.Value.Waits) > 0 { // its hooks are not waited for
				it.Value.Waits = nil
				ops = append(ops, s.Members.UpdateOp(it))
			}
		}
		g.WarmPool.Deleting = true
		if !slices.ContainsFunc(members, func(it store.Item[Member]) bool { return it.Value.Warm() }) {
			g.WarmPool = nil
		}
		return ops, nil
	})
	return &autoscalingapi.DeleteWarmPoolOutput{}, err
}

func (w WarmPool) out() *autoscalingapi.WarmPoolConfiguration {
	out := &autoscalingapi.WarmPoolConfiguration{
		MinSize: number(w.Min), PoolState: autoscalingapi.WarmPoolState(w.State),
		InstanceReusePolicy: &autoscalingapi.InstanceReusePolicy{ReuseOnScaleIn: &w.Reuse},
	}
	if w.MaxPrepared >= 0 {
		out.MaxGroupPreparedCapacity = number(w.MaxPrepared)
	}
	if w.Deleting {
		out.Status = autoscalingapi.WarmPoolStatusPendingDelete
	}
	return out
}

// DescribeWarmPool implements autoscalingapi.Handler.
func (s *Service) DescribeWarmPool(ctx context.Context, in *autoscalingapi.DescribeWarmPoolInput) (*autoscalingapi.DescribeWarmPoolOutput, error) {
	it, err := s.get(ctx, in.AutoScalingGroupName)
	if err != nil {
		return nil, err
	}
	members, err := s.MembersOf(ctx, it.Key)
	if err != nil {
		return nil, err
	}
	members = slices.DeleteFunc(members, func(it store.Item[Member]) bool { return !it.Value.Warm() })
	items, next, err := page(members, func(it store.Item[Member]) string { return it.Key }, in.MaxRecords, in.NextToken, 50, 50)
	out := &autoscalingapi.DescribeWarmPoolOutput{Instances: []autoscalingapi.Instance{}, NextToken: next}
	for _, m := range items {
		out.Instances = append(out.Instances, m.Value.out())
	}
	if it.Value.WarmPool != nil {
		out.WarmPoolConfiguration = it.Value.WarmPool.out()
	}
	return out, err
}
