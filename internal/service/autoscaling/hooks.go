package autoscaling

import (
	"cmp"
	"context"
	"slices"

	"github.com/tarn-eks/tarn/internal/api"
	autoscalingapi "github.com/tarn-eks/tarn/internal/api/autoscaling"
	"github.com/tarn-eks/tarn/internal/arn"
	"github.com/tarn-eks/tarn/internal/store"
)

// hook is one of the group's hooks, nil if there is none of the name.
func (g *Group) hook(name string) *Hook {
	i := slices.IndexFunc(g.Hooks, func(h Hook) bool { return h.Name == name })
	if i < 0 {
		return nil
	}
	return &g.Hooks[i]
}

// putHook checks a hook and sets it. What an update leaves out stays.
func (g *Group) putHook(in *autoscalingapi.PutLifecycleHookInput) error {
	name := *in.LifecycleHookName
	if err := length("lifecycleHookName", name, 1, 255); err != nil {
		return err
	}
	h := g.hook(name)
	if h == nil {
		if in.LifecycleTransition == nil {
			return invalid("'LifecycleTransition' parameter required when creating a new lifecycle hook")
		}
		if len(g.Hooks) >= maxHooks {
			return autoscalingapi.LimitExceededFault.New("Only %d lifecycle hooks are allowed per AutoScalingGroup", maxHooks)
		}
		h = new(NewHook(name, ""))
	} else {
		h = new(*h) // kept as it is if something is wrong
	}
	if t := in.LifecycleTransition; t != nil {
		if *t != Launching && *t != Terminating {
			return invalid("'LifecycleTransition' must be one of: %s, %s", Launching, Terminating)
		}
		h.Transition = *t
	}
	if r := in.DefaultResult; r != nil {
		if *r != Continue && *r != Abandon {
			return invalid("'DefaultResult' must be one of: %s, %s", Continue, Abandon)
		}
		h.Default = *r
	}
	if n := in.HeartbeatTimeout; n != nil {
		if *n < 30 || *n > 7200 {
			return invalid("HeartbeatTimeout must be between 30 and 7200 seconds")
		}
		h.SetHeartbeat(seconds(*n))
	}
	if in.NotificationMetadata != nil {
		if err := length("notificationMetadata", *in.NotificationMetadata, 1, 4000); err != nil {
			return err
		}
		h.Metadata = *in.NotificationMetadata
	}
	if err := h.setTarget(in.NotificationTargetARN, in.RoleARN); err != nil {
		return err
	}
	if has := g.hook(name); has != nil {
		*has = *h
		return nil
	}
	g.Hooks = append(g.Hooks, *h)
	slices.SortFunc(g.Hooks, func(a, b Hook) int { return cmp.Compare(a.Name, b.Name) })
	return nil
}

// setTarget sets who is told of the hook: nobody. The region has no queues and no
// topics, so that the test message that AWS sends to a target cannot arrive.
func (h *Hook) setTarget(target, role *string) error {
	if api.Val(target) == "" {
		if api.Val(role) != "" {
			return invalid("'NotificationTargetARN' parameter required when 'RoleARN' parameter is specified")
		}
		if target != nil {
			h.Target, h.Role = "", ""
		}
		return nil
	}
	if _, err := arn.Parse(*target); err != nil {
		return invalid("'NotificationTargetARN' must be a valid ARN")
	}
	if api.Val(role) == "" {
		return invalid("'RoleARN' parameter required when 'NotificationTargetARN' parameter is specified")
	}
	return invalid("Unable to publish test message to notification target %s using IAM role %s. Please check your target and role configuration and try to put lifecycle hook again.", *target, *role)
}

// PutLifecycleHook implements autoscalingapi.Handler.
func (s *Service) PutLifecycleHook(ctx context.Context, in *autoscalingapi.PutLifecycleHookInput) (*autoscalingapi.PutLifecycleHookOutput, error) {
	_, err := s.modify(ctx, in.AutoScalingGroupName, func(g *Group) error { return g.putHook(in) })
	return &autoscalingapi.PutLifecycleHookOutput{}, err
}

// DeleteLifecycleHook implements autoscalingapi.Handler. Instances that wait for the
// hook wait no more: those that launch are abandoned, the others go on.
func (s *Service) DeleteLifecycleHook(ctx context.Context, in *autoscalingapi.DeleteLifecycleHookInput) (*autoscalingapi.DeleteLifecycleHookOutput, error) {
	name := *in.LifecycleHookName
	_, err := s.commit(ctx, in.AutoScalingGroupName, func(g *Group) ([]store.Op, error) {
		h := g.hook(name)
		if h == nil {
			return nil, invalid("No Lifecycle Hook found with name %s for AutoScalingGroup %s", name, g.Name)
		}
		result := Continue
		if h.Transition == Launching {
			result = Abandon
		}
		g.Hooks = slices.DeleteFunc(g.Hooks, func(h Hook) bool { return h.Name == name })
		members, err := s.MembersOf(ctx, g.Name)
		var ops []store.Op
		for _, it := range members {
			if it.Value.Complete(name, result) {
				ops = append(ops, s.Members.UpdateOp(it))
			}
		}
		return ops, err
	})
	return &autoscalingapi.DeleteLifecycleHookOutput{}, err
}

// DescribeLifecycleHooks implements autoscalingapi.Handler.
func (s *Service) DescribeLifecycleHooks(ctx context.Context, in *autoscalingapi.DescribeLifecycleHooksInput) (*autoscalingapi.DescribeLifecycleHooksOutput, error) {
	it, err := s.get(ctx, in.AutoScalingGroupName)
	out := &autoscalingapi.DescribeLifecycleHooksOutput{LifecycleHooks: []autoscalingapi.LifecycleHook{}}
	for _, h := range it.Value.Hooks {
		if len(in.LifecycleHookNames) > 0 && !slices.Contains(in.LifecycleHookNames, h.Name) {
			continue
		}
		out.LifecycleHooks = append(out.LifecycleHooks, autoscalingapi.LifecycleHook{
			LifecycleHookName: &h.Name, AutoScalingGroupName: &it.Key, LifecycleTransition: &h.Transition, HeartbeatTimeout: inSeconds(h.Heartbeat),
			GlobalTimeout: inSeconds(h.Global), DefaultResult: &h.Default, NotificationTargetARN: pointer(h.Target), RoleARN: pointer(h.Role),
			NotificationMetadata: pointer(h.Metadata),
		})
	}
	return out, err
}

// CompleteLifecycleAction implements autoscalingapi.Handler.
func (s *Service) CompleteLifecycleAction(ctx context.Context, in *autoscalingapi.CompleteLifecycleActionInput) (*autoscalingapi.CompleteLifecycleActionOutput, error) {
	if r := *in.LifecycleActionResult; r != Continue && r != Abandon {
		return nil, invalid("'LifecycleActionResult' must be one of: %s, %s", Continue, Abandon)
	}
	err := s.act(ctx, in.AutoScalingGroupName, *in.LifecycleHookName, api.Val(in.LifecycleActionToken), api.Val(in.InstanceId), func(m *Member, w *Wait) {
		w.Result = *in.LifecycleActionResult
	})
	return &autoscalingapi.CompleteLifecycleActionOutput{}, err
}

// RecordLifecycleActionHeartbeat implements autoscalingapi.Handler.
func (s *Service) RecordLifecycleActionHeartbeat(ctx context.Context, in *autoscalingapi.RecordLifecycleActionHeartbeatInput) (*autoscalingapi.RecordLifecycleActionHeartbeatOutput, error) {
	err := s.act(ctx, in.AutoScalingGroupName, *in.LifecycleHookName, api.Val(in.LifecycleActionToken), api.Val(in.InstanceId), func(m *Member, w *Wait) {
		m.Beat(w.Token, s.now())
	})
	return &autoscalingapi.RecordLifecycleActionHeartbeatOutput{}, err
}

// act does something to the lifecycle action of a hook that an instance waits for:
// the one with the token, or the instance's.
func (s *Service) act(ctx context.Context, group *string, hook, token, instance string, do func(*Member, *Wait)) error {
	if token == "" && instance == "" {
		return invalid("Either LifecycleActionToken or InstanceId must be specified")
	}
	if token != "" {
		if err := length("lifecycleActionToken", token, 36, 36); err != nil {
			return err
		}
	}
	// The group may be on its way out: its instances still end by their hooks.
	it, err := s.get(ctx, group)
	if err != nil {
		return err
	}
	return retry(func() error {
		members, err := s.MembersOf(ctx, it.Key)
		if err != nil {
			return err
		}
		now := s.now()
		for _, m := range members {
			if instance != "" && m.Value.Instance != instance {
				continue
			}
			i := slices.IndexFunc(m.Value.Waits, func(w Wait) bool {
				return w.Hook == hook && (token == "" || w.Token == token) && w.result(now) == ""
			})
			if i < 0 {
				continue
			}
			do(&m.Value, &m.Value.Waits[i])
			_, err := s.Members.Update(ctx, m)
			return err
		}
		if token != "" {
			return invalid("No active Lifecycle Action found with token %s", token)
		}
		return invalid("No active Lifecycle Action found with instance ID %s", instance)
	})
}
